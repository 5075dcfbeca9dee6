"""Sample poses of people (standing, turned, sitting, reaching), and of garments that are laid flat or hung up.

From normal to large pose, FLD's variations change arms, lean, legs and the turn away from the camera more and more.
"""

import numpy as np

from ...garments import Variation
from .skeleton import SIDES, ArmPose, LegPose, Pose


def draw_pose(rng, variation) -> Pose:
    """Sample a person's pose for a variation; zoom-ins have normal and medium poses."""
    if variation == Variation.LARGE_POSE:
        return _large(rng)
    if variation == Variation.NORMAL_POSE:
        return _normal(rng)
    if variation == Variation.MEDIUM_POSE or rng.random() < 0.45:
        return _medium(rng)
    return _normal(rng)


def _hanging(rng):
    return ArmPose(rng.uniform(0.13, 0.36), rng.uniform(-0.1, 0.12), rng.uniform(-0.2, 0.4), rng.uniform(0.05, 0.3))


def _hand_on_hip(rng):
    return ArmPose(reach_for=(rng.uniform(17.0, 20.0), rng.uniform(97.0, 105.0), rng.uniform(0.0, 7.0)))


def _normal(rng):
    return Pose(
        turn=float(np.clip(rng.normal(0.0, 0.1), -0.24, 0.24)),
        lean=rng.uniform(-0.03, 0.05),
        sway=rng.uniform(-0.04, 0.04),
        nod=rng.uniform(-0.1, 0.2),
        look=rng.normal(0.0, 0.15),
        tilt=rng.uniform(-0.08, 0.08),
        arms=tuple(_hanging(rng) for _ in SIDES),
        legs=tuple(LegPose(rng.uniform(0.0, 0.09), rng.uniform(-0.04, 0.06), rng.uniform(0.0, 0.06)) for _ in SIDES),
    )


def _medium_arm(rng):
    kind = rng.choice(
        ("hanging", "hip", "bent", "away", "behind", "pocket", "bag"), p=(0.3, 0.18, 0.16, 0.14, 0.07, 0.1, 0.05)
    )
    if kind == "hip":
        return _hand_on_hip(rng)
    if kind == "bent":
        return ArmPose(rng.uniform(0.08, 0.3), rng.uniform(-0.1, 0.4), rng.uniform(0.1, 1.1), rng.uniform(0.8, 2.0))
    if kind == "away":
        return ArmPose(rng.uniform(0.3, 0.75), rng.uniform(-0.2, 0.4), rng.uniform(-0.3, 0.3), rng.uniform(0.1, 0.6))
    if kind == "behind":
        return ArmPose(reach_for=(rng.uniform(2.0, 8.0), rng.uniform(90.0, 100.0), rng.uniform(-17.0, -14.0)))
    if kind == "pocket":
        return ArmPose(reach_for=(rng.uniform(17.0, 19.0), rng.uniform(91.0, 96.0), rng.uniform(3.0, 8.0)))
    if kind == "bag":
        return ArmPose(reach_for=(rng.uniform(10.0, 14.0), rng.uniform(126.0, 134.0), rng.uniform(14.0, 18.0)))
    return _hanging(rng)


def _medium(rng):
    stride = rng.uniform(0.0, 0.4) if rng.random() < 0.5 else 0.0
    legs = [
        LegPose(
            rng.uniform(0.0, 0.14),
            stride * sign + rng.uniform(-0.05, 0.08),
            rng.uniform(0.0, 0.2) + 0.4 * stride * (sign < 0),
        )
        for sign in rng.permutation((1.0, -1.0))
    ]
    return Pose(
        turn=rng.uniform(-0.65, 0.65),
        lean=rng.uniform(-0.08, 0.16),
        sway=rng.uniform(-0.1, 0.1),
        twist=rng.uniform(-0.2, 0.2),
        nod=rng.uniform(-0.15, 0.3),
        look=rng.normal(0.0, 0.35),
        tilt=rng.uniform(-0.16, 0.16),
        arms=(_medium_arm(rng), _medium_arm(rng)),
        legs=tuple(legs),
    )


