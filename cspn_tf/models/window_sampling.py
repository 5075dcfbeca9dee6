"""Differentiable sampling of windows from feature maps, with gradients to the map and to the window.

A window is float32 `(4,)`: centre_x, centre_y, width, height, as fractions of the side of its map; (0.5, 0.5, 1, 1) is
the whole map. A view is the content of a window, resampled to a square. Outside its map, a window samples zeros.

The sampling is two products with matrices of triangular weights, which converts to TensorFlow Lite. It is equivalent to
a spatial transformer with scales and shifts.

Letters in shapes: B maps, H, W size of a map, S side of a view, C channels.

Source: Spatial Transformer Networks (Jaderberg et al., 2015), restricted to scales and shifts.
"""

import keras
import tensorflow as tf

# The window that covers the whole map.
WHOLE = (0.5, 0.5, 1.0, 1.0)


def sample_windows(maps, windows, size):
    """Sample each map's window, bilinear and anti-aliased.

    Args:
        maps: `(B, H, W, C)`.
        windows: float32 `(B, 4)`.
        size: side of the views, pixels, a Python int.

    Returns:
        `(B, S, S, C)`, the maps' dtype.
    """
    _, height, width, channels = maps.shape
    centre_x, centre_y, size_x, size_y = tf.unstack(windows, axis=-1)
    rows = tf.cast(_tent_weights(centre_y, size_y, height, size), maps.dtype)
    columns = tf.cast(_tent_weights(centre_x, size_x, width, size), maps.dtype)
    picked = tf.matmul(rows, tf.reshape(maps, [-1, height, width * channels]))
    # (B, S, W, C); next, a product over W for each row.
    picked = tf.transpose(tf.reshape(picked, [-1, size, width, channels]), [0, 2, 1, 3])
    picked = tf.matmul(columns, tf.reshape(picked, [-1, width, size * channels]))
    return tf.transpose(tf.reshape(picked, [-1, size, size, channels]), [0, 2, 1, 3])


def _tent_weights(centres, sizes, length, size):
    """Return float32 `(B, S, length)`: the weight of each map pixel in each view pixel, along one axis; 0 outside."""
    shares = (tf.range(size, dtype=tf.float32) + 0.5) / size - 0.5
    positions = (centres[:, tf.newaxis] + sizes[:, tf.newaxis] * shares) * length - 0.5
    step = tf.maximum(sizes * (length / size), 1.0)[:, tf.newaxis, tf.newaxis]
    distance = tf.abs(positions[..., tf.newaxis] - tf.range(length, dtype=tf.float32))
    weights = tf.maximum(1.0 - distance / step, 0.0)
    total = tf.reduce_sum(weights, axis=-1, keepdims=True)
    inside = (positions >= -0.5) & (positions <= length - 0.5)
    return tf.where(inside[..., tf.newaxis], weights / tf.maximum(total, 1e-6), 0.0)


def compose(outer, inner):
    """Convert windows `inner`, given on the views of windows `outer`, to the map of `outer`; float32 `(..., 4)`."""
    outer_centre, outer_size = tf.split(outer, 2, axis=-1)
    inner_centre, inner_size = tf.split(inner, 2, axis=-1)
    return tf.concat([outer_centre + (inner_centre - 0.5) * outer_size, outer_size * inner_size], axis=-1)


def invert(windows):
    """Return the windows on the views that cover the whole maps; float32 `(..., 4)`; its own inverse."""
    centre, size = tf.split(windows, 2, axis=-1)
    return tf.concat([0.5 + (0.5 - centre) / size, 1.0 / size], axis=-1)


class WindowSampling(keras.layers.Layer):
    """`sample_windows` as a layer, called with maps and windows; the windows stay float32 in mixed precision.

    Args:
        size: side of the views, pixels.
    """

    def __init__(self, size, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.size = size

    def call(self, inputs):
        maps, windows = inputs
        return sample_windows(maps, windows, self.size)
