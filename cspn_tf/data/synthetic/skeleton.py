"""The skeleton: 3D joint positions, computed from the joint angles of a pose by forward kinematics.

World axes, centimetres, right-handed: x to the right of a picture taken from the front, y up from the floor, z to the
front. Sides are named by x: side -1 is x < 0, which is "left" in the vocabulary of `cspn_tf.garments`. Rotations are
3x3 matrices that multiply column vectors.
"""

import dataclasses
import itertools

import numpy as np

SIDES = (-1, 1)

# Heights above the floor of an upright figure.
HIP_HEIGHT, SHOULDER_HEIGHT, NECK_HEIGHT = 90.0, 136.0, 147.0
UPPER_ARM, FOREARM, HAND, THIGH, SHIN = 29.0, 25.0, 17.0, 42.0, 40.0
_HIP_OFFSET = 8.6
_HEAD_ABOVE_NECK = 14.5
# The trunk bends between these heights.
_BEND_FROM, _BEND_TO = 94.0, 132.0


@dataclasses.dataclass(frozen=True)
class ArmPose:
    """One arm, angles in radians; all zero hangs straight down with the elbow to the back.

    Attributes:
        abduct: away from the body, sideways.
        flex: to the front.
        roll: about the upper arm; positive lets the bent forearm point inwards.
        bend: of the elbow, from straight.
        reach_for: target of the wrist, which replaces the angles, `(3,)` in the rest pose of the trunk (centimetres; x
            counts outwards), with the elbow pointing out and back; or None.
    """

    abduct: float = 0.0
    flex: float = 0.0
    roll: float = 0.0
    bend: float = 0.0
    reach_for: tuple | None = None


@dataclasses.dataclass(frozen=True)
class LegPose:
    """One leg, angles in radians: the thigh outwards and to the front, the knee from straight."""

    abduct: float = 0.0
    flex: float = 0.0
    bend: float = 0.0


@dataclasses.dataclass(frozen=True)
class Pose:
    """Joint angles in radians; arms and legs are for sides -1 and 1.

    Attributes:
        turn: of the whole figure about the vertical; positive brings its right side (x > 0) to the back.
        lean: of the trunk to the front.
        sway: of the trunk towards x > 0.
        twist: of the shoulders against the hips, like `turn`.
        nod, look, tilt: of the head against the trunk: to the front, about the vertical, towards x > 0.
    """

    turn: float = 0.0
    lean: float = 0.0
    sway: float = 0.0
    twist: float = 0.0
    nod: float = 0.0
    look: float = 0.0
    tilt: float = 0.0
    arms: tuple = (ArmPose(), ArmPose())
    legs: tuple = (LegPose(), LegPose())


def rotation_x(angle):
    """Turn y towards z."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])


def rotation_y(angle):
    """Turn z towards x."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])


