"""Clothes: tops, bottoms and full-body garments as surfaces around a figure, with their keypoints.

A garment's keypoints are points of the grids that are rendered, so a label always matches its visual feature. On a ring
around the body the sides are the azimuths -90 and +90 degrees, for any pose and viewpoint:

* collars: where the upper edge crosses the shoulder line;
* sleeves: the outer side of the cuff's ring (away from the body when the arm hangs down); for sleeveless garments the
  outer end of the strap on the shoulder line;
* waistlines: the sides of the narrowest ring; for bottoms the sides of the upper edge;
* hems: the sides of the lower edge; for trousers the outer side of each leg's end.
"""

import dataclasses

import numpy as np

from ...garments import GarmentType
from .body import Coverage
from .decals import draw_bottom, draw_top
from .fabric import Fabric, pick
from .mesh import Mesh, azimuths, tube
from .skeleton import FOREARM, HIP_HEIGHT, SIDES, UPPER_ARM

_SHOULDER_TOP = 142.0
_COLUMNS = 40
_SIDE = np.pi / 2


@dataclasses.dataclass
class Clothing:
    """A piece of clothing on a figure.

    Attributes:
        garment_type: `GarmentType`.
        kind: name of its cut, such as "tee"; see `TOP_SHARES`, `FULL_SHARES`, `BOTTOM_SHARES`.
        meshes: list of `Mesh`.
        keypoints: slot -> (mesh, row, column) of the surface point.
        hides: function that adds the skin it covers to a `Coverage`.
        is_open: whether its open front shows the clothes below.
    """

    garment_type: GarmentType
    kind: str
    meshes: list
    keypoints: dict
    hides: object = None
    is_open: bool = False

    def keypoint(self, slot):
        """Return a keypoint's world position `(3,)`."""
        mesh, row, column = self.keypoints[slot]
        return mesh.points[row, column]

    def points(self):
        """Return all points of its surfaces, world `(N, 3)`."""
        return np.concatenate([mesh.points.reshape(-1, 3) for mesh in self.meshes])


@dataclasses.dataclass(frozen=True)
class Cut:
    """The cut of a bodice; centimetres.

    Attributes:
        neckline: "crew", "v", "scoop", "square", "boat", "shirt", "lapel" or "turtle".
        collar: half the width of the neckline on the shoulder line.
        front_drop, back_drop: depth of the neckline below its sides.
        strap: outer end of a sleeveless strap on the shoulder line, from the middle; None with sleeves.
        sleeve: sleeve length as a fraction of the arm.
        sleeve_ease: ease (room between cloth and body) of the sleeve at shoulder, elbow and cuff.
        eases: ease at chest, waist, hip and hem.
        hem: height of the lower edge in the rest pose.
        gap: half the gap of an open front, radians at the neck and at the hem; None for a closed front.
        flutes: number and depth of the vertical folds of a wide skirt.
    """

    neckline: str = "crew"
    collar: float = 7.4
    front_drop: float = 5.0
    back_drop: float = 1.0
    strap: float | None = None
    sleeve: float = 0.3
    sleeve_ease: tuple = (1.2, 1.5, 1.6)
    eases: tuple = (1.5, 2.5, 1.5, 1.5)
    hem: float = 88.0
    gap: tuple | None = None
    flutes: tuple = (0, 0.0)


# Sampling the cut ----------------------------------------------------------------------------------------------------

TOP_SHARES = {"tee": 0.27, "tank": 0.13, "shirt": 0.19, "sweater": 0.18, "coat": 0.15, "blouse": 0.08}
FULL_SHARES = {"dress": 0.68, "jumpsuit": 0.18, "long_coat": 0.14}
BOTTOM_SHARES = {"trousers": 0.5, "shorts": 0.2, "skirt": 0.3}
_NECKLINES = {
    "tee": ("crew", "v", "scoop", "boat"),
    "tank": ("scoop", "v", "square"),
    "shirt": ("shirt",),
    "sweater": ("crew", "turtle", "v", "boat"),
    "coat": ("lapel", "shirt", "crew"),
    "blouse": ("v", "boat", "crew", "shirt"),
    "dress": ("scoop", "v", "crew", "boat", "square"),
}


def _draw_neck(rng, style):
    """Sample the neckline, its half-width on the shoulder line and its drop in front."""
    neckline = str(rng.choice(_NECKLINES[style]))
    collar = {"turtle": 6.2, "boat": rng.uniform(10, 12), "scoop": rng.uniform(8, 10.5), "square": rng.uniform(8.5, 11)}
    drop = {
        "turtle": 0.0,
        "boat": rng.uniform(2.5, 4.0),
        "scoop": rng.uniform(9, 15),
        "v": rng.uniform(11, 20),
        "shirt": rng.uniform(6, 13),
        "lapel": rng.uniform(17, 28),
        "square": rng.uniform(10, 14),
    }
    return neckline, float(collar.get(neckline, rng.uniform(6.9, 8.4))), float(drop.get(neckline, rng.uniform(4.5, 7)))


