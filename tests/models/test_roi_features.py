"""RoI align and RoI pooling against slow loops written from their definitions."""

import math

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.models.roi_features import pyramid_roi_features, roi_align, roi_pool

STRIDE = 8
HEIGHT, WIDTH, CHANNELS = 9, 12, 3
POOLS = [roi_align, roi_pool]


def bilinear(features, y, x):
    """Return a map's value at y, x, where 0 is the first pixel's centre; outside, its border's."""
    y, x = np.clip(y, 0, len(features) - 1), np.clip(x, 0, features.shape[1] - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, len(features) - 1), min(left + 1, features.shape[1] - 1)
    above = features[top, left] * (1 - (x - left)) + features[top, right] * (x - left)
    below = features[bottom, left] * (1 - (x - left)) + features[bottom, right] * (x - left)
    return above * (1 - (y - top)) + below * (y - top)


def slow_align(features, box, size):
    """Return Mask R-CNN's RoIAlign with half-pixel correction and two by two samples a bin, `(n, n, C)`."""
    y_min, x_min, y_max, x_max = (v / STRIDE - 0.5 for v in box)
    bin_height, bin_width = (y_max - y_min) / size, (x_max - x_min) / size
    result = np.zeros((size, size, features.shape[-1]))
    for row in range(size):
        for column in range(size):
            samples = [
                bilinear(features, y_min + (row + dy) * bin_height, x_min + (column + dx) * bin_width)
                for dy in (0.25, 0.75)
                for dx in (0.25, 0.75)
            ]
            result[row, column] = np.mean(samples, axis=0)
    return result


def slow_pool(features, box, size):
    """Return Fast R-CNN's RoI pooling of a box rounded to whole feature pixels, half open, `(n, n, C)`."""
    y_min, x_min, y_max, x_max = (round(float(v) / STRIDE) for v in box)
    result = np.zeros((size, size, features.shape[-1]))
    for row, rows in enumerate(bins(y_min, y_max, len(features), size)):
        for column, columns in enumerate(bins(x_min, x_max, features.shape[1], size)):
            result[row, column] = features[np.ix_(rows, columns)].max(axis=(0, 1))
    return result


def bins(start, end, length, size):
    """Return the pixels of each bin; whole numbers, so that no bin's end is a matter of rounding."""
    extent = max(end - start, 1)
    for index in range(size):
        first = start + index * extent // size
        last = start - (-(index + 1) * extent // size)
        # A box of no size at the far border rounds to the pixel past the last: it means the last.
        yield sorted({min(max(pixel, 0), length - 1) for pixel in range(first, last)})


SLOW = {roi_align: slow_align, roi_pool: slow_pool}


def some_features(seed=0, height=HEIGHT, width=WIDTH):
    return np.random.default_rng(seed).normal(0, 1, (2, height, width, CHANNELS)).astype("float32")


def some_boxes(seed=0):
    """Return random boxes of every size and the awkward ones, `(2, R, 4)`, none with a side that rounds two ways."""
    random = np.random.default_rng(seed)
    high = np.array([HEIGHT, WIDTH, HEIGHT, WIDTH]) * STRIDE
    corners = random.uniform(0, 1, (2, 30, 2, 2)) * high[:2]
    boxes = np.concatenate([corners.min(axis=2), corners.max(axis=2)], axis=-1)
    full_y, full_x = high[0], high[1]
    awkward = [
        [0, 0, full_y, full_x],
        [0, 0, 1, 1],
        [full_y - 1, full_x - 1, full_y, full_x],
        [0, full_x - 3, full_y, full_x],
        [full_y, full_x, full_y, full_x],
        [0, 0, 0, 0],
        [33, 41, 33.5, 41.5],
        [16, 16, 24, 24],
        [16, 8, 72, 64],
        [9, 0, 10, full_x],
    ]
    return np.concatenate([boxes, [awkward, awkward]], axis=1).astype("float32")


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("size", [1, 2, 5, 7])
def test_equals_the_definition(pool, size):
    features, boxes = some_features(), some_boxes(size)
    result = pool(tf.constant(features), tf.constant(boxes), size, float(STRIDE))
    assert result.shape == (2, boxes.shape[1], size, size, CHANNELS)
    for photo in range(2):
        for region, box in enumerate(boxes[photo]):
            expected = SLOW[pool](features[photo], box, size)
            np.testing.assert_allclose(result[photo, region], expected, atol=2e-5, err_msg=f"box {box}")


def test_aligns_on_pixel_centres():
    # One pixel of stride 8, cut out exactly, gives its own value: samples lie inside it, a quarter off its centre.
    features = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    box = tf.constant([[[8.0, 16.0, 16.0, 24.0]]])
    assert roi_align(tf.constant(features), box, 1, 8.0).numpy().item() == pytest.approx(features[0, 1, 2, 0])
    assert roi_pool(tf.constant(features), box, 1, 8.0).numpy().item() == features[0, 1, 2, 0]


@pytest.mark.parametrize("size, extent", [(7, 49), (7, 35), (3, 9), (6, 7)])
def test_pooling_takes_exactly_the_bin_where_the_box_divides(size, extent):
    # A ramp: the maximum of a bin is its last pixel.
    ramp = tf.reshape(tf.range(64.0), [1, 64, 1, 1]) * tf.ones([1, 64, 64, 1])
    result = roi_pool(ramp, tf.constant([[[0.0, 0.0, extent, extent]]]), size, 1.0)[0, 0, :, 0, 0]
    assert result.numpy().tolist() == [math.ceil((index + 1) * extent / size) - 1 for index in range(size)]


@pytest.mark.parametrize("pool", POOLS)
def test_works_with_an_unknown_batch(pool):
    features, boxes = some_features(), some_boxes()

    @tf.function(input_signature=[tf.TensorSpec((None, *features.shape[1:])), tf.TensorSpec((None, *boxes.shape[1:]))])
    def unknown(features, boxes):
        result = pool(features, boxes, 5, float(STRIDE))
        assert result.shape == (None, boxes.shape[1], 5, 5, CHANNELS)
        return result

    np.testing.assert_allclose(unknown(features, boxes), pool(features, boxes, 5, float(STRIDE)), atol=1e-6)


@pytest.mark.parametrize("pool", POOLS)
def test_gradients_reach_the_features_and_are_finite(pool):
    features, boxes = tf.constant(some_features()), tf.constant(some_boxes())
    with tf.GradientTape() as tape:
        tape.watch(features)
        total = tf.reduce_sum(pool(features, boxes, 5, float(STRIDE)))
    gradient = tape.gradient(total, features)
    assert np.isfinite(gradient).all()
    # Each value of the result is a mean or a maximum of features, whose weights sum to one.
    assert tf.reduce_sum(gradient).numpy() == pytest.approx(2 * boxes.shape[1] * 25 * CHANNELS, rel=1e-4)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("size", [5, 7])
def test_converts_to_tflite_builtins_with_the_same_numbers(pool, size, run_tflite):
    features, boxes = some_features()[:1], some_boxes()[:1]
    (found,) = run_tflite(lambda f, b: pool(f, b, size, float(STRIDE)), features, boxes)
    expected = pool(tf.constant(features), tf.constant(boxes), size, float(STRIDE))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found) > 1.0


