"""The body: measurements, and the surfaces of skin, hair, face and shoes around a posed skeleton."""

import dataclasses

import numpy as np

from . import fabric as fabrics
from .decals import draw_face
from .fabric import Fabric
from .mesh import Mesh, azimuths, ellipsoid, ring, tube
from .skeleton import FOREARM, HIP_HEIGHT, SHIN, SIDES, THIGH, UPPER_ARM, Path, Skeleton, distances_along, follow

# The trunk in the rest pose: height, half-width, half-depth, and z of its centre.
_TRUNK = np.array(
    [
        (76.0, 12.0, 7.5, -0.8),
        (82.0, 16.4, 9.6, -1.0),
        (88.0, 17.2, 10.8, -1.4),
        (93.0, 16.8, 10.9, -1.2),
        (99.0, 14.7, 9.9, -0.4),
        (107.0, 12.3, 9.0, 0.0),
        (115.0, 13.2, 9.8, 0.3),
        (123.0, 14.8, 10.8, 0.2),
        (130.0, 15.6, 10.4, -0.3),
        (135.0, 16.6, 9.2, -0.8),
        (139.0, 17.2, 7.6, -1.3),
        (141.5, 15.6, 6.6, -1.6),
        (143.5, 11.5, 6.0, -1.8),
        (145.5, 7.6, 5.7, -1.8),
        (148.0, 5.7, 5.7, -1.5),
        (156.0, 5.3, 5.6, -0.4),
    ]
)
_HEIGHTS = np.arange(70.0, 160.0, 0.5)
HAIR_STYLES = ("short", "bald", "long", "bob", "bun", "ponytail")
_HAIR_SHARES = (0.32, 0.05, 0.25, 0.16, 0.11, 0.11)


@dataclasses.dataclass(frozen=True)
class Build:
    """Body measurements relative to the average, and appearance.

    Attributes:
        shoulder, chest, waist, hip: widths.
        depth: depth of the trunk, from front to back.
        limb: thickness of arms and legs.
        leg: length of the legs.
        bust: protrusion of the bust, centimetres.
        skin, hair: RGB in 0..255; hair_style: one of `HAIR_STYLES`; hair_length: centimetres below the crown.
    """

    shoulder: float = 1.0
    chest: float = 1.0
    waist: float = 1.0
    hip: float = 1.0
    depth: float = 1.0
    limb: float = 1.0
    leg: float = 1.0
    bust: float = 0.0
    skin: tuple = fabrics.SKIN_TONES[1]
    hair: tuple = fabrics.HAIR_COLOURS[0]
    hair_style: str = "short"
    hair_length: float = 34.0


def draw_build(rng) -> Build:
    """Sample a body."""
    broad = rng.normal(1.0, 0.055)
    feminine = rng.random() < 0.6
    skin = np.array(fabrics.SKIN_TONES[rng.integers(len(fabrics.SKIN_TONES))], float) + rng.normal(0, 5, 3)
    styles = np.array(_HAIR_SHARES) * ((0.4, 0.1, 1.4, 1.2, 1.3, 1.3) if feminine else (2.0, 2.5, 0.25, 0.4, 0.3, 0.2))
    return Build(
        shoulder=broad * (rng.uniform(0.93, 1.01) if feminine else rng.uniform(1.02, 1.14)),
        chest=broad * (rng.uniform(0.94, 1.03) if feminine else rng.uniform(1.02, 1.12)),
        waist=broad * (rng.uniform(0.92, 1.08) if feminine else rng.uniform(1.08, 1.3)),
        hip=broad * (rng.uniform(0.96, 1.08) if feminine else rng.uniform(0.93, 1.02)),
        depth=broad * rng.uniform(0.94, 1.12),
        limb=broad**0.5 * (rng.uniform(0.88, 1.0) if feminine else rng.uniform(1.0, 1.15)),
        leg=rng.uniform(0.95, 1.06),
        bust=rng.uniform(1.0, 3.6) if feminine else rng.uniform(0.0, 0.6),
        skin=tuple(np.clip(skin, 20, 250)),
        hair=fabrics.HAIR_COLOURS[rng.integers(len(fabrics.HAIR_COLOURS))],
        hair_style=str(rng.choice(HAIR_STYLES, p=styles / styles.sum())),
        hair_length=float(rng.uniform(28.0, 62.0)),
    )


