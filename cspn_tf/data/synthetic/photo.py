"""From a seed to a photo with labels.

Everything random about photo `index` comes from `(seed, split, index)`, so a photo is the same whoever renders it,
in whatever order and on however many processes.
"""

import dataclasses

import numpy as np

from ...garment_set import Garments
from .effects import develop
from .labels import label_keypoints, silhouette_box
from .layout import MAX_GARMENTS, Plan, check_variation_shares, compose, draw_layout
from .raster import ZBuffer
from .scene import cast_shadows, paint_background
from .shading import Soup, assemble, crease_texture, draw_light, opaque_buffer, render_surfaces

SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class SyntheticPhoto:
    """A rendered photo.

    Attributes:
        image: uint8 `(H, W, 3)` RGB.
        garments: its labels, `Garments`. Boxes are those of the silhouettes inside the photo, hidden parts included,
            from outermost pixel centre to outermost pixel centre; keypoints outside the photo are CUT_OFF.
        jpeg_quality: 40..95, to be saved with.
    """

    image: np.ndarray
    garments: Garments
    jpeg_quality: int


@dataclasses.dataclass(frozen=True)
class Rendering:
    """A photo together with what it was made from, for the writer and for checks.

    Attributes:
        photo: `SyntheticPhoto`.
        plan: `Plan`.
        soup: `Soup`, all triangles in photo pixels.
        buffer: `ZBuffer`, who is front-most at each pixel.
    """

    photo: SyntheticPhoto
    plan: Plan
    soup: Soup
    buffer: ZBuffer


def render_photo(
    seed: int, index: int, *, size: int = 512, split: str = "train", num_garments: int | None = None
) -> SyntheticPhoto:
    """Render one photo.

    Args:
        seed: of the dataset, not negative.
        index: of the photo within its split, from 0.
        size: the long side is at most this many pixels; at least 64.
        split: train, val or test; the same index differs between splits.
        num_garments: how many garments are in the photo, 1..6, all of them labelled, on as many people as that takes;
            None for the rule of FLD: one is labelled, the rest of the outfit is not.

    Raises:
        ValueError: an argument is out of its range.
    """
    return render(seed, index, size=size, split=split, num_garments=num_garments).photo


def render(seed, index, *, size=512, split="train", num_garments=None, variation_shares=None, change=None) -> Rendering:
    """Render one photo and keep what it was made from.

    Args:
        seed, index, size, split, num_garments: as of `render_photo`.
        variation_shares: `Variation` -> share of the photos; None for `layout.VARIATION_SHARES`.
        change: called with the `Plan` before it is drawn, returns the one to draw; for tests.
    """
    _check(seed, index, size, split, num_garments, variation_shares)
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


def _check(seed, index, size, split, num_garments, variation_shares):
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must not be negative. Received: seed={seed}, index={index}")
    if size < 64:
        raise ValueError(f"size must be at least 64 pixels. Received: size={size}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}. Received: split={split}")
    if num_garments is not None and not 1 <= num_garments <= MAX_GARMENTS:
        raise ValueError(f"num_garments must be 1..{MAX_GARMENTS} or None. Received: num_garments={num_garments}")
    if variation_shares is not None:
        check_variation_shares(variation_shares)


def _recognisable(garments):
    """Whether of each garment enough is left to see, bool `(N,)`: a third of the keypoints that are in the photo."""
    return 3 * garments.visible.sum(axis=1) >= garments.labelled.sum(axis=1)


def _label(number, plan, soup, buffer):
    garment = plan.garments[number]
    keypoints_xy, visibility = label_keypoints(garment, soup, buffer, plan.camera, plan.flat)
    height, width = buffer.nearness.shape
    box_xyxy = silhouette_box(number + 1, soup, width, height)
    if box_xyxy is None:  # all of it is outside the photo
        return Garments.concatenate([])
    return Garments.label(garment.garment_type, box_xyxy, keypoints_xy, visibility, plan.layout.variation)
