import numpy as np
import pytest

from cspn_tf.losses.garment_type import GarmentTypeLoss, type_shares

SHARES = [0.6, 0.3, 0.1]


def test_logits_of_zero_predict_the_shares():
    loss = GarmentTypeLoss(SHARES)
    for garment_type, share in enumerate(SHARES):
        assert float(loss([garment_type], [[0.0, 0.0, 0.0]])) == pytest.approx(-np.log(share), rel=1e-5)


def test_the_loss_is_the_mean_of_the_cross_entropies_of_adjusted_logits():
    logits = np.float32([[2.0, 0.5, -1.0], [0.0, 3.0, 1.0]])
    adjusted = np.exp(logits) * SHARES
    expected = -np.log((adjusted / adjusted.sum(axis=1, keepdims=True))[[0, 1], [2, 1]]).mean()
    assert float(GarmentTypeLoss(SHARES)(np.int32([2, 1]), logits)) == pytest.approx(expected, rel=1e-5)


def test_shares_count_one_more_of_each_type():
    np.testing.assert_allclose(type_shares([1, 1, 1, 3]), [4 / 7, 1 / 7, 2 / 7])