@dataclasses.dataclass
class Coverage:
    """Skin that opaque cloth hides. It is not rendered, so that it cannot poke through the cloth.

    Attributes:
        trunk: functions from (azimuth, height) arrays to bool arrays, true where covered.
        arms, legs: side -> (start, end) of the covered part of the limb, centimetres from shoulder or hip.
    """

    trunk: list = dataclasses.field(default_factory=list)
    arms: dict = dataclasses.field(default_factory=dict)
    legs: dict = dataclasses.field(default_factory=dict)


class Figure:
    """A posed body, whose surfaces clothes are fitted to.

    Attributes:
        build: `Build`; skeleton: `Skeleton`.
        flat: factor on the depth, below 1 for a garment that is laid flat or hung up; 1 for a person.
        spread_legs: length of a leg over the length of the centre line between the legs, 1..1.6.
    """

    def __init__(self, build, pose, place=(0.0, 0.0), flat=1.0):
        self.build = build
        self.flat = flat
        self.skeleton = Skeleton(pose, shoulder=15.0 * build.shoulder, leg_length=build.leg, place=place)
        self._table = self._trunk_table()
        self._between_legs = (self.skeleton.legs[-1] + self.skeleton.legs[1]) / 2
        between = distances_along(self._between_legs)[-1]
        self.spread_legs = float(np.clip(self.limb_length("leg") / between, 1.0, 1.6))

    def _trunk_table(self):
        b = self.build
        at = _TRUNK[:, 0]
        scale = np.interp(
            at, (88.0, 107.0, 123.0, 137.0, 145.0, 150.0), (b.hip, b.waist, b.chest, b.shoulder, 1.0, 1.0)
        )
        width = _TRUNK[:, 1] * scale
        depth = _TRUNK[:, 2] * np.where(at < 143.0, b.depth, 1.0) * np.where(at == 107.0, b.waist**0.5, 1.0)
        columns = np.stack([np.interp(_HEIGHTS, at, c) for c in (width, depth, _TRUNK[:, 3])])
        kernel = np.ones(7) / 7.0
        padded = np.pad(columns, ((0, 0), (3, 3)), mode="edge")
        return np.stack([np.convolve(row, kernel, mode="valid") for row in padded])

    def measures(self, heights):
        """Return half-width, half-depth and z of the centre of the bare trunk at heights, each of their shape."""
        return tuple(np.interp(heights, _HEIGHTS, row) for row in self._table)

    def bulge(self, azimuth, heights, envelope=False):
        """Return the offset to the front by bust (positive) and seat (negative), centimetres.

        With `envelope`, for cloth, the surface spans the hollow between and below the breasts.
        """
        side = np.abs(np.degrees(azimuth))
        front = np.exp(-(((side - 30.0) / 24.0) ** 2))
        if envelope:
            front = np.where(side < 30.0, 1.0, front)
        height = np.where(heights > 123.0, (heights - 123.0) / 6.5, (heights - 123.0) / (9.0 if envelope else 5.5))
        bust = self.build.bust * front * np.exp(-(height**2))
        seat = 2.2 * np.exp(-(((180.0 - side) / 62.0) ** 2)) * np.exp(-(((heights - 88.0) / 9.0) ** 2))
        return bust - seat

    def surface(self, azimuth, heights, half_width, half_depth, front=0.0, power=2.4):
        """Return points of a surface around the posed trunk.

        Args:
            azimuth, heights: broadcastable arrays, radians and centimetres of the rest pose.
            half_width, half_depth: size of the ring at each, centimetres.
            front: offset to the front, centimetres.
            power: as in `ring`.

        Returns:
            `(..., 3)` world points.
        """
        azimuth, heights, half_width, half_depth, front = np.broadcast_arrays(
            azimuth, heights, half_width, half_depth, front
        )
        side, ahead = ring(azimuth, power)
        middle = np.interp(heights, _HEIGHTS, self._table[2])
        x, z = half_width * side, half_depth * ahead + middle + front
        return self.place(x, heights, z)

    def place(self, x, heights, z):
        """Map points of trunk and skirt from the rest pose to the pose.

        Points above the hips follow the spine, those below follow the centre line between the legs.

        Args:
            x, heights, z: arrays of one shape, centimetres of the rest pose.

        Returns:
            `(..., 3)`.
        """
        points = self.skeleton.of_trunk(np.stack([x, np.maximum(heights, 76.0), z * self.flat], axis=-1))
        low = heights < 96.0
        if low.any():
            path = self.skirt_path(HIP_HEIGHT - heights[low])
            along_legs = path.centres + x[low][:, None] * path.across + (z[low] * self.flat)[:, None] * path.front
            share = np.clip((96.0 - heights[low]) / 9.0, 0.0, 1.0)[:, None]
            share = share * share * (3.0 - 2.0 * share)
            points[low] += share * (along_legs - points[low])
        return points

    def skirt_path(self, at) -> Path:
        """Return the centre line between the legs, at distances below the hip joints `(N,)`."""
        top = self.skeleton.of_trunk(np.array([0.0, HIP_HEIGHT + 24.0, 0.0]))
        joints = np.concatenate([[top], self._between_legs])
        first = float(np.linalg.norm(joints[1] - joints[0]))
        across = self.skeleton.hip_rotation[:, 0]
        return follow(joints, across, np.asarray(at, float) + first, rounding=9.0)

    def leg_spread(self, at):
        """Return the distance of each leg from the centre line between them, sideways and in depth, `(N,)` each.

        Args:
            at: distances from the hips along the centre line, `(N,)`, centimetres.
        """
        path = self.skirt_path(at)
        along = np.asarray(at) * self.spread_legs
        apart = (self.leg_path(1, along).centres - self.leg_path(-1, along).centres) / 2.0
        return np.abs((apart * path.across).sum(axis=1)), np.abs((apart * path.front).sum(axis=1))

    def leg_path(self, side, at) -> Path:
        """Return the path of a leg from hip to ankle, at distances from the hip joint `(N,)`."""
        skeleton = self.skeleton
        return follow(skeleton.legs[side], skeleton.leg_axes[side], at, rounding=7.0)

    def arm_path(self, side, at) -> Path:
        """Return the path of an arm from shoulder to wrist, at distances from the shoulder joint `(N,)`."""
        skeleton = self.skeleton
        return follow(skeleton.arms[side][:3], skeleton.arm_axes[side], at, rounding=5.0)

    def leg_radius(self, at):
        """Return the radius of the bare leg at distances from the hip joint."""
        knee, ankle = THIGH * self.build.leg, (THIGH + SHIN) * self.build.leg
        places = (-9.0, 0.0, 10.0, knee - 4, knee + 2, knee + 12, ankle - 8, ankle)
        return np.interp(at, places, (8.2, 8.9, 8.3, 5.9, 5.3, 5.6, 3.7, 3.5)) * self.build.limb**0.7

    def arm_radius(self, at):
        """Return the radius of the bare arm at distances from the shoulder joint."""
        wrist = UPPER_ARM + FOREARM
        places = (-3.0, 2.0, 12.0, UPPER_ARM, UPPER_ARM + 7, wrist - 2, wrist)
        return np.interp(at, places, (4.7, 5.0, 4.7, 3.9, 4.0, 2.7, 2.6)) * self.build.limb

    def limb_length(self, kind):
        """Return the centimetres from shoulder to wrist ("arm") or from hip to ankle ("leg")."""
        return UPPER_ARM + FOREARM if kind == "arm" else (THIGH + SHIN) * self.build.leg


