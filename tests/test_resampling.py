"""Pictures from frame to frame: what the maps of `cspn_tf.geometry` say is where the light goes."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cspn_tf import geometry, resampling
from cspn_tf.contract import PAD_VALUE
from cspn_tf.decoding import decode_photo
from cspn_tf.resampling import CanvasPyramid
from tests import photos

# (height, width, canvas size): shrunk and antialiased, shrunk and not, enlarged, one pixel thin, one pixel.
SIZES = [
    (200, 300, 96),
    (197, 301, 96),
    (301, 197, 64),
    (101, 65, 64),
    (37, 23, 64),
    (1, 50, 32),
    (50, 1, 32),
    (1, 1, 32),
]


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


def bilinear(picture, xs, ys):
    """Sample a picture at columns `xs` and rows `ys`, float64, one by one; beyond its centres the edge goes on."""
    height, width = picture.shape[:2]
    picture, sampled = picture.astype(np.float64), np.empty((len(ys), len(xs), 3))
    for row, y in enumerate(np.clip(ys, 0, height - 1)):
        for column, x in enumerate(np.clip(xs, 0, width - 1)):
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = picture[top, left] * (left + 1 - x) + picture[top, right] * (x - left)
            lower = picture[bottom, left] * (left + 1 - x) + picture[bottom, right] * (x - left)
            sampled[row, column] = upper * (top + 1 - y) + lower * (y - top)
    return sampled


def square_of(photo):
    """A photo with padding grey around it, less by a pixel on the left or above where it cannot be the same."""
    height, width = photo.shape[:2]
    rows, columns = (max(height, width) - side for side in (height, width))
    padding = [(rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0)]
    return np.pad(photo, padding, constant_values=128)


def letterbox_by_hand(photo, canvas_size):
    """What a letterbox is where it is not antialiased, float64, not rounded."""
    square = square_of(photo)
    positions = (np.arange(canvas_size) + 0.5) * (len(square) / canvas_size) - 0.5
    return bilinear(square, positions, positions)


def shrunk(photo, ratio):
    """A photo as a decoder shrinks it, uint8."""
    return np.uint8(np.round(photos.shrunk(photo, ratio)))


# Letterbox -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("height, width, canvas", SIZES)
def test_letterbox_has_the_photo_inside_and_padding_outside(height, width, canvas):
    photo = np.full((height, width, 3), 250, np.uint8)
    picture, transform = resampling.letterbox(tf.constant(photo), canvas)
    assert picture.dtype == tf.uint8 and picture.shape == (canvas, canvas, 3)
    np.testing.assert_array_equal(transform, geometry.letterbox_transform(height, width, canvas))
    scale, offset_x, offset_y = transform.numpy().astype(np.float64)
    # How far each canvas pixel lies inside the photo's edges, in canvas pixels.
    index = np.arange(canvas)
    inside_x = (width / 2 - np.abs((index - offset_x) / scale - (width - 1) / 2)) * scale
    inside_y = (height / 2 - np.abs((index - offset_y) / scale - (height - 1) / 2)) * scale
    inside = np.minimum(inside_y[:, None], inside_x[None, :])
    # Where the photo is enlarged, its edge fades into the padding over one of its own pixels.
    edge = 0.5 * max(1, scale) + 1e-4
    middle = picture.numpy()[..., 0]
    at_the_end = (index == 0) | (index == canvas - 1)
    reaches = (at_the_end[:, None] | (inside_y > edge)[:, None]) & (at_the_end | (inside_x > edge))
    assert (middle[reaches & (inside > 0)] == 250).all()
    # A line thinner than the step between canvas pixels may lie between two of them.
    assert (reaches & (inside > 0)).any() or min(height, width) * scale < 1
    assert (middle[inside < -edge] == 128).all()
    assert (middle >= 128).all() and (middle <= 250).all()


@pytest.mark.parametrize("height, width, canvas", [(200, 300, 96), (300, 200, 96), (64, 128, 64), (64, 38, 64)])
def test_letterbox_is_pillows_resize_where_sizes_divide(height, width, canvas):
    photo = random_photo(height, width)
    picture, _ = resampling.letterbox(tf.constant(photo), canvas)
    rows, columns = canvas * height // max(height, width), canvas * width // max(height, width)
    top, left = (canvas - rows) // 2, (canvas - columns) // 2
    resized = np.asarray(Image.fromarray(photo).resize((columns, rows), Image.Resampling.BILINEAR), int)
    expected = np.full((canvas, canvas, 3), 128)
    expected[top : top + rows, left : left + columns] = resized
    # Pillow rounds after rows and again after columns.
    assert np.abs(picture.numpy().astype(int) - expected).max() <= 1


@pytest.mark.parametrize("height, width, canvas", [(20, 31, 96), (30, 20, 45), (1, 4, 64)])
def test_letterbox_is_pillows_resize_of_the_padded_photo_where_it_enlarges(height, width, canvas):
    photo = random_photo(height, width)
    picture, _ = resampling.letterbox(tf.constant(photo), canvas)
    square = Image.fromarray(square_of(photo))
    expected = np.asarray(square.resize((canvas, canvas), Image.Resampling.BILINEAR), int)
    assert np.abs(picture.numpy().astype(int) - expected).max() <= 1


def test_letterbox_is_pillows_resize_where_sizes_do_not_divide():
    photo = random_photo(197, 301)
    picture, transform = resampling.letterbox(tf.constant(photo), 96)
    scale, _, offset_y = transform.numpy().astype(np.float64)
    # Canvas rows 20 to 75 lie inside the photo.
    top, bottom = ((edge - offset_y) / scale + 0.5 for edge in (19.5, 75.5))
    expected = Image.fromarray(photo).resize((96, 56), Image.Resampling.BILINEAR, box=(0, top, 301, bottom))
    assert np.abs(picture[20:76].numpy().astype(int) - np.asarray(expected, int)).max() <= 1


@pytest.mark.parametrize(
    "height, width, canvas", [(96, 96, 64), (130, 99, 96), (100, 191, 96), (97, 51, 64), (127, 64, 64), (37, 23, 64)]
)
def test_letterbox_is_bilinear_sampling_unless_it_shrinks_twice(height, width, canvas):
    photo = random_photo(height, width)
    picture, _ = resampling.letterbox(tf.constant(photo), canvas)
    # The letterbox is rounded to whole levels.
    assert np.abs(picture.numpy() - letterbox_by_hand(photo, canvas)).max() <= 0.51


def test_letterbox_is_antialiased_from_a_shrink_of_two_on():
    # Columns of 0 and 200 in turn. To average them two columns to either side is 100 wherever that is inside, while
    # to sample them at other steps leaves stripes.
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, 1::2] = 200
    averaged, _ = resampling.letterbox(tf.constant(stripes), 64)
    np.testing.assert_array_equal(averaged[:, 1:-1], np.full((64, 62, 3), 100))
    sampled, _ = resampling.letterbox(tf.constant(stripes[:127, :127]), 64)
    assert sampled.numpy().std() > 20


def test_a_long_strip_needs_no_square_of_its_length():
    # Its square would take 120 GB.
    strip = np.full((3, 200_000, 3), 250, np.uint8)
    picture, transform = resampling.letterbox(tf.constant(strip), 32)
    assert float(transform[0]) == pytest.approx(32 / 200_000)
    # It is thinner than a canvas pixel and lies between two rows.
    assert set(np.unique(picture)) <= {128, 250}


def test_letterbox_of_two_pixels_by_hand():
    # Padded below only, and twice as large: at -0.25, 0.25, 0.75 and 1.25 of the square, across and down.
    photo = np.array([[[0, 100, 4], [200, 100, 8]]], np.uint8)
    picture, transform = resampling.letterbox(tf.constant(photo), 4)
    np.testing.assert_array_equal(transform, [2.0, 0.5, 0.5])
    row = np.array([[0, 100, 4], [50, 100, 5], [150, 100, 7], [200, 100, 8]])
    rows = [row, row * 0.75 + 128 * 0.25, row * 0.25 + 128 * 0.75, np.full((4, 3), 128)]
    np.testing.assert_array_equal(picture, np.floor(np.array(rows) + 0.5))


@pytest.mark.parametrize("canvas_size", [1, 2, 32])
def test_letterbox_of_one_pixel_is_its_colour(canvas_size):
    picture, _ = resampling.letterbox(tf.constant([[[10, 20, 250]]], tf.uint8), canvas_size)
    np.testing.assert_array_equal(picture, np.broadcast_to([10, 20, 250], (canvas_size, canvas_size, 3)))


@pytest.mark.parametrize("turned", [False, True])
def test_letterbox_of_a_line_of_pixels_is_bilinear_sampling(turned):
    photo = random_photo(1, 40)
    photo = photo.transpose(1, 0, 2) if turned else photo
    picture, _ = resampling.letterbox(tf.constant(photo), 64)
    assert np.abs(picture.numpy() - letterbox_by_hand(photo, 64)).max() <= 0.51


@pytest.mark.parametrize("height, width", [(64, 64), (64, 41), (38, 64)])
def test_letterbox_of_a_photo_of_the_canvas_size_is_the_photo(height, width):
    photo = random_photo(height, width)
    np.testing.assert_array_equal(resampling.letterbox(tf.constant(photo), 64)[0], square_of(photo))


@pytest.mark.parametrize("height, width, canvas", [(200, 300, 96), (197, 301, 96), (301, 197, 64), (37, 23, 64)])
def test_letterbox_of_a_mirrored_photo_is_mirrored_where_the_padding_is(height, width, canvas):
    photo = random_photo(height, width)
    picture, _ = resampling.letterbox(tf.constant(photo), canvas)
    mirrored, _ = resampling.letterbox(tf.constant(photo[:, ::-1]), canvas)
    assert np.abs(mirrored.numpy()[:, ::-1].astype(int) - picture.numpy().astype(int)).max() <= 1


@pytest.mark.parametrize("height, width, canvas", [(120, 200, 64), (201, 133, 96), (150, 101, 96), (40, 31, 128)])
def test_a_dot_of_the_photo_lands_where_photo_to_canvas_says(height, width, canvas):
    x, y = width * 0.61, height * 0.37
    # Enough that the spot is smooth on the canvas as well as in the photo.
    sigma = 2 * max(1, max(height, width) / canvas)
    photo = dot(max(height, width), x, y, sigma)[:height, :width].round().astype(np.uint8)
    picture, transform = resampling.letterbox(tf.constant(photo), canvas)
    expected = geometry.photo_to_canvas(tf.constant([[x, y]], tf.float32), transform)[0]
    np.testing.assert_allclose(centroid(picture), expected, atol=0.1)


# Sizes of photos, and by what they are shrunk before the letterbox. What that leaves to do is to place, interpolate and
# antialias.
SHRUNK = [(512, 256, 8), (517, 400, 8), (131, 99, 2), (99, 131, 2), (259, 301, 4), (300, 517, 4), (255, 641, 2)]


@pytest.mark.parametrize("height, width, ratio", SHRUNK)
def test_letterbox_of_a_shrunk_photo_is_its_pixels_and_the_whole_photos_frame(height, width, ratio):
    photo = shrunk(random_photo(height, width), ratio)
    alone, shrunk_transform = resampling.letterbox(tf.constant(photo), 64)
    picture, transform = resampling.letterbox(tf.constant(photo), 64, tf.constant([height, width]))
    np.testing.assert_array_equal(picture, alone)
    np.testing.assert_array_equal(transform, geometry.transform_of_whole(shrunk_transform, ratio))
    # All of the photo is on the canvas.
    corners = tf.constant([[-0.5, -0.5], [width - 0.5, height - 0.5]])
    (left, top), (right, bottom) = geometry.photo_to_canvas(corners, transform).numpy()
    assert min(left, top) >= -0.5 - 1e-3 and max(right, bottom) <= 63.5 + 1e-3
    # No more of the canvas's side is unused than the shrunk photo's last pixel.
    assert max(right - left, bottom - top) > 64 * (1 - ratio / max(height, width))


@pytest.mark.parametrize("height, width, ratio", SHRUNK)
def test_a_dot_of_a_shrunk_photo_lands_where_photo_to_canvas_says(height, width, ratio):
    x, y = width * 0.61, height * 0.37
    # Smooth on the canvas, and so in all that is larger.
    photo = dot(max(height, width), x, y, 2 * max(height, width) / 64)[:height, :width].round().astype(np.uint8)
    picture, transform = resampling.letterbox(tf.constant(shrunk(photo, ratio)), 64, tf.constant([height, width]))
    expected = geometry.photo_to_canvas(tf.constant([[x, y]], tf.float32), transform)[0]
    np.testing.assert_allclose(centroid(picture), expected, atol=0.1)


def test_letterbox_of_a_photo_shrunk_to_the_canvas_size_is_what_was_decoded():
    photo = random_photo(64, 32)
    picture, _ = resampling.letterbox(tf.constant(photo), 64, tf.constant([512, 256]))
    np.testing.assert_array_equal(picture[:, 16:48], photo)


@pytest.mark.parametrize("height, width", [(128, 96), (132, 98), (180, 256), (260, 300), (520, 400)])
def test_photo_decoded_shrunk_makes_nearly_the_canvas_that_it_makes_whole(height, width):
    file = photos.jpeg(photos.picture(height, width))
    canvases = []
    for least_side in (None, 64):
        photo, image_size, _ = decode_photo(file, 10**6, least_side)
        canvases.append(resampling.letterbox(photo, 64, image_size)[0].numpy().astype(int))
    # Away from the edges to the padding, which fade where the photo is interpolated and not where it is averaged.
    short = 64 * min(height, width) // max(height, width)
    middle = slice((64 - short) // 2 + 2, (64 + short) // 2 - 2)
    middle = (slice(None), middle) if width < height else (middle, slice(None))
    # Measured: 8, where one is interpolated after it was shrunk and the other only averaged.
    assert np.abs(canvases[0] - canvases[1])[middle].max() <= 8


def test_letterbox_is_the_same_in_a_dataset():
    photos = [random_photo(height, width) for height, width, _ in SIZES]
    signature = tf.TensorSpec([None, None, 3], tf.uint8)
    dataset = tf.data.Dataset.from_generator(lambda: iter(photos), output_signature=signature)
    mapped = dataset.map(lambda photo: resampling.letterbox(photo, 48))
    assert mapped.element_spec[0].shape == (48, 48, 3)
    for photo, (canvas, transform) in zip(photos, mapped, strict=True):
        eager_canvas, eager_transform = resampling.letterbox(tf.constant(photo), 48)
        np.testing.assert_array_equal(canvas, eager_canvas)
        np.testing.assert_array_equal(transform, eager_transform)


# Canvas pyramids -----------------------------------------------------------------------------------------------------


def pyramid_of(*canvases):
    return CanvasPyramid.of(tf.constant(np.stack(canvases)))


def test_half_canvas_is_the_mean_of_four_pixels():
    canvases = [random_photo(46, 46, seed) for seed in (1, 2)]
    halves = pyramid_of(*canvases).halves
    assert halves.dtype == tf.float32
    np.testing.assert_allclose(halves, np.stack(canvases).reshape(2, 23, 2, 23, 2, 3).mean(axis=(2, 4)), atol=1e-4)


def test_half_of_one_colour_is_that_colour_up_to_the_edges():
    pyramid = pyramid_of(np.broadcast_to(np.uint8([0, 7, 255]), (16, 16, 3)))
    np.testing.assert_allclose(pyramid.halves[0], np.broadcast_to([0, 7, 255], (8, 8, 3)), atol=1e-4)


def test_pyramids_of_batches_of_any_size_are_the_same_in_a_graph():
    canvases = tf.constant(np.stack([random_photo(32, 32, seed) for seed in range(3)]))
    of = tf.function(CanvasPyramid.of, input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.uint8)])
    found = of(canvases)
    assert isinstance(found, CanvasPyramid) and found.size == 32
    np.testing.assert_allclose(found.halves, CanvasPyramid.of(canvases).halves, atol=1e-3)


def test_detectors_input_is_the_canvas_its_half_or_a_resize_of_the_nearer():
    pyramid = pyramid_of(random_photo(48, 48, 1), random_photo(48, 48, 2))
    whole = pyramid.detector_input(48)
    assert whole.dtype == tf.float32
    np.testing.assert_array_equal(whole, pyramid.canvases)
    np.testing.assert_array_equal(pyramid.detector_input(24), pyramid.halves)
    for size, nearest in ((40, pyramid.canvases), (32, pyramid.halves), (16, pyramid.halves)):
        positions = (np.arange(size) + 0.5) * (nearest.shape[1] / size) - 0.5
        for picture, canvas in zip(pyramid.detector_input(size).numpy(), nearest.numpy(), strict=True):
            np.testing.assert_allclose(picture, bilinear(canvas, positions, positions), atol=0.02)


@pytest.mark.parametrize("size", [48, 32, 24])
def test_detectors_input_is_the_crop_of_the_whole_canvas(size):
    pyramid = pyramid_of(random_photo(48, 48))
    cut = pyramid.crop(geometry.whole_window(48), size)
    # Where the half is enlarged, a crop fades into the padding at its edge.
    np.testing.assert_allclose(cut[1:-1, 1:-1], pyramid.detector_input(size)[0, 1:-1, 1:-1], atol=0.02)


def window_by_hand(canvas, half, window, size):
    """What `crop` cuts, float64, and where that is beyond doubt: not on the last step to the padding."""
    centre_x, centre_y, side = (float(value) for value in window)
    source = canvas
    if side >= 1.5 * size:
        source, centre_x, centre_y, side = half, (centre_x + 0.5) / 2 - 0.5, (centre_y + 0.5) / 2 - 0.5, side / 2
    steps = (np.arange(size) - (size - 1) / 2) * side / size
    xs, ys, last = centre_x + steps, centre_y + steps, len(source) - 1

    def both(of_x, of_y):
        return (of_x[None, :] & of_y[:, None])[..., None]

    inside = both(*((positions >= 0) & (positions <= last) for positions in (xs, ys)))
    certain = both(*((np.abs(positions) > 1e-3) & (np.abs(positions - last) > 1e-3) for positions in (xs, ys)))
    return np.where(inside, bilinear(source, xs, ys), PAD_VALUE), np.broadcast_to(certain, (size, size, 3))


def test_crops_are_bilinear_sampling_of_the_canvas_or_its_half_by_both_kernels():
    random = np.random.default_rng(4)
    size, crop_size, num = 64, 20, 40
    pyramid = pyramid_of(*(random_photo(size, size, seed) for seed in (1, 2, 3)))
    # From windows of a few pixels to twice the canvas, in it, across its border and beside it.
    sides = np.exp(random.uniform(np.log(3), np.log(2 * size), num))
    windows = np.float32(np.concatenate([random.uniform(-0.3 * size, 1.3 * size, (num, 2)), sides[:, None]], axis=1))
    assert 5 < (sides >= 1.5 * crop_size).sum() < num - 5
    photo_of_crop = random.integers(0, 3, num)
    crops = pyramid.crops(tf.constant(windows), crop_size, tf.constant(photo_of_crop, tf.int32))
    assert crops.dtype == tf.float32 and crops.shape == (num, crop_size, crop_size, 3)
    for photo, window, crop in zip(photo_of_crop, windows, crops.numpy(), strict=True):
        canvas, half = (level[photo].numpy() for level in pyramid)
        expected, certain = window_by_hand(canvas, half, window, crop_size)
        np.testing.assert_allclose(crop[certain], expected[certain], atol=0.05)
        np.testing.assert_array_equal(pyramid.crop(tf.constant(window), crop_size, photo), crop)
        alone = pyramid_of(canvas).crop_with_builtins(tf.constant(window), crop_size).numpy()
        np.testing.assert_allclose(alone[certain], crop[certain], atol=0.05)


@pytest.mark.parametrize("side, is_half", [(23.99, False), (24.0, True)])
def test_crop_comes_from_the_half_from_one_and_a_half_canvas_pixels_a_step(side, is_half):
    pyramid = CanvasPyramid(tf.fill([1, 32, 32, 3], tf.constant(10, tf.uint8)), tf.fill([1, 16, 16, 3], 20.0))
    window = tf.constant([15.5, 15.5, side])
    expected = np.full((16, 16, 3), 20 if is_half else 10)
    np.testing.assert_allclose(pyramid.crop(window, 16), expected, atol=1e-4)
    np.testing.assert_allclose(pyramid.crop_with_builtins(window, 16), expected, atol=1e-4)


def test_half_of_the_canvas_is_cut_out_of_the_half_canvas_as_it_is():
    pyramid = pyramid_of(random_photo(64, 64))
    # Canvas pixels 16 to 47, two to a step, are pixels 8 to 23 of the half.
    crop = pyramid.crop(tf.constant([31.5, 31.5, 32.0]), 16)
    np.testing.assert_allclose(crop, pyramid.halves[0, 8:24, 8:24], atol=1e-3)


def test_whole_window_at_the_same_size_is_the_canvas():
    canvas = random_photo(48, 48)
    np.testing.assert_allclose(pyramid_of(canvas).crop(geometry.whole_window(48), 48), canvas, atol=1e-3)


def test_crop_by_hand():
    canvas = np.zeros((4, 4, 3), np.uint8)
    canvas[1, 2] = [100, 200, 40]
    pyramid = pyramid_of(canvas)
    # One pixel for one: the window of 2 around (2, 1) + (0.5, 0.5) begins with pixel (2, 1).
    crop = pyramid.crop(tf.constant([2.5, 1.5, 2.0]), 2)
    np.testing.assert_allclose(crop, [[[100, 200, 40], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]], atol=1e-4)
    # Half a pixel to the left, each of two columns has half of it.
    np.testing.assert_allclose(pyramid.crop(tf.constant([2.0, 1.5, 2.0]), 2)[0, :, 0], [50, 50], atol=1e-4)
    # Two canvas pixels a step: the mean of four, of which the upper right four hold the bright one.
    crop = pyramid.crop(tf.constant([1.5, 1.5, 4.0]), 2)
    np.testing.assert_allclose(crop[..., 0], [[0, 25], [0, 0]], atol=1e-4)


def test_outside_of_the_canvas_is_padding():
    pyramid = pyramid_of(np.full((32, 32, 3), 10, np.uint8))
    crop = pyramid.crop(tf.constant([-0.5, 15.5, 16.0]), 16)
    np.testing.assert_allclose(crop[:, :8], PAD_VALUE, atol=1e-4)
    np.testing.assert_allclose(crop[:, 8:], 10, atol=1e-4)
    beside = pyramid.crop(tf.constant([200.0, 15.5, 16.0]), 16)
    np.testing.assert_allclose(beside, np.full((16, 16, 3), PAD_VALUE), atol=1e-4)


@pytest.mark.parametrize("shift_x, shift_y", [(-16, 0), (16, 0), (0, -16), (0, 16)])
def test_padding_begins_at_each_edge(shift_x, shift_y):
    canvas = random_photo(32, 32)
    expected = np.full((64, 64, 3), PAD_VALUE)
    expected[16:48, 16:48] = canvas
    window = tf.constant([15.5 + shift_x, 15.5 + shift_y, 32.0])
    expected = expected[16 + shift_y : 48 + shift_y, 16 + shift_x : 48 + shift_x]
    np.testing.assert_allclose(pyramid_of(canvas).crop(window, 32), expected, atol=1e-3)


def test_the_smallest_window_stays_among_the_neighbours_of_its_pixel():
    canvas = random_photo(32, 32)
    (window,) = geometry.crop_windows(tf.constant([[12.0, 7.0, 12.0, 7.0]]), 1.25)
    picture = pyramid_of(canvas).crop(window, 9).numpy()
    neighbours = canvas[6:9, 11:14]
    assert np.all((picture >= neighbours.min(axis=(0, 1)) - 1e-3) & (picture <= neighbours.max(axis=(0, 1)) + 1e-3))
    # Of an odd number of crop pixels the middle one is at the centre.
    np.testing.assert_allclose(picture[4, 4], canvas[7, 12], atol=1e-3)


def test_a_dot_lands_where_canvas_to_crop_says_from_either_level():
    random = np.random.default_rng(6)
    size, crop_size, num = 96, 32, 30
    dots = random.uniform(30, 66, (num, 2))
    sides = np.linspace(20, 90, num)
    assert (sides >= 1.5 * crop_size).any() and (sides < 1.5 * crop_size).any()
    sigmas = 2 * np.maximum(1, sides / crop_size)
    centres = dots + random.uniform(-1, 1, (num, 2)) * (sides / 2 - 4 * sigmas)[:, None]
    canvases = [dot(size, *xy, sigma).round().astype(np.uint8) for xy, sigma in zip(dots, sigmas, strict=True)]
    windows = tf.constant(np.concatenate([centres, sides[:, None]], axis=1), tf.float32)
    crops = pyramid_of(*canvases).crops(windows, crop_size, tf.range(num))
    expected = geometry.canvas_to_crop(tf.constant(dots[:, None], tf.float32), windows, crop_size)[:, 0]
    found = np.stack([centroid(crop) for crop in crops])
    assert np.abs(found - expected.numpy()).max() < 0.1


def test_no_crops():
    crops = pyramid_of(random_photo(32, 32)).crops(tf.zeros([0, 3]), 16, tf.zeros([0], tf.int32))
    assert crops.shape == (0, 16, 16, 3)


def test_crop_is_the_same_in_a_dataset():
    canvases, window = np.stack([random_photo(48, 48, seed) for seed in range(3)]), tf.constant([20.0, 27.0, 40.0])
    dataset = tf.data.Dataset.from_tensor_slices(canvases).map(lambda canvas: CanvasPyramid.of(canvas[tf.newaxis]))
    mapped = list(dataset.map(lambda pyramid: pyramid.crop(window, 16)))
    for canvas, crop in zip(canvases, mapped, strict=True):
        np.testing.assert_allclose(crop, pyramid_of(canvas).crop(window, 16), atol=1e-4)


@pytest.mark.parametrize("side", [11.0, 40.0])
def test_pyramid_and_crop_run_in_tflite_with_built_in_operations(side, run_tflite):
    canvases, window = random_photo(48, 48)[np.newaxis], np.float32([20, 27, side])

    def function(canvases, window):
        return CanvasPyramid.of(canvases).crop_with_builtins(window, 16)

    (found,) = run_tflite(function, canvases, window)
    np.testing.assert_allclose(found, function(tf.constant(canvases), tf.constant(window)), atol=1e-3)
    np.testing.assert_allclose(found, pyramid_of(canvases[0]).crop(tf.constant(window), 16), atol=0.02)


@pytest.mark.parametrize("size", [48, 32, 24])
def test_detectors_input_runs_in_tflite_with_built_in_operations(size, run_tflite):
    canvases = random_photo(48, 48)[np.newaxis]
    (found,) = run_tflite(lambda canvases: CanvasPyramid.of(canvases).detector_input(size), canvases)
    np.testing.assert_allclose(found, pyramid_of(canvases[0]).detector_input(size), atol=1e-3)
