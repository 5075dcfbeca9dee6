"""The loss of predicted visibility."""

import keras
import tensorflow as tf

from cspn_tf.garments import Visibility
from cspn_tf.losses.heatmap import mean_over_labelled


class VisibilityLoss(keras.losses.Loss):
    """Sigmoid cross-entropy of keypoint visibility.

    The target is 1 for visible keypoints, 0 for occluded and cut-off ones. Absent keypoints, and visible ones outside
    the crop, are ignored.

    Call with targets `(B, 8, 4)` and logits `(B, 8)`. The denominator is each garment's number of keypoints that count,
    and over the batch B.
    """

    def call(self, y_true, y_pred):
        visibility, logits = y_true[..., 3], tf.cast(y_pred, tf.float32)
        seen = tf.cast(tf.equal(visibility, float(Visibility.VISIBLE)), tf.float32)
        known = tf.not_equal(visibility, float(Visibility.ABSENT)) & ((seen < 0.5) | (y_true[..., 2] > 0.5))
        errors = tf.nn.sigmoid_cross_entropy_with_logits(labels=seen, logits=logits)
        return mean_over_labelled(errors, tf.cast(known, tf.float32))