# Skin, hair and shoes ------------------------------------------------------------------------------------------------


def body_meshes(rng, figure, coverage) -> list:
    """Return the meshes of a person without clothes, and without the skin that clothes hide."""
    skin = Fabric(figure.build.skin, gloss=0.1)
    meshes = [_trunk(figure, skin, coverage)]
    for side in SIDES:
        meshes += _arm(figure, side, skin, coverage)
    meshes += _legs(rng, figure, skin, coverage)
    return meshes + _head(rng, figure, skin)


def _trunk(figure, skin, coverage):
    heights = np.concatenate([np.linspace(156.0, 138.0, 9), np.linspace(135.0, 78.0, 18)])[:, None]
    azimuth = azimuths(28)[None]
    width, depth, _ = figure.measures(heights)
    points = figure.surface(azimuth, heights, width, depth, figure.bulge(azimuth, heights))
    azimuth, heights = np.broadcast_arrays(azimuth, heights)
    hidden = np.zeros(heights.shape, bool)
    for covers in coverage.trunk:
        hidden |= covers(azimuth, heights)
    uv = np.stack([azimuth * 14.0, 150.0 - heights], axis=-1)
    chin = 1.0 - 0.3 * np.clip((heights - 146.0) / 8.0, 0.0, 1.0) * (np.abs(azimuth) < 1.8)
    return Mesh(points, uv, skin, faces=_not_all(hidden), tone=chin)


