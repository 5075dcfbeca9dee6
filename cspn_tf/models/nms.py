"""Non-maximum suppression with every shape static, over a batch, in ops that TensorFlow Lite has."""

import tensorflow as tf


def non_max_suppression(boxes_yxyx, scores, max_outputs, iou_threshold):
    """Keep the best-scored boxes that overlap no better kept one by more than a threshold.

    Args:
        boxes_yxyx: float32 `(B, K, 4)`.
        scores: float32 `(B, K)`.
        max_outputs: rows of the result, M.
        iou_threshold: intersection over union above which the worse of two boxes is dropped.

    Returns:
        indices: int32 `(B, M)`, into K, best first; 0 where padding.
        valid: bool `(B, M)`, False where padding.
    """

    def one_photo(inputs):
        boxes, photo_scores = inputs
        indices, count = tf.raw_ops.NonMaxSuppressionV4(
            boxes=boxes,
            scores=photo_scores,
            max_output_size=max_outputs,
            iou_threshold=iou_threshold,
            score_threshold=float("-inf"),
            pad_to_max_output_size=True,
        )
        indices = tf.ensure_shape(indices, [max_outputs])
        valid = tf.range(max_outputs) < count
        return tf.where(valid, indices, 0), valid

    return _of_each_photo(one_photo, boxes_yxyx, scores, max_outputs, (tf.int32, tf.bool))


def soft_non_max_suppression(boxes_yxyx, scores, max_outputs, iou_threshold, sigma, score_threshold):
    """Keep the best-scored boxes, each scored lower for every better kept one that it overlaps.

    A score is multiplied by exp(-iou**2 / (2 * sigma)) for each. Unlike hard suppression it loses no coat for the top
    under it, if that is certain enough.

    Args:
        boxes_yxyx, scores, max_outputs: as of `non_max_suppression`; scores of at least 0.
        iou_threshold: boxes that overlap a better one by more are dropped whatever their score.
        sigma: the larger, the less overlap costs; 0 for hard suppression.
        score_threshold: boxes whose lowered score is not above it are dropped.

    Returns:
        indices: int32 `(B, M)`, into K, by their lowered scores, best first; 0 where padding.
        lowered: float32 `(B, M)`, the lowered scores; 0 where padding.
        valid: bool `(B, M)`, False where padding.

    Source: Bodla et al. 2017, Soft-NMS, with the Gaussian.
    """

    def one_photo(inputs):
        boxes, photo_scores = inputs
        indices, lowered, count = tf.raw_ops.NonMaxSuppressionV5(
            boxes=boxes,
            scores=photo_scores,
            max_output_size=max_outputs,
            iou_threshold=iou_threshold,
            score_threshold=score_threshold,
            soft_nms_sigma=sigma,
            pad_to_max_output_size=True,
        )
        valid = tf.range(max_outputs) < count
        indices, lowered = (tf.ensure_shape(part, [max_outputs]) for part in (indices, lowered))
        return tf.where(valid, indices, 0), tf.where(valid, lowered, 0.0), valid

    return _of_each_photo(one_photo, boxes_yxyx, scores, max_outputs, (tf.int32, tf.float32, tf.bool))


def _of_each_photo(one_photo, boxes_yxyx, scores, max_outputs, dtypes):
    batch = boxes_yxyx.shape[0]
    if batch is None:
        outputs = tuple(tf.TensorSpec([max_outputs], dtype) for dtype in dtypes)
        return tf.map_fn(one_photo, (boxes_yxyx, scores), fn_output_signature=outputs)
    # A static batch is unrolled: its photos run side by side, and a single one converts without a loop.
    photos = [one_photo((boxes_yxyx[i], scores[i])) for i in range(batch)]
    return tuple(tf.stack(parts) for parts in zip(*photos, strict=True))
