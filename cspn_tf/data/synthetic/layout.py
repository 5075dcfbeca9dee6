"""Sample the content of a photo before rendering: size, garments, people, props and the camera."""

import dataclasses

import numpy as np

from ...garments import GarmentType, Variation
from . import clothes, props
from .body import Figure, body_meshes, draw_build
from .camera import Camera, draw_warp, look_at
from .fabric import Fabric, any_colour, draw_fabric, pick
from .labels import inside
from .poses import draw_pose, laid_pose
from .scene import draw_place

VARIATION_SHARES = {
    Variation.NORMAL_POSE: 0.35,
    Variation.MEDIUM_POSE: 0.25,
    Variation.LARGE_POSE: 0.15,
    Variation.MEDIUM_ZOOM_IN: 0.15,
    Variation.LARGE_ZOOM_IN: 0.10,
}
GARMENT_TYPE_SHARES = {GarmentType.UPPER_BODY: 0.42, GarmentType.LOWER_BODY: 0.28, GarmentType.FULL_BODY: 0.30}
MAX_GARMENTS = 6
ZOOMS = (Variation.MEDIUM_ZOOM_IN, Variation.LARGE_ZOOM_IN)
_LAID_SHARE = 0.22
_HANGER_SHARE = 0.4
_SHEER_SHARE = 0.1
_BYSTANDER_SHARE = 0.12
# Depth of a garment that is laid flat, or hanging, over its depth when worn.
_FLAT = 0.13
_HANGING = 0.3


@dataclasses.dataclass(frozen=True)
class Layout:
    """The sampled content of one photo.

    Attributes:
        width, height: pixels.
        variation: `Variation`.
        setting: "worn", "laid" (flat) or "hanger".
        place: the background, see `scene.PLACES`, or "table".
        groups: the labelled garments, a tuple of garment types for each person, or hung or laid garment.
        whole_outfits: whether every garment in the photo is labelled.
    """

    width: int
    height: int
    variation: Variation
    setting: str
    place: str
    groups: tuple
    whole_outfits: bool


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything to render.

    Attributes:
        layout: `Layout`.
        camera: `Camera`.
        meshes: list of `Mesh`: people, clothes, seats and hangers.
        props: list of `Mesh` that may hide keypoints and can be omitted.
        garments: tuple of the labelled `Clothing`; the one at index k has owner k + 1.
        flat: depth factor of the figures, see `Figure.flat`.
        floor_depth: depth of the table or wall behind the garments, centimetres; None for people.
        joints_xy: `(14, 2)` body joints of the first person in photo pixels; None if there is no person.
        feet_xy: `(F, 2)` pixels of the feet, for shadows.
    """

    layout: Layout
    camera: Camera
    meshes: list
    props: list
    garments: tuple
    flat: float
    floor_depth: float | None
    joints_xy: np.ndarray | None
    feet_xy: np.ndarray


def draw_layout(rng, size, num_garments=None, variation_shares=None) -> Layout:
    """Sample the content of a photo.

    Args:
        rng: generator.
        size: largest long side, pixels.
        num_garments: number of garments in the photo, all labelled; None for FLD's rule: one labelled garment, the
            rest of the outfit unlabelled.
        variation_shares: `Variation` -> share; None for `VARIATION_SHARES`.
    """
    shares = VARIATION_SHARES if variation_shares is None else variation_shares
    variation = pick(rng, shares)
    laid = rng.random() < _LAID_SHARE
    hangs = rng.random() < _HANGER_SHARE and variation != Variation.LARGE_POSE
    setting = "worn" if not laid else "hanger" if hangs else "laid"
    groups = _draw_groups(rng, num_garments, setting)
    place = draw_place(rng) if setting == "worn" else "table"
    width, height = _draw_size(rng, size, len(groups))
    return Layout(width, height, variation, setting, place, groups, num_garments is not None)


def check_variation_shares(shares):
    """Raise ValueError unless the keys are FLD's variations, and the shares are not negative and not all zero."""
    known = all(Variation(v) in VARIATION_SHARES for v in shares)
    if not known or not shares or min(shares.values()) < 0 or not 0 < sum(shares.values()) < np.inf:
        raise ValueError(
            "variation_shares must give FLD's five variations shares that are not negative and not all zero. "
            f"Received: variation_shares={shares}"
        )


def _draw_groups(rng, num_garments, setting):
    if num_garments is None:
        return ((pick(rng, GARMENT_TYPE_SHARES),),)
    groups = []
    while num_garments > 0:
        if setting != "worn":
            groups.append((pick(rng, GARMENT_TYPE_SHARES),))
        elif num_garments >= 2 and rng.random() < 0.7:
            groups.append((GarmentType.UPPER_BODY, GarmentType.LOWER_BODY))
        else:
            groups.append((GarmentType.FULL_BODY,))
        num_garments -= len(groups[-1])
    return tuple(groups)


