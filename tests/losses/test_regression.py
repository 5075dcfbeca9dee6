"""The loss of coordinates against its formula."""

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.losses.regression import CoordinateLoss, coordinate_errors

CROP = 64


def targets(weights, seed=1):
    """Return keypoints inside the crop with weights and codes, float32 `(B, 8, 4)`."""
    weights = np.asarray(weights, np.float32)
    points = np.random.default_rng(seed).uniform(0, CROP - 1, (*weights.shape, 2))
    return np.concatenate([points, weights[..., None], 2 * weights[..., None]], axis=-1).astype(np.float32)


def off_by(y_true, *steps):
    """Return the right coordinates, each moved by so many shares of the crop to the right."""
    points = geometry.crop_to_unit(y_true[..., :2], CROP)
    points[..., 0] += np.asarray(steps, np.float32)
    return points


def test_error_by_hand():
    # The crop's left upper corner is at 0, 0; pixel 31.5, 15.5 is at 0.5, 0.25.
    true = tf.constant([[[-0.5, -0.5], [31.5, 15.5]]])
    errors = coordinate_errors(true, tf.constant([[[0.3, 0.4], [0.5, 0.35]]]), CROP)
    # 0.09 + 0.16, and 0 + 0.01.
    np.testing.assert_allclose(errors, [[0.25, 0.01]], rtol=1e-4)


def test_loss_is_the_mean_over_labelled_keypoints_then_garments():
    y_true = targets([[1, 1, 1, 1, 0, 0, 1, 1], [1, 0, 0, 0, 0, 0, 0, 0], [0] * 8])
    y_pred = off_by(y_true, 0.1, 0.2, 0.3, 0.4, 9, 9, 0.5, 0.6)
    # (0.01 + 0.04 + 0.09 + 0.16 + 0.25 + 0.36) / 6, 0.01 / 1, and no labels.
    each = [0.91 / 6, 0.01, 0.0]
    np.testing.assert_allclose(CoordinateLoss(CROP).call(y_true, y_pred), each, rtol=1e-4, atol=1e-7)
    assert float(CoordinateLoss(CROP)(y_true, y_pred)) == pytest.approx(sum(each) / 3, rel=1e-4)


def test_loss_is_zero_at_perfect():
    y_true = targets(np.ones((3, 8)))
    assert float(CoordinateLoss(CROP)(y_true, off_by(y_true, *[0] * 8))) == pytest.approx(0, abs=1e-12)


def test_no_gradient_where_there_is_no_label():
    y_true = targets([[1, 0, 1, 1, 0, 0, 1, 1], [0] * 8])
    y_pred = tf.Variable(off_by(y_true, *[0.1] * 8))
    with tf.GradientTape() as tape:
        value = CoordinateLoss(CROP)(y_true, y_pred)
    gradient = tape.gradient(value, y_pred).numpy()
    # 2 * 0.1 / 5 labels / 2 garments.
    np.testing.assert_allclose(gradient[0, :, 0], [0.02, 0, 0.02, 0.02, 0, 0, 0.02, 0.02], atol=1e-6)
    assert np.abs(gradient[1]).max() == 0


def test_where_an_unlabelled_keypoint_lies_does_not_matter():
    y_true = targets([[1, 1, 1, 1, 1, 1, 0, 0]])
    y_pred = off_by(y_true, *[0.1] * 8)
    moved = y_true.copy()
    moved[0, 6:, :2] = [[-1000, 5000], [0, 0]]
    assert float(CoordinateLoss(CROP)(moved, y_pred)) == float(CoordinateLoss(CROP)(y_true, y_pred))


def test_half_precision_coordinates_are_compared_in_full():
    y_true = targets(np.ones((1, 8)))
    value = CoordinateLoss(CROP)(y_true, tf.cast(off_by(y_true, *[0.5] * 8), tf.bfloat16))
    assert value.dtype == tf.float32
    assert float(value) == pytest.approx(0.25, rel=0.05)
