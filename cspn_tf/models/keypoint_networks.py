"""Every method of finding keypoints in a crop behind one face: the CSPN, and those the paper compares it with.

Each method's module has three functions: `build_<method>` gives a Keras model from crops to a dict of outputs,
`prediction_names` tells which of them inference reads, and `decode_outputs` turns those into keypoints.

Letters in shapes: B crops, C side of a crop, 8 keypoint slots.
"""

import keras

from cspn_tf.config import KeypointConfig
from cspn_tf.models import bcrnn, cspn, dfa, dlan, fashionnet

_MODULES = {"bcrnn": bcrnn, "cspn": cspn, "dfa": dfa, "dlan": dlan, "fashionnet": fashionnet}


def build_keypoint_network(config: KeypointConfig, *, pretrained: bool = False) -> keras.Model:
    """Build the network of `config.method`.

    Args:
        config: its `KeypointConfig`.
        pretrained: load the backbone's initial weights that `config.weights` names; leave it out where a checkpoint
            is loaded afterwards.

    Returns:
        keras.Model: float32 `(B, C, C, 3)`, 0 to 255, to a dict of float32 outputs; `cspn_tf.losses.keypoint_losses`
        has a loss for each.
    """
    build = getattr(_MODULES[config.method], f"build_{config.method}")
    return build(config, pretrained=pretrained)


def prediction_network(model: keras.Model, config: KeypointConfig) -> keras.Model:
    """Return the network up to what inference reads, without the heads that only training needs.

    Args:
        model: what `build_keypoint_network` gives.
        config: what it was built from.

    Returns:
        keras.Model: the same input to a dict of fewer outputs, sharing the weights.
    """
    names = _MODULES[config.method].prediction_names(config)
    return keras.Model(model.input, {name: model.output[name] for name in names}, name=f"{config.method}_prediction")


def decode_prediction(outputs: dict, config: KeypointConfig):
    """Turn the outputs of `prediction_network` into keypoints.

    Returns:
        keypoints_xy_crop: float32 `(B, 8, 2)`, crop pixels.
        scores: float32 `(B, 8)`, in [0, 1].
    """
    return _MODULES[config.method].decode_outputs(outputs, config)