def draw_top_cut(rng, build, kind, *, tucked=False, may_open=True) -> Cut:
    """Sample the cut of a top.

    Args:
        rng: generator.
        build: `Build` of the wearer.
        kind: one of `TOP_SHARES`, or "dress".
        tucked: whether it is tucked into a waistband.
        may_open: whether a coat may be worn open.
    """
    neckline, collar, drop = _draw_neck(rng, kind)
    strap = min(collar + rng.uniform(1.4, 5.0), 15.0 * build.shoulder) if kind == "tank" else None
    if kind == "dress" and rng.random() < 0.4:
        strap = min(collar + rng.uniform(1.2, 4.5), 15.0 * build.shoulder)
    sleeve = {"tee": rng.uniform(0.2, 0.45), "coat": rng.uniform(0.88, 1.0)}.get(
        kind, rng.choice((rng.uniform(0.22, 0.5), rng.uniform(0.6, 0.82), rng.uniform(0.88, 1.0)), p=(0.25, 0.2, 0.55))
    )
    if kind == "dress":
        sleeve = rng.choice((rng.uniform(0.15, 0.42), rng.uniform(0.55, 1.0)), p=(0.6, 0.4))
    loose = {"tank": rng.uniform(0.3, 2.5), "coat": rng.uniform(2.0, 4.5), "dress": rng.uniform(0.4, 1.8)}.get(
        kind, rng.choice((rng.uniform(0.5, 2.0), rng.uniform(1.5, 4.5)))
    )
    if tucked:
        loose = rng.uniform(0.4, 1.0)
    straight = 2.2 * build.chest / max(build.waist, 0.9)
    waist = loose + (rng.uniform(0.0, straight + 0.6) if not tucked else 0.0)
    hip = max(loose * 0.8 + 0.6, 1.6 if tucked else 2.6)
    hem = {"coat": rng.uniform(70, 92), "tank": rng.uniform(84, 100)}.get(kind, rng.uniform(80, 99))
    if kind in ("tee", "tank", "blouse") and rng.random() < 0.16:
        hem = rng.uniform(106, 116)
    if tucked:
        hem, waist = 98.0, 0.3
    cuff = rng.uniform(0.4, 1.6) if sleeve > 0.5 else 1.0 + 0.5 * loose
    if kind in ("blouse", "sweater", "dress") and sleeve > 0.3 and rng.random() < 0.3:
        cuff += rng.uniform(2.0, 5.0)
    arm = 0.6 + 0.3 * loose
    gap = (0.02, rng.uniform(0.1, 0.75)) if kind == "coat" and may_open and rng.random() < 0.55 else None
    return Cut(
        neckline,
        collar,
        drop,
        float(rng.uniform(0.3, 2.0)) if neckline != "turtle" else 0.0,
        strap,
        float(sleeve),
        (arm, 0.8 + 0.4 * loose, cuff),
        (loose, waist, hip, hip + rng.uniform(-0.3, 1.2)),
        float(hem),
        gap,
    )


def draw_full_cut(rng, build, kind) -> Cut:
    """Sample the cut of the upper part of a full-body garment, for a dress or coat with the skirt."""
    style = {"long_coat": "coat", "jumpsuit": str(rng.choice(("tank", "tee", "shirt")))}.get(kind, "dress")
    cut = draw_top_cut(rng, build, style)
    chest = rng.uniform(0.4, 1.4) if kind != "long_coat" else rng.uniform(1.5, 3.0)
    waist = rng.uniform(0.4, 1.3) if kind != "long_coat" else rng.uniform(0.9, 2.4)
    if kind == "jumpsuit":
        return dataclasses.replace(cut, eases=(chest, waist, 1.0, 1.0), hem=78.0, gap=None)
    flare = rng.choice((rng.uniform(-0.5, 3.5), rng.uniform(4.0, 17.0)))
    hem = rng.choice((rng.uniform(44, 66), rng.uniform(12, 44)))
    if kind == "long_coat":
        flare, hem = rng.uniform(0.5, 6.0), rng.uniform(26, 60)
    hip = rng.uniform(0.8, 2.5) + 0.3 * max(flare, 0.0)
    flutes = (int(rng.integers(5, 10)), 0.12 * max(flare, 0.0) + rng.uniform(0.1, 0.6))
    gap = (0.02, rng.uniform(0.05, 0.3)) if kind == "long_coat" and rng.random() < 0.25 else None
    return dataclasses.replace(cut, eases=(chest, waist, hip, hip + flare), hem=float(hem), flutes=flutes, gap=gap)


