"""Every map by hand, with its inverse, and on pixels: what the formula says is where the light goes."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from cspn_tf import geometry
from cspn_tf.geometry import PAD_VALUE

# (height, width, canvas size): exact, not dividing, enlarged, one pixel thin, one pixel.
SIZES = [(200, 300, 96), (197, 301, 96), (301, 197, 64), (37, 23, 64), (1, 50, 32), (50, 1, 32), (1, 1, 32)]

few = settings(deadline=None, max_examples=40)
sides = st.integers(1, 4000)
coordinates = st.floats(-100, 4100, width=32)


def random_photo(height, width, seed=0):
    """A picture with structure at several scales, uint8 `(height, width, 3)`."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (max(2, height // 16), max(2, width // 16), 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float64)
    return np.clip(smooth + random.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)


def dot(size, x, y, sigma):
    """A bright Gaussian spot on padding grey, float32 `(size, size, 3)`."""
    index = np.arange(size)
    spot = np.exp(-((index[:, None] - y) ** 2 + (index[None, :] - x) ** 2) / (2 * sigma**2))
    return np.repeat(PAD_VALUE + 100 * spot[..., None], 3, axis=-1).astype(np.float32)


def centroid(picture):
    """Centre x, y of what is brighter than padding grey."""
    light = np.clip(np.asarray(picture, np.float64)[..., 0] - PAD_VALUE - 0.5, 0, None)
    ys, xs = np.mgrid[: light.shape[0], : light.shape[1]]
    return np.array([(light * xs).sum(), (light * ys).sum()]) / light.sum()


def pillow_window(picture, window, size):
    """What Pillow makes of a square window: the same antialiased bilinear filter, in the edge frame."""
    centre_x, centre_y, side = window
    left, top = centre_x + 0.5 - side / 2, centre_y + 0.5 - side / 2
    box = (left, top, left + side, top + side)
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR, box=box), np.float32)


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
        # A row of 4 in a canvas of 8 is 2 high, on rows 3 and 4.
        (1, 4, 8, [2.0, 0.5, 3.5]),
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
    # As much padding on one side as on the other.
    assert left + 0.5 == pytest.approx(canvas - 0.5 - right, abs=1e-3)
    assert top + 0.5 == pytest.approx(canvas - 0.5 - bottom, abs=1e-3)


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


@pytest.mark.parametrize("height, width, canvas", SIZES)
def test_letterbox_has_the_photo_inside_and_padding_outside(height, width, canvas):
    photo = np.full((height, width, 3), 250, np.uint8)
    picture, transform = geometry.letterbox(tf.constant(photo), canvas)
    assert picture.dtype == tf.uint8 and picture.shape == (canvas, canvas, 3)
    np.testing.assert_allclose(transform, geometry.letterbox_transform(height, width, canvas))
    scale, offset_x, offset_y = transform.numpy().astype(np.float64)
    index = np.arange(canvas)
    inside_x = np.abs((index - offset_x) / scale - (width - 1) / 2) <= width / 2 + 1e-6
    inside_y = np.abs((index - offset_y) / scale - (height - 1) / 2) <= height / 2 + 1e-6
    inside = inside_y[:, None] & inside_x[None, :]
    np.testing.assert_array_equal(picture[..., 0], np.where(inside, 250, 128))
    # Exactly what the aspect ratio leaves, to the rounding of half a row at either side.
    assert inside_x.sum() * inside_y.sum() == pytest.approx(
        canvas * canvas * min(height, width) / max(height, width), abs=canvas
    )