def _not_all(hidden):
    """Return the faces with at least one corner that is not hidden."""
    return ~(hidden[:-1, :-1] & hidden[1:, :-1] & hidden[:-1, 1:] & hidden[1:, 1:])


def _limb_faces(at, covered, columns):
    if covered is None:
        return None
    hidden = (at > covered[0]) & (at < covered[1])
    return np.repeat(~(hidden[:-1] & hidden[1:])[:, None], columns, axis=1)


def _arm(figure, side, skin, coverage):
    at = np.concatenate([(-4.9, -3.8, -2.0), np.linspace(1.0, figure.limb_length("arm") + 1.0, 15)])
    dome = np.sqrt(np.clip(1.0 - (np.minimum(at, 0.0) / 5.0) ** 2, 0.0, 1.0))
    radius = figure.arm_radius(at) * dome
    arm = tube(figure.arm_path(side, at), radius * 0.95, radius, 12, fabric=skin, bias=1.0)
    arm.faces = _limb_faces(at, coverage.arms.get(side), 12)
    return [arm, *_hand(figure, side, skin)]


def _hand(figure, side, skin):
    """Build a palm with closed fingers, and a thumb to the front."""
    joints = figure.skeleton.arms[side]
    size = figure.build.limb**0.5
    wrist, tip = joints[2], joints[3]
    along = (tip - wrist) / np.linalg.norm(tip - wrist)
    path = figure.arm_path(side, np.array([figure.limb_length("arm")]))
    frame = np.stack([path.across[0], -along, path.front[0]], axis=1)
    at = np.array([-1.0, 1.5, 5.0, 9.0, 13.0, 16.0, 17.2])
    spot = wrist + at[:, None] * along * size
    ones = np.ones((len(at), 1))
    hand_path = Path(spot, ones * along, ones * frame[:, 0], ones * frame[:, 2])
    flat = np.array([2.2, 1.9, 1.8, 1.5, 1.2, 0.9, 0.4]) * size
    wide = np.array([2.6, 3.2, 4.2, 4.2, 3.7, 2.8, 1.0]) * size
    hand = tube(hand_path, flat, wide, 10, power=2.6, fabric=skin, bias=1.6)
    inward = wrist + size * (along * 7.0 + frame[:, 2] * 3.4 - side * frame[:, 0] * 1.2)
    slant = along * 0.8 + frame[:, 2] * 0.55
    slant /= np.linalg.norm(slant)
    across = np.cross(slant, frame[:, 0])
    across /= np.linalg.norm(across)
    thumb_axes = np.stack([np.cross(-slant, across), -slant, across], axis=1)
    return [hand, ellipsoid(inward, thumb_axes, (1.2 * size, 3.6 * size, 1.2 * size), 4, 6, fabric=skin, bias=1.6)]


