"""Looking at a part of a feature map, with gradients to the map and to the choice of the part.

A window is float32 `(4,)`: centre_x, centre_y, width, height, in shares of the side of the map it lies on; (0.5, 0.5,
1, 1) is all of the map. What the window shows, resampled to a square, is a view. A window may reach beyond its map,
where there is nothing: zeros.

The sampling is two products with tent-shaped weight matrices: it converts to TensorFlow Lite, and is what a spatial
transformer with scales and shifts does.

Letters in shapes: B maps, H, W size of a map, S side of a view, C channels.

Source: Spatial Transformer Networks (Jaderberg et al., 2015), restricted to scales and shifts.
"""

import keras
import tensorflow as tf

# All of a map.
WHOLE = (0.5, 0.5, 1.0, 1.0)


def sample_windows(maps, windows, size):
    """Show what lies in each map's window, bilinear and antialiased.

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
    # (B, S, W, C): the columns' product is over W, for each row by itself.
    picked = tf.transpose(tf.reshape(picked, [-1, size, width, channels]), [0, 2, 1, 3])
    picked = tf.matmul(columns, tf.reshape(picked, [-1, width, size * channels]))
    return tf.transpose(tf.reshape(picked, [-1, size, size, channels]), [0, 2, 1, 3])


def _tent_weights(centres, sizes, length, size):
    """Return float32 `(B, S, length)`: what each pixel of one axis gives to each of the view; zeros outside."""
    shares = (tf.range(size, dtype=tf.float32) + 0.5) / size - 0.5
    positions = (centres[:, tf.newaxis] + sizes[:, tf.newaxis] * shares) * length - 0.5
    step = tf.maximum(sizes * (length / size), 1.0)[:, tf.newaxis, tf.newaxis]
    distance = tf.abs(positions[..., tf.newaxis] - tf.range(length, dtype=tf.float32))
    weights = tf.maximum(1.0 - distance / step, 0.0)
    total = tf.reduce_sum(weights, axis=-1, keepdims=True)
    inside = (positions >= -0.5) & (positions <= length - 0.5)
    return tf.where(inside[..., tf.newaxis], weights / tf.maximum(total, 1e-6), 0.0)


def compose(outer, inner):
    """Return the windows on the first map of windows `inner` on the views of windows `outer`; float32 `(..., 4)`."""
    outer_centre, outer_size = tf.split(outer, 2, axis=-1)
    inner_centre, inner_size = tf.split(inner, 2, axis=-1)
    return tf.concat([outer_centre + (inner_centre - 0.5) * outer_size, outer_size * inner_size], axis=-1)


def invert(windows):
    """Return the windows on the views that show all of the maps again; float32 `(..., 4)`; its own inverse."""
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

    def get_config(self):
        return {**super().get_config(), "size": self.size}