def rotation_z(angle):
    """Turn x towards y."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def turned(vectors, from_direction, to_directions):
    """Rotate vectors by the shortest rotation from one direction to others.

    Args:
        vectors: `(3,)` or `(N, 3)`.
        from_direction: unit `(3,)`.
        to_directions: unit `(N, 3)` or `(3,)`, none opposite to `from_direction`.

    Returns:
        As the arguments broadcast.
    """
    to_directions = np.asarray(to_directions, float)
    axis = np.cross(from_direction, to_directions)
    once = np.cross(axis, vectors)
    cosine = to_directions @ np.asarray(from_direction, float)
    return vectors + once + np.cross(axis, once) / np.maximum(1.0 + cosine, 0.02)[..., None]


@dataclasses.dataclass(frozen=True)
class Path:
    """The centre line of a limb, with a frame at each of N points.

    Attributes:
        centres: `(N, 3)`.
        along: unit tangents `(N, 3)`.
        across: unit `(N, 3)`, the direction that is x if the limb hangs down.
        front: unit `(N, 3)`, the direction that is z if the limb hangs down.
    """

    centres: np.ndarray
    along: np.ndarray
    across: np.ndarray
    front: np.ndarray


def distances_along(points):
    """Return the distance of each point `(N, 3)` of a polyline from the first, along the line, `(N,)`."""
    lengths = np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1))
    return np.concatenate([[0.0], np.cumsum(lengths)])


def follow(joints, across, at, rounding=5.0):
    """Sample the polyline through joints, with rounded bends and a twist-free frame.

    Args:
        joints: `(J, 3)`, at least two, all different.
        across: `(3,)` perpendicular to the first segment.
        at: `(N,)` distances from the first joint, centimetres; the line is extended straight before the first and
            after the last joint.
        rounding: a bend starts and ends at this distance from its joint; less than half of the shortest segment.

    Returns:
        `Path`.
    """
    joints, at = np.asarray(joints, float), np.asarray(at, float)
    pieces = np.diff(joints, axis=0)
    lengths = np.sqrt((pieces**2).sum(axis=1))
    pieces = pieces / lengths[:, None]
    ends = np.cumsum(lengths)
    index = np.minimum(np.searchsorted(ends, at), len(pieces) - 1)
    along = pieces[index]
    centres = joints[index] + along * (at - ends[index] + lengths[index])[:, None]
    frames = [np.asarray(across, float)]
    for before, after in itertools.pairwise(pieces):
        frames.append(turned(frames[-1], before, after))
    axes = np.stack(frames)[index]
    for k, joint in enumerate(joints[1:-1]):
        share = (at - ends[k] + rounding) / (2.0 * rounding)
        bent = (share > 0.0) & (share < 1.0)
        if not bent.any():
            continue
        t = share[bent, None]
        before, after = joint - rounding * pieces[k], joint + rounding * pieces[k + 1]
        centres[bent] = (1 - t) ** 2 * before + 2 * t * (1 - t) * joint + t**2 * after
        tangent = (1 - t) * pieces[k] + t * pieces[k + 1]
        tangent /= np.maximum(np.sqrt((tangent**2).sum(axis=1, keepdims=True)), 1e-6)
        along[bent] = tangent
        axes[bent] = turned(frames[k], pieces[k], tangent)
    return Path(centres, along, axes, np.cross(along, axes))


class Skeleton:
    """Joint positions of a posed figure.

    Attributes:
        pose: `Pose`.
        arms: side -> `(4, 3)`: shoulder, elbow, wrist, finger tips.
        legs: side -> `(3, 3)`: hip, knee, ankle.
        arm_axes, leg_axes: side -> `(3,)`, the direction across upper arm or thigh that is x if the limb hangs down.
        neck: `(3,)`; head_rotation: `(3, 3)`; head: `(3,)`, the centre of the head.
        chest_rotation, hip_rotation: `(3, 3)`.
        lifts: side -> `(3,)`, displacement of the shoulder by a raised or reaching arm, in the rest pose.
    """

    def __init__(self, pose: Pose, shoulder: float = 15.0, leg_length: float = 1.0, place: tuple = (0.0, 0.0)):
        """Compute the joint positions.

        Args:
            pose: `Pose`.
            shoulder: half the distance between the shoulder joints, centimetres.
            leg_length: scale of thigh and shin, 1 for the average.
            place: x and z on the floor.
        """
        self.pose = pose
        self.shoulder = shoulder
        self.hip_rotation = rotation_y(pose.turn)
        self._root = np.array([place[0], HIP_HEIGHT, place[1]])
        self._heights, self._rotations, self._centres = self._spine()
        self.chest_rotation = self._rotations[-1]
        self.lifts = {side: _lift(pose.arms[k]) for k, side in enumerate(SIDES)}
        self.arms = {side: self._arm(side, pose.arms[k]) for k, side in enumerate(SIDES)}
        self.arm_axes = {side: self._axis(self.arms[side], self.chest_rotation) for side in SIDES}
        self.legs = {side: self._leg(side, pose.legs[k], leg_length) for k, side in enumerate(SIDES)}
        self.leg_axes = {side: self._axis(self.legs[side], self.hip_rotation) for side in SIDES}
        self.neck = self.of_trunk(np.array([0.0, NECK_HEIGHT, -1.5]))
        self.head_rotation = self.chest_rotation @ (
            rotation_y(pose.look) @ rotation_z(-pose.tilt) @ rotation_x(pose.nod)
        )
        self.head = self.neck + self.head_rotation @ (0.0, _HEAD_ABOVE_NECK, 2.0)

    def _spine(self):
        """Return heights of the rest pose, every two centimetres, with rotation and centre of the trunk at each."""
        pose = self.pose
        heights = np.arange(40.0, 161.0, 2.0)
        share = np.clip((heights - _BEND_FROM) / (_BEND_TO - _BEND_FROM), 0.0, 1.0)
        share = share * share * (3.0 - 2.0 * share)
        bend = np.stack(
            [rotation_y(pose.twist * s) @ rotation_z(-pose.sway * s) @ rotation_x(pose.lean * s) for s in share]
        )
        rotations = self.hip_rotation @ bend
        up = rotations[:, :, 1]
        steps = 0.5 * (up[1:] + up[:-1]) * np.diff(heights)[:, None]
        centres = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
        at_hip = int(np.searchsorted(heights, HIP_HEIGHT))
        return heights, rotations, centres - centres[at_hip] + self._root

    def of_trunk(self, points):
        """Map points of the trunk from the rest pose to the pose.

        Args:
            points: `(..., 3)`: x, height and z of the upright figure.

        Returns:
            `(..., 3)`.
        """
        points = self._lifted(np.asarray(points, float))
        place = np.clip((points[..., 1] - self._heights[0]) / 2.0, 0.0, len(self._heights) - 1.001)
        index = place.astype(int)
        share = (place - index)[..., None]
        flat = np.stack([points[..., 0], np.zeros(points.shape[:-1]), points[..., 2]], axis=-1)
        lower = self._centres[index] + np.einsum("...ij,...j->...i", self._rotations[index], flat)
        upper = self._centres[index + 1] + np.einsum("...ij,...j->...i", self._rotations[index + 1], flat)
        return lower + share * (upper - lower)

    def _lifted(self, points):
        """Displace points near the shoulders by the `lifts` of the arms, in the rest pose."""
        points = points.copy()
        for side in SIDES:
            lift = self.lifts[side]
            if not lift.any():
                continue
            out = np.clip((side * points[..., 0] - 4.0) / 10.0, 0.0, 1.0)
            up = np.clip((points[..., 1] - 120.0) / 15.0, 0.0, 1.0)
            share = out * out * (3 - 2 * out) * up * up * (3 - 2 * up)
            points += share[..., None] * lift * (side, 1.0, 1.0)
        return points

    def _arm(self, side, arm):
        shoulder = self.of_trunk(np.array([side * self.shoulder, SHOULDER_HEIGHT, -1.0]))
        if arm.reach_for is not None:
            wrist = self.of_trunk(np.asarray(arm.reach_for, float) * (side, 1.0, 1.0))
            elbow, wrist = _bend_towards(shoulder, wrist, self.chest_rotation @ (side * 1.0, -0.4, -0.8))
            return np.stack([shoulder, elbow, wrist, wrist + _unit(wrist - elbow) * HAND])
        upper = (
            self.chest_rotation @ rotation_z(side * arm.abduct) @ rotation_x(-arm.flex) @ rotation_y(-side * arm.roll)
        )
        fore = upper @ rotation_x(-arm.bend)
        elbow = shoulder - UPPER_ARM * upper[:, 1]
        wrist = elbow - FOREARM * fore[:, 1]
        return np.stack([shoulder, elbow, wrist, wrist - HAND * fore[:, 1]])

    @staticmethod
    def _axis(joints, rotation):
        """Return the direction across a limb that is x if the limb hangs down."""
        return turned(rotation[:, 0], -rotation[:, 1], _unit(joints[1] - joints[0]))

    def _leg(self, side, leg, length):
        hip = self._root + self.hip_rotation @ (side * _HIP_OFFSET, 0.0, 0.0)
        thigh = self.hip_rotation @ rotation_z(side * leg.abduct) @ rotation_x(-leg.flex)
        shin = thigh @ rotation_x(leg.bend)
        knee = hip - THIGH * length * thigh[:, 1]
        return np.stack([hip, knee, knee - SHIN * length * shin[:, 1]])

    def joints(self):
        """Return the 14 joints of list_joints.txt, `(14, 3)`: head, neck, then left and right shoulders, elbows,
        wrists, hips, knees and ankles."""
        pairs = [limb[side][k] for limb in (self.arms, self.legs) for k in range(3) for side in SIDES]
        return np.stack([self.head, self.neck, *pairs])


def _lift(arm):
    """Return the displacement of a shoulder by its arm's pose, `(3,)` with x outwards."""
    if arm.reach_for is not None:
        _, y, z = arm.reach_for
        up = np.clip((y - 135.0) / 40.0, 0.0, 1.0)
        front = np.clip(z / 40.0, -0.5, 1.0)
        return np.array([-1.5 * up - 2.0 * max(front, 0.0), 5.0 * up, 2.5 * front])
    raised = np.arccos(np.clip(np.cos(arm.abduct) * np.cos(arm.flex), -1.0, 1.0))
    up = np.clip((raised - 0.9) / 1.5, 0.0, 1.0)
    front = np.clip(np.sin(arm.flex), -0.5, 1.0) * np.cos(arm.abduct)
    return np.array([-3.0 * up, 6.5 * up, 2.0 * front])


def _bend_towards(shoulder, wrist, elbow_direction):
    """Compute elbow and wrist for a target of the wrist (inverse kinematics), clipped to the arm's reach."""
    line = wrist - shoulder
    distance = float(np.clip(np.linalg.norm(line), 8.0, 0.995 * (UPPER_ARM + FOREARM)))
    along = _unit(line)
    share = (UPPER_ARM**2 - FOREARM**2 + distance**2) / (2.0 * distance)
    away = elbow_direction - along * (elbow_direction @ along)
    elbow = shoulder + along * share + _unit(away) * np.sqrt(max(UPPER_ARM**2 - share**2, 0.0))
    return elbow, shoulder + along * distance


def _unit(vector):
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
