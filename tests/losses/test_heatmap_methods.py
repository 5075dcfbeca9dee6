"""The losses of the compared methods that draw heatmaps: equation 1 for each of their outputs."""

import pytest

from cspn_tf.config import KeypointConfig
from cspn_tf.losses import HeatmapLoss
from cspn_tf.losses.bcrnn import bcrnn_losses
from cspn_tf.losses.dlan import dlan_losses


@pytest.mark.parametrize(
    "method, build, names",
    [
        ("dlan", dlan_losses, ["garment_heatmaps", "heatmaps"]),
        ("bcrnn", bcrnn_losses, ["first_heatmaps", "heatmaps"]),
    ],
)
def test_each_heatmap_is_compared_with_the_codecs(method, build, names):
    config = KeypointConfig(method=method, crop_size=96, heatmap_sigma=2.0, sigma_factors=(1.0,) * 7 + (1.5,))
    losses = build(config)
    assert list(losses) == names
    for loss, weight in losses.values():
        assert isinstance(loss, HeatmapLoss) and weight == 1.0
        assert (loss.crop_size, loss.stride, loss.num_hard) == (96, 4, None)
        assert tuple(loss.sigma) == (2.0,) * 7 + (3.0,)
