"""The codec between keypoints and heatmaps.

Encoding draws a Gaussian of peak 1 at the keypoint's unrounded position. Decoding finds the highest pixel, then refines
the peak's position to sub-pixel precision by one of several methods.
"""

import math

import tensorflow as tf

from cspn_tf import geometry

# Added to the values whose logarithm the refinement takes; least curvature and determinant it divides by.
_FLOOR = 1e-6

# Standard deviation of the Gaussian blur of "dark", heatmap pixels.
_BLUR_SIGMA = 0.8


def encode(keypoints_xy_crop, crop_size, stride, sigma):
    """Draw keypoints as heatmaps.

    Args:
        keypoints_xy_crop: float32 `(..., K, 2)`, crop pixels; of a keypoint outside the crop, only the Gaussian's tail
            is drawn.
        crop_size: side of the crop, pixels.
        stride: crop pixels per heatmap pixel.
        sigma: the Gaussian's standard deviation, heatmap pixels; a number, or one for each of K keypoints.

    Returns:
        float32 `(..., H, H, K)` with H = crop_size // stride, in [0, 1].
    """
    points = geometry.crop_to_heatmap(keypoints_xy_crop, stride)
    index = tf.range(crop_size // stride, dtype=tf.float32)
    sigma = tf.constant(sigma, tf.float32)

    def profile(coordinates):
        # (..., H, K)
        distance = index[:, tf.newaxis] - coordinates[..., tf.newaxis, :]
        return tf.exp(-0.5 * tf.square(distance / sigma))

    rows, columns = profile(points[..., 1]), profile(points[..., 0])
    return rows[..., :, tf.newaxis, :] * columns[..., tf.newaxis, :, :]


def decode(heatmaps, stride, *, subpixel="parabola", offsets=None):
    """Find each heatmap's highest point.

    Args:
        heatmaps: float32 `(B, H, H, K)`, any values.
        stride: crop pixels per heatmap pixel.
        subpixel: refinement of the highest pixel's position, one of `cspn_tf.config.SUBPIXELS`:
            "none": no refinement.
            "parabola": move to the maximum of the parabola through the logarithms of the pixel and its neighbours,
                separately on each axis, by at most half a pixel. Exact for an axis-aligned Gaussian.
            "dark": blur the map by a truncated Gaussian, then take one Newton step on its logarithm, with the mixed
                derivative, by at most one pixel. Handles tilted and noisy peaks.
        offsets: float32 `(B, H, H, 2 * K)`, x of the K keypoints, then y, in heatmap pixels from a pixel's centre to
            the keypoint; the offsets at the highest pixel replace `subpixel`. None if the network has no offset head.

    Returns:
        keypoints_xy_crop: float32 `(B, K, 2)`, crop pixels.
        scores: float32 `(B, K)`, the value of the highest pixel, clipped to [0, 1].

    Source: "dark" follows Distribution-Aware coordinate Representation of Keypoints (Zhang et al., 2020).
    """
    height, width = heatmaps.shape[1:3]
    flat = _flattened(heatmaps)
    best = tf.argmax(flat, axis=-1, output_type=tf.int32)
    scores = tf.clip_by_value(tf.reduce_max(flat, axis=-1), 0.0, 1.0)
    row, column = best // width, best % width
    if offsets is not None:
        picked = _at(_flattened(offsets), tf.concat([best, best], axis=-1))
        step_x, step_y = tf.split(picked, 2, axis=-1)
    elif subpixel == "none":
        step_x, step_y = 0.0, 0.0
    else:
        # `height_at` clips indices to the map: beyond the border it reads the border pixel.
        source = _flattened(_smoothed(heatmaps)) if subpixel == "dark" else flat

        def height_at(down, right):
            rows = tf.clip_by_value(row + down, 0, height - 1)
            columns = tf.clip_by_value(column + right, 0, width - 1)
            # In a maximum with it, TensorFlow Lite would round the bound to 8 bits, like the map: to 0.
            return tf.math.log(tf.nn.relu(_at(source, rows * width + columns)) + _FLOOR)

        refine = _newton_step if subpixel == "dark" else _parabola_steps
        step_x, step_y = refine(height_at)
        # No refinement at the border, where a neighbour is missing.
        step_x *= tf.cast((column > 0) & (column < width - 1), tf.float32)
        step_y *= tf.cast((row > 0) & (row < height - 1), tf.float32)
    points = tf.stack([tf.cast(column, tf.float32) + step_x, tf.cast(row, tf.float32) + step_y], axis=-1)
    return geometry.heatmap_to_crop(points, stride), scores


def _flattened(maps):
    """Reshape maps `(B, H, W, K)` to `(B, K, H * W)`."""
    height, width, num = maps.shape[1:]
    return tf.reshape(tf.transpose(maps, [0, 3, 1, 2]), [-1, num, height * width])


def _at(flat, index):
    """Pick one value of each map: `(B, K, H * W)` and int32 `(B, K)` to `(B, K)`."""
    return tf.gather(flat, index[..., tf.newaxis], batch_dims=2)[..., 0]


def _parabola_steps(height_at):
    here = height_at(0, 0)

    def step(before, after):
        # Bounded away from 0, so that a flat top gives an offset of 0.
        curvature = tf.minimum(before + after - 2.0 * here, -_FLOOR)
        return tf.clip_by_value(0.5 * (before - after) / curvature, -0.5, 0.5)

    return step(height_at(0, -1), height_at(0, 1)), step(height_at(-1, 0), height_at(1, 0))


def _newton_step(height_at):
    here, left, right = height_at(0, 0), height_at(0, -1), height_at(0, 1)
    above, below = height_at(-1, 0), height_at(1, 0)
    slope_x, slope_y = 0.5 * (right - left), 0.5 * (below - above)
    curve_x, curve_y = right + left - 2.0 * here, below + above - 2.0 * here
    mixed = 0.25 * (height_at(1, 1) + height_at(-1, -1) - height_at(1, -1) - height_at(-1, 1))
    determinant = curve_x * curve_y - mixed**2
    # Newton's step leads to a maximum only if the Hessian is negative definite.
    is_top = tf.cast((determinant > _FLOOR) & (curve_x < 0), tf.float32)
    scale = is_top / tf.maximum(determinant, _FLOOR)
    step_x = scale * (mixed * slope_y - curve_y * slope_x)
    step_y = scale * (mixed * slope_x - curve_x * slope_y)
    return tf.clip_by_value(step_x, -1.0, 1.0), tf.clip_by_value(step_y, -1.0, 1.0)


def _smoothed(maps):
    """Blur maps `(B, H, W, K)` by a Gaussian of `_BLUR_SIGMA`, truncated at two pixels, with mirrored borders."""
    num = maps.shape[-1]
    kernel = [math.exp(-0.5 * (offset / _BLUR_SIGMA) ** 2) for offset in range(-2, 3)]
    kernel = tf.constant([value / sum(kernel) for value in kernel], tf.float32)
    square = tf.tile((kernel[:, tf.newaxis] * kernel)[..., tf.newaxis, tf.newaxis], [1, 1, num, 1])
    mirrored = tf.pad(maps, [[0, 0], [2, 2], [2, 2], [0, 0]], mode="SYMMETRIC")
    return tf.nn.depthwise_conv2d(mirrored, square, strides=[1, 1, 1, 1], padding="VALID")