def _draw_size(rng, size, num_figures):
    long_side = size if rng.random() < 0.8 else int(size * rng.uniform(0.55, 0.85))
    if num_figures > 1:
        return long_side, max(16, int(long_side * min(1.0, 1.5 / num_figures)))
    aspect = float(rng.choice((2 / 3, 3 / 4, 0.8, 0.62, 1.0, 1.25), p=(0.26, 0.3, 0.12, 0.08, 0.14, 0.1)))
    short_side = round(long_side * min(aspect, 1.0 / aspect))
    return (short_side, long_side) if aspect <= 1.0 else (long_side, short_side)


# Composition ---------------------------------------------------------------------------------------------------------


def compose(rng, layout, background_colour) -> Plan:
    """Build the figures with clothes, the props and the camera.

    Args:
        rng: generator.
        layout: `Layout`.
        background_colour: RGB with which labelled garments should contrast.
    """
    meshes, things, garments, figures = [], [], [], []
    flat = {"worn": 1.0, "laid": _FLAT, "hanger": _HANGING}[layout.setting]
    spacing = rng.uniform(68.0, 100.0) if layout.setting == "worn" else 105.0
    for number, group in enumerate(layout.groups):
        place = (spacing * (number - (len(layout.groups) - 1) / 2.0), 0.0)
        if layout.setting == "worn":
            place = (place[0], rng.uniform(-20.0, 20.0) if len(layout.groups) > 1 else 0.0)
            figure = Figure(draw_build(rng), draw_pose(rng, layout.variation), place)
            labelled, others = _dress(rng, figure, group, len(garments) + 1, background_colour, layout)
            meshes += body_meshes(rng, figure, clothes.coverage_of(labelled + others))
            meshes += [mesh for garment in others for mesh in garment.meshes]
            meshes += props.seat(rng, figure)
            things += props.draw_carried(rng, figure)
        else:
            pose = laid_pose(rng, layout.variation, layout.setting == "hanger")
            figure = Figure(draw_build(rng), pose, place, flat)
            fabric = draw_fabric(rng, (background_colour,))
            labelled = [clothes.MAKERS[group[0]](rng, figure, fabric, len(garments) + 1)]
            if layout.setting == "hanger":
                meshes += props.hanger(rng, figure, labelled[0])
            else:
                things += props.draw_laid(rng, labelled[0])
        meshes += [mesh for garment in labelled for mesh in garment.meshes]
        garments += labelled
        figures.append(figure)
    if layout.setting == "worn" and not layout.whole_outfits and rng.random() < _BYSTANDER_SHARE:
        meshes += _bystander(rng)
    camera = _draw_camera(rng, layout, garments)
    things += props.draw_foreground(rng, camera, layout.width, layout.height)
    worn = layout.setting == "worn"
    joints_xy = camera.project(figures[0].skeleton.joints())[0] if worn else None
    floor_depth = None if worn else camera.distance + (8.0 if layout.setting == "laid" else 14.0)
    feet = [leg[2] - (0.0, 8.0, 0.0) for figure in figures for leg in figure.skeleton.legs.values()]
    feet_xy = camera.project(np.array(feet))[0] if worn else np.zeros((0, 2))
    return Plan(layout, camera, meshes, things, tuple(garments), flat, floor_depth, joints_xy, feet_xy)


def _dress(rng, figure, group, first_owner, background_colour, layout):
    """Return the clothes of a figure: the labelled garments, and unlabelled ones for the rest of the body."""
    skin = figure.build.skin
    # One in five garments may resemble the background.
    avoided = (background_colour, skin) if rng.random() < 0.8 else (skin,)
    fabric = draw_fabric(rng, avoided)
    other = draw_fabric(rng, (fabric.colour, skin), plain=rng.random() < 0.7)
    may_open = not layout.whole_outfits
    if group == (GarmentType.FULL_BODY,):
        labelled, others = [clothes.make_full(rng, figure, fabric, first_owner)], []
    elif group == (GarmentType.UPPER_BODY,):
        labelled = [clothes.make_top(rng, figure, fabric, first_owner, may_open=may_open)]
        others = [clothes.make_bottom(rng, figure, other, 0)]
    elif group == (GarmentType.LOWER_BODY,):
        labelled = [clothes.make_bottom(rng, figure, fabric, first_owner)]
        # A top that hangs over the waistband hides both waistlines; zoom-ins, which may cut off the hems, avoid it.
        tucked = layout.variation in ZOOMS or rng.random() < 0.85
        kind = str(rng.choice(("tee", "tank", "shirt", "sweater"), p=(0.45, 0.2, 0.2, 0.15)))
        others = [clothes.make_top(rng, figure, other, 0, kind=kind, tucked=tucked)]
    else:
        top = clothes.make_top(rng, figure, fabric, first_owner, tucked=rng.random() < 0.5, may_open=False)
        labelled, others = [top, clothes.make_bottom(rng, figure, other, first_owner + 1)], []
    if any(garment.is_open for garment in labelled):
        inner = Fabric(any_colour(rng, (fabric.colour, skin), 60.0), crease=0.4)
        others.append(clothes.make_top(rng, figure, inner, 0, kind="tee", tucked=True, sleeveless=True))
    if labelled[0].kind != "coat" and rng.random() < _SHEER_SHARE:
        clothes.make_sheer(rng, labelled[0])
    return labelled, others


