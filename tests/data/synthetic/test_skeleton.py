import numpy as np
import pytest

from cspn_tf.data.synthetic.skeleton import (
    FOREARM,
    HIP_HEIGHT,
    SHIN,
    SHOULDER_HEIGHT,
    THIGH,
    UPPER_ARM,
    ArmPose,
    LegPose,
    Pose,
    Skeleton,
    follow,
    turned,
)


def arm(**angles):
    return Skeleton(Pose(arms=(ArmPose(**angles), ArmPose(**angles)))).arms


def leg(**angles):
    return Skeleton(Pose(legs=(LegPose(**angles), LegPose(**angles)))).legs


def test_limbs_of_the_rest_pose_hang_straight_down():
    skeleton = Skeleton(Pose(), shoulder=15.0)
    for side in (-1, 1):
        shoulder = np.array([side * 15.0, SHOULDER_HEIGHT, -1.0])
        np.testing.assert_allclose(skeleton.arms[side][0], shoulder, atol=1e-9)
        np.testing.assert_allclose(skeleton.arms[side][1], shoulder - (0, UPPER_ARM, 0), atol=1e-9)
        np.testing.assert_allclose(skeleton.arms[side][2], shoulder - (0, UPPER_ARM + FOREARM, 0), atol=1e-9)
        np.testing.assert_allclose(skeleton.legs[side][2], (side * 8.6, HIP_HEIGHT - THIGH - SHIN, 0.0), atol=1e-9)


@pytest.mark.parametrize(
    ("angles", "upper", "fore"),
    [
        ({"abduct": np.pi / 6}, (0.5, -np.sqrt(0.75), 0.0), (0.5, -np.sqrt(0.75), 0.0)),
        ({"flex": np.pi / 6}, (0.0, -np.sqrt(0.75), 0.5), (0.0, -np.sqrt(0.75), 0.5)),
        ({"bend": np.pi / 2}, (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),
        ({"bend": np.pi / 2, "roll": np.pi / 2}, (0.0, -1.0, 0.0), (-1.0, 0.0, 0.0)),
        ({"abduct": np.pi / 2, "bend": np.pi / 2}, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
    ],
)
def test_arms_point_where_the_angles_say_on_both_sides(angles, upper, fore):
    for side, joints in arm(**angles).items():
        mirrored = np.array([side, 1.0, 1.0])
        np.testing.assert_allclose(joints[1] - joints[0], UPPER_ARM * mirrored * upper, atol=1e-9)
        np.testing.assert_allclose(joints[2] - joints[1], FOREARM * mirrored * fore, atol=1e-9)


def test_legs_lift_to_the_front_and_knees_bend_to_the_back():
    for joints in leg(flex=np.pi / 2, bend=np.pi / 2).values():
        np.testing.assert_allclose(joints[1] - joints[0], (0.0, 0.0, THIGH), atol=1e-9)
        np.testing.assert_allclose(joints[2] - joints[1], (0.0, -SHIN, 0.0), atol=1e-9)
    for side, joints in leg(abduct=np.pi / 6).items():
        np.testing.assert_allclose(joints[1] - joints[0], (side * THIGH / 2, -THIGH * np.sqrt(0.75), 0.0), atol=1e-9)


def test_a_reaching_arm_keeps_its_lengths_and_gets_there():
    skeleton = Skeleton(Pose(arms=(ArmPose(reach_for=(18.0, 100.0, 4.0)), ArmPose(reach_for=(0.0, 100.0, 500.0)))))
    shoulder, elbow, wrist, _ = skeleton.arms[-1]
    assert np.linalg.norm(elbow - shoulder) == pytest.approx(UPPER_ARM)
    assert np.linalg.norm(wrist - elbow) == pytest.approx(FOREARM)
    np.testing.assert_allclose(wrist, (-18.0, 100.0, 4.0), atol=1e-6)
    shoulder, _, wrist, _ = skeleton.arms[1]
    assert np.linalg.norm(wrist - shoulder) == pytest.approx(0.995 * (UPPER_ARM + FOREARM))


def test_half_a_turn_swaps_the_sides():
    skeleton = Skeleton(Pose(turn=np.pi))
    assert skeleton.arms[-1][0, 0] == pytest.approx(15.0) and skeleton.arms[1][0, 0] == pytest.approx(-15.0)
    quarter = Skeleton(Pose(turn=np.pi / 2))
    assert quarter.arms[1][0, 2] == pytest.approx(-15.0)  # the right side goes to the back
    np.testing.assert_allclose(quarter.of_trunk(np.array([0.0, 100.0, 5.0])), (5.0, 100.0, 0.0), atol=1e-9)


def test_leaning_bends_the_trunk_above_the_hips_only():
    skeleton = Skeleton(Pose(lean=0.4))
    np.testing.assert_allclose(skeleton.of_trunk(np.array([3.0, HIP_HEIGHT, 1.0])), (3.0, HIP_HEIGHT, 1.0), atol=1e-9)
    upright = Skeleton(Pose()).neck
    assert skeleton.neck[2] > upright[2] + 8.0 and skeleton.neck[1] < upright[1]
    assert Skeleton(Pose(sway=0.3)).neck[0] > 6.0


def test_a_raised_arm_lifts_its_own_shoulder():
    skeleton = Skeleton(Pose(arms=(ArmPose(abduct=2.5), ArmPose())))
    assert skeleton.arms[-1][0, 1] > SHOULDER_HEIGHT + 4.0
    assert skeleton.arms[1][0, 1] == pytest.approx(SHOULDER_HEIGHT)


def test_there_are_fourteen_joints_in_pairs():
    joints = Skeleton(Pose()).joints()
    assert joints.shape == (14, 3)
    np.testing.assert_allclose(joints[2::2] * (-1.0, 1.0, 1.0), joints[3::2], atol=1e-9)
    assert joints[0, 1] > joints[1, 1] > joints[2, 1] > joints[4, 1] > joints[6, 1]


def test_turned_carries_vectors_along():
    x, y, z = np.eye(3)
    np.testing.assert_allclose(turned(z, x, y), z, atol=1e-12)
    np.testing.assert_allclose(turned(x, x, y), y, atol=1e-12)
    np.testing.assert_allclose(turned(y, x, np.stack([x, y])), [y, -x], atol=1e-12)


def test_following_a_right_angle_rounds_it_and_keeps_the_frame_square():
    path = follow([(0, 0, 0), (0, -20, 0), (0, -20, 20)], (1.0, 0.0, 0.0), np.array([-2.0, 10.0, 20.0, 35.0]), 5.0)
    np.testing.assert_allclose(path.centres[[0, 1, 3]], [(0, 2, 0), (0, -10, 0), (0, -20, 15)], atol=1e-9)
    # Half-way through the bend: a quarter of the way from each end of it, and half of the joint.
    np.testing.assert_allclose(path.centres[2], (0.0, -18.75, 1.25), atol=1e-9)
    np.testing.assert_allclose(path.along[2], (0.0, -np.sqrt(0.5), np.sqrt(0.5)), atol=1e-9)
    np.testing.assert_allclose(path.across, np.tile((1.0, 0.0, 0.0), (4, 1)), atol=1e-9)
    np.testing.assert_allclose(path.front[[1, 3]], [(0, 0, 1), (0, 1, 0)], atol=1e-9)
