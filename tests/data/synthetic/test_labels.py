import numpy as np
import pytest

from cspn_tf.data.synthetic.clothes import MAKERS
from cspn_tf.data.synthetic.labels import inside, silhouette_box
from cspn_tf.data.synthetic.raster import fragments
from cspn_tf.data.synthetic.skeleton import ArmPose, Pose
from cspn_tf.garments import KEYPOINT_SLOTS, GarmentType, Visibility

from .stage import HEIGHT, WIDTH, cover, marked_pixels, marker, set_up

VIEWS = {"front": 0.0, "three-quarter": 0.8, "side": np.pi / 2, "back": np.pi}
# Garments that leave nothing of themselves in front of the sides.
PLAIN = {
    GarmentType.UPPER_BODY: {"kind": "tee"},
    GarmentType.LOWER_BODY: {"kind": "skirt"},
    GarmentType.FULL_BODY: {"kind": "dress"},
}


def test_inside_counts_the_whole_border_pixel():
    points = np.array([[-0.5, 0.0], [-0.51, 0.0], [9.49, 4.49], [9.5, 4.0], [3.0, 4.5]])
    np.testing.assert_array_equal(inside(points, 10, 5), [True, False, True, False, False])


@pytest.mark.parametrize("garment_type", list(MAKERS))
@pytest.mark.parametrize("view", list(VIEWS))
def test_a_marker_on_a_visible_keypoint_appears_where_its_label_is(garment_type, view):
    stage = set_up(garment_type, turn=VIEWS[view], seed=3)
    keypoints_xy, visibility = stage.label()
    slots, plain = np.flatnonzero(visibility == Visibility.VISIBLE), stage.picture()
    assert len(slots) >= len(KEYPOINT_SLOTS[garment_type]) // 4
    for slot in slots:
        spots = marked_pixels(plain, stage.picture([marker(stage.garment, slot)]))
        assert len(spots) > 0, slot
        assert np.hypot(*(spots - keypoints_xy[slot]).T).min() <= 1.5, (slot, spots.mean(axis=0), keypoints_xy[slot])


@pytest.mark.parametrize("garment_type", list(MAKERS))
def test_all_keypoints_are_seen_from_the_front_of_a_figure_that_holds_its_arms_off(garment_type):
    _, visibility = set_up(garment_type, seed=1, **PLAIN[garment_type]).label()
    slots = list(KEYPOINT_SLOTS[garment_type])
    np.testing.assert_array_equal(visibility[slots], Visibility.VISIBLE)
    others = [slot for slot in range(8) if slot not in slots]
    np.testing.assert_array_equal(visibility[others], Visibility.ABSENT)


@pytest.mark.parametrize("garment_type", list(MAKERS))
def test_left_is_image_left_from_the_front_and_image_right_from_behind(garment_type):
    front, _ = set_up(garment_type, seed=2).label()
    back, _ = set_up(garment_type, seed=2, turn=np.pi).label()
    for left in (0, 2, 4, 6):
        if left in KEYPOINT_SLOTS[garment_type]:
            assert front[left, 0] < front[left + 1, 0]
            assert back[left, 0] > back[left + 1, 0]


@pytest.mark.parametrize(("turn", "near"), [(np.pi / 2, 0), (-np.pi / 2, 1)])
@pytest.mark.parametrize("garment_type", list(MAKERS))
def test_from_the_side_the_near_half_is_visible_and_the_far_half_occluded(garment_type, turn, near):
    # A hanging arm would hide waist and hem of its side.
    raised = Pose(arms=(ArmPose(abduct=2.2), ArmPose(abduct=2.2)))
    stage = set_up(garment_type, pose=raised, turn=turn, seed=1, **PLAIN[garment_type])
    keypoints_xy, visibility = stage.label()
    for left in (4, 6):
        if left in KEYPOINT_SLOTS[garment_type]:
            assert visibility[left + near] == Visibility.VISIBLE
            assert visibility[left + 1 - near] == Visibility.OCCLUDED
            assert (keypoints_xy[left + 1 - near] > 0).all()


