"""Convolution blocks of the feature pyramids in both networks, as functions on Keras tensors."""

import keras

# With this momentum the statistics settle within some hundred steps, which even a short training run has.
BATCH_NORM_MOMENTUM = 0.95


def normalised_conv(x, width, kernel_size, name, *, separable=False, activation="relu"):
    """Apply a convolution, batch normalisation and an activation.

    Args:
        x: Keras tensor `(B, H, W, channels)`.
        width: channels of the result.
        kernel_size: side of the kernel.
        name: prefix of the layers' names.
        separable: use a depthwise convolution with batch normalisation, then a 1x1 convolution: about a ninth of the
            operations of a full 3x3 one.
        activation: name of the activation, or None.

    Returns:
        Keras tensor `(B, H, W, width)`.
    """
    if separable:
        x = keras.layers.DepthwiseConv2D(kernel_size, padding="same", use_bias=False, name=name + "_depthwise")(x)
        x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=name + "_depthwise_bn")(x)
        kernel_size = 1
    x = keras.layers.Conv2D(
        width, kernel_size, padding="same", use_bias=False, kernel_initializer="he_normal", name=name + "_conv"
    )(x)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=name + "_bn")(x)
    return keras.layers.Activation(activation, name=name + "_activation")(x) if activation else x


def small_conv(x, width, name, dtype=None):
    """Apply a 1x1 convolution whose output is almost 0 before training."""
    small = keras.initializers.RandomNormal(stddev=0.001)
    return keras.layers.Conv2D(width, 1, kernel_initializer=small, dtype=dtype, name=name)(x)


def named_output(x, name):
    """Give an output of a network its name, in float32 also under mixed precision."""
    return keras.layers.Activation("linear", dtype="float32", name=name)(x)


def merge_down(coarse, fine, width, name, *, separable, upsampling="bilinear"):
    """Apply one top-down pyramid step: upsample the coarse map by 2, add the fine map's 1x1 lateral, smooth by 3x3.

    Args:
        coarse: Keras tensor `(B, H, W, width)`.
        fine: Keras tensor `(B, 2 * H, 2 * W, channels)`.
        width: channels of the result.
        name: prefix of the layers' names.
        separable: see `normalised_conv`.
        upsampling: "bilinear", or the cheaper "nearest".

    Returns:
        Keras tensor `(B, 2 * H, 2 * W, width)`.
    """
    coarse = keras.layers.UpSampling2D(2, interpolation=upsampling, name=name + "_upsample")(coarse)
    fine = normalised_conv(fine, width, 1, name + "_lateral", activation=None)
    merged = keras.layers.Add(name=name + "_add")([coarse, fine])
    return normalised_conv(merged, width, 3, name + "_smooth", separable=separable)