# Levels --------------------------------------------------------------------------------------------------------------


def level_of(box, strides=(8, 16, 32), size=7):
    """Return the level a box is taken from: each level's map holds its own number."""
    features = [tf.fill([1, 256 // stride, 256 // stride, 1], float(level)) for level, stride in enumerate(strides)]
    result = pyramid_roi_features(features, tf.constant([[box]], tf.float32), size, list(strides), roi_align).numpy()
    assert np.ptp(result) == 0.0
    return result.ravel()[0]


@pytest.mark.parametrize(
    "height, width, level",
    [
        # Side sqrt(h * w) over 8 * 7 = 56: below 2 the first level, below 4 the second, the third from there on.
        (1, 1, 0),
        (56, 56, 0),
        (111, 111, 0),
        (113, 113, 1),
        (200, 62, 0),
        (200, 64, 1),
        (223, 223, 1),
        (226, 226, 2),
        (250, 240, 2),
        (0, 0, 0),
    ],
)
def test_takes_each_region_from_the_level_of_its_size(height, width, level):
    assert level_of([2.0, 3.0, 2.0 + height, 3.0 + width]) == level


def test_the_coarsest_level_takes_all_larger_ones_and_one_level_takes_all():
    assert level_of([0.0, 0.0, 256.0, 256.0], size=2) == 2
    assert level_of([0.0, 0.0, 256.0, 256.0], strides=(16,)) == 0
    assert level_of([0.0, 0.0, 3.0, 3.0], strides=(16,)) == 0


@pytest.mark.parametrize("pool", POOLS)
def test_regions_of_one_photo_come_from_different_levels(pool):
    fine, coarse = some_features(1), some_features(2, 5, 6)
    boxes = np.float32([[[4, 5, 30, 40], [0, 0, 70, 90], [8, 8, 20, 30]]] * 2)
    result = pyramid_roi_features([tf.constant(fine), tf.constant(coarse)], tf.constant(boxes), 4, [8, 16], pool)
    # Sides are about 30, 79 and 16; the border between levels is at 2 * 8 * 4 = 64.
    wanted = [(fine, 8.0), (coarse, 16.0), (fine, 8.0)]
    for region, (features, stride) in enumerate(wanted):
        expected = pool(tf.constant(features), tf.constant(boxes[:, region : region + 1]), 4, stride)[:, 0]
        np.testing.assert_allclose(result[:, region], expected, atol=1e-6)
