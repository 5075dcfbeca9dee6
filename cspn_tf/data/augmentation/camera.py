"""Augmentation with image degradations: blur and JPEG artefacts."""

import functools

import tensorflow as tf
import tensorflow_addons as tfa

from cspn_tf.data.augmentation.ranges import between

BLUR_CHANCE = 0.2
# Standard deviation and size of the Gaussian filter, pixels. Fixed choices, because the op takes Python numbers only.
BLURS = ((0.6, 5), (1.0, 7), (1.4, 7))
JPEG_CHANCE = 0.3
JPEG_QUALITY = (25, 95)


def blur(example):
    """Blur some images, each with one of `BLURS`.

    Needs and changes:
        image: float32 `(C, C, 3)`.

    Needs:
        draws: of the example.
    """
    draws, picture = example["draws"], example["image"]
    blurred = [functools.partial(tfa.image.gaussian_filter2d, picture, size, sigma) for sigma, size in BLURS]
    which = tf.cast(draws["blur_sigma"] * len(BLURS), tf.int32)
    picture = tf.cond(draws["blurred"] < BLUR_CHANCE, lambda: tf.switch_case(which, blurred), lambda: picture)
    return {**example, "image": picture}


def compress(example):
    """Encode some images as JPEG with random quality and decode them again.

    Needs and changes:
        image: float32 `(C, C, 3)`, 0 to 255; integers afterwards.

    Needs:
        draws: of the example.
    """
    draws, picture = example["draws"], example["image"]
    quality = tf.cast(between(draws["jpeg_quality"], JPEG_QUALITY), tf.int32)

    def compressed():
        file = tf.raw_ops.EncodeJpegVariableQuality(images=tf.cast(picture + 0.5, tf.uint8), quality=quality)
        return tf.ensure_shape(tf.cast(tf.io.decode_jpeg(file, channels=3), tf.float32), picture.shape)

    return {**example, "image": tf.cond(draws["compressed"] < JPEG_CHANCE, compressed, lambda: picture)}