@pytest.mark.parametrize("height, width, canvas", [(200, 300, 96), (300, 200, 96), (96, 96, 64), (20, 30, 96)])
def test_letterbox_is_pillows_resize_where_sizes_divide(height, width, canvas):
    photo = random_photo(height, width)
    picture, _ = geometry.letterbox(tf.constant(photo), canvas)
    rows, columns = canvas * height // max(height, width), canvas * width // max(height, width)
    top, left = (canvas - rows) // 2, (canvas - columns) // 2
    resized = np.asarray(Image.fromarray(photo).resize((columns, rows), Image.Resampling.BILINEAR), int)
    expected = np.full((canvas, canvas, 3), 128)
    expected[top : top + rows, left : left + columns] = resized
    # Pillow rounds after rows and again after columns.
    assert np.abs(picture.numpy().astype(int) - expected).max() <= 1


def test_letterbox_is_pillows_resize_where_sizes_do_not_divide():
    photo = random_photo(197, 301)
    picture, transform = geometry.letterbox(tf.constant(photo), 96)
    scale, _, offset_y = transform.numpy().astype(np.float64)
    # Canvas rows 20 to 75 lie inside the photo.
    top, bottom = ((edge - offset_y) / scale + 0.5 for edge in (19.5, 75.5))
    expected = Image.fromarray(photo).resize((96, 56), Image.Resampling.BILINEAR, box=(0, top, 301, bottom))
    assert np.abs(picture[20:76].numpy().astype(int) - np.asarray(expected, int)).max() <= 1


def test_letterbox_of_a_photo_of_the_canvas_size_is_the_photo():
    photo = random_photo(64, 64)
    np.testing.assert_array_equal(geometry.letterbox(tf.constant(photo), 64)[0], photo)


@pytest.mark.parametrize("height, width, canvas", SIZES)
def test_letterbox_of_a_mirrored_photo_is_mirrored(height, width, canvas):
    photo = random_photo(height, width)
    picture, _ = geometry.letterbox(tf.constant(photo), canvas)
    mirrored, _ = geometry.letterbox(tf.constant(photo[:, ::-1]), canvas)
    assert np.abs(mirrored.numpy()[:, ::-1].astype(int) - picture.numpy().astype(int)).max() <= 1


@pytest.mark.parametrize("height, width, canvas", [(120, 200, 64), (201, 133, 96), (40, 31, 128)])
def test_a_dot_of_the_photo_lands_where_photo_to_canvas_says(height, width, canvas):
    x, y = width * 0.61, height * 0.37
    # Enough that the spot is smooth on the canvas as well as in the photo.
    sigma = 2 * max(1, max(height, width) / canvas)
    photo = dot(max(height, width), x, y, sigma)[:height, :width].round().astype(np.uint8)
    picture, transform = geometry.letterbox(tf.constant(photo), canvas)
    expected = geometry.photo_to_canvas(tf.constant([[x, y]], tf.float32), transform)[0]
    np.testing.assert_allclose(centroid(picture), expected, atol=0.1)


def test_letterbox_is_the_same_in_a_dataset():
    photos = [random_photo(height, width) for height, width, _ in SIZES]
    signature = tf.TensorSpec([None, None, 3], tf.uint8)
    dataset = tf.data.Dataset.from_generator(lambda: iter(photos), output_signature=signature)
    mapped = dataset.map(lambda photo: geometry.letterbox(photo, 48))
    assert mapped.element_spec[0].shape == (48, 48, 3)
    for photo, (canvas, transform) in zip(photos, mapped, strict=True):
        eager_canvas, eager_transform = geometry.letterbox(tf.constant(photo), 48)
        np.testing.assert_array_equal(canvas, eager_canvas)
        np.testing.assert_array_equal(transform, eager_transform)


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


# Crop ----------------------------------------------------------------------------------------------------------------


def cut(canvas, *windows, size):
    windows = tf.constant(np.array([windows], np.float32))
    return geometry.crop(tf.constant(canvas)[tf.newaxis], windows, size)[0].numpy()


def test_whole_window_at_the_same_size_is_the_identity():
    canvas = random_photo(48, 48)
    np.testing.assert_allclose(cut(canvas, geometry.whole_window(48), size=48)[0], canvas, atol=1e-3)


