"""The losses of BCRNN's outputs."""

from cspn_tf.config import KeypointConfig
from cspn_tf.losses.heatmap import HeatmapLoss


def bcrnn_losses(config: KeypointConfig) -> dict:
    """Return output name to loss and weight: the mean over all labelled keypoints, for both of its heatmaps alike."""
    return {
        name: (HeatmapLoss(config.crop_size, config.heatmap_stride, config.sigmas), 1.0)
        for name in ("first_heatmaps", "heatmaps")
    }
