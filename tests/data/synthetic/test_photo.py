import numpy as np
import pytest

from cspn_tf.data.synthetic.photo import render
from cspn_tf.garments import KEYPOINT_SLOTS, GarmentType, Variation, Visibility

SIZE = 224


@pytest.fixture(scope="module")
def renderings():
    return [render(11, index, size=SIZE) for index in range(110)]


def garments(renderings):
    return [(rendering, rendering.garments[0]) for rendering in renderings]


def test_a_photo_is_the_same_every_time_and_in_any_order():
    first = render(5, 3, size=SIZE)
    render(5, 7, size=SIZE)
    second = render(5, 3, size=SIZE)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.garments.keypoints_xy, second.garments.keypoints_xy)
    assert first.jpeg_quality == second.jpeg_quality


def test_splits_seeds_and_indices_give_different_photos():
    photos = [(5, 3, "train"), (5, 3, "val"), (5, 3, "test"), (6, 3, "train"), (5, 4, "train")]
    images = {render(seed, index, size=SIZE, split=split).image.tobytes() for seed, index, split in photos}
    assert len(images) == len(photos)


def test_photos_are_rgb_of_at_most_the_size_and_full_of_detail(renderings):
    for rendering in renderings:
        image = rendering.image
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        assert max(image.shape[:2]) <= SIZE
        assert image.std() > 4
        assert 40 <= rendering.jpeg_quality <= 95


def test_labels_follow_the_vocabulary(renderings):
    for rendering, garment in garments(renderings):
        height, width = rendering.image.shape[:2]
        slots = set(KEYPOINT_SLOTS[garment.types[0]])
        for slot in range(8):
            x, y = garment.keypoints_xy[0, slot]
            code = garment.visibility[0, slot]
            assert (code != Visibility.ABSENT) == (slot in slots)
            if code > 0:
                assert -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5
            else:
                assert (x, y) == (0.0, 0.0)
        assert garment.labelled.sum() >= 2


def test_keypoints_are_the_projected_surface_points(renderings):
    for rendering, garment in garments(renderings):
        planned = rendering.plan.garments[0]
        for slot in np.flatnonzero(garment.labelled[0]):
            xy, _ = rendering.plan.camera.project(planned.keypoint(slot)[None])
            np.testing.assert_allclose(garment.keypoints_xy[0, slot], xy[0], atol=1e-3)


def test_visible_keypoints_have_their_garment_on_top_near_by(renderings):
    misses = []
    for rendering, garment in garments(renderings):
        if not rendering.soup.opaque().all():
            continue
        triangle = rendering.buffer.triangle
        own = (triangle >= 0) & (rendering.soup.owner[triangle] == 1)
        rows, columns = np.nonzero(own)
        for slot in np.flatnonzero(garment.visible[0]):
            x, y = garment.keypoints_xy[0, slot]
            misses.append(np.hypot(columns - x, rows - y).min())
    # Pixels; the side of a ring may have turned away, and thin cloth lies behind hair or between pixel centres.
    assert np.quantile(misses, 0.95) < 1.5 and np.max(misses) < 4.5


def test_boxes_hold_the_keypoints(renderings):
    for _, garment in garments(renderings):
        labelled = garment.keypoints_xy[garment.labelled]
        assert (labelled >= garment.boxes_xyxy[0, :2] - 1.5).all()
        assert (labelled <= garment.boxes_xyxy[0, 2:] + 1.5).all()


def test_left_is_image_left_in_most_upper_body_pairs_and_in_all_of_normal_poses(renderings):
    normal, upper = [], []
    for _, garment in garments(renderings):
        for left in (0, 2, 6):
            if garment.types != GarmentType.LOWER_BODY and (garment.visibility[0, left : left + 2] > 0).all():
                is_left = garment.keypoints_xy[0, left, 0] < garment.keypoints_xy[0, left + 1, 0]
                upper.append(is_left)
                if garment.variations == Variation.NORMAL_POSE:
                    normal.append(is_left)
    assert len(upper) > 100 and np.mean(upper) >= 0.9
    assert len(normal) > 30 and all(normal)


def test_large_poses_hide_more_than_normal_ones(renderings):
    def occluded(variation):
        codes = np.concatenate([g.visibility for _, g in garments(renderings) if g.variations == variation])
        return (codes == Visibility.OCCLUDED).sum() / (codes > 0).sum()

    assert 0.02 < occluded(Variation.NORMAL_POSE) < 0.3
    assert occluded(Variation.LARGE_POSE) > occluded(Variation.NORMAL_POSE)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_as_many_garments_are_labelled_as_asked_for(count):
    for index in range(3):
        photo = render(2, index, size=256, num_garments=count)
        assert len(photo.garments) == count
        for garment in photo.garments:
            slots = list(KEYPOINT_SLOTS[garment.types[0]])
            assert (garment.visibility[0, slots] != Visibility.ABSENT).all()
