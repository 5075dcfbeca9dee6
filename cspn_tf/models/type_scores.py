"""Scores of garment types: the detector's, corrected by what the keypoint network sees in the crop, and the best type.

Letters in shapes: B photos, N garment rows per photo, 3 garment types.
"""

import tensorflow as tf

# Keeps the logarithm of a probability of 0 finite.
_LEAST = 1e-6


def best(type_scores):
    """Return the most likely types.

    Args:
        type_scores: float32 `(..., 3)`, a score for each type; zeros in padding rows.

    Returns:
        types: int32 `(...)`, `GarmentType` ids; 0 in padding rows.
        scores: float32 `(...)`, of these types.
    """
    scores = tf.reduce_max(type_scores, axis=-1)
    types = tf.argmax(type_scores, axis=-1, output_type=tf.int32) + 1
    return tf.where(scores > 0.0, types, 0), scores


def corrected(type_scores, logits):
    """Return the detector's scores after a second opinion on the type.

    A garment keeps the sum of its scores, how sure the detector is that it is a garment. Its parts become the
    normalised geometric mean of the detector's and the second opinion's probabilities.

    Args:
        type_scores: float32 `(..., 3)`, the detector's score for each type; zeros in padding rows.
        logits: float32 `(..., 3)`, of the second opinion.

    Returns:
        float32 `(..., 3)`.
    """
    total = tf.reduce_sum(type_scores, axis=-1, keepdims=True)
    mean = 0.5 * (tf.math.log(type_scores + _LEAST) + logits)
    return tf.minimum(total * tf.nn.softmax(mean), 1.0)  # rounding can bring it above


def in_order(scores, *tensors):
    """Return tensors `(B, N, ...)` with the rows of each photo sorted by scores `(B, N)`, the highest first."""
    order = tf.math.top_k(scores, scores.shape[1]).indices
    return [tf.gather(tensor, order, batch_dims=1) for tensor in tensors]
