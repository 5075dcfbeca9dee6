"""The loss of regressed coordinates."""

import keras
import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.losses.heatmap import mean_over_labelled

# Squared distances are some thousandths, cross-entropies some tenths; with these weights the coordinates dominate.
COORDINATE_WEIGHT = 10.0
VISIBILITY_WEIGHT = 0.1


def coordinate_errors(keypoints_xy_crop, points_xy_unit, crop_size):
    """Return each keypoint's squared error, in fractions of the crop's side.

    Args:
        keypoints_xy_crop: float32 `(B, 8, 2)`, ground truth, crop pixels.
        points_xy_unit: float32 `(B, 8, 2)`, predictions, fractions of the crop's side.
        crop_size: side of the crop, pixels.

    Returns:
        float32 `(B, 8)`.
    """
    true = geometry.crop_to_unit(keypoints_xy_crop, crop_size)
    return tf.reduce_sum(tf.math.squared_difference(true, points_xy_unit), axis=-1)


class CoordinateLoss(keras.losses.Loss):
    """Squared error of each labelled keypoint, in fractions of the crop's side.

    Args:
        crop_size: side of the crop, pixels.

    Call with targets `(B, 8, 3 or more)` and coordinates `(B, 8, 2)`. The denominator is each garment's number of
    labelled keypoints, and over the batch B.
    """

    def __init__(self, crop_size):
        super().__init__()
        self.crop_size = crop_size

    def call(self, y_true, y_pred):
        errors = coordinate_errors(y_true[..., :2], tf.cast(y_pred, tf.float32), self.crop_size)
        return mean_over_labelled(errors, y_true[..., 2])
