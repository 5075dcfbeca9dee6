"""BCRNN: heatmaps that agree with a grammar of clothes, by messages between the keypoints' features.

::

    fused features -> features of each keypoint -> heatmaps (first)
                        | kinematic grammar: collar - waistline - hem, collar - sleeve; left and right
                        | symmetry grammar:  left - right, for collars, sleeves, waistlines and hems
                        +-> features + messages -> heatmaps: the prediction

Along each chain of the grammars a bidirectional convolutional recurrent network runs, once from either end: a
keypoint's state is computed from its own features and the state of the keypoint before it, both through 3x3
convolutions. What both ways make of a keypoint is its message; the messages of all the chains it is in are averaged
and added to its features.

Source: Attentive Fashion Grammar Network for Fashion Landmark Detection and Clothing Category Classification (Wang et
al., CVPR 2018).

What is simpler here: the two attentions are left out, because they are taught by clothing categories, which the
landmark benchmark has not, and with them the classification. Features are a backbone's levels added up at stride 8
(`cspn_tf.models.fused_features`) for VGG16's map of that stride; heatmaps are upsampled from it to stride 4, so that
all methods share one codec. A keypoint has a quarter of `config.width` channels. A recurrent network is shared by a
chain on the left and the same chain on the right, and by the four pairs, which are told apart by their keypoints'
features: it says that the grammar is symmetric, and lets them run side by side as one batch.

Letters in shapes: B crops, C side of a crop, h = C / 8, H = C / 4, 8 keypoint slots, g channels of a keypoint.
"""

import keras
import tensorflow as tf

from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.methods.base import RefinedHeatmaps
from cspn_tf.models.backbones import build_backbone_of
from cspn_tf.models.blocks import normalised_conv
from cspn_tf.models.fused_features import LEVELS, fused_features

# Chains of keypoint slots by grammar; those of one entry are of one length and share a network.
GRAMMARS = {
    "body": ((0, 4, 6), (1, 5, 7)),
    "sleeve": ((0, 2), (1, 3)),
    "symmetry": ((0, 1), (2, 3), (4, 5), (6, 7)),
}


class Method(RefinedHeatmaps):
    """The network with the grammar."""

    name = "bcrnn"
    first_heatmaps = "first_heatmaps"

    def build(self, *, pretrained: bool = False) -> keras.Model:
        """Build the network; as `KeypointMethod.build`.

        Returns:
            keras.Model: to a dict of `"first_heatmaps"`, before the messages, and `"heatmaps"`, both float32
            `(B, H, H, 8)`.
        """
        config = self.config
        # ---- Inputs ----
        crops = keras.Input((config.crop_size, config.crop_size, 3), name="crops")
        features = build_backbone_of(config, config.crop_size, LEVELS, pretrained=pretrained)(crops)

        # ---- Body ----
        group = max(config.width // 4, 4)
        x = normalised_conv(fused_features(features, config), NUM_KEYPOINTS * group, 1, "keypoints")
        nodes = tf.split(x, NUM_KEYPOINTS, axis=-1)
        first = _heatmaps(nodes, group, config, "first_heatmaps")

        messages = [[] for _ in nodes]
        for name, chains in GRAMMARS.items():
            for slot, message in _messages(nodes, chains, group, name):
                messages[slot].append(message)
        nodes = [node + sum(got) / len(got) for node, got in zip(nodes, messages, strict=True)]

        # ---- Named outputs ----
        outputs = {"first_heatmaps": first, "heatmaps": _heatmaps(nodes, group, config, "heatmaps")}
        return keras.Model(crops, outputs, name=self.name)


def _messages(nodes, chains, group, name):
    """Run one recurrent network along chains, side by side.

    Args:
        nodes: list of 8 Keras tensors `(B, h, h, g)`.
        chains: tuples of slots, all of one length.
        group: g.
        name: prefix of the layers' names.

    Returns:
        list of slot and message `(B, h, h, g)`, for every keypoint of every chain.
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
    """Return the state at each step of one direction."""
    own = keras.layers.Conv2D(group, 3, padding="same", name=f"{name}_own")
    before = keras.layers.Conv2D(group, 3, padding="same", use_bias=False, name=f"{name}_before")
    states = []
    for x in steps:
        total = own(x) + before(states[-1]) if states else own(x)
        states.append(tf.tanh(total))
    return states


def _heatmaps(nodes, group, config, name):
    """Draw each keypoint's heatmap from its features, by layers that all share, float32 `(B, H, H, 8)`."""
    x = tf.concat(nodes, axis=0)
    x = keras.layers.UpSampling2D(2, interpolation=config.upsampling, name=f"{name}_upsample")(x)
    x = normalised_conv(x, group, 3, f"{name}_smooth", separable=config.separable)
    small = keras.initializers.RandomNormal(stddev=0.001)
    x = keras.layers.Conv2D(1, 1, kernel_initializer=small, dtype="float32", name=f"{name}_maps")(x)
    x = tf.concat(tf.split(x, NUM_KEYPOINTS, axis=0), axis=-1)
    return keras.layers.Activation("linear", dtype="float32", name=name)(x)
