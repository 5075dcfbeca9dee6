"""Layers shared by the networks that regress coordinates with fully connected layers.

Coordinates are fractions of the crop's side, see `cspn_tf.geometry.crop_to_unit`.
"""

import keras
import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.config import KeypointConfig
from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.models.blocks import BATCH_NORM_MOMENTUM

# Side of the map that VGG16's fully connected layers read; larger maps are average-pooled to about this.
_MAX_SIDE = 7


def hidden_units(config: KeypointConfig) -> int:
    """Return the width of the fully connected layers: VGG16's 4096 at the paper's width of 256."""
    return 16 * config.width


def flattened(features):
    """Flatten the backbone's last map to one vector per crop, average-pooled to at most 7x7 positions first.

    Args:
        features: Keras tensor `(B, H, H, channels)`.
    """
    side = features.shape[1]
    if side > _MAX_SIDE:
        pool = -(-side // _MAX_SIDE)
        features = keras.layers.AveragePooling2D(pool, padding="same", name="c5_pool")(features)
    return keras.layers.Flatten(name="c5_flatten")(features)


def normalised_dense(x, units, name):
    """Apply a fully connected layer, batch normalisation and ReLU.

    VGG16 has dropout and no normalisation here, but its fully connected layers are pretrained. These start from random
    weights and train many times slower without normalisation.
    """
    x = keras.layers.Dense(units, use_bias=False, kernel_initializer="he_normal", name=name)(x)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=name + "_bn")(x)
    return keras.layers.Activation("relu", name=name + "_activation")(x)


def small_dense(x, units, name, start=0.0):
    """Apply a fully connected layer whose output is almost exactly `start` before training; float32."""
    small, bias = keras.initializers.RandomNormal(stddev=0.001), keras.initializers.Constant(start)
    return keras.layers.Dense(units, kernel_initializer=small, bias_initializer=bias, dtype="float32", name=name)(x)


def as_points(x, name):
    """Reshape `(B, 16)` to `(B, 8, 2)`, float32."""
    return keras.layers.Reshape((NUM_KEYPOINTS, 2), dtype="float32", name=name)(x)


def decode_points(points_xy_unit, visibility_logits, config: KeypointConfig):
    """Convert regressed coordinates and visibility logits to keypoints and scores.

    Args:
        points_xy_unit: float32 `(B, 8, 2)`, fractions of the crop's side.
        visibility_logits: float32 `(B, 8)`.
        config: the network's `KeypointConfig`.

    Returns:
        keypoints_xy_crop: float32 `(B, 8, 2)`, crop pixels, not clipped to the crop.
        scores: float32 `(B, 8)`, the probability that the keypoint is visible.
    """
    return geometry.unit_to_crop(points_xy_unit, config.crop_size), tf.sigmoid(visibility_logits)
