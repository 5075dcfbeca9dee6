"""One fused feature map at stride 8, for the methods whose papers read VGG16's map at that stride."""

import keras

from cspn_tf.config import KeypointConfig
from cspn_tf.models.blocks import normalised_conv

LEVELS = (3, 4, 5)


def fused_features(features, config: KeypointConfig):
    """Add the levels' 1x1 laterals at stride 8, and smooth by 3x3.

    VGG16's own map at stride 8 is deep enough to see the whole garment. Newer backbones are too shallow at that stride,
    so features of the coarser levels are added.

    Args:
        features: dict of `"P<l>"`: Keras tensor `(B, C / 2**l, C / 2**l, channels)`, for `LEVELS`.
        config: the network's `KeypointConfig`.

    Returns:
        Keras tensor `(B, C / 8, C / 8, width)`.
    """
    laterals = []
    for level in LEVELS:
        lateral = normalised_conv(features[f"P{level}"], config.width, 1, f"fused_p{level}", activation=None)
        if level > LEVELS[0]:
            factor = 2 ** (level - LEVELS[0])
            upsample = keras.layers.UpSampling2D(
                factor, interpolation=config.upsampling, name=f"fused_p{level}_upsample"
            )
            lateral = upsample(lateral)
        laterals.append(lateral)
    x = keras.layers.Add(name="fused_add")(laterals)
    x = keras.layers.Activation("relu", name="fused_activation")(x)
    return normalised_conv(x, config.width, 3, "fused_smooth", separable=config.separable)
