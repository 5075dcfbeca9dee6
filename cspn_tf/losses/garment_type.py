"""The loss of predicted garment types."""

import keras
import numpy as np
import tensorflow as tf

from cspn_tf.garments import NUM_GARMENT_TYPES


class GarmentTypeLoss(keras.losses.Loss):
    """Softmax cross-entropy of garment types, with the logarithms of their shares in training added to the logits.

    The logits then say what the picture says, and not how frequent a type is in training: the detector, whose scores
    they correct, knows that already.

    Call with the types counted from 0, int32 `(B,)`, and logits `(B, 3)`. The loss is the mean over the batch.

    Args:
        shares: three positive numbers, such as those of `type_shares`.

    Source: Menon et al. 2021, Long-tail learning via logit adjustment.
    """

    def __init__(self, shares):
        super().__init__(name="garment_type_loss")
        self.log_shares = np.log(shares).astype("float32")

    def call(self, y_true, y_pred):
        logits = tf.cast(y_pred, tf.float32) + self.log_shares
        types = tf.reshape(tf.cast(y_true, tf.int32), [-1])  # Keras makes them a column
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=types, logits=logits)


def type_shares(garment_types) -> np.ndarray:
    """Return each garment type's share of the garments, as if there were one more of each type, so that none is 0.

    Args:
        garment_types: int `(N,)`, `GarmentType` ids.
    """
    counts = np.bincount(np.asarray(garment_types, int) - 1, minlength=NUM_GARMENT_TYPES) + 1
    return counts / counts.sum()
