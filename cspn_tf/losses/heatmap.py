"""The heatmap loss.

The loss of one keypoint is the mean squared error over its heatmap. It is averaged over all labelled keypoints, as in
the CSPN's first stage (equation 1), or over only the K labelled keypoints with the largest loss, as in later stages:
online hard-keypoint mining (equation 2). Absent and cut-off keypoints and those outside the crop are ignored; occluded
keypoints count like visible ones.

Targets are keypoints, not heatmaps, see `cspn_tf.losses`. The loss encodes them with `cspn_tf.heatmaps`.
"""

import keras
import tensorflow as tf

from cspn_tf import heatmaps


def mean_over_labelled(errors, weights):
    """Average over each garment's labelled keypoints (equation 1).

    Args:
        errors: float32 `(B, K)`.
        weights: float32 `(B, K)`, 1 labelled, 0 not.

    Returns:
        float32 `(B,)`: sum of the labelled errors over their number; 0 for a garment without labels.
    """
    return tf.math.divide_no_nan(tf.reduce_sum(errors * weights, axis=-1), tf.reduce_sum(weights, axis=-1))


def mean_over_hardest(errors, weights, num_hard):
    """Average over each garment's `num_hard` labelled keypoints with the largest errors (equation 2).

    Args:
        errors: float32 `(B, K)`, none negative.
        weights: float32 `(B, K)`, 1 labelled, 0 not.
        num_hard: number of keypoints to keep, at most K.

    Returns:
        float32 `(B,)`: sum of the kept errors over their number, which is `num_hard` or, if fewer, the number of
        labelled keypoints; 0 for a garment without labels.
    """
    hardest, chosen = tf.math.top_k(tf.where(weights > 0, errors, -1.0), k=num_hard)
    kept = tf.gather(weights, chosen, batch_dims=1)
    return mean_over_labelled(tf.maximum(hardest, 0.0), kept)


class HeatmapLoss(keras.losses.Loss):
    """Loss of one output's heatmaps.

    Args:
        crop_size, stride, sigma: as in `cspn_tf.heatmaps.encode`.
        num_hard: number of hardest keypoints to average over (equation 2), or None for all (equation 1).

    Call with targets `(B, 8, 3 or more)` and heatmaps `(B, H, H, 8)`; the denominator over the batch is B.
    """

    def __init__(self, crop_size, stride, sigma, num_hard=None):
        super().__init__()
        self.crop_size, self.stride, self.sigma, self.num_hard = crop_size, stride, sigma, num_hard

    def call(self, y_true, y_pred):
        keypoints_xy_crop, weights = y_true[..., :2], y_true[..., 2]
        heatmaps_true = heatmaps.encode(keypoints_xy_crop, self.crop_size, self.stride, self.sigma)
        squared = tf.math.squared_difference(heatmaps_true, tf.cast(y_pred, tf.float32))
        errors = tf.reduce_mean(squared, axis=[1, 2])
        if self.num_hard is None:
            return mean_over_labelled(errors, weights)
        return mean_over_hardest(errors, weights, self.num_hard)
