"""The loss of predicted offsets from heatmap pixels to the keypoints near them."""

import keras
import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.losses.heatmap import mean_over_labelled

# Offsets are trained within this radius of the keypoint, heatmap pixels: the likely error of a peak.
RADIUS = 2.0


class OffsetLoss(keras.losses.Loss):
    """Huber loss of the offsets near each labelled keypoint.

    Args:
        crop_size, stride: as in `cspn_tf.heatmaps.encode`.

    Call with targets `(B, 8, 4)` and offsets `(B, H, H, 16)`, x of the 8 keypoints, then y, in heatmap pixels from the
    pixel's centre to the keypoint. Averaged over the pixels within `RADIUS` of a keypoint, then over the garment's
    labelled keypoints, then over B.
    """

    def __init__(self, crop_size, stride):
        super().__init__()
        self.crop_size, self.stride = crop_size, stride

    def call(self, y_true, y_pred):
        points = geometry.crop_to_heatmap(y_true[..., :2], self.stride)
        index = tf.range(self.crop_size // self.stride, dtype=tf.float32)
        # (B, H, K) each: from the pixel to the keypoint.
        across = points[:, tf.newaxis, :, 0] - index[tf.newaxis, :, tf.newaxis]
        down = points[:, tf.newaxis, :, 1] - index[tf.newaxis, :, tf.newaxis]
        across, down = across[:, tf.newaxis], down[:, :, tf.newaxis]
        near = tf.cast(across**2 + down**2 <= RADIUS**2, tf.float32)
        predicted_across, predicted_down = tf.split(tf.cast(y_pred, tf.float32), 2, axis=-1)
        errors = _huber(predicted_across - across) + _huber(predicted_down - down)
        errors = tf.math.divide_no_nan(tf.reduce_sum(errors * near, axis=[1, 2]), tf.reduce_sum(near, axis=[1, 2]))
        return mean_over_labelled(errors, y_true[..., 2])


def _huber(difference):
    size = tf.abs(difference)
    return tf.where(size < 1.0, 0.5 * tf.square(difference), size - 0.5)
