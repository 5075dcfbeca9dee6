"""The losses of the CSPN's outputs."""

from cspn_tf.config import KeypointConfig
from cspn_tf.losses.heatmap import HeatmapLoss
from cspn_tf.losses.offsets import OffsetLoss
from cspn_tf.losses.visibility import VisibilityLoss

# Beside heatmap losses of some thousandths: heads that must not bend the features to their own ends.
OFFSET_WEIGHT = 0.002
VISIBILITY_WEIGHT = 0.002


def cspn_losses(config: KeypointConfig) -> dict:
    """Return output name to loss and weight: equation 1 for the first stage, equation 2 for the others.

    With `stage_weight_growth` 1 the stages weigh the same, as in the paper; otherwise each weighs so many times what
    the one before it does, and the weights sum to the number of stages all the same.
    """
    growth = [config.stage_weight_growth**index for index in range(config.num_stages)]
    losses = {}
    for index, name in enumerate(config.stage_names):
        num_hard = None if index == 0 else config.num_hard_keypoints
        loss = HeatmapLoss(config.crop_size, config.heatmap_stride, config.sigmas, num_hard=num_hard)
        losses[name] = (loss, config.num_stages * growth[index] / sum(growth))
    if config.offset_head:
        losses["offsets"] = (OffsetLoss(config.crop_size, config.heatmap_stride), OFFSET_WEIGHT)
    if config.visibility_head:
        losses["visibility"] = (VisibilityLoss(), VISIBILITY_WEIGHT)
    return losses
