"""Render one labelled photo from a seed.

All randomness of a photo depends on `(seed, split, index)` only, not on the order of rendering or the number of
processes.
"""

import dataclasses

import numpy as np

from ...garment_set import Garments
from ..samples import SPLITS
from .effects import develop
from .labels import label_keypoints, silhouette_box
from .layout import Plan, compose, draw_layout
from .raster import ZBuffer
from .scene import cast_shadows, paint_background
from .shading import Soup, assemble, crease_texture, draw_light, opaque_buffer, render_surfaces


@dataclasses.dataclass(frozen=True)
class Rendering:
    """A rendered photo, with intermediate results for the writer and for checks.

    Attributes:
        image: uint8 `(H, W, 3)` RGB.
        garments: its labels, `Garments`. Boxes are tight around the silhouettes inside the photo, hidden parts
            included, in pixel centres of the outermost pixels; keypoints outside the photo are CUT_OFF.
        jpeg_quality: 40..95, for saving the photo.
        plan: `Plan`.
        soup: `Soup`, all triangles in photo pixels.
        buffer: `ZBuffer`, the front-most triangle at each pixel.
    """

    image: np.ndarray
    garments: Garments
    jpeg_quality: int
    plan: Plan
    soup: Soup
    buffer: ZBuffer


def render(seed, index, *, size=512, split="train", num_garments=None, variation_shares=None) -> Rendering:
    """Render one photo.

    Args:
        seed: seed of the dataset, not negative.
        index: index of the photo in its split, from 0.
        size: largest long side, pixels; at least 64.
        split: one of `SPLITS`; the same index gives a different photo in each split.
        num_garments: number of garments in the photo, 1 to `layout.MAX_GARMENTS`, all labelled, on as many people as
            needed; None for FLD's rule: one labelled garment, the rest of the outfit unlabelled.
        variation_shares: `Variation` -> share of the photos; None for `layout.VARIATION_SHARES`.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    layout = draw_layout(rng, size, num_garments, variation_shares)
    background, background_colour = paint_background(rng, layout.width, layout.height, layout.place)
    plan = compose(rng, layout, background_colour)
    light, creases, quality = draw_light(rng), crease_texture(rng), int(rng.integers(40, 96))
    for meshes in (plan.meshes + plan.props, plan.meshes):
        soup = assemble(meshes, plan.camera, light)
        buffer = opaque_buffer(soup, layout.width, layout.height)
        garments = Garments.concatenate(_label(k, plan, soup, buffer) for k in range(len(plan.garments)))
        if _recognisable(garments).all():
            break
    background = cast_shadows(background, plan.feet_xy, plan.camera.scale)
    picture = render_surfaces(soup, buffer, background, light, creases, 0.6 * plan.camera.distance, plan.floor_depth)
    return Rendering(develop(rng, picture), garments, quality, plan, soup, buffer)


def _recognisable(garments):
    """Check for each garment, bool `(N,)`, that at least a third of its keypoints in the photo are visible."""
    return 3 * garments.visible.sum(axis=1) >= garments.labelled.sum(axis=1)


def _label(number, plan, soup, buffer):
    garment = plan.garments[number]
    keypoints_xy, visibility = label_keypoints(garment, soup, buffer, plan.camera, plan.flat)
    height, width = buffer.nearness.shape
    box_xyxy = silhouette_box(number + 1, soup, width, height)
    if box_xyxy is None:  # the garment is outside the photo
        return Garments.concatenate([])
    return Garments.label(garment.garment_type, box_xyxy, keypoints_xy, visibility, plan.layout.variation)