def _legs(rng, figure, skin, coverage):
    shoe = Fabric(fabrics.any_colour(rng), gloss=float(rng.uniform(0.0, 0.5)))
    barefoot = rng.random() < 0.12
    high = rng.random() < 0.2
    stockings = Fabric((40, 36, 40)) if rng.random() < 0.1 else skin
    meshes = []
    for side in SIDES:
        at = np.linspace(-6.0, figure.limb_length("leg") + 1.0, 20)
        radius = figure.leg_radius(at)
        path = figure.leg_path(side, at)
        knee = THIGH * figure.build.leg
        calf = 1.1 * np.exp(-(((at - knee - 12.0) / 8.0) ** 2))
        path.centres[:] -= calf[:, None] * path.front * 0.7
        leg = tube(path, radius, radius * 1.03 + 0.4 * calf, 14, fabric=stockings)
        leg.faces = _limb_faces(at, coverage.legs.get(side), 14)
        meshes += [leg, *_shoe(figure, side, skin if barefoot else shoe, high and not barefoot, shoe)]
    return meshes


def _shoe(figure, side, fabric, high, leather):
    """Build a foot or shoe, level on the floor, or at a right angle to the shin if the foot is lifted."""
    ankle = figure.skeleton.legs[side][2]
    end = figure.leg_path(side, np.array([figure.limb_length("leg")]))
    down, ahead = end.along[0], end.front[0]
    level = np.array([ahead[0], 0.0, ahead[2]])
    if down[1] < -0.75 and np.linalg.norm(level) > 0.2:
        ahead, down = level / np.linalg.norm(level), np.array([0.0, -1.0, 0.0])
    out = np.cross(ahead, down)
    turn_out = 0.25 * side
    ahead, out = ahead * np.cos(turn_out) + out * np.sin(turn_out), out * np.cos(turn_out) - ahead * np.sin(turn_out)
    at = np.array([-6.2, -5.6, -3.0, 2.0, 7.0, 12.0, 16.0, 18.4, 19.2])
    tall = np.array([0.8, 3.4, 4.6, 4.2, 3.2, 2.5, 2.1, 1.5, 0.5])
    wide = np.array([0.8, 2.9, 3.5, 3.6, 4.0, 4.4, 4.2, 3.0, 0.9])
    middle = ankle + down * (7.6 - tall)[:, None] + ahead * at[:, None]
    ones = np.ones((len(at), 1))
    path = Path(middle, ones * ahead, ones * out, ones * -down)
    foot = tube(path, wide, tall, 10, power=2.4, fabric=fabric)
    if not high:
        return [foot]
    heights = np.array([-1.5, 0.0, 3.0, 9.0])
    shaft = Path(ankle - down * heights[::-1, None], ones[:4] * down, ones[:4] * out, ones[:4] * ahead)
    width = np.array([4.3, 4.0, 4.2, 4.4])
    return [foot, tube(shaft, width, width * 1.1, 12, fabric=leather, two_sided=True, bias=0.3)]


def _head(rng, figure, skin):
    build, skeleton = figure.build, figure.skeleton
    face = dataclasses.replace(skin, decal=draw_face(rng, build.skin, build.hair))
    centre, axes = skeleton.head, skeleton.head_rotation
    head = ellipsoid(centre, axes, (7.5, 11.8, 9.2), 14, 20, fabric=face)
    azimuth = azimuths(20)[None]
    polar = np.linspace(0.03, np.pi - 0.03, 15)[:, None]
    jaw = 1.0 - 0.2 * np.clip((polar - 1.75) / 1.2, 0.0, 1.0)
    local = (head.points - centre) @ axes
    local[..., 0] *= jaw
    back_of_jaw = (np.cos(azimuth) < 0.2) & (polar > 2.0)
    local[..., 1] += np.where(back_of_jaw, 2.5 * np.clip((polar - 2.0) / 1.1, 0, 1), 0.0)
    local[..., 2] += 2.1 * np.exp(-((azimuth / 0.2) ** 2)) * np.exp(-(((polar - 1.86) / 0.2) ** 2))
    head.points = local @ axes.T + centre
    return [head, *_hair(rng, figure, centre, axes)]


