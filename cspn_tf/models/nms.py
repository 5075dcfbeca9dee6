"""Batched non-maximum suppression with static shapes, in operations that TensorFlow Lite has."""

import functools

import tensorflow as tf


def non_max_suppression(boxes_yxyx, scores, max_outputs, iou_threshold):
    """Keep the highest-scored boxes, dropping each that overlaps a kept box of higher score.

    Args:
        boxes_yxyx: float32 `(B, K, 4)`.
        scores: float32 `(B, K)`.
        max_outputs: rows of the result, M.
        iou_threshold: IoU above which the box with the lower score is dropped.

    Returns:
        indices: int32 `(B, M)`, into K, best first; 0 in padding rows.
        valid: bool `(B, M)`, False in padding rows.
    """
    op = functools.partial(tf.raw_ops.NonMaxSuppressionV4, iou_threshold=iou_threshold, score_threshold=float("-inf"))
    return _map_photos(op, boxes_yxyx, scores, max_outputs, (tf.int32, tf.bool))


def soft_non_max_suppression(boxes_yxyx, scores, max_outputs, iou_threshold, sigma, score_threshold):
    """Keep the highest-scored boxes (Soft-NMS), lowering the score of each that overlaps kept boxes of higher score.

    The score is multiplied by exp(-iou**2 / (2 * sigma)) for each such box. Unlike hard suppression, this keeps a coat
    and the top under it, if both scores are high enough.

    Args:
        boxes_yxyx, scores, max_outputs: as in `non_max_suppression`; scores must not be negative.
        iou_threshold: boxes with a larger IoU with a kept box of higher score are dropped whatever their score.
        sigma: larger values lower scores less; 0 for hard suppression.
        score_threshold: boxes whose lowered score is not above it are dropped.

    Returns:
        indices: int32 `(B, M)`, into K, in descending order of lowered score; 0 in padding rows.
        lowered: float32 `(B, M)`, the lowered scores; 0 in padding rows.
        valid: bool `(B, M)`, False in padding rows.

    Source: Bodla et al. 2017, Soft-NMS, with the Gaussian.
    """
    op = functools.partial(
        tf.raw_ops.NonMaxSuppressionV5,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
        soft_nms_sigma=sigma,
    )
    return _map_photos(op, boxes_yxyx, scores, max_outputs, (tf.int32, tf.float32, tf.bool))


def _map_photos(op, boxes_yxyx, scores, max_outputs, dtypes):
    """Apply an op to each photo; return its outputs, with zeros in padding rows, and a mask of the other rows."""

    def one_photo(inputs):
        boxes, photo_scores = inputs
        *parts, count = op(boxes=boxes, scores=photo_scores, max_output_size=max_outputs, pad_to_max_output_size=True)
        valid = tf.range(max_outputs) < count
        parts = [tf.ensure_shape(part, [max_outputs]) for part in parts]
        return *(tf.where(valid, part, tf.zeros_like(part)) for part in parts), valid

    batch = boxes_yxyx.shape[0]
    if batch is None:
        outputs = tuple(tf.TensorSpec([max_outputs], dtype) for dtype in dtypes)
        return tf.map_fn(one_photo, (boxes_yxyx, scores), fn_output_signature=outputs)
    # A static batch is unrolled: photos run in parallel, and a batch of one converts to TensorFlow Lite without a loop.
    photos = [one_photo((boxes_yxyx[i], scores[i])) for i in range(batch)]
    return tuple(tf.stack(parts) for parts in zip(*photos, strict=True))