@pytest.mark.parametrize(("turn", "near"), [(np.pi / 2, 0), (-np.pi / 2, 1)])
def test_from_the_side_only_the_near_cuff_is_seen(turn, near):
    _, visibility = set_up(GarmentType.UPPER_BODY, turn=turn, seed=1, kind="tee").label()
    assert visibility[2 + near] == Visibility.VISIBLE
    assert visibility[3 - near] == Visibility.OCCLUDED


def test_a_turned_away_side_becomes_occluded_between_a_slight_and_a_quarter_turn():
    def far_hem(turn):
        return set_up(GarmentType.LOWER_BODY, turn=turn, seed=1, kind="skirt", with_body=False).label()[1][7]

    assert far_hem(0.1) == Visibility.VISIBLE
    assert far_hem(0.9) == Visibility.OCCLUDED


@pytest.mark.parametrize("slot", KEYPOINT_SLOTS[GarmentType.FULL_BODY])
def test_something_in_front_turns_visible_to_occluded_and_moves_nothing(slot):
    stage = set_up(GarmentType.FULL_BODY, seed=1, kind="dress")
    before_xy, before = stage.label()
    assert before[slot] == Visibility.VISIBLE
    patch = cover(stage.camera, *before_xy[slot], 6.0)
    after_xy, after = stage.label([patch])
    assert after[slot] == Visibility.OCCLUDED
    np.testing.assert_array_equal(after_xy, before_xy)
    far = np.abs(before_xy - before_xy[slot]).max(axis=1) > 12
    np.testing.assert_array_equal(after[far], before[far])


def test_something_behind_hides_nothing():
    stage = set_up(GarmentType.UPPER_BODY, seed=1, kind="tee")
    keypoints_xy, before = stage.label()
    wall = cover(stage.camera, *keypoints_xy[0], 150.0)
    wall.points = wall.points - (0.0, 0.0, 400.0)
    np.testing.assert_array_equal(stage.label([wall])[1], before)


def test_what_is_outside_the_photo_is_cut_off_without_coordinates():
    stage = set_up(GarmentType.FULL_BODY, seed=1, kind="dress")
    before_xy, _ = stage.label()
    shift = np.array([WIDTH / 2, HEIGHT / 2]) - (before_xy[4] + before_xy[5]) / 2
    # Four times as near around the waist: collars and hems leave the photo.
    stage.camera = stage.camera.aimed(4200.0, 4 * shift + (WIDTH / 2, HEIGHT / 2), np.zeros((0, 5)))
    after_xy, after = stage.label()
    np.testing.assert_array_equal(after[[0, 1, 6, 7]], Visibility.CUT_OFF)
    np.testing.assert_array_equal(after_xy[[0, 1, 6, 7]], 0.0)
    assert (after[4:6] > 0).all()


@pytest.mark.parametrize("garment_type", list(MAKERS))
@pytest.mark.parametrize("focal", [1050.0, 3000.0])
def test_the_box_is_that_of_all_pixels_of_the_garment(garment_type, focal):
    stage = set_up(garment_type, turn=0.5, seed=4)
    stage.camera = stage.camera.aimed(focal, stage.camera.centre, np.zeros((0, 5)))
    soup = stage.soup()
    own = soup.triangles[soup.owner == 1]
    _, pixel, _ = fragments(soup.xy, soup.nearness, own, WIDTH, HEIGHT)
    rows, columns = np.divmod(pixel, WIDTH)
    expected = (columns.min(), rows.min(), columns.max(), rows.max())
    assert silhouette_box(1, soup, WIDTH, HEIGHT) == expected


def test_a_garment_outside_the_photo_has_no_box():
    stage = set_up(GarmentType.UPPER_BODY, seed=4)
    stage.camera = stage.camera.aimed(1050.0, (-900.0, -900.0), np.zeros((0, 5)))
    assert silhouette_box(1, stage.soup(), WIDTH, HEIGHT) is None