def _hair(rng, figure, centre, axes):
    build = figure.build
    if build.hair_style == "bald":
        return []
    hair = Fabric(build.hair, crease=0.9, crease_size=(0.7, 9.0), gloss=0.35)
    cap = ellipsoid(centre + axes @ (0.0, 0.7, -0.6), axes, (8.5, 12.2, 10.0), 12, 24, fabric=hair, bias=0.4)
    azimuth = (azimuths(24)[:-1] + azimuths(24)[1:])[None] / 2
    polar = (np.linspace(0.03, np.pi - 0.03, 13)[:-1] + np.linspace(0.03, np.pi - 0.03, 13)[1:])[:, None] / 2
    fringe = rng.choice((0.95, 1.0, 1.35), p=(0.45, 0.35, 0.2))
    nape = 2.0 if build.hair_style == "short" else 2.3
    hairline = fringe + (nape - fringe) * np.clip((np.abs(azimuth) - 0.85) / 0.7, 0.0, 1.0)
    cap.faces = polar < hairline
    meshes = [cap]
    if build.hair_style == "bun":
        spot = centre + axes @ (0.0, rng.uniform(4.0, 14.0), -8.0)
        meshes.append(ellipsoid(spot, axes, (4.6, 4.2, 4.6), 7, 10, fabric=hair))
    if build.hair_style == "ponytail":
        meshes.append(_tail(figure, centre, axes, hair))
    if build.hair_style in ("long", "bob"):
        length = 21.0 if build.hair_style == "bob" else build.hair_length
        meshes.append(_curtain(rng, figure, centre, axes, hair, length))
    return meshes


def _tail(figure, centre, axes, hair):
    start = centre + axes @ (0.0, 3.0, -10.0)
    down = np.array([0.0, -1.0, 0.0])
    spot = start + axes @ (0.0, 1.0, -5.0)
    end = spot + (down * 0.93 + axes @ (0.0, 0.0, -0.1)) * figure.build.hair_length * 0.6
    joints = np.stack([start, spot, end])
    across = axes[:, 0]
    at = np.linspace(0.0, np.linalg.norm(spot - start) + figure.build.hair_length * 0.58, 9)
    path = follow(joints, across, at, rounding=2.4)
    radius = 2.6 * np.sqrt(np.clip(1.0 - np.linspace(0.0, 1.0, 9) ** 3, 0.02, 1.0))
    return tube(path, radius, radius, 10, fabric=hair)


def _curtain(rng, figure, centre, axes, hair, length):
    """Build loose hair: from the sides and the back of the head down over the shoulders."""
    open_to = rng.uniform(0.75, 1.25)
    azimuth = np.linspace(open_to, 2.0 * np.pi - open_to, 25)[None]
    down = np.linspace(0.0, 1.0, 9)[:, None]
    front_share = np.cos(azimuth)
    x = np.sin(azimuth) * (8.7 + 2.6 * np.sin(np.minimum(down * 2.2, 1.6)))
    z = front_share * (9.6 + 1.5 * down) - 0.6 - 3.0 * down * np.clip(-front_share, 0.0, 1.0)
    y = 4.0 - (length - 8.0) * down * (1.0 + 0.08 * np.sin(5.0 * azimuth))
    x, y, z = np.broadcast_arrays(x, y, z)
    on_head = np.stack([x, np.maximum(y, -9.0), z], axis=-1) @ axes.T + centre
    below = np.minimum(y + 9.0, 0.0)
    # Below the chin it hangs and rests on shoulders and back.
    hanging = figure.skeleton.chest_rotation[:, 1] * 0.5 + np.array([0.0, 0.5, 0.0])
    points = on_head + below[..., None] * hanging
    drape = np.clip(-below / 12.0, 0.0, 1.0)
    back = figure.skeleton.chest_rotation[:, 2]
    points = (
        points + (drape * np.where(front_share > 0.0, 3.5 * front_share + 1.0, 2.0 * front_share))[..., None] * back
    )
    uv = np.stack(np.broadcast_arrays(azimuth * 10.0, down * length), axis=-1)
    return Mesh(points, uv, hair, two_sided=True, bias=1.5, round=False)
