"""Rotation and smooth warp ("bend") of the cloth, in one resampling, with the keypoints moved by the same map.

The bend displaces every point by a cubic B-spline surface over `NUM_BEND_CONTROLS` squared random control points.
With control values of at most `a` and `h` between control points, the surface's partial derivatives are at most
2 a / h, so that it is Lipschitz in the maximum norm with L = 4 a / h. With L below 1 the map is one-to-one, and the new
position of a point is found by fixed-point iteration of a contraction.

::

    crop before   ->  turn: t = R (p - c) + c      positive angles turn x towards y, clockwise on screen
                  ->  bend: q - d(q) = t           the pixel at q is read from q - d(q): `dense_image_warp`'s sign

Letters in shapes: C side of the crop, W side of the crop with its border, P points, K `NUM_BEND_CONTROLS`.
"""

import math

import tensorflow as tf
import tensorflow_addons as tfa

from cspn_tf import geometry
from cspn_tf.contract import PAD_VALUE
from cspn_tf.data.augmentation.ranges import around_zero

ROTATION_CHANCE = 0.6
MAX_ANGLE = math.radians(25.0)  # largest rotation either way

BEND_CHANCE = 0.25
NUM_BEND_INTERVALS = 2  # between control points, over the crop's side
BEND_STRETCH = 0.6  # L above
BEND_REACH = BEND_STRETCH / 4.0 / NUM_BEND_INTERVALS  # largest displacement of a control point over the crop's side
# The error starts below `BEND_REACH` and shrinks at least by the factor `BEND_STRETCH` per iteration.
NUM_BEND_ITERATIONS = 12

# A cubic spline needs one more control point beyond either end.
NUM_BEND_CONTROLS = NUM_BEND_INTERVALS + 3
NUM_BEND_NUMBERS = 2 * NUM_BEND_CONTROLS**2

# Border cut out around a crop before rotation, as a fraction of its side, so that its corners show the photo and not
# padding: half of (cos + sin - 1) at the largest angle is 0.165.
_BORDER = 1 / 6


def cut_garment(example, *, crop_size):
    """Cut a garment's crop out of its canvas, rotated and bent if so drawn, with the keypoints.

    Needs:
        pyramid: `CanvasPyramid` of the canvas.
        window: float32 `(3,)`, canvas pixels.
        keypoints_xy_canvas: float32 `(8, 2)`.
        draws: of the garment.

    Adds:
        image: float32 `(C, C, 3)`, 0 to 255.
        keypoints_xy_crop: float32 `(8, 2)`.
    """
    draws, window = example["draws"], example["window"]
    is_turned, is_bent = draws["turned"] < ROTATION_CHANCE, draws["bent"] < BEND_CHANCE
    angle = tf.where(is_turned, around_zero(draws["angle"], MAX_ANGLE), 0.0)
    controls = bend_controls(draws["bend"], crop_size)

    border = round(_BORDER * crop_size)

    def cut(border):
        wide = tf.concat([window[:2], window[2:] * (1 + 2 * border / crop_size)], axis=0)
        return example["pyramid"].crop(wide, crop_size + 2 * border)

    def deformed():
        picture = cut(border)
        return tf.cond(
            is_bent,
            lambda: turn_and_bend(picture, angle, controls, border),
            lambda: turn(picture, angle, border),
        )

    points = turn_points(geometry.canvas_to_crop(example["keypoints_xy_canvas"], window, crop_size), angle, crop_size)
    return {
        **example,
        "image": tf.cond(is_turned | is_bent, deformed, lambda: cut(0)),
        "keypoints_xy_crop": tf.cond(is_bent, lambda: bend_points(points, controls, crop_size), lambda: points),
    }


# Turn ----------------------------------------------------------------------------------------------------------------


