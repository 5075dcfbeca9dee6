"""BCRNN: heatmaps that follow a grammar of clothes, by message passing between the keypoints' features.

::

    fused features -> features of each keypoint -> heatmaps (first)
                        | kinematic grammar: collar - waistline - hem, collar - sleeve; left and right
                        | symmetry grammar:  left - right, for collars, sleeves, waistlines and hems
                        +-> features + messages -> heatmaps: the prediction

A bidirectional convolutional recurrent network runs along each chain of the grammars. A keypoint's state is computed
from its own features and the previous keypoint's state, both through 3x3 convolutions. The sum of its states in both
directions is its message. A keypoint's messages are averaged over its chains and added to its features.

Source: Attentive Fashion Grammar Network for Fashion Landmark Detection and Clothing Category Classification (Wang et
al., CVPR 2018).

Simplified here: the two attention branches and the classification are left out, because they need clothing category
labels, which the landmark benchmark does not have. A backbone's levels summed at stride 8
(`cspn_tf.models.fused_features`) replace VGG16's map of that stride. Heatmaps are upsampled from there to stride 4, so
that all methods share one codec. A keypoint has a quarter of `config.width` channels. The left and the right chain
share one recurrent network, and so do the four pairs: this makes the grammar symmetric and lets them run as one batch.

Letters in shapes: B crops, C side of a crop, h = C / 8, H = C / 4, 8 keypoint slots, g channels of a keypoint.
"""

import keras
import tensorflow as tf

from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.methods.base import RefinedHeatmaps
from cspn_tf.models.blocks import named_output, normalised_conv, small_conv
from cspn_tf.models.fused_features import LEVELS, fused_features

# Chains of keypoint slots; the chains of one entry have the same length and share a recurrent network.
GRAMMARS = {
    "body": ((0, 4, 6), (1, 5, 7)),
    "sleeve": ((0, 2), (1, 3)),
    "symmetry": ((0, 1), (2, 3), (4, 5), (6, 7)),
}


class Method(RefinedHeatmaps):
    """BCRNN."""

    name = "bcrnn"
    levels = LEVELS
    first_heatmaps = "first_heatmaps"

    def outputs(self, features: dict) -> dict:
        """Compute the network's outputs, see `KeypointMethod.outputs`.

        Returns:
            A dict of `"first_heatmaps"`, before message passing, and `"heatmaps"`, both `(B, H, H, 8)`.
        """
        config = self.config
        group = max(config.width // 4, 4)
        x = normalised_conv(fused_features(features, config), NUM_KEYPOINTS * group, 1, "keypoints")
        nodes = tf.split(x, NUM_KEYPOINTS, axis=-1)
        first = _heatmaps(nodes, group, config, "first_heatmaps")

        messages = [[] for _ in nodes]
        for name, chains in GRAMMARS.items():
            for slot, message in _messages(nodes, chains, group, name):
                messages[slot].append(message)
        nodes = [node + sum(got) / len(got) for node, got in zip(nodes, messages, strict=True)]

        return {"first_heatmaps": first, "heatmaps": _heatmaps(nodes, group, config, "heatmaps")}


def _messages(nodes, chains, group, name):
    """Run one recurrent network along several chains in parallel.

    Args:
        nodes: list of 8 Keras tensors `(B, h, h, g)`.
        chains: tuples of slots, all of one length.
        group: g.
        name: prefix of the layers' names.

    Returns:
        list of (slot, message), the message `(B, h, h, g)`, for every keypoint of every chain.
    """
    # Step t holds the t-th keypoint of all chains, (chains * B, h, h, g).
    steps = [tf.concat([nodes[chain[t]] for chain in chains], axis=0) for t in range(len(chains[0]))]
    states = _states(steps, group, f"{name}_forward")
    states_back = _states(steps[::-1], group, f"{name}_backward")[::-1]
    found = []
    for t, both in enumerate(zip(states, states_back, strict=True)):
        for chain, message in zip(chains, tf.split(both[0] + both[1], len(chains), axis=0), strict=True):
            found.append((chain[t], message))
    return found


def _states(steps, group, name):
    """Return the states at all steps in one direction."""
    own = keras.layers.Conv2D(group, 3, padding="same", name=f"{name}_own")
    before = keras.layers.Conv2D(group, 3, padding="same", use_bias=False, name=f"{name}_before")
    states = []
    for x in steps:
        total = own(x) + before(states[-1]) if states else own(x)
        states.append(tf.tanh(total))
    return states


def _heatmaps(nodes, group, config, name):
    """Compute each keypoint's heatmap from its features, with layers shared by all, float32 `(B, H, H, 8)`."""
    x = tf.concat(nodes, axis=0)
    x = keras.layers.UpSampling2D(2, interpolation=config.upsampling, name=f"{name}_upsample")(x)
    x = normalised_conv(x, group, 3, f"{name}_smooth", separable=config.separable)
    x = small_conv(x, 1, f"{name}_maps", dtype="float32")
    return named_output(tf.concat(tf.split(x, NUM_KEYPOINTS, axis=0), axis=-1), name)