@pytest.mark.parametrize("size, canvas_size", [(100, 64), (97, 64), (64, 64), (30, 64), (64, 63), (200, 32)])
def test_crop_of_the_whole_window_is_the_letterbox_of_a_square(size, canvas_size):
    photo = random_photo(size, size)
    letterboxed, _ = geometry.letterbox(tf.constant(photo), canvas_size)
    cropped = cut(photo, geometry.whole_window(size), size=canvas_size)[0]
    # The letterbox is rounded to whole levels.
    assert np.abs(cropped - letterboxed.numpy()).max() <= 0.51


@pytest.mark.parametrize(
    "window", [(63.5, 63.5, 128), (60.2, 70.9, 100.3), (40.0, 80.0, 55.5), (64.1, 64.7, 32.0), (64.3, 50.2, 11.7)]
)
def test_crop_is_pillows_resize_of_the_window(window):
    canvas = random_photo(128, 128)
    assert np.abs(cut(canvas, window, size=32)[0] - pillow_window(canvas, window, 32)).max() <= 1.01


@pytest.mark.parametrize("window", [(64.0, 60.0, 32.0), (60.2, 70.9, 30.1), (40.25, 80.75, 7.3)])
def test_crop_is_bilinear_sampling_where_it_enlarges(window):
    canvas, size = random_photo(128, 128).astype(np.float32), 32
    centre_x, centre_y, side = window
    ends = (np.array([0, size - 1]) - (size - 1) / 2) * side / size
    (x0, x1), (y0, y1) = centre_x + ends, centre_y + ends
    box = np.array([[y0, x0, y1, x1]]) / 127
    expected = tf.image.crop_and_resize(canvas[np.newaxis], box, [0], [size, size])[0]
    np.testing.assert_allclose(cut(canvas, window, size=size)[0], expected, atol=0.02)


def test_crop_by_hand():
    canvas = np.zeros((4, 4, 3), np.float32)
    canvas[1, 2] = [100, 200, 40]
    # One pixel for one: the window of 2 around (2, 1) + (0.5, 0.5) begins with pixel (2, 1).
    np.testing.assert_allclose(
        cut(canvas, (2.5, 1.5, 2), size=2)[0], [[[100, 200, 40], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]], atol=1e-4
    )
    # Half a pixel to the left, each of two columns has half of it.
    np.testing.assert_allclose(cut(canvas, (2.0, 1.5, 2), size=2)[0][0, :, 0], [50, 50], atol=1e-4)
    # Halved: the tent around x = 2.5, two pixels to either side, weighs pixels 1 to 3 with 0.25, 0.75 and 0.75, so the
    # bright one has 3 / 7; around y = 0.5 rows 0 to 2 have 0.75, 0.75 and 0.25.
    np.testing.assert_allclose(cut(canvas, (1.5, 1.5, 4), size=2)[0][0, 1, 0], 100 * (3 / 7) ** 2, rtol=1e-5)


def test_outside_of_the_canvas_is_padding():
    canvas = np.full((32, 32, 3), 10, np.uint8)
    (half, none) = cut(canvas, (-0.5, 15.5, 16), (200.0, 15.5, 16), size=16)
    np.testing.assert_allclose(half[:, :8], PAD_VALUE, atol=1e-4)
    np.testing.assert_allclose(half[:, 8:], 10, atol=1e-4)
    np.testing.assert_allclose(none, PAD_VALUE, atol=1e-4)


@pytest.mark.parametrize("shift_x, shift_y", [(-16, 0), (16, 0), (0, -16), (0, 16)])
def test_padding_begins_at_each_edge(shift_x, shift_y):
    canvas = random_photo(32, 32)
    expected = np.full((64, 64, 3), PAD_VALUE)
    expected[16:48, 16:48] = canvas
    window = (15.5 + shift_x, 15.5 + shift_y, 32)
    expected = expected[16 + shift_y : 48 + shift_y, 16 + shift_x : 48 + shift_x]
    np.testing.assert_allclose(cut(canvas, window, size=32)[0], expected, atol=1e-3)


