"""Suppression against a greedy loop written from its definition."""

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.models.nms import non_max_suppression, soft_non_max_suppression


def iou(a, b):
    """Return the intersection over union of two boxes y_min, x_min, y_max, x_max."""
    height = max(min(a[2], b[2]) - max(a[0], b[0]), 0.0)
    width = max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return height * width / (sum(areas) - height * width)


def greedy(boxes, scores, max_outputs, iou_threshold, score_threshold=-np.inf):
    """Return the indices of the boxes that are kept in one photo, best first."""
    kept = []
    for index in np.argsort(-scores):
        fits = all(iou(boxes[index], boxes[other]) <= iou_threshold for other in kept)
        if scores[index] > score_threshold and fits and len(kept) < max_outputs:
            kept.append(index)
    return kept


def random_boxes(seed, num_photos=3, num_boxes=60):
    """Return boxes that overlap a lot, and scores of either sign."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 60, (num_photos, num_boxes, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 60, corners.shape)], axis=-1)
    return boxes.astype("float32"), random.normal(0, 2, (num_photos, num_boxes)).astype("float32")


def assert_is_greedy(indices, valid, boxes, scores, max_outputs, *thresholds):
    for photo in range(len(boxes)):
        kept = greedy(boxes[photo], scores[photo], max_outputs, *thresholds)
        num_padding = max_outputs - len(kept)
        assert valid[photo].tolist() == [True] * len(kept) + [False] * num_padding
        assert indices[photo].tolist() == kept + [0] * num_padding


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("max_outputs, iou_threshold", [(60, 0.3), (10, 0.5), (60, 0.9)])
def test_keeps_what_the_greedy_loop_keeps(seed, max_outputs, iou_threshold):
    boxes, scores = random_boxes(seed)
    indices, valid = non_max_suppression(tf.constant(boxes), tf.constant(scores), max_outputs, iou_threshold)
    assert indices.dtype == tf.int32 and valid.dtype == tf.bool
    assert_is_greedy(indices.numpy(), valid.numpy(), boxes, scores, max_outputs, iou_threshold)


def soft_greedy(boxes, scores, max_outputs, iou_threshold, sigma, score_threshold):
    """Return the indices and lowered scores of what is kept in one photo."""
    scores, kept = scores.astype(float).copy(), []
    while len(kept) < max_outputs and (scores > score_threshold).any():
        best = int(scores.argmax())
        kept.append((best, scores[best]))
        for other in np.flatnonzero(scores > 0):
            overlap = iou(boxes[best], boxes[other])
            scores[other] *= 0.0 if overlap > iou_threshold else np.exp(-(overlap**2) / (2 * sigma))
        scores[best] = -1.0
    return kept


@pytest.mark.parametrize("sigma, score_threshold", [(0.2, 0.3), (0.05, 0.1), (1.0, 0.9)])
def test_soft_suppression_lowers_the_scores_of_a_greedy_loop(sigma, score_threshold):
    boxes, _ = random_boxes(7)
    scores = np.random.default_rng(1).uniform(0, 1, boxes.shape[:2]).astype("float32")
    found = soft_non_max_suppression(tf.constant(boxes), tf.constant(scores), 8, 0.8, sigma, score_threshold)
    indices, lowered, valid = (part.numpy() for part in found)
    for photo in range(3):
        kept = soft_greedy(boxes[photo], scores[photo], 8, 0.8, sigma, score_threshold)
        assert valid[photo].tolist() == [True] * len(kept) + [False] * (8 - len(kept))
        assert indices[photo][valid[photo]].tolist() == [index for index, _ in kept]
        np.testing.assert_allclose(lowered[photo][valid[photo]], [score for _, score in kept], rtol=1e-4)
        assert (lowered[photo][~valid[photo]] == 0).all() and (indices[photo][~valid[photo]] == 0).all()


def test_without_a_sigma_soft_suppression_is_hard():
    boxes, scores = random_boxes(8)
    scores = np.abs(scores)
    indices, lowered, valid = soft_non_max_suppression(tf.constant(boxes), tf.constant(scores), 60, 0.4, 0.0, 0.5)
    assert_is_greedy(indices.numpy(), valid.numpy(), boxes, scores, 60, 0.4, 0.5)
    unchanged = np.take_along_axis(scores, indices.numpy(), axis=1)
    np.testing.assert_array_equal(lowered.numpy()[valid.numpy()], unchanged[valid.numpy()])


def test_boxes_that_overlap_by_the_threshold_are_both_kept():
    # Areas 4 and 2, intersection 2: a half.
    boxes = tf.constant([[[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.0]]])
    scores = tf.constant([[0.2, 0.9]])
    for threshold, kept in ((0.5, [[1, 0]]), (0.51, [[1, 0]]), (0.49, [[1]])):
        indices, valid = non_max_suppression(boxes, scores, 2, threshold)
        assert indices.numpy()[valid.numpy()].tolist() == kept[0]


def test_empty_boxes_suppress_nothing():
    boxes = tf.constant([[[3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0], [0.0, 0.0, 9.0, 9.0]]])
    indices, valid = non_max_suppression(boxes, tf.constant([[3.0, 2.0, 1.0]]), 3, 0.5)
    assert indices.numpy().tolist() == [[0, 1, 2]] and valid.numpy().all()


def test_fewer_boxes_than_rows_leave_padding():
    boxes, scores = random_boxes(3, num_boxes=2)
    indices, valid = non_max_suppression(tf.constant(boxes), tf.constant(scores), 5, 1.0)
    assert indices.shape == (3, 5)
    assert valid.numpy().tolist() == [[True, True, False, False, False]] * 3
    assert (indices.numpy()[:, 2:] == 0).all()


def test_an_unknown_batch_gives_the_same_as_a_known_one():
    boxes, scores = random_boxes(5)
    wanted = non_max_suppression(tf.constant(boxes), tf.constant(scores), 12, 0.4)

    @tf.function(input_signature=[tf.TensorSpec([None, 60, 4]), tf.TensorSpec([None, 60])])
    def suppress(boxes, scores):
        indices, valid = non_max_suppression(boxes, scores, 12, 0.4)
        assert indices.shape == valid.shape == (None, 12)
        return indices, valid

    for num_photos in (3, 1):
        found = suppress(boxes[:num_photos], scores[:num_photos])
        np.testing.assert_array_equal(found[0], wanted[0][:num_photos])
        np.testing.assert_array_equal(found[1], wanted[1][:num_photos])


def test_converts_to_tflite_builtins_with_the_same_result(run_tflite):
    boxes, scores = random_boxes(9, num_photos=1)

    def suppress(boxes, scores):
        return tf.concat([tf.cast(part, tf.int32) for part in non_max_suppression(boxes, scores, 60, 0.4)], 0)

    (found,) = run_tflite(suppress, boxes, scores)
    assert_is_greedy(found[:1], found[1:].astype(bool), boxes, scores, 60, 0.4)
    assert 0 < found[1].sum() < 60


def test_soft_suppression_converts_to_tflite_builtins_with_the_same_result(run_tflite):
    boxes, scores = random_boxes(9, num_photos=1)
    scores = np.abs(scores) / 10

    def suppress(boxes, scores):
        return tf.stack(
            [tf.cast(part[0], tf.float32) for part in soft_non_max_suppression(boxes, scores, 8, 0.9, 0.2, 0.1)]
        )

    (found,) = run_tflite(suppress, boxes, scores)
    np.testing.assert_allclose(found, suppress(tf.constant(boxes), tf.constant(scores)), rtol=1e-5)
    assert found[2].sum() > 3
