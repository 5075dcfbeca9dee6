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


def corrected(type_scores, logits, score_threshold):
    """Return the detector's scores after a second opinion on the type.

    A garment keeps the sum of its scores, how sure the detector is that it is a garment. Its parts become the
    normalised geometric mean of the detector's and the second opinion's probabilities.

    Args:
        type_scores: float32 `(..., 3)`, the detector's score for each type; zeros in padding rows.
        logits: float32 `(..., 3)`, of the second opinion.
        score_threshold: garments whose best score is no longer above it become padding rows.

    Returns:
        float32 `(..., 3)`; zeros in padding rows.
    """
    total = tf.reduce_sum(type_scores, axis=-1, keepdims=True)
    mean = 0.5 * (tf.math.log(type_scores + _LEAST) + logits)
    scores = tf.minimum(total * tf.nn.softmax(mean), 1.0)  # rounding can bring it above
    return tf.where(tf.reduce_max(scores, axis=-1, keepdims=True) > score_threshold, scores, 0.0)


def in_order(type_scores, *tensors):
    """Return type scores `(B, N, 3)` and tensors `(B, N, ...)` with each photo's rows sorted by their best score."""
    order = tf.math.top_k(tf.reduce_max(type_scores, axis=-1), type_scores.shape[1]).indices
    return [tf.gather(tensor, order, batch_dims=1) for tensor in (type_scores, *tensors)]