def _bystander(rng):
    """Return the meshes of another person behind the subject, partly in view."""
    place = (rng.choice((-1, 1)) * rng.uniform(45.0, 120.0), -rng.uniform(70.0, 260.0))
    figure = Figure(draw_build(rng), draw_pose(rng, Variation.MEDIUM_POSE), place)
    worn = [
        clothes.make_top(rng, figure, draw_fabric(rng, plain=rng.random() < 0.6), 0, may_open=False),
        clothes.make_bottom(rng, figure, draw_fabric(rng, plain=True), 0),
    ]
    return body_meshes(rng, figure, clothes.coverage_of(worn)) + [mesh for garment in worn for mesh in garment.meshes]


# The camera ----------------------------------------------------------------------------------------------------------


def _draw_camera(rng, layout, garments):
    roll = {Variation.NORMAL_POSE: 0.04, Variation.LARGE_POSE: 0.2}.get(layout.variation, 0.09)
    if layout.setting == "laid":
        roll *= 2.0
    if layout.setting == "hanger":
        roll *= 0.4
    points = np.concatenate([garment.points() for garment in garments])
    target = (points.min(axis=0) + points.max(axis=0)) / 2
    wide = float(np.ptp(points[:, 0]))
    distance = rng.uniform(190.0, 480.0) + max(wide - 80.0, 0.0)
    pitch = rng.normal(0.05, 0.09) if layout.setting == "worn" else rng.normal(0.0, 0.06)
    if layout.variation == Variation.LARGE_POSE:
        pitch *= 2.0
    camera = look_at(target, distance, float(np.clip(pitch, -0.35, 0.5)), float(rng.uniform(-roll, roll)))
    flat, _ = camera.project(points)
    low, high = flat.min(axis=0), flat.max(axis=0)
    frame = np.array([layout.width, layout.height], float)
    warp = draw_warp(rng, max(layout.width, layout.height))
    margin = 0.03 * frame.min() + np.abs(warp[:, :2]).sum(axis=0).max()
    fit = float(((frame - 2.0 * margin) / (high - low)).min())
    if layout.variation in ZOOMS:
        return _zoom_in(rng, layout, garments, camera, warp, low, high, fit)
    smallest = min(1.0, max(0.5, 0.3 * frame[1] / (fit * (high[1] - low[1]))))
    focal = fit * (1.0 - (1.0 - smallest) * rng.random() ** 1.5)
    room = frame - 2.0 * margin - focal * (high - low)
    corner = margin + room * rng.beta(3.0, 3.0, 2)
    return camera.aimed(focal, corner - focal * low, warp)


def _zoom_in(rng, layout, garments, camera, warp, low, high, fit):
    """Aim the camera so close that a few, or many, keypoints are outside the photo, but at least two of each garment
    are inside."""
    points = [np.stack([garment.keypoint(slot) for slot in garment.keypoints]) for garment in garments]
    num_slots = sum(map(len, points))
    large = layout.variation == Variation.LARGE_ZOOM_IN
    wanted = (max(2, int(0.34 * num_slots)), num_slots - 2) if large else (1, num_slots // 3 if num_slots > 4 else 2)
    zoom = (1.35, 2.3) if large else (1.05, 1.5)
    frame = np.array([layout.width, layout.height], float)
    best, best_miss = None, np.inf
    for _ in range(60):
        focal = fit * rng.uniform(*zoom)
        middle = low + (high - low) * rng.uniform(0.12, 0.88, 2)
        candidate = camera.aimed(focal, frame / 2.0 - focal * middle, warp)
        left = [int(inside(candidate.project(p)[0], layout.width, layout.height).sum()) for p in points]
        cut = num_slots - sum(left)
        # Too many keypoints cut off is worse than too few: the photo must leave something to learn from.
        miss = max(wanted[0] - cut, 2 * (cut - wanted[1]), 0) + 4 * sum(max(2 - n, 0) for n in left)
        if miss < best_miss:
            best, best_miss = candidate, miss
        if miss == 0:
            break
    return best
