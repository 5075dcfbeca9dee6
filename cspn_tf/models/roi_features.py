"""Fixed-size features of regions of interest: RoI align and the paper's RoI pooling, with static shapes.

Boxes here are in KerasCV's edge frame: y_min, x_min, y_max, x_max in input pixels, where an image of width W spans
0 to W.

Letters in shapes: B photos, R regions, H, W a feature map's size, C channels, n the side of the result.
"""

import functools

import tensorflow as tf

# Samples per bin and axis in RoI align, as in common implementations.
_SAMPLES = 2


def roi_align(features, boxes_yxyx, size, stride):
    """Average 2x2 bilinear samples in each bin, without rounding.

    Sampling and averaging are both separable, so this is two matrix products, rows then columns; it needs no gather
    and converts to TensorFlow Lite. Samples outside the map take the value at its border.

    Args:
        features: `(B, H, W, C)`.
        boxes_yxyx: float32 `(B, R, 4)`.
        size: side n of the result.
        stride: input pixels per feature pixel.

    Returns:
        `(B, R, n, n, C)`, the features' dtype.

    Source: Mask R-CNN, section 3.
    """
    _, height, width, channels = features.shape
    num = boxes_yxyx.shape[1]
    y_min, x_min, y_max, x_max = tf.unstack(boxes_yxyx / stride, axis=-1)
    rows = tf.cast(_sampling_weights(y_min, y_max, height, size), features.dtype)
    columns = tf.cast(_sampling_weights(x_min, x_max, width, size), features.dtype)
    flat = tf.reshape(features, [-1, height, width * channels])
    picked = tf.matmul(tf.reshape(rows, [-1, num * size, height]), flat)
    # (B, R, n, W, C); next, a product over the columns for every region and row.
    picked = tf.reshape(picked, [-1, num, size, width, channels])
    columns = tf.tile(columns[:, :, tf.newaxis], [1, 1, size, 1, 1])
    picked = tf.matmul(
        tf.reshape(columns, [-1, num * size, size, width]), tf.reshape(picked, [-1, num * size, width, channels])
    )
    return tf.reshape(picked, [-1, num, size, size, channels])


def _sampling_weights(start, end, length, size):
    """Return float32 `(B, R, n, length)`: the weight of each feature pixel in each bin, along one axis."""
    samples = (tf.range(size * _SAMPLES, dtype=tf.float32) + 0.5) / (size * _SAMPLES)
    positions = start[..., tf.newaxis] + (end - start)[..., tf.newaxis] * samples - 0.5
    positions = tf.clip_by_value(positions, 0.0, length - 1.0)
    distance = tf.abs(positions[..., tf.newaxis] - tf.range(length, dtype=tf.float32))
    weights = tf.maximum(1.0 - distance, 0.0)
    weights = tf.reshape(weights, [-1, start.shape[1], size, _SAMPLES, length])
    return tf.reduce_mean(weights, axis=3)


def roi_pool(features, boxes_yxyx, size, stride):
    """Take the maximum in each bin of boxes rounded to whole feature pixels, as Fast R-CNN and the paper do.

    The maximum over a rectangle is computed over rows, then over columns. Each is taken over a fixed number of
    candidates that covers the largest possible bin; candidates past a bin's end repeat its last pixel.

    Args and returns: as in `roi_align`.

    Source: Fast R-CNN, section 2.1.
    """
    _, height, width, channels = features.shape
    num = boxes_yxyx.shape[1]
    corners = tf.cast(tf.round(boxes_yxyx / stride), tf.int32)
    y_min, x_min, y_max, x_max = tf.unstack(corners, axis=-1)
    rows = [tf.reshape(index, [-1, num * size]) for index in _bin_candidates(y_min, y_max, height, size)]
    by_rows = functools.reduce(tf.maximum, (tf.gather(features, index, axis=1, batch_dims=1) for index in rows))
    # Each region's column indices, repeated for each of its rows.
    columns = [
        tf.reshape(tf.tile(index[:, :, tf.newaxis], [1, 1, size, 1]), [-1, num * size, size])
        for index in _bin_candidates(x_min, x_max, width, size)
    ]
    result = functools.reduce(tf.maximum, (tf.gather(by_rows, index, axis=2, batch_dims=2) for index in columns))
    return tf.reshape(result, [-1, num, size, size, channels])


def _bin_candidates(start, end, length, size):
    """Return index tensors, int32 `(B, R, n)` each, that together cover every pixel of every bin along one axis.

    Integers, because TensorFlow Lite divides floats by a constant inexactly, and a bin would gain or lose a pixel.
    """
    extent = tf.maximum(end - start, 1)[..., tf.newaxis]
    bins = tf.range(size)
    first = start[..., tf.newaxis] + bins * extent // size
    last = start[..., tf.newaxis] + ((bins + 1) * extent - 1) // size
    first, last = (tf.clip_by_value(v, 0, length - 1) for v in (first, last))
    largest_bin = -(-length // size) + 1
    return [tf.minimum(first + step, last) for step in range(largest_bin)]


def pyramid_roi_features(features, boxes_yxyx, size, strides, pool):
    """Compute each region's features from the pyramid level that fits its size.

    Args:
        features: list of `(B, H_l, W_l, C)`, finest first.
        boxes_yxyx: float32 `(B, R, 4)`.
        size: side n of the result.
        strides: list of the levels' strides, input pixels.
        pool: `roi_align` or `roi_pool`.

    Returns:
        `(B, R, n, n, C)`.

    Source: Feature Pyramid Networks, equation 1; here a region spans about `size` to `2 * size` pixels of its level.
    """
    height = boxes_yxyx[..., 2] - boxes_yxyx[..., 0]
    width = boxes_yxyx[..., 3] - boxes_yxyx[..., 1]
    side = tf.sqrt(tf.maximum(height * width, 1e-6))
    level = tf.floor(tf.math.log(side / (strides[0] * size)) / tf.math.log(2.0))
    level = tf.clip_by_value(level, 0.0, len(features) - 1.0)
    total = None
    for index, (map_, stride) in enumerate(zip(features, strides, strict=True)):
        chosen = tf.cast(tf.equal(level, float(index)), map_.dtype)[..., tf.newaxis, tf.newaxis, tf.newaxis]
        picked = pool(map_, boxes_yxyx, size, float(stride)) * chosen
        total = picked if total is None else total + picked
    return total