def _large_arm(rng):
    kind = rng.choice(
        ("up", "out", "hair", "crossed", "phone", "front", "medium"), p=(0.16, 0.16, 0.15, 0.1, 0.1, 0.13, 0.2)
    )
    if kind == "up":
        return ArmPose(rng.uniform(1.9, 2.7), rng.uniform(-0.3, 0.3), rng.uniform(-0.5, 0.5), rng.uniform(0.0, 0.9))
    if kind == "out":
        return ArmPose(rng.uniform(0.9, 1.8), rng.uniform(-0.3, 0.5), rng.uniform(-1.4, 1.4), rng.uniform(0.0, 1.5))
    if kind == "hair":
        return ArmPose(reach_for=(rng.uniform(9.0, 13.0), rng.uniform(157.0, 172.0), rng.uniform(-8.0, 3.0)))
    if kind == "crossed":
        return ArmPose(reach_for=(rng.uniform(-12.0, -5.0), rng.uniform(112.0, 124.0), rng.uniform(17.0, 21.0)))
    if kind == "phone":
        return ArmPose(reach_for=(rng.uniform(4.0, 12.0), rng.uniform(142.0, 158.0), rng.uniform(22.0, 30.0)))
    if kind == "front":
        return ArmPose(rng.uniform(0.0, 0.4), rng.uniform(0.5, 1.5), rng.uniform(-0.3, 0.9), rng.uniform(0.1, 1.5))
    return _medium_arm(rng)


def _large_legs(rng):
    kind = rng.choice(("stand", "stride", "wide", "sit", "knee"), p=(0.3, 0.22, 0.13, 0.22, 0.13))
    if kind == "stride":
        front, sign = rng.uniform(0.35, 0.75), rng.permutation((0, 1))
        legs = (LegPose(0.04, front, rng.uniform(0.0, 0.5)), LegPose(0.02, -0.7 * front, rng.uniform(0.2, 0.9)))
        return kind, tuple(legs[k] for k in sign)
    if kind == "wide":
        return kind, tuple(LegPose(rng.uniform(0.2, 0.5), rng.uniform(-0.1, 0.3), rng.uniform(0.0, 0.4)) for _ in SIDES)
    if kind == "sit":
        thigh = rng.uniform(1.15, 1.5)
        return kind, tuple(
            LegPose(rng.uniform(0.0, 0.25), thigh + rng.uniform(-0.1, 0.1), thigh + rng.uniform(-0.5, 0.25))
            for _ in SIDES
        )
    if kind == "knee":
        legs = (LegPose(0.1, rng.uniform(0.7, 1.4), rng.uniform(0.8, 1.9)), LegPose(0.05, 0.0, 0.05))
        return kind, tuple(legs[k] for k in rng.permutation((0, 1)))
    return kind, tuple(LegPose(rng.uniform(0.0, 0.15), rng.uniform(-0.05, 0.2), rng.uniform(0.0, 0.3)) for _ in SIDES)


def _large(rng):
    view = rng.choice(("front", "three_quarter", "side", "back"), p=(0.36, 0.24, 0.18, 0.22))
    sign = rng.choice((-1.0, 1.0))
    turn = {
        "front": rng.uniform(-0.5, 0.5),
        "three_quarter": sign * rng.uniform(0.6, 1.15),
        "side": sign * rng.uniform(1.15, 1.85),
        "back": np.pi + sign * rng.uniform(0.0, 0.75),
    }[str(view)]
    kind, legs = _large_legs(rng)
    arms = (_large_arm(rng), _large_arm(rng))
    return Pose(
        turn=float(turn),
        lean=rng.uniform(-0.2, 0.3) + (0.25 * rng.random() if kind == "sit" else 0.0),
        sway=rng.uniform(-0.28, 0.28),
        twist=rng.uniform(-0.45, 0.45),
        nod=rng.uniform(-0.35, 0.4),
        look=rng.normal(0.0, 0.5),
        tilt=rng.uniform(-0.28, 0.28),
        arms=arms,
        legs=legs,
    )


def laid_pose(rng, variation, hanging=False) -> Pose:
    """Sample the pose of sleeves and legs of a garment that is laid flat, or hung up, and not worn."""
    spread = {Variation.NORMAL_POSE: 0.1, Variation.MEDIUM_POSE: 0.5, Variation.LARGE_POSE: 1.0}.get(variation, 0.3)
    if hanging:
        spread *= 0.15

    def arm():
        abduct = rng.uniform(0.12, 0.4) + spread * rng.uniform(-0.1, 1.0)
        # Rolling the arm by 90 degrees makes the elbow bend in the plane of the cloth.
        inward = rng.choice((-1.0, 1.0)) * np.pi / 2
        return ArmPose(abduct, 0.0, inward, abs(rng.normal(0.0, 0.08)) + spread * rng.uniform(0.0, 1.0))

    def leg():
        return LegPose(rng.uniform(0.0, 0.06) + 0.12 * spread * rng.random(), 0.0, 0.0)

    return Pose(sway=rng.normal(0.0, 0.04), arms=(arm(), arm()), legs=(leg(), leg()))
