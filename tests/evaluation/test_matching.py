"""Which detection finds which garment, by hand and against slow loops, and what measures are given of it."""

import numpy as np
import pytest

from cspn_tf.evaluation.matching import box_iou, match_detections, match_given_boxes, match_photos
from cspn_tf.garment_set import Garments
from cspn_tf.result import Result
from tests.evaluation.test_measures import BOX, KEYPOINTS, prediction, truth

# Photos --------------------------------------------------------------------------------------------------------------


def test_a_garment_takes_all_columns_of_its_own_detection():
    first, second = prediction((1, 3), scores=[0.5, 0.9]), prediction((2,), scores=[0.7])
    first.garments.keypoints_xy[1] += 100
    first.garments.boxes_xyxy[0, 0] += 5
    first.garments.keypoint_scores[0] = 0.3
    matched = match_photos([truth((3, 2, 1)), truth(()), truth((2, 2))], [first, prediction((1,)), second])
    assert [matches.tolist() for matches in matched.matches] == [[1, -1, 0], [], [0, -1]]
    assert matched.found.tolist() == [True, False, True, True, False]
    assert matched.photo_index.tolist() == [0, 0, 0, 2, 2]
    assert matched.labels.types.tolist() == [3, 2, 1, 2, 2]
    assert matched.predicted[[0, 2, 3]] == Garments.concatenate([first.garments[[1, 0]], second.garments])
    assert matched.predicted.types.tolist() == [3, 2, 1, 2, 2]
    for missed in (1, 4):
        for column in ("boxes_xyxy", "keypoints_xy", "scores", "keypoint_scores"):
            assert not getattr(matched.predicted, column)[missed].any()


def test_a_photo_by_itself_is_matched_as_among_others():
    matched = match_photos([truth((1,)), truth((2, 3))], [prediction((1,)), prediction((3,))])
    photo = matched.photo(1)
    assert (photo.num_photos, photo.found.tolist(), photo.photo_index.tolist()) == (1, [False, True], [0, 0])
    assert photo.labels == matched.labels[1:] and photo.predicted == matched.predicted[1:]


def test_no_photos_and_nothing_labelled_have_every_column():
    for matched in (match_photos([], []), match_photos([Garments([], [], [])], [Result(1)])):
        assert matched.found.shape == matched.photo_index.shape == (0,)
        assert matched.labels.visible.shape == matched.predicted.keypoint_scores.shape == (0, 8)


def test_labels_that_say_no_variation_are_of_an_unknown_one():
    label = Garments([3], [BOX], [KEYPOINTS], visibility=[[2] * 8])
    assert match_photos([label], [prediction()]).labels.variations.tolist() == [0]


def test_as_many_results_as_photos():
    with pytest.raises(ValueError):
        match_photos([truth()], [])
    with pytest.raises(ValueError):
        match_given_boxes([truth()], [])


def test_given_boxes_find_every_garment_of_a_photo_that_was_read():
    truths = [truth((1, 1)), truth((2,)), truth(())]
    matched = match_given_boxes(truths, [truths[0].keypoints_xy + 1, None, truths[2].keypoints_xy])
    assert matched.found.tolist() == [True, True, False]
    np.testing.assert_array_equal(matched.predicted.keypoints_xy[:2], truths[0].keypoints_xy + 1)
    np.testing.assert_array_equal(matched.predicted.boxes_xyxy[:2], truths[0].boxes_xyxy)
    assert [result.ok for result in matched.results] == [True, False, True]


# Boxes ---------------------------------------------------------------------------------------------------------------


def test_box_iou_of_known_boxes():
    overlaps = box_iou([[0, 0, 10, 10], [5, 5, 5, 5]], [[0, 0, 10, 5], [10, 0, 20, 10], [5, 5, 5, 5]])
    np.testing.assert_allclose(overlaps, [[0.5, 0, 0], [0, 0, 0]])


def test_a_match_needs_the_type_and_half_the_overlap():
    box = [[0, 0, 10, 10]]
    assert match_detections(box, [1], box, [1], [0.5]).tolist() == [0]
    assert match_detections(box, [1], box, [2], [0.5]).tolist() == [-1]
    assert match_detections(box, [1], [[0, 0, 10, 5]], [1], [0.5]).tolist() == [0]
    assert match_detections(box, [1], [[0, 0, 10, 4.9]], [1], [0.5]).tolist() == [-1]


def test_the_higher_score_takes_the_garment_even_if_it_fits_less():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 8]]
    assert match_detections([[0, 0, 10, 10]], [1], boxes, [1, 1], [0.6, 0.9]).tolist() == [1]


def test_one_detection_finds_one_of_two_garments():
    truth = [[0, 0, 10, 10], [0, 0, 10, 9]]
    assert match_detections(truth, [3, 3], [[0, 0, 10, 9]], [3], [0.9]).tolist() == [-1, 0]


def test_matching_takes_no_detections_and_no_garments():
    none = np.zeros((0, 4))
    assert match_detections([[0, 0, 1, 1]], [1], none, [], []).tolist() == [-1]
    assert match_detections(none, [], [[0, 0, 1, 1]], [1], [0.9]).tolist() == []


# Against slow loops --------------------------------------------------------------------------------------------------


def slow_matches(truth_boxes, truth_types, boxes, types, scores):
    def overlap(a, b):
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        common = width * height if width > 0 and height > 0 else 0.0
        return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)

    matches = [-1] * len(truth_boxes)
    for d in sorted(range(len(boxes)), key=lambda d: (-scores[d], d)):
        found = [(overlap(boxes[d], truth_boxes[t]), -t) for t in range(len(truth_boxes))]
        found = [f for f in found if f[0] >= 0.5 and matches[-f[1]] < 0 and truth_types[-f[1]] == types[d]]
        if found:
            matches[-max(found)[1]] = d
    return matches


@pytest.mark.parametrize("seed", range(20))
def test_match_detections_equals_slow_loops_on_random_boxes(seed):
    random = np.random.default_rng(seed)
    num_truth, num = random.integers(0, 6), random.integers(0, 9)

    def boxes(n):
        low = random.uniform(0, 20, (n, 2))
        return np.concatenate([low, low + random.uniform(40, 80, (n, 2))], axis=1)

    arguments = boxes(num_truth), random.integers(1, 3, num_truth), boxes(num), random.integers(1, 3, num)
    scores = random.choice([0.3, 0.5, 0.9], num)
    matches = match_detections(*arguments, scores)
    assert matches.tolist() == slow_matches(*arguments, scores)
    assert len(set(matches[matches >= 0])) == (matches >= 0).sum()