# Sewing --------------------------------------------------------------------------------------------------------------


def make_top(rng, figure, fabric, owner, *, kind=None, tucked=False, may_open=True, sleeveless=False) -> Clothing:
    """Build an upper-body garment.

    Args:
        rng: generator.
        figure: `Figure` that wears it, or whose shape and pose it has when laid flat or hung up.
        fabric: `Fabric`.
        owner: its number, see `Mesh.owner`.
        kind: one of `TOP_SHARES`; None to sample one.
        tucked: whether it is tucked into the bottom garment.
        may_open: whether a coat may be worn open.
        sleeveless: whether to omit the sleeves, for a top below a coat.
    """
    kind = kind or pick(rng, TOP_SHARES)
    cut = draw_top_cut(rng, figure.build, kind, tucked=tucked, may_open=may_open)
    if sleeveless:
        cut = dataclasses.replace(cut, strap=None, sleeve=0.0, eases=(0.5, 0.6, 0.8, 0.8), hem=max(cut.hem, 84.0))
    garment = _bodice(rng, figure, fabric, owner, cut, kind, GarmentType.UPPER_BODY)
    # A top that is worn over a bottom garment must be rendered in front of it for any bend of the hips.
    for mesh in garment.meshes:
        mesh.bias += -1.5 if tucked else 1.6
    return garment


def make_full(rng, figure, fabric, owner, *, kind=None) -> Clothing:
    """Build a full-body garment; arguments as in `make_top`, `kind` one of `FULL_SHARES`."""
    kind = kind or pick(rng, FULL_SHARES)
    cut = draw_full_cut(rng, figure.build, kind)
    style = {"long_coat": "coat", "dress": "dress"}.get(kind, "shirt" if cut.neckline == "shirt" else "tank")
    garment = _bodice(rng, figure, fabric, owner, cut, style, GarmentType.FULL_BODY)
    garment.kind = kind
    if kind == "jumpsuit":
        legs, hems, hide_legs = _trouser_legs(rng, figure, fabric, owner, shorts=rng.random() < 0.25)
        garment.meshes += legs
        garment.keypoints.update(hems)
        hide_trunk = garment.hides

        def hides(coverage):
            hide_trunk(coverage)
            hide_legs(coverage)

        garment.hides = hides
    if kind == "long_coat" or rng.random() < 0.5:
        garment.meshes.append(_belt(rng, figure, fabric, owner, cut))
    return garment


def make_bottom(rng, figure, fabric, owner, *, kind=None) -> Clothing:
    """Build a lower-body garment; arguments as in `make_top`, `kind` one of `BOTTOM_SHARES`."""
    kind = kind or pick(rng, BOTTOM_SHARES)
    top = float(rng.uniform(99.0, 108.0))
    if kind == "skirt":
        return _skirt(rng, figure, fabric, owner, top)
    hip_ease = rng.uniform(0.6, 1.8)
    mesh = _hips(rng, figure, fabric, owner, top, hip_ease, kind)
    legs, keypoints, hide_legs = _trouser_legs(rng, figure, fabric, owner, shorts=kind == "shorts", room=hip_ease)
    keypoints |= {4: (mesh, 0, _column(_COLUMNS, -1)), 5: (mesh, 0, _column(_COLUMNS, 1))}

    def hides(coverage):
        coverage.trunk.append(lambda azimuth, heights: heights < top - 1.5)
        hide_legs(coverage)

    return Clothing(GarmentType.LOWER_BODY, kind, [mesh, *legs], keypoints, hides)


MAKERS = {
    GarmentType.UPPER_BODY: make_top,
    GarmentType.LOWER_BODY: make_bottom,
    GarmentType.FULL_BODY: make_full,
}


def _column(columns, side, extra=0):
    """Return the column at azimuth -90 or +90 degrees; `extra` is the number of columns inserted at the front."""
    return columns // 4 if side < 0 else 3 * columns // 4 + extra


def _folds(rng, azimuth, down, strength, waves=5):
    """Sample smooth low-frequency displacements, centimetres, that grow downwards from zero."""
    total = 0.0
    for _ in range(waves):
        around, along = int(rng.integers(1, 6)), rng.uniform(-0.28, 0.28)
        total = total + rng.uniform(0.2, 1.0) * np.sin(around * azimuth + along * down + rng.uniform(0.0, 6.3))
    return strength * 0.5 * total * np.clip(down / 14.0, 0.0, 1.0)