@pytest.mark.parametrize("centre, inside", [(-0.5, slice(32, 64)), (31.5, slice(0, 32)), (15.5, slice(0, 64))])
def test_padding_begins_half_a_pixel_past_the_last_centre(centre, inside):
    # Two crop pixels to each canvas pixel: the outer one of the last pixel is still the picture, the next is not.
    canvas = np.full((32, 32, 3), 10, np.uint8)
    expected = np.full(64, PAD_VALUE)
    expected[inside] = 10
    np.testing.assert_allclose(cut(canvas, (centre, 15.5, 32), size=64)[0, 32, :, 0], expected, atol=1e-3)
    np.testing.assert_allclose(cut(canvas, (15.5, centre, 32), size=64)[0, :, 32, 0], expected, atol=1e-3)


def test_the_smallest_window_stays_among_the_neighbours_of_its_pixel():
    canvas = random_photo(32, 32)
    window = geometry.crop_windows(tf.constant([12.0, 7.0, 12.0, 7.0]), 1.25)
    picture = cut(canvas, window, size=9)[0]
    neighbours = canvas[6:9, 11:14]
    assert np.all((picture >= neighbours.min(axis=(0, 1)) - 1e-3) & (picture <= neighbours.max(axis=(0, 1)) + 1e-3))
    # Of an odd number of crop pixels the middle one is at the centre.
    np.testing.assert_allclose(picture[4, 4], canvas[7, 12], atol=1e-3)


def test_every_garment_of_every_photo_has_its_crop():
    canvases = np.stack([random_photo(48, 48, seed) for seed in (1, 2)])
    windows = tf.constant(
        [[[20, 20, 30], [30, 25, 12], [0, 0, 40]], [[5, 40, 20], [24, 24, 60], [9, 9, 9]]], tf.float32
    )
    crops = geometry.crop(tf.constant(canvases), windows, 16)
    assert crops.shape == (2, 3, 16, 16, 3) and crops.dtype == tf.float32
    for photo in range(2):
        for garment in range(3):
            alone = cut(canvases[photo], windows[photo, garment], size=16)[0]
            np.testing.assert_allclose(crops[photo, garment], alone, atol=1e-3)


def test_one_set_of_windows_serves_every_photo():
    canvases = tf.constant(np.stack([random_photo(48, 48, seed) for seed in (1, 2)]))
    windows = tf.constant([[[20, 20, 30], [30, 25, 12]]], tf.float32)
    shared = geometry.crop(canvases, windows, 16)
    np.testing.assert_allclose(shared, geometry.crop(canvases, tf.tile(windows, [2, 1, 1]), 16), atol=1e-3)


def test_crops_of_no_photos():
    assert geometry.crop(tf.zeros([0, 32, 32, 3]), tf.zeros([0, 2, 3]), 16).shape == (0, 2, 16, 16, 3)


def test_crop_one_is_crop():
    """The two implementations of one operation, over sizes, windows inside, across and beyond the picture's edges."""
    random = np.random.default_rng(2)
    for _ in range(60):
        size, crop_size = int(random.integers(20, 160)), int(random.integers(8, 100))
        canvas = random.integers(0, 256, (size, size, 3)).astype(np.uint8)
        window = np.float32([*random.uniform(-0.3 * size, 1.3 * size, 2), random.uniform(1, 2.5 * size)])
        found = geometry.crop_one(tf.constant(canvas), tf.constant(window), crop_size)
        np.testing.assert_allclose(found, cut(canvas, window, size=crop_size)[0], atol=0.02)


