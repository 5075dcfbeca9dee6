"""The losses of the keypoint networks, and which of their outputs each is for.

Every output of every network gets the same targets, float32 `(B, 8, 4)`:

    x, y          crop pixels, 0 where the weight is 0
    weight        1 where the keypoint is labelled (it may be occluded) and inside the crop, else 0
    visibility    its `cspn_tf.garments.Visibility` code as a number

Letters in shapes: B garments of a batch, 8 keypoint slots, H side of a heatmap.
"""

from cspn_tf.config import KeypointConfig
from cspn_tf.losses.bcrnn import bcrnn_losses
from cspn_tf.losses.cspn import cspn_losses
from cspn_tf.losses.dfa import dfa_losses, pseudo_label_centres
from cspn_tf.losses.dlan import dlan_losses
from cspn_tf.losses.fashionnet import fashionnet_losses
from cspn_tf.losses.heatmap import HeatmapLoss, heatmap_errors, mean_over_hardest, mean_over_labelled
from cspn_tf.losses.offsets import OffsetLoss
from cspn_tf.losses.visibility import VisibilityLoss

__all__ = [
    "HeatmapLoss",
    "OffsetLoss",
    "VisibilityLoss",
    "heatmap_errors",
    "keypoint_losses",
    "mean_over_hardest",
    "mean_over_labelled",
    "pseudo_label_centres",
]


def keypoint_losses(config: KeypointConfig, *, centres=None) -> tuple[dict, dict[str, float]]:
    """Return the loss and the loss's weight of each output of a keypoint network, both by the output's name.

    Args:
        config: the network's `KeypointConfig`.
        centres: what `cspn_tf.losses.dfa.pseudo_label_centres` found in the training split; only "dfa" needs it.
    """
    if config.method == "fashionnet":
        losses = fashionnet_losses(config)
    elif config.method == "dfa":
        losses = dfa_losses(config, centres)
    elif config.method == "dlan":
        losses = dlan_losses(config)
    elif config.method == "bcrnn":
        losses = bcrnn_losses(config)
    else:
        losses = cspn_losses(config)
    return {name: loss for name, (loss, _) in losses.items()}, {name: weight for name, (_, weight) in losses.items()}