def turn(picture, angle, border):
    """Rotate an image about its centre and remove the border, bilinear.

    Args:
        picture: float32 `(W, W, 3)`.
        angle: float32 scalar, radians.
        border: pixels, a Python int, with C = W - 2 * border.

    Returns:
        float32 `(C, C, 3)`; `PAD_VALUE` where the border was too small.
    """
    size = picture.shape[0] - 2 * border
    # The source positions of pixels (0, 0), (1, 0) and (0, 1) determine the three columns of the affine map.
    origin, end_x, end_y = tf.unstack(turn_points(tf.constant([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), -angle, size))
    matrix = tf.stack([end_x - origin, end_y - origin, origin + border], axis=1)
    row = tf.concat([tf.reshape(matrix, [6]), [0.0, 0.0]], axis=0)
    turned = tfa.image.transform(
        picture, row, interpolation="bilinear", fill_value=PAD_VALUE, output_shape=[size, size]
    )
    return tf.ensure_shape(turned, [size, size, 3])


def turn_points(points_xy, angle, size):
    """Map points float32 `(P, 2)` by the crop's rotation; with the negative angle, by its inverse."""
    cosine, sine, centre = tf.cos(angle), tf.sin(angle), (size - 1) / 2
    rotation = tf.stack([tf.stack([cosine, -sine]), tf.stack([sine, cosine])])
    return tf.matmul(points_xy - centre, rotation, transpose_b=True) + centre


# Bend ----------------------------------------------------------------------------------------------------------------


def bend_controls(uniform, size):
    """Return the displacements of the control points, pixels, float32 `(K, K, 2)`, rows first, x before y.

    Args:
        uniform: float32 `(NUM_BEND_NUMBERS,)` in [0, 1); 0.5 means no displacement.
        size: C.
    """
    return tf.reshape(around_zero(uniform, BEND_REACH * size), [NUM_BEND_CONTROLS, NUM_BEND_CONTROLS, 2])


def turn_and_bend(picture, angle, controls, border):
    """Rotate an image about its centre, bend it and remove the border, bilinear.

    Args:
        picture, angle, border: as in `turn`.
        controls: from `bend_controls`.

    Returns:
        float32 `(C, C, 3)`; edge pixels are replicated where the border was too small.
    """
    size = picture.shape[0] - 2 * border
    index = tf.range(size, dtype=tf.float32)
    grid_xy = tf.stack(tf.meshgrid(index, index), axis=-1)
    weights = _spline_weights(index, size)
    # (C, K) @ (K, K * 2), then the columns likewise.
    rows = tf.reshape(tf.matmul(weights, tf.reshape(controls, [NUM_BEND_CONTROLS, -1])), [size, -1, 2])
    displacement = tf.matmul(tf.tile(weights[tf.newaxis], [size, 1, 1]), rows)
    come_from = turn_points(tf.reshape(grid_xy - displacement, [-1, 2]), -angle, size)
    # The op takes (row, column) and a flow of the image's size; the border is cut off below, so its flow is zero.
    flow_yx = tf.reverse(grid_xy - tf.reshape(come_from, [size, size, 2]), [-1])
    flow_yx = tf.pad(flow_yx, [[border, border], [border, border], [0, 0]])
    bent = tfa.image.dense_image_warp(picture[tf.newaxis], flow_yx[tf.newaxis])[0]
    return tf.ensure_shape(bent[border : border + size, border : border + size], [size, size, 3])


def bend_points(points_xy, controls, size):
    """Map points p, float32 `(P, 2)`, by the crop's bend: to the q with q - displacement(q) = p."""
    moved = points_xy
    for _ in range(NUM_BEND_ITERATIONS):
        moved = points_xy + bend_displacement(moved, controls, size)
    return moved


def bend_displacement(points_xy, controls, size):
    """Return the displacement at points, float32 `(P, 2)`; outside the crop, that of the nearest edge."""
    weights = _spline_weights(points_xy[:, 0], size)[:, tf.newaxis] * _spline_weights(points_xy[:, 1], size)[..., None]
    flat = tf.reshape(weights, [-1, NUM_BEND_CONTROLS**2])
    return tf.matmul(flat, tf.reshape(controls, [NUM_BEND_CONTROLS**2, 2]))


def _spline_weights(positions, size):
    """Return the B-spline weights of the control points at positions along one axis, float32 `(P, K)`, row sums 1."""
    # In units of the distance between control points; the first lies one unit before the crop's edge.
    position = tf.clip_by_value((positions + 0.5) / size, 0.0, 1.0) * NUM_BEND_INTERVALS
    distance = tf.abs(position[:, tf.newaxis] - (tf.range(NUM_BEND_CONTROLS, dtype=tf.float32) - 1.0))
    near = 2.0 / 3.0 - distance**2 * (1.0 - distance / 2.0)
    far = tf.maximum(2.0 - distance, 0.0) ** 3 / 6.0
    return tf.where(distance < 1.0, near, far)
