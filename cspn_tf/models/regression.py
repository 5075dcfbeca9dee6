"""What the networks share that regress coordinates with fully connected layers.

Their coordinates are shares of the crop's side, see `cspn_tf.geometry.crop_to_unit`.
"""

import keras
import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.config import KeypointConfig
from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.models.blocks import BATCH_NORM_MOMENTUM

# Side of the map that VGG16 hands to its fully connected layers; larger ones are averaged down to about it.
_MAX_SIDE = 7


def hidden_units(config: KeypointConfig) -> int:
    """Return the width of the fully connected layers: VGG16's 4096 at the paper's width of 256."""
    return 16 * config.width


def flattened(features, name):
    """Bring the backbone's last map to one vector a crop, at most about 7x7 places of it.

    Args:
        features: Keras tensor `(B, H, H, channels)`.
        name: prefix of the layers' names.
    """
    side = features.shape[1]
    if side > _MAX_SIDE:
        pool = -(-side // _MAX_SIDE)
        features = keras.layers.AveragePooling2D(pool, padding="same", name=name + "_pool")(features)
    return keras.layers.Flatten(name=name + "_flatten")(features)


def normalised_dense(x, units, name):
    """Apply a fully connected layer, batch normalisation and ReLU.

    VGG16 has dropout here and none of the normalisation; it also has weights that were trained before. Ours begin at
    random, and without normalisation they take many times as long.
    """
    x = keras.layers.Dense(units, use_bias=False, kernel_initializer="he_normal", name=name)(x)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=name + "_bn")(x)
    return keras.layers.Activation("relu", name=name + "_activation")(x)


def small_dense(x, units, name, start=0.0):
    """Apply a fully connected layer that gives almost exactly `start` before it is trained; float32."""
    small, bias = keras.initializers.RandomNormal(stddev=0.001), keras.initializers.Constant(start)
    return keras.layers.Dense(units, kernel_initializer=small, bias_initializer=bias, dtype="float32", name=name)(x)


def as_points(x, name):
    """Bring `(B, 16)` to `(B, 8, 2)`, float32."""
    return keras.layers.Reshape((NUM_KEYPOINTS, 2), dtype="float32", name=name)(x)


def decode_points(points_xy_unit, visibility_logits, config: KeypointConfig):
    """Turn regressed coordinates and visibility into keypoints.

    Args:
        points_xy_unit: float32 `(B, 8, 2)`, shares of the crop's side.
        visibility_logits: float32 `(B, 8)`.
        config: the network's `KeypointConfig`.

    Returns:
        keypoints_xy_crop: float32 `(B, 8, 2)`, crop pixels; nothing keeps them inside the crop.
        scores: float32 `(B, 8)`, the probability that the keypoint is visible.
    """
    return geometry.unit_to_crop(points_xy_unit, config.crop_size), tf.sigmoid(visibility_logits)
