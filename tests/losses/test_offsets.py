"""Offsets near a keypoint against hand-computed values."""

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.losses.offsets import OffsetLoss

CROP, STRIDE, SIZE = 32, 4, 8


def target(x, y, weight=1.0):
    """One garment with one keypoint at a heatmap place, the other slots without labels, float32 `(1, 8, 4)`."""
    rows = np.zeros((1, 8, 4), np.float32)
    # The heatmap's pixel (0, 0) lies over crop pixels 0 to 3.
    rows[0, 0] = ((x + 0.5) * STRIDE - 0.5, (y + 0.5) * STRIDE - 0.5, weight, 2.0)
    return rows


def right_offsets(x, y):
    """What a perfect network gives for slot 0, float32 `(1, 8, 8, 16)`; the rest is 100, and must not matter."""
    maps = np.full((1, SIZE, SIZE, 16), 100.0, np.float32)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    maps[0, :, :, 0], maps[0, :, :, 8] = x - columns, y - rows
    return maps


def test_right_offsets_cost_nothing():
    assert float(OffsetLoss(CROP, STRIDE)(target(3.25, 4.5), right_offsets(3.25, 4.5))) == pytest.approx(0.0, abs=1e-9)


def test_a_constant_error_costs_its_huber_value():
    maps = right_offsets(3.25, 4.5)
    maps[..., 0] += 0.5  # half of a square
    maps[..., 8] -= 3.0  # linear: 3 - 1/2
    assert float(OffsetLoss(CROP, STRIDE)(target(3.25, 4.5), maps)) == pytest.approx(0.125 + 2.5)


def test_only_pixels_near_the_keypoint_count():
    maps = right_offsets(3.0, 4.0)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    far = (columns - 3.0) ** 2 + (rows - 4.0) ** 2 > 4.0
    maps[0, far, 0] = 77.0
    assert float(OffsetLoss(CROP, STRIDE)(target(3.0, 4.0), maps)) == 0.0
    maps[0, 4, 5, 0] += 1.0  # two pixels to the right: one of the 13 that count
    assert float(OffsetLoss(CROP, STRIDE)(target(3.0, 4.0), maps)) == pytest.approx(0.5 / 13)


def test_unlabelled_keypoints_have_no_gradient():
    maps = tf.Variable(right_offsets(3.0, 4.0) + 1.0)
    with tf.GradientTape() as tape:
        loss = OffsetLoss(CROP, STRIDE)(target(3.0, 4.0, weight=0.0), maps)
    assert float(loss) == 0.0
    assert not np.any(tape.gradient(loss, maps))
