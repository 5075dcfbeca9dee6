"""Cross-entropy of visibility: which keypoints count, and how much."""

import math

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.garments import Visibility
from cspn_tf.losses.visibility import VisibilityLoss


def targets(*rows):
    """One garment of (weight, visibility) a slot, the rest absent, float32 `(1, 8, 4)`."""
    found = np.zeros((1, 8, 4), np.float32)
    for slot, (weight, visibility) in enumerate(rows):
        found[0, slot, 2:] = weight, float(visibility)
    return found


def test_visible_is_one_and_hidden_and_cut_off_are_zero():
    y_true = targets((1, Visibility.VISIBLE), (1, Visibility.OCCLUDED), (0, Visibility.CUT_OFF))
    logits = np.array([[2.0, -1.0, 0.5, 9, 9, 9, 9, 9]], np.float32)
    expected = (math.log1p(math.exp(-2.0)) + math.log1p(math.exp(-1.0)) + math.log1p(math.exp(0.5))) / 3
    assert float(VisibilityLoss()(y_true, logits)) == pytest.approx(expected, rel=1e-6)


def test_absent_keypoints_and_visible_ones_outside_the_crop_do_not_count():
    y_true = targets((0, Visibility.VISIBLE), (0, Visibility.OCCLUDED))
    logits = tf.Variable([[5.0, 0.0, 7, 7, 7, 7, 7, 7]])
    with tf.GradientTape() as tape:
        loss = VisibilityLoss()(y_true, logits)
    # An occluded keypoint is not seen, wherever it is.
    assert float(loss) == pytest.approx(math.log(2.0), rel=1e-6)
    np.testing.assert_array_equal(tape.gradient(loss, logits)[0].numpy() != 0, [0, 1, 0, 0, 0, 0, 0, 0])


def test_a_garment_of_which_nothing_is_known_costs_nothing():
    assert float(VisibilityLoss()(targets(), np.ones((1, 8), np.float32))) == 0.0
