"""Every map by hand, and with its inverse. That the light goes there too is for `test_resampling`."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cspn_tf import geometry

# (height, width, canvas size): exact, not dividing, enlarged, one pixel thin, one pixel.
SIZES = [(200, 300, 96), (197, 301, 96), (301, 197, 64), (37, 23, 64), (1, 50, 32), (50, 1, 32), (1, 1, 32)]

few = settings(deadline=None, max_examples=40)
sides = st.integers(1, 4000)
coordinates = st.floats(-100, 4100, width=32)


# Letterbox -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "height, width, canvas, transform",
    [
        # Half the size: pixels 0 and 1 (centre 0.5) become pixel 0, so x -> x / 2 - 0.25. In height, 50 rows are
        # centred in 100: 25 above.
        (100, 200, 100, [0.5, -0.25, 24.75]),
        (200, 100, 100, [0.5, 24.75, -0.25]),
        (64, 64, 64, [1.0, 0.0, 0.0]),
        # Twice the size: pixel 0 becomes pixels 0 and 1.
        (32, 32, 64, [2.0, 0.5, 0.5]),
        (1, 1, 32, [32.0, 15.5, 15.5]),
        # A row of 4 is a square with one row above it and two below; in a canvas of 8 it is on rows 2 and 3.
        (1, 4, 8, [2.0, 0.5, 2.5]),
    ],
)
def test_letterbox_transform_by_hand(height, width, canvas, transform):
    np.testing.assert_allclose(geometry.letterbox_transform(height, width, canvas), transform, atol=1e-6)


@pytest.mark.parametrize("height, width, canvas", SIZES)
def test_edges_of_the_photo_go_to_the_edges_of_the_canvas(height, width, canvas):
    transform = geometry.letterbox_transform(height, width, canvas)
    corners = tf.constant([[-0.5, -0.5], [width - 0.5, height - 0.5]])
    (left, top), (right, bottom) = geometry.photo_to_canvas(corners, transform).numpy()
    longest = max(height, width)
    assert right - left == pytest.approx(canvas * width / longest, abs=1e-3)
    assert bottom - top == pytest.approx(canvas * height / longest, abs=1e-3)
    # As much padding on one side as on the other, or a pixel of the photo less on the left and above.
    step = canvas / longest
    assert canvas - 0.5 - right - (left + 0.5) == pytest.approx((longest - width) % 2 * step, abs=1e-3)
    assert canvas - 0.5 - bottom - (top + 0.5) == pytest.approx((longest - height) % 2 * step, abs=1e-3)


def test_letterbox_padding_makes_a_square_around_the_middle():
    np.testing.assert_array_equal(geometry.letterbox_padding(3, 8), [[2, 3], [0, 0]])
    np.testing.assert_array_equal(geometry.letterbox_padding(9, 5), [[0, 0], [2, 2]])
    np.testing.assert_array_equal(geometry.letterbox_padding(7, 7), np.zeros((2, 2)))


@pytest.mark.parametrize("ratio", [1, 2, 8])
def test_transform_of_a_whole_photo_is_that_of_the_shrunk_one_where_sizes_divide(ratio):
    shrunk = geometry.letterbox_transform(30, 20, 64)
    whole = geometry.letterbox_transform(30 * ratio, 20 * ratio, 64)
    np.testing.assert_allclose(geometry.transform_of_whole(shrunk, ratio), whole, rtol=1e-6)


def test_transform_of_a_whole_photo_by_hand():
    # Shrunk by 4, the photo's pixels 0 to 3 (centre 1.5) are pixel 0, which goes to 10.
    transform = geometry.transform_of_whole(tf.constant([2.0, 10.0, 20.0]), 4)
    points = tf.constant([[1.5, 1.5], [5.5, 9.5]])
    np.testing.assert_allclose(geometry.photo_to_canvas(points, transform), [[10, 20], [12, 24]], atol=1e-5)


def test_points_follow_the_transform_by_hand():
    transform = tf.constant([0.5, -0.25, 24.75])
    points = tf.constant([[0.5, 0.5], [-0.5, 99.5], [199.5, 0.0]])
    expected = [[0.0, 25.0], [-0.5, 74.5], [99.5, 24.75]]
    np.testing.assert_allclose(geometry.photo_to_canvas(points, transform), expected, atol=1e-5)
    np.testing.assert_allclose(geometry.canvas_to_photo(tf.constant(expected), transform), points, atol=1e-5)


def test_each_photo_of_a_batch_follows_its_own_transform():
    transforms = tf.stack([geometry.letterbox_transform(100, 200, 100), geometry.letterbox_transform(32, 32, 64)])
    points = tf.constant([[[0.5, 0.5], [1.0, 2.0]], [[0.5, 0.5], [1.0, 2.0]]])
    mapped = geometry.photo_to_canvas(points, transforms)
    np.testing.assert_allclose(mapped, [[[0.0, 25.0], [0.25, 25.75]], [[1.5, 1.5], [2.5, 4.5]]], atol=1e-5)
    np.testing.assert_allclose(geometry.canvas_to_photo(mapped, transforms), points, atol=1e-5)


@few
@given(sides, sides, st.integers(32, 1024), coordinates, coordinates)
def test_photo_to_canvas_and_back_is_the_identity(height, width, canvas, x, y):
    transform = geometry.letterbox_transform(height, width, canvas)
    points = tf.constant([[x, y]], tf.float32)
    back = geometry.canvas_to_photo(geometry.photo_to_canvas(points, transform), transform)
    # float32 has 24 bits: an offset of canvas pixels, seen through the scale, rounds away so much of a photo pixel.
    longest = max(height, width)
    np.testing.assert_allclose(back, points, atol=1e-6 * max(1, longest, abs(x), abs(y)))


# Boxes ---------------------------------------------------------------------------------------------------------------


def test_corners_of_boxes_and_back():
    boxes = tf.constant([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]])
    corners = geometry.boxes_to_corners(boxes)
    np.testing.assert_array_equal(corners, [[[1, 2], [3, 4], [5, 6], [7, 8]]])
    np.testing.assert_array_equal(geometry.corners_to_boxes(corners), boxes)


def test_corners_of_no_boxes():
    corners = geometry.boxes_to_corners(tf.zeros([2, 0, 4]))
    assert corners.shape == (2, 0, 2)
    assert geometry.corners_to_boxes(corners).shape == (2, 0, 4)


def test_swapping_axes_twice_is_the_identity():
    boxes = tf.constant([[1.0, 2.0, 3.0, 4.0]])
    np.testing.assert_array_equal(geometry.swap_box_axes(boxes), [[2, 1, 4, 3]])
    np.testing.assert_array_equal(geometry.swap_box_axes(geometry.swap_box_axes(boxes)), boxes)


def test_boxes_are_clipped_to_the_picture():
    boxes = tf.constant([[-3.0, -4.0, 500.0, 600.0], [10.0, 20.0, 30.0, 40.0], [300.0, 1.0, 400.0, 2.0]])
    clipped = geometry.clip_boxes(boxes, 100, 200)
    np.testing.assert_array_equal(clipped, [[0, 0, 199, 99], [10, 20, 30, 40], [199, 1, 199, 2]])


def test_clipping_and_mirroring_may_change_places():
    boxes = tf.constant([[-3.0, 5.0, 500.0, 60.0], [190.0, 1.0, 210.0, 2.0]])
    one_way = geometry.mirror_boxes(geometry.clip_boxes(boxes, 100, 200), 200)
    np.testing.assert_array_equal(one_way, geometry.clip_boxes(geometry.mirror_boxes(boxes, 200), 100, 200))


def test_boxes_of_each_photo_are_clipped_to_its_own_size():
    boxes = tf.constant([[[0.0, 0.0, 99.0, 99.0]], [[0.0, 0.0, 99.0, 99.0]]])
    clipped = geometry.clip_boxes(boxes, tf.constant([[50], [20]]), tf.constant([[40], [200]]))
    np.testing.assert_array_equal(clipped, [[[0, 0, 39, 49]], [[0, 0, 99, 19]]])


# Windows -------------------------------------------------------------------------------------------------------------


def test_windows_by_hand():
    boxes = tf.constant([[10.0, 20.0, 30.0, 60.0], [0.0, 0.0, 8.0, 4.0], [5.0, 5.0, 5.0, 5.0]])
    windows = geometry.crop_windows(boxes, 1.25)
    # An empty box gives one pixel.
    np.testing.assert_allclose(windows, [[20, 40, 50], [4, 2, 10], [5, 5, 1]])


def test_each_box_may_have_its_own_margin():
    boxes = tf.constant([[0.0, 0.0, 10.0, 4.0], [0.0, 0.0, 10.0, 4.0]])
    np.testing.assert_allclose(geometry.crop_windows(boxes, tf.constant([1.0, 1.5]))[:, 2], [10, 15])


@pytest.mark.parametrize("size", [1, 7, 64])
def test_whole_window_reaches_from_edge_to_edge(size):
    window = geometry.whole_window(size)
    corners = tf.constant([[-0.5, -0.5], [size - 0.5, size - 0.5]])
    np.testing.assert_allclose(geometry.canvas_to_crop(corners, window, 32), [[-0.5, -0.5], [31.5, 31.5]], atol=1e-4)


def test_canvas_to_crop_by_hand():
    # A window of 20 around (10, 30) in a crop of 40: twice as large, its left edge, 0, is the crop's, -0.5.
    window = tf.constant([10.0, 30.0, 20.0])
    points = tf.constant([[10.0, 30.0], [0.0, 20.0], [20.0, 40.0], [0.25, 20.25]])
    expected = [[19.5, 19.5], [-0.5, -0.5], [39.5, 39.5], [0.0, 0.0]]
    np.testing.assert_allclose(geometry.canvas_to_crop(points, window, 40), expected, atol=1e-5)
    np.testing.assert_allclose(geometry.crop_to_canvas(tf.constant(expected), window, 40), points, atol=1e-5)


def test_each_garment_follows_its_own_window():
    windows = tf.constant([[[10.0, 30.0, 20.0], [0.0, 0.0, 40.0]]])
    points = tf.constant([[[[10.0, 30.0]], [[10.0, 30.0]]]])
    mapped = geometry.canvas_to_crop(points, windows, 40)
    np.testing.assert_allclose(mapped, [[[[19.5, 19.5]], [[29.5, 49.5]]]], atol=1e-5)
    np.testing.assert_allclose(geometry.crop_to_canvas(mapped, windows, 40), points, atol=1e-5)


@few
@given(
    coordinates, coordinates, st.floats(1, 4096, width=32), st.integers(32, 1024), st.floats(-1, 2), st.floats(-1, 2)
)
def test_canvas_to_crop_and_back_is_the_identity(centre_x, centre_y, side, crop_size, u, v):
    window = tf.constant([centre_x, centre_y, side], tf.float32)
    points = tf.constant([[centre_x + u * side, centre_y + v * side]], tf.float32)
    back = geometry.crop_to_canvas(geometry.canvas_to_crop(points, window, crop_size), window, crop_size)
    np.testing.assert_allclose(back, points, atol=1e-6 * max(1, abs(centre_x), abs(centre_y), side) * 2)


# Crop and heatmap ----------------------------------------------------------------------------------------------------


def test_heatmap_points_by_hand():
    # At stride 4, crop pixels 0 to 3 (centre 1.5) are heatmap pixel 0.
    points = tf.constant([[1.5, 5.5], [-0.5, 0.0], [191.5, 190.0]])
    expected = [[0.0, 1.0], [-0.5, -0.375], [47.5, 47.125]]
    np.testing.assert_allclose(geometry.crop_to_heatmap(points, 4), expected, atol=1e-6)
    np.testing.assert_allclose(geometry.heatmap_to_crop(tf.constant(expected), 4), points, atol=1e-5)


@few
@given(coordinates, coordinates, st.integers(1, 32))
def test_crop_to_heatmap_and_back_is_the_identity(x, y, stride):
    points = tf.constant([[x, y]], tf.float32)
    back = geometry.heatmap_to_crop(geometry.crop_to_heatmap(points, stride), stride)
    np.testing.assert_allclose(back, points, atol=1e-6 * max(1, abs(x), abs(y)) + 1e-6 * stride)


def test_shares_of_the_crop_by_hand():
    # Of 64 pixels: the outer edges, the centre, and the centres of the first and the last pixel.
    points = np.array([[-0.5, 63.5], [31.5, 15.5], [0, 63]], np.float32)
    expected = np.array([[0, 1], [0.5, 0.25], [1 / 128, 127 / 128]], np.float32)
    np.testing.assert_allclose(geometry.crop_to_unit(points, 64), expected, atol=1e-6)
    np.testing.assert_allclose(geometry.unit_to_crop(expected, 64), points, atol=1e-5)


@few
@given(coordinates, coordinates, sides)
def test_crop_to_unit_and_back_is_the_identity(x, y, size):
    points = tf.constant([[x, y]])
    np.testing.assert_allclose(geometry.unit_to_crop(geometry.crop_to_unit(points, size), size), points, atol=2e-3)


@few
@given(sides, sides, st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 1), st.floats(0, 1), st.floats(0, 1))
def test_photo_to_heatmap_and_back_is_the_identity(height, width, x, y, side, centre_x, centre_y):
    # Every map of the pipeline, one after the other, for a window of at least a twentieth of the canvas.
    assume(min(height, width) / max(height, width) > 0.01)
    points = tf.constant([[x * width, y * height]], tf.float32)
    transform = geometry.letterbox_transform(height, width, 512)
    window = tf.constant([centre_x * 512, centre_y * 512, side * 512], tf.float32)
    heatmap = geometry.crop_to_heatmap(
        geometry.canvas_to_crop(geometry.photo_to_canvas(points, transform), window, 192), 4
    )
    canvas = geometry.crop_to_canvas(geometry.heatmap_to_crop(heatmap, 4), window, 192)
    np.testing.assert_allclose(geometry.canvas_to_photo(canvas, transform), points, atol=1e-5 * max(1, height, width))


# Mirror --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 6, 7])
def test_mirrored_points_are_on_the_mirrored_pixels(width):
    picture = np.random.default_rng(0).integers(0, 256, (4, width, 3), np.uint8)
    mirrored = picture[:, ::-1]
    points = tf.constant([[x, 2.0] for x in range(width)])
    for (x, y), (mirrored_x, mirrored_y) in zip(
        points.numpy(), geometry.mirror_points(points, width).numpy(), strict=True
    ):
        np.testing.assert_array_equal(mirrored[int(mirrored_y), int(mirrored_x)], picture[int(y), int(x)])


def test_mirror_by_hand():
    np.testing.assert_allclose(
        geometry.mirror_points(tf.constant([[-0.5, 3.0], [0.25, 4.0]]), 10), [[9.5, 3], [8.75, 4]]
    )
    np.testing.assert_allclose(geometry.mirror_boxes(tf.constant([[1.0, 2.0, 4.0, 8.0]]), 10), [[5, 2, 8, 8]])


@few
@given(st.integers(1, 4000), coordinates, coordinates, st.floats(0, 4000, width=32))
def test_mirror_twice_is_the_identity(width, x, y, length):
    points, boxes = tf.constant([[x, y]], tf.float32), tf.constant([[x, y, x + length, y + 3]], tf.float32)
    np.testing.assert_allclose(geometry.mirror_points(geometry.mirror_points(points, width), width), points, atol=1e-2)
    mirrored = geometry.mirror_boxes(boxes, width)
    assert mirrored[0, 0] <= mirrored[0, 2] and mirrored[0, 1] <= mirrored[0, 3]
    np.testing.assert_allclose(geometry.mirror_boxes(mirrored, width), boxes, atol=1e-2)


def test_mirrored_box_is_around_the_mirrored_points():
    box = tf.constant([[3.0, 1.0, 9.0, 5.0]])
    corners = geometry.mirror_points(geometry.boxes_to_corners(box), 20).numpy()
    mirrored = geometry.mirror_boxes(box, 20).numpy()[0]
    np.testing.assert_allclose(mirrored, [*corners.min(axis=0), *corners.max(axis=0)])


@pytest.mark.parametrize(
    "function",
    [
        lambda points: geometry.photo_to_canvas(points, geometry.letterbox_transform(97, 133, 64)),
        lambda points: geometry.canvas_to_photo(points, geometry.letterbox_transform(97, 133, 64)),
        lambda points: geometry.canvas_to_crop(points, geometry.whole_window(64), 48),
        lambda points: geometry.crop_to_canvas(points, geometry.whole_window(64), 48),
        lambda points: geometry.crop_to_heatmap(points, 4),
        lambda points: geometry.heatmap_to_crop(points, 4),
        lambda points: geometry.mirror_points(points, 64),
        lambda points: geometry.crop_windows(geometry.corners_to_boxes(points), 1.25),
        lambda points: geometry.clip_boxes(geometry.corners_to_boxes(points), 40, 50),
        lambda points: geometry.swap_box_axes(geometry.mirror_boxes(geometry.corners_to_boxes(points), 64)),
    ],
)
def test_points_and_boxes_are_the_same_in_a_dataset(function):
    points = np.random.default_rng(3).uniform(-5, 70, (3, 4, 2)).astype(np.float32)
    mapped = list(tf.data.Dataset.from_tensor_slices(points).map(function))
    assert len(mapped) == 3
    for one, found in zip(points, mapped, strict=True):
        np.testing.assert_allclose(found, function(tf.constant(one)), rtol=1e-6, atol=1e-5)