def _eased(figure, heights, eases, hem):
    """Return half-width and half-depth of the cloth around the trunk."""
    chest, waist, hip, end = eases
    width, depth, _ = figure.measures(np.maximum(heights, 88.0))
    # Below the hips the cloth hangs down; it does not narrow with the thighs.
    controls = (min(hem, 87.5), 88.0, 107.0, 126.0, 136.0, 141.0, 150.0)
    room = (end, hip, waist, chest, 0.9 + 0.25 * chest, 0.6, 0.5)
    ease = np.interp(heights, controls, room)
    return width + ease, depth + 0.9 * ease


def _around_legs(figure, heights, half_width, half_depth):
    """Widen rings below the hips, in place, until both legs are inside."""
    low = heights[:, 0] < HIP_HEIGHT
    if low.any():
        at = HIP_HEIGHT - heights[low, 0]
        aside, ahead = figure.leg_spread(at)
        radius = figure.leg_radius(at) + 0.9
        grow = np.clip(at / 8.0, 0.0, 1.0)[:, None]
        # The ends of the ellipse must have at least the radius of curvature of the legs there.
        wide = np.maximum(aside + radius, np.sqrt((ahead + radius) * radius))
        deep = np.maximum(ahead + radius, np.sqrt((aside + radius) * radius))
        # With one leg forward and one back, the legs lie in diagonal corners of the ring.
        corner = np.hypot((aside + 0.71 * radius) / wide, (ahead + 0.71 * radius) / deep)
        for half, needed in ((half_width, wide), (half_depth, deep)):
            missing = (needed * np.maximum(corner, 1.0))[:, None] - half[low]
            half[low] += grow * np.maximum(missing, 0.0)
    return half_width, half_depth


def _neck_edge(figure, cut, azimuth):
    """Return the height of the upper edge at azimuths, and of its crossing with the shoulder line."""
    widths, heights = figure.measures(np.arange(140.0, 149.0, 0.25))[0] + 0.5, np.arange(140.0, 149.0, 0.25)
    crossing = float(np.interp(-cut.collar, -widths, heights))
    if cut.neckline == "turtle":
        return np.full(azimuth.shape, 151.5), 151.5
    share = np.linspace(0.0, 1.0, 60)
    power = {"v": 1.0, "shirt": 1.0, "lapel": 1.05, "square": 7.0, "scoop": 2.4}.get(cut.neckline, 2.0)
    edge = []
    for drop, shape in ((cut.front_drop, power), (cut.back_drop, 2.0)):
        dip = 1.0 - share if shape == 1.0 else (1.0 - share**shape) ** (1.0 / shape)
        height = crossing - drop * dip
        half_width = figure.measures(height)[0] + 0.5
        angle = np.arcsin(np.clip(share * cut.collar / half_width, 0.0, 1.0) ** 1.2)
        angle = np.maximum.accumulate(angle)
        angle[-1] = _SIDE
        edge.append(np.interp(np.minimum(np.abs(azimuth), np.pi - np.abs(azimuth)), angle, height))
    return np.where(np.abs(azimuth) <= _SIDE, edge[0], edge[1]), crossing


def _armhole(figure, cut, azimuth, top, crossing):
    """Return the heights of the upper and lower edge of the armholes at azimuths; equal outside of armholes."""
    seam = np.minimum(133.0, top - 2.0)
    if cut.strap is None:
        return seam, seam
    heights = np.arange(138.0, 149.0, 0.25)
    widths = figure.measures(heights)[0] + 0.5
    end = float(np.interp(-cut.strap, -widths, heights))
    half_angle = np.radians(np.interp(cut.strap, (8.0, 15.0), (52.0, 38.0)))
    away = (np.abs(azimuth) - _SIDE) / half_angle
    eye = np.sqrt(np.clip(1.0 - away**2, 0.0, 1.0))
    upper = np.minimum(seam + (end - seam) * eye, np.where(eye > 0.0, top - 0.9 * (crossing - end), seam))
    return upper, seam - (seam - 127.5) * eye