def test_crop_one_takes_pictures_that_are_not_square():
    photo = random_photo(40, 70)
    square = np.full((70, 70, 3), 128, np.uint8)
    square[:40] = photo
    for window in ((30.0, 18.0, 20.0), (34.5, 34.5, 70.0), (60.0, 30.0, 50.0)):
        found = geometry.crop_one(tf.constant(photo), tf.constant(window), 33).numpy()
        inside = np.arange(33) * window[2] / 33 + window[1] - window[2] / 2 < 38 - window[2] / 33
        np.testing.assert_allclose(found[inside], cut(square, window, size=33)[0][inside], atol=0.02)


def test_crop_one_beside_the_picture_is_padding():
    for window in ((200.0, 15.0, 16.0), (15.0, -100.0, 16.0)):
        found = geometry.crop_one(tf.zeros([32, 32, 3], tf.uint8), tf.constant(window), 16)
        np.testing.assert_array_equal(found, np.full((16, 16, 3), PAD_VALUE))


def test_windows_on_the_canvas_and_on_the_photo_show_the_same():
    transform = geometry.letterbox_transform(300, 200, 96)
    windows = tf.constant([[40.0, 50.0, 30.0], [10.0, 20.0, 60.0]])
    points = tf.constant([[[41.0, 52.0]], [[12.0, 19.0]]])
    in_photo = geometry.canvas_windows_to_photo(windows, transform)
    np.testing.assert_allclose(in_photo[:, 2], windows[:, 2] / transform[0], rtol=1e-5)
    expected = geometry.canvas_to_crop(points, windows, 64)
    photo_points = geometry.canvas_to_photo(points, transform[tf.newaxis])
    np.testing.assert_allclose(geometry.canvas_to_crop(photo_points, in_photo, 64), expected, atol=1e-3)


def test_a_dot_lands_where_canvas_to_crop_says_in_many_windows():
    random = np.random.default_rng(5)
    size, crop_size, num = 96, 40, 60
    dots = random.uniform(30, 66, (num, 2))
    sides = random.uniform(20, 90, num)
    # Smooth on the canvas and in the crop, and inside both with four sigma; the windows often reach outside.
    sigmas = 2 * np.maximum(1, sides / crop_size)
    centres = dots + random.uniform(-1, 1, (num, 2)) * (sides / 2 - 4 * sigmas)[:, None]
    canvases = np.stack([dot(size, *xy, sigma) for xy, sigma in zip(dots, sigmas, strict=True)])
    windows = tf.constant(np.concatenate([centres, sides[:, None]], axis=1)[:, None], tf.float32)
    crops = geometry.crop(tf.constant(canvases), windows, crop_size)[:, 0]
    expected = geometry.canvas_to_crop(tf.constant(dots[:, None, None], tf.float32), windows, crop_size)[:, 0, 0]
    found = np.stack([centroid(crop) for crop in crops])
    assert np.abs(found - expected.numpy()).max() < 0.1


def test_crop_is_the_same_in_a_dataset():
    canvases = np.stack([random_photo(48, 48, seed) for seed in range(3)])
    windows = np.array([[[20, 20, 30], [-3, 50, 64]]] * 3, np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((canvases, windows)).batch(3)
    (mapped,) = dataset.map(lambda canvas, window: geometry.crop(canvas, window, 16))
    np.testing.assert_allclose(mapped, geometry.crop(tf.constant(canvases), tf.constant(windows), 16), atol=1e-4)


def test_crop_runs_in_tflite_with_built_in_operations():
    canvases = random_photo(48, 48)[np.newaxis]
    windows = np.array([[[20, 20, 30], [-3, 50, 64]]], np.float32)

    @tf.function(input_signature=[tf.TensorSpec(canvases.shape, tf.uint8), tf.TensorSpec(windows.shape)])
    def function(canvases, windows):
        return geometry.crop(canvases, windows, 16)

    module = tf.Module()
    module.function = function
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    (found,) = interpreter.get_signature_runner()(canvases=canvases, windows=windows).values()
    np.testing.assert_allclose(found, function(canvases, windows), atol=1e-3)


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
    picture = random_photo(4, width)
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
