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
class SyntheticPhoto:
    """A rendered photo.

    Attributes:
        image: uint8 `(H, W, 3)` RGB.
        garments: its labels, `Garments`. Boxes are tight around the silhouettes inside the photo, hidden parts
            included, in pixel centres of the outermost pixels; keypoints outside the photo are CUT_OFF.
        jpeg_quality: 40..95, for saving the photo.
    """

    image: np.ndarray
    garments: Garments
    jpeg_quality: int


@dataclasses.dataclass(frozen=True)
class Rendering:
    """A photo with its intermediate results, for the writer and for checks.

    Attributes:
        photo: `SyntheticPhoto`.
        plan: `Plan`.
        soup: `Soup`, all triangles in photo pixels.
        buffer: `ZBuffer`, the front-most triangle at each pixel.
    """

    photo: SyntheticPhoto
    plan: Plan
    soup: Soup
    buffer: ZBuffer


def render(seed, index, *, size=512, split="train", num_garments=None, variation_shares=None, change=None) -> Rendering:
    """Render one photo and return it with its intermediate results.

    Args:
        seed: seed of the dataset, not negative.
        index: index of the photo in its split, from 0.
        size: largest long side, pixels; at least 64.
        split: one of `SPLITS`; the same index gives a different photo in each split.
        num_garments: number of garments in the photo, 1 to `layout.MAX_GARMENTS`, all labelled, on as many people as
            needed; None for FLD's rule: one labelled garment, the rest of the outfit unlabelled.
        variation_shares: `Variation` -> share of the photos; None for `layout.VARIATION_SHARES`.
        change: function from `Plan` to the `Plan` to render, or None; for tests.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    layout = draw_layout(rng, size, num_garments, variation_shares)
    background, background_colour = paint_background(rng, layout.width, layout.height, layout.place)
    plan = compose(rng, layout, background_colour)
    light, creases, quality = draw_light(rng), crease_texture(rng), int(rng.integers(40, 96))
    if change is not None:
        plan = change(plan)
    for meshes in (plan.meshes + plan.props, plan.meshes):
        soup = assemble(meshes, plan.camera, light)
        buffer = opaque_buffer(soup, layout.width, layout.height)
        garments = Garments.concatenate(_label(k, plan, soup, buffer) for k in range(len(plan.garments)))
        if change is not None or _recognisable(garments).all():
            break
    background = cast_shadows(background, plan.feet_xy, plan.camera.scale)
    picture = render_surfaces(soup, buffer, background, light, creases, 0.6 * plan.camera.distance, plan.floor_depth)
    image = develop(rng, picture)
    return Rendering(SyntheticPhoto(image, garments, quality), plan, soup, buffer)


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
