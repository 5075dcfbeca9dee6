"""Augmentation of brightness, contrast, saturation and colour cast."""

import tensorflow as tf

from cspn_tf.contract import PAD_VALUE
from cspn_tf.data.augmentation.ranges import between

BRIGHTNESS = (0.7, 1.3)  # gain of all channels
CONTRAST = (0.75, 1.25)  # gain about mid-grey
SATURATION = (0.6, 1.4)  # gain of the difference from grey
GREY_CHANCE = 0.08
CAST = (0.9, 1.1)  # gain of each channel, drawn separately: the colour of the light

# Weights of the channels in luma (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)


def recolour(example):
    """Apply all colour changes to an image as one affine map, in a single pass over the pixels.

    Needs and changes:
        image: float32 `(C, C, 3)`, 0 to 255.

    Needs:
        draws: of the example.
    """
    picture = example["image"]
    matrix, offset = colour_change(example["draws"])
    pixels = tf.matmul(tf.reshape(picture, [-1, 3]), matrix, transpose_b=True) + offset
    return {**example, "image": tf.reshape(tf.clip_by_value(pixels, 0.0, 255.0), picture.shape)}


def colour_change(draws):
    """Return the affine map of an image's colours: `changed = matrix @ colour + offset`.

    Args:
        draws: the example's ``draws``.

    Returns:
        matrix: float32 `(3, 3)`.
        offset: float32 scalar, the same for all channels.
    """
    saturation = tf.where(draws["grey"] < GREY_CHANCE, 0.0, between(draws["saturation"], SATURATION))
    saturate = saturation * tf.eye(3) + (1.0 - saturation) * tf.constant(_LUMA)
    contrast = between(draws["contrast"], CONTRAST)
    gains = contrast * between(draws["brightness"], BRIGHTNESS) * between(draws["cast"], CAST)
    return gains[:, tf.newaxis] * saturate, PAD_VALUE * (1.0 - contrast)
