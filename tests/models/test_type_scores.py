import numpy as np
import tensorflow as tf

from cspn_tf.models import type_scores


def test_the_best_type_is_that_of_the_highest_score_and_padding_has_none():
    types, scores = type_scores.best(tf.constant([[[0.1, 0.2, 0.5], [0.4, 0.0, 0.3], [0.0, 0.0, 0.0]]]))
    assert types.numpy().tolist() == [[3, 1, 0]]
    np.testing.assert_allclose(scores, [[0.5, 0.4, 0.0]])


def test_a_second_opinion_moves_the_score_between_types_and_keeps_its_sum():
    detector = tf.constant([[0.5, 0.1, 0.2], [0.5, 0.1, 0.2], [0.0, 0.0, 0.0]])
    logits = tf.math.log(tf.constant([[0.05, 0.05, 0.9], [0.98, 0.01, 0.01], [0.2, 0.3, 0.5]]))
    found = type_scores.corrected(detector, logits, 0.0).numpy()
    np.testing.assert_allclose(found.sum(axis=-1), [0.8, 0.8, 0.0], atol=1e-6)
    np.testing.assert_allclose(found[0], 0.8 * normalised(np.sqrt([0.5 * 0.05, 0.1 * 0.05, 0.2 * 0.9])), rtol=1e-4)
    assert found[0].argmax() == 2 and found[1].argmax() == 0
    # Both agree: more certain than the detector alone.
    assert found[1, 0] > 0.5


def test_opinions_as_sharp_as_float32_has_them_stay_finite():
    found = type_scores.corrected(tf.constant([[0.9, 0.0, 0.0]]), tf.constant([[-90.0, 90.0, 0.0]]), 0.0).numpy()
    assert np.isfinite(found).all() and found.sum() == np.float32(0.9)


def test_a_garment_that_falls_to_the_threshold_is_padding():
    detector = tf.constant([[0.4, 0.0, 0.0], [0.2, 0.2, 0.0]])
    found = type_scores.corrected(detector, tf.zeros([2, 3]), 0.3).numpy()
    assert found[0, 0] > 0.3 and not found[1].any()


def test_an_opinion_without_preference_changes_no_order():
    detector = tf.constant([[0.5, 0.1, 0.2]])
    found = type_scores.corrected(detector, tf.zeros([1, 3]), 0.0).numpy()
    assert found[0].argsort().tolist() == [1, 2, 0]


def test_rows_are_sorted_photo_by_photo_and_equal_ones_stay():
    scores = tf.constant([[0.2, 0.9, 0.2, 0.0], [0.7, 0.1, 0.0, 0.0]])
    numbers = tf.constant([[0, 1, 2, 3], [10, 11, 12, 13]])
    pairs = tf.stack([numbers, -numbers], axis=-1)
    of_types = tf.stack([0.5 * scores, scores, tf.zeros_like(scores)], axis=-1)
    sorted_scores, moved, pairs_moved = type_scores.in_order(of_types, numbers, pairs)
    np.testing.assert_allclose(sorted_scores[..., 1], [[0.9, 0.2, 0.2, 0.0], [0.7, 0.1, 0.0, 0.0]])
    assert moved.numpy().tolist() == [[1, 0, 2, 3], [10, 11, 12, 13]]
    np.testing.assert_array_equal(pairs_moved[..., 1], -moved)


def normalised(values):
    return values / values.sum()