def _bodice(rng, figure, fabric, owner, cut, kind, garment_type):
    """Build the part of a garment above the legs, and the skirt of a dress, with sleeves and collar."""
    columns = _COLUMNS if cut.flutes[0] == 0 else 48
    azimuth = azimuths(columns)
    extra = 0
    if cut.gap is not None:
        azimuth = np.insert(azimuth, columns // 2, 0.0)
        extra = 1
    top, crossing = _neck_edge(figure, cut, azimuth)
    upper, lower = _armhole(figure, cut, azimuth, top, crossing)
    waist = _waist_height(figure, cut)
    short = cut.hem > waist - 4.0
    low_end = cut.hem if short else waist
    shares = [np.linspace(0.0, 1.0, n)[:, None] for n in (7, 9, max(3, int((low_end - cut.hem) / 4.0)))]
    rows = [top + (upper - top) * shares[0], lower + (low_end - lower) * shares[1]]
    if not short:
        rows.append(np.broadcast_to(waist + (cut.hem - waist) * shares[2][1:], (len(shares[2]) - 1, len(azimuth))))
    heights = np.concatenate(rows)
    angle = np.broadcast_to(azimuth, heights.shape).copy()
    if cut.gap is not None:
        angle = _open_front(cut, angle, heights, columns)
    half_width, half_depth = _eased(figure, heights, cut.eases, cut.hem)
    down = np.maximum(_SHOULDER_TOP - heights, 0.0)
    fold = _folds(rng, angle, down, (0.25 + 0.14 * cut.eases[1]) * (1.6 if figure.flat < 1.0 else 1.0))
    if cut.flutes[0]:
        fall = np.clip((98.0 - heights) / max(98.0 - cut.hem, 20.0), 0.0, 1.0)
        fold = fold + cut.flutes[1] * fall * np.cos(cut.flutes[0] * angle + rng.uniform(0.0, 6.3))
    half_width, half_depth = half_width + fold, half_depth + fold
    _around_legs(figure, heights, half_width, half_depth)
    power = np.clip(2.4 - (96.0 - heights) / 60.0, 2.0, 2.4)
    points = figure.surface(
        angle, heights, half_width, half_depth, figure.bulge(angle, heights, envelope=True), power=power
    )
    reach = 13.6
    uv = np.stack([angle * reach, _SHOULDER_TOP - heights], axis=-1)
    faces = np.ones((heights.shape[0] - 1, heights.shape[1] - 1), bool)
    if cut.strap is not None:
        hole = upper - lower > 0.3
        faces[6] = ~(hole[:-1] | hole[1:])
    if extra:
        faces[:, columns // 2] = False
    tone = np.ones(faces.shape)
    if cut.neckline not in ("shirt", "lapel"):
        tone[0] = rng.choice((0.86, 1.12, 1.0))
    if garment_type == GarmentType.UPPER_BODY and kind in ("sweater", "tee"):
        tone[-1] = 0.87
    decal = draw_top(
        rng,
        fabric,
        kind=kind,
        neck_drop=_SHOULDER_TOP - float(top.min()),
        waist=_SHOULDER_TOP - waist,
        length=_SHOULDER_TOP - cut.hem,
        reach=reach * _SIDE,
    )
    cloth = dataclasses.replace(fabric, decal=decal)
    settings = {"owner": owner, "two_sided": True, "round": not extra}
    mesh = Mesh(points, uv, cloth, faces=faces, face_tone=tone, **settings)
    sides = {side: _column(columns, side, extra) for side in SIDES}
    keypoints = {0: (mesh, 0, sides[-1]), 1: (mesh, 0, sides[1])}
    keypoints |= {6: (mesh, -1, sides[-1]), 7: (mesh, -1, sides[1])}
    if garment_type == GarmentType.FULL_BODY:
        keypoints |= {4: (mesh, 15, sides[-1]), 5: (mesh, 15, sides[1])}
    meshes = [mesh]
    if cut.neckline in ("shirt", "lapel"):
        meshes.append(_collar(rng, figure, fabric, cut, angle[0], top, owner))
    for side, slot in zip(SIDES, (2, 3), strict=True):
        if cut.strap is not None:
            keypoints[slot] = (mesh, 6, sides[side])
        elif cut.sleeve > 0.0:
            sleeve = _sleeve(rng, figure, side, cut, fabric, owner)
            meshes.append(sleeve)
            keypoints[slot] = (sleeve, -1, _column(16, side))
    hides = _hide_trunk(figure, cut, azimuth, top, upper, lower)
    return Clothing(garment_type, kind, meshes, keypoints, hides, cut.gap is not None)


def _open_front(cut, angle, heights, columns):
    """Open the front: move the two middle columns to the edges of the gap, and compress the others behind them."""
    down = np.clip((140.0 - heights) / max(140.0 - cut.hem, 20.0), 0.0, 1.0)
    half = cut.gap[0] + (cut.gap[1] - cut.gap[0]) * down
    side = np.where(np.arange(angle.shape[1]) <= columns // 2, -1.0, 1.0)
    size = np.abs(angle)
    parted = np.where(size < _SIDE, half + size * (1.0 - half / _SIDE), size)
    return parted * side


def _waist_height(figure, cut):
    """Return the height of the narrowest ring."""
    heights = np.arange(101.0, 114.0, 0.5)
    width, _ = _eased(figure, heights, cut.eases, cut.hem)
    return float(heights[np.argmin(width)])


def _hide_trunk(figure, cut, azimuth, top, upper, lower):
    def hides(coverage):
        def covers(angle, heights):
            edge, above, below = (np.interp(angle, azimuth, line) for line in (top, upper, lower))
            inside = (heights < edge - 1.2) & (heights > cut.hem + 2.0)
            if cut.gap is not None:
                inside &= np.abs(angle) > 1.0
            return inside & ~((above - below > 0.3) & (heights < above + 1.0) & (heights > below - 1.0))

        coverage.trunk.append(covers)
        if cut.strap is None and cut.sleeve > 0.0:
            for side in SIDES:
                coverage.arms[side] = (-20.0, cut.sleeve * (UPPER_ARM + FOREARM) - 2.0)
        if cut.hem < HIP_HEIGHT and cut.gap is None:
            for side in SIDES:
                coverage.legs[side] = (-20.0, (HIP_HEIGHT - cut.hem) * figure.spread_legs - 3.0)

    return hides


def _sleeve(rng, figure, side, cut, fabric, owner):
    length = cut.sleeve * figure.limb_length("arm")
    at = np.concatenate([(-5.6, -4.4, -2.4), np.linspace(0.5, length, max(4, int(length / 3.4)) + 1)])
    arm = UPPER_ARM + FOREARM
    room = np.interp(at, (0.0, UPPER_ARM, arm), cut.sleeve_ease)
    if cut.sleeve < 0.55:
        room = np.interp(at, (0.0, length), (cut.sleeve_ease[0], cut.sleeve_ease[2]))
    dome = np.sqrt(np.clip(1.0 - (np.minimum(at, 0.0) / 5.8) ** 2, 0.0, 1.0))
    radius = (figure.arm_radius(at) + room) * dome
    path = figure.arm_path(side, at)
    # Wide cloth rests on the upper side of the arm and hangs down.
    level = 1.0 - np.abs(path.along[:, 1])
    path.centres[:, 1] -= 0.75 * room * level * (at > 0)
    azimuth = azimuths(16)
    mesh = tube(path, radius * 0.97, radius * (figure.flat if figure.flat < 1 else 1.0), 16, fabric=fabric)
    bunch = np.exp(-(((at - UPPER_ARM) / 9.0) ** 2))
    wave = _folds(rng, azimuth[None], at[:, None] * 2.6, 0.2 + 0.12 * cut.sleeve_ease[1])
    wave = wave + (0.35 * bunch * np.sin(at * 1.3 + rng.uniform(0, 6.3)))[:, None]
    wave = wave * np.clip(at, 0.0, 6.0)[:, None] / 6.0
    away = mesh.points - path.centres[:, None]
    mesh.points = path.centres[:, None] + away * (1.0 + wave / np.maximum(radius, 2.0)[:, None])[..., None]
    mesh.uv = np.stack(np.broadcast_arrays(azimuth[None] * 6.5, at[:, None] + 4.0), axis=-1)
    mesh.owner, mesh.two_sided = owner, True
    mesh.face_tone = np.ones((len(at) - 1, 16))
    mesh.face_tone[-1] = 0.86
    return mesh


def _collar(rng, figure, fabric, cut, azimuth, top, owner):
    """Build the turned-down collar of a shirt, or lapels: a strip on the cloth along the upper edge."""
    lapel = cut.neckline == "lapel"
    wide = rng.uniform(3.0, 4.5) if not lapel else rng.uniform(5.0, 8.0)
    size = np.abs(azimuth)
    tip = float(np.min(size)) if lapel else np.radians(rng.uniform(14.0, 30.0))
    to_side = np.where(size < _SIDE, np.cos(size), 0.0)
    share = np.array([0.0, 0.45, 1.0])[:, None]
    taper = np.clip((size - tip) / np.radians(25.0), 0.15, 1.0) if lapel else 1.0
    reach = share * wide * taper
    angle = (size + reach * to_side / 13.0) * np.sign(np.where(azimuth == 0.0, 1e-9, azimuth))
    stand = np.where(size > 0.5, 1.2, 0.3) * (1.0 - share) - 0.2
    heights = top + stand - reach * (0.3 + 0.7 * np.clip(size / _SIDE, 0.0, 1.0))
    half_width, half_depth = _eased(figure, heights, cut.eases, cut.hem)
    lift = 0.35 + 0.9 * share * (1 - share) * 2
    front = figure.bulge(angle, heights, envelope=True)
    points = figure.surface(angle, heights, half_width + lift, half_depth + lift, front)
    uv = np.stack([angle * 13.6, np.broadcast_to(reach, angle.shape)], axis=-1)
    faces = np.broadcast_to((size[:-1] >= tip - 0.01) & (size[1:] >= tip - 0.01), (2, len(azimuth) - 1)).copy()
    tone = np.full(faces.shape, 1.06)
    tone[-1] = 0.94
    return Mesh(points, uv, fabric, owner, faces=faces, face_tone=tone, two_sided=True, bias=1.2, round=cut.gap is None)


def _belt(rng, figure, fabric, owner, cut):
    waist = _waist_height(figure, cut)
    half = rng.uniform(0.7, 2.4)
    azimuth = azimuths(_COLUMNS)[None]
    heights = waist + np.array([half, 0.0, -half])[:, None] + 0.0 * azimuth
    half_width, half_depth = _eased(figure, heights, cut.eases, cut.hem)
    front = figure.bulge(azimuth, heights, envelope=True)
    points = figure.surface(azimuth, heights, half_width + 0.5, half_depth + 0.5, front)
    uv = np.stack(np.broadcast_arrays(azimuth * 13.6, waist - heights), axis=-1)
    colour = tuple(c * 0.6 for c in fabric.colour) if rng.random() < 0.4 else fabric.second
    return Mesh(points, uv, Fabric(colour, gloss=0.3), owner, two_sided=True, bias=0.8)


def _hips(rng, figure, fabric, owner, top, ease, kind):
    azimuth = azimuths(_COLUMNS)[None]
    upper = top + 0.8 * np.clip(-np.cos(azimuth), 0.0, 1.0)
    heights = upper + (77.0 - upper) * np.linspace(0.0, 1.0, 10)[:, None]
    width, depth, _ = figure.measures(heights)
    room = np.interp(heights, (82.0, 90.0, 100.0, 108.0), (ease, ease, 0.9, 0.7))
    room = room + _folds(rng, azimuth, top - heights, 0.18)
    points = figure.surface(azimuth, heights, width + room, depth + room, figure.bulge(azimuth, heights))
    uv = np.stack(np.broadcast_arrays(azimuth * 14.5, top - heights), axis=-1)
    decal = draw_bottom(rng, fabric, kind=kind, crotch=top - 80.0, length=top - 77.0, reach=14.5 * _SIDE)
    cloth = dataclasses.replace(fabric, decal=decal)
    return Mesh(points, uv, cloth, owner, two_sided=True)


def _trouser_legs(rng, figure, fabric, owner, *, shorts, room=1.0):
    """Build two trouser legs; return meshes, hem keypoints, and the function that hides the skin below."""
    whole = figure.limb_length("leg")
    length = whole * (
        rng.uniform(0.16, 0.52) if shorts else rng.choice((rng.uniform(0.62, 0.9), rng.uniform(0.92, 1.05)))
    )
    wide = rng.choice((rng.uniform(0.5, 1.6), rng.uniform(1.5, 4.5), rng.uniform(4.0, 8.5)), p=(0.5, 0.35, 0.15))
    if shorts:
        wide = rng.uniform(0.6, 4.0)
    at = np.concatenate([(-6.0,), np.linspace(-2.0, length, max(5, int(length / 4.5)) + 1)])
    azimuth = azimuths(20)
    meshes, keypoints = [], {}
    for side, slot in zip(SIDES, (6, 7), strict=True):
        ease = np.interp(
            at, (-6.0, 6.0, max(0.5 * length, 12.0), max(length, 18.0)), (room - 0.4, room, room + 0.3 * wide, wide)
        )
        radius = figure.leg_radius(at) + ease
        path = figure.leg_path(side, at)
        wave = _folds(rng, azimuth[None], at[:, None] * 1.5, 0.22 + 0.06 * wide)
        bunch = np.exp(-(((at - 42.0 * figure.build.leg) / 7.0) ** 2)) + np.exp(-(((at - whole) / 7.0) ** 2))
        wave = wave + (0.3 * bunch * np.sin(at * 1.1 + rng.uniform(0.0, 6.3)))[:, None]
        mesh = tube(path, radius, radius * 1.03 * figure.flat, 20, fabric=fabric)
        away = mesh.points - path.centres[:, None]
        mesh.points = path.centres[:, None] + away * (1.0 + wave / radius[:, None])[..., None]
        mesh.uv = np.stack(np.broadcast_arrays(azimuth[None] * 9.0, at[:, None] + 16.0), axis=-1)
        mesh.owner, mesh.two_sided = owner, True
        mesh.face_tone = np.ones((len(at) - 1, 20))
        mesh.face_tone[-1] = 0.9
        meshes.append(mesh)
        keypoints[slot] = (mesh, -1, _column(20, side))

    def hides(coverage):
        for side in SIDES:
            coverage.legs[side] = (-20.0, length - 2.5)

    return meshes, keypoints, hides


def _skirt(rng, figure, fabric, owner, top):
    length = rng.choice((rng.uniform(32, 48), rng.uniform(48, 84)))
    flare = rng.choice((rng.uniform(-1.0, 2.5), rng.uniform(4.0, 17.0)))
    hem = float(top - length)
    columns = 48
    azimuth = azimuths(columns)[None]
    upper = top + 0.8 * np.clip(-np.cos(azimuth), 0.0, 1.0)
    heights = upper + (hem - upper) * np.linspace(0.0, 1.0, int(length / 4.0) + 2)[:, None]
    eases = (0.7, 0.7, rng.uniform(0.8, 2.0) + 0.25 * max(flare, 0.0), 1.2 + 1.1 * flare)
    half_width, half_depth = _eased(figure, heights, eases, hem)
    fold = _folds(rng, azimuth, top - heights, 0.25)
    number, deep = int(rng.integers(5, 11)), 0.11 * max(flare, 0.0) + rng.uniform(0.0, 0.5)
    fall = np.clip((top - 8.0 - heights) / max(length - 8.0, 10.0), 0.0, 1.0)
    fold = fold + deep * fall * np.cos(number * azimuth + rng.uniform(0.0, 6.3))
    half_width, half_depth = half_width + fold, half_depth + fold
    _around_legs(figure, heights, half_width, half_depth)
    seat = figure.bulge(azimuth, heights)
    power = np.clip(2.4 - (96.0 - heights) / 60.0, 2.0, 2.4)
    points = figure.surface(azimuth, heights, half_width, half_depth, np.minimum(seat, 0.0), power=power)
    uv = np.stack(np.broadcast_arrays(azimuth * 14.5, top - heights), axis=-1)
    decal = draw_bottom(rng, fabric, kind="skirt", crotch=18.0, length=length, reach=14.5 * _SIDE)
    tone = np.ones((heights.shape[0] - 1, columns))
    tone[-1] = rng.choice((0.9, 1.0))
    cloth = dataclasses.replace(fabric, decal=decal)
    mesh = Mesh(points, uv, cloth, owner, face_tone=tone, two_sided=True, bias=0.3)
    sides = {side: _column(columns, side) for side in SIDES}
    keypoints = {4: (mesh, 0, sides[-1]), 5: (mesh, 0, sides[1]), 6: (mesh, -1, sides[-1]), 7: (mesh, -1, sides[1])}

    def hides(coverage):
        coverage.trunk.append(lambda azimuth, heights: heights < top - 1.5)
        for side in SIDES:
            coverage.legs[side] = (-20.0, (HIP_HEIGHT - hem) * figure.spread_legs - 3.0)

    return Clothing(GarmentType.LOWER_BODY, "skirt", [mesh], keypoints, hides)


def coverage_of(garments) -> Coverage:
    """Return the skin that opaque garments hide."""
    coverage = Coverage()
    for garment in garments:
        if all(mesh.fabric.opacity >= 1.0 for mesh in garment.meshes):
            garment.hides(coverage)
    return coverage


def make_sheer(rng, garment) -> None:
    """Make the sleeves and lower skirt of a garment sheer, in place; trunk and thighs stay opaque (lined)."""
    opacity = float(rng.uniform(0.35, 0.75))
    pieces = []
    for mesh in garment.meshes:
        lined = mesh.fabric.decal is not None or mesh is garment.keypoints.get(0, garment.keypoints.get(4))[0]
        if not lined:
            mesh.fabric = dataclasses.replace(mesh.fabric, opacity=opacity)
            pieces.append(mesh)
            continue
        pieces += _lined_to_the_thigh(mesh, opacity, garment.keypoints)
    garment.meshes = pieces


def _lined_to_the_thigh(mesh, opacity, keypoints):
    """Split a long bodice or skirt where its lining ends, into opaque and sheer part; return a short one unchanged."""
    below = mesh.uv[:, 0, 1] - mesh.uv[0, 0, 1]
    row = int(np.searchsorted(below, below[-1] * 0.6))
    if below[-1] < 50.0 or not 2 < row < len(below) - 2:
        return [mesh]
    faces = np.ones((mesh.points.shape[0] - 1, mesh.points.shape[1] - 1), bool) if mesh.faces is None else mesh.faces
    is_lower = np.arange(len(faces))[:, None] >= row
    lower = dataclasses.replace(mesh, faces=faces & is_lower, fabric=dataclasses.replace(mesh.fabric, opacity=opacity))
    mesh.faces = faces & ~is_lower
    for slot in (6, 7):
        keypoints[slot] = (lower, *keypoints[slot][1:])
    return [mesh, lower]
