import numpy as np
import pytest

from cspn_tf.data.synthetic.poses import draw_pose, laid_pose
from cspn_tf.data.synthetic.skeleton import Skeleton
from cspn_tf.garments import Variation


def drawn(variation, count=150):
    rng = np.random.default_rng(0)
    return [draw_pose(rng, variation) for _ in range(count)]


def turn_from_front(pose):
    return abs((pose.turn + np.pi) % (2 * np.pi) - np.pi)


def test_poses_grow_from_normal_to_large_in_every_respect():
    def sizes(variation):
        poses = drawn(variation)
        wrists = [Skeleton(pose).arms[side][2][1] for pose in poses for side in (-1, 1)]
        return (
            np.mean([turn_from_front(pose) for pose in poses]),
            np.mean([abs(pose.lean) + abs(pose.sway) for pose in poses]),
            np.mean([max(abs(leg.flex) + leg.abduct for leg in pose.legs) for pose in poses]),
            np.mean(wrists),
        )

    normal, medium, large = (sizes(v) for v in (Variation.NORMAL_POSE, Variation.MEDIUM_POSE, Variation.LARGE_POSE))
    assert all(a < b < c for a, b, c in zip(normal, medium, large, strict=True))


def test_normal_poses_face_the_camera_and_stand():
    for pose in drawn(Variation.NORMAL_POSE):
        assert turn_from_front(pose) < 0.25
        assert all(abs(leg.flex) < 0.1 for leg in pose.legs)


def test_large_poses_hold_all_views_and_sitting_people():
    poses = drawn(Variation.LARGE_POSE)
    turns = np.array([turn_from_front(pose) for pose in poses])
    shares = [((turns >= low) & (turns < high)).mean() for low, high in ((0, 0.55), (0.55, 1.15), (1.15, 2), (2, 3.2))]
    assert min(shares) > 0.08
    sitting = np.mean([min(leg.flex for leg in pose.legs) > 1.0 for pose in poses])
    assert 0.1 < sitting < 0.4


@pytest.mark.parametrize("variation", [Variation.MEDIUM_ZOOM_IN, Variation.LARGE_ZOOM_IN])
def test_zoom_ins_are_of_normal_and_medium_poses(variation):
    assert max(turn_from_front(pose) for pose in drawn(variation)) < 0.7


def test_laid_out_limbs_stay_in_the_plane_and_spread_with_the_variation():
    def reach(variation, **kwargs):
        rng = np.random.default_rng(1)
        skeletons = [Skeleton(laid_pose(rng, variation, **kwargs)) for _ in range(60)]
        depths = [np.ptp(skeleton.arms[side][:3, 2]) for skeleton in skeletons for side in (-1, 1)]
        assert max(depths) < 0.6  # centimetres
        return np.mean([np.abs(skeleton.arms[side][2, 0]) for skeleton in skeletons for side in (-1, 1)])

    assert reach(Variation.NORMAL_POSE) < reach(Variation.MEDIUM_POSE)
    assert reach(Variation.MEDIUM_POSE, hanging=True) < reach(Variation.MEDIUM_POSE)
