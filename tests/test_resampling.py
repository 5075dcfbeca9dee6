"""Pictures from frame to frame: what the maps of `cspn_tf.geometry` say is where the light goes."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cspn_tf import geometry, resampling
from cspn_tf.decoding import decode_photo
from cspn_tf.geometry import PAD_VALUE
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


def pillow_window(picture, window, size):
    """What Pillow makes of a square window: the same antialiased bilinear filter, in the edge frame."""
    centre_x, centre_y, side = window
    left, top = centre_x + 0.5 - side / 2, centre_y + 0.5 - side / 2
    box = (left, top, left + side, top + side)
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR, box=box), np.float32)


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


def shrink(photo, ratio):
    """Average squares of `ratio` pixels, as a decoder does; those that reach over the edge as if that went on."""
    height, width = photo.shape[:2]
    photo = np.pad(photo.astype(np.float64), [(0, -height % ratio), (0, -width % ratio), (0, 0)], "edge")
    squares = photo.reshape(photo.shape[0] // ratio, ratio, photo.shape[1] // ratio, ratio, 3)
    return np.round(squares.mean(axis=(1, 3))).astype(np.uint8)


def run_in_tflite(function, **arrays):
    """Convert a function with built-in operations only, and run it there."""
    specs = {name: tf.TensorSpec(array.shape, array.dtype, name=name) for name, array in arrays.items()}
    module = tf.Module()
    module.function = tf.function(function)
    concrete = module.function.get_concrete_function(**specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    (found,) = interpreter.get_signature_runner()(**arrays).values()
    return found


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
    photo = shrink(random_photo(height, width), ratio)
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
    picture, transform = resampling.letterbox(tf.constant(shrink(photo, ratio)), 64, tf.constant([height, width]))
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


# Half canvases and the detector's input ------------------------------------------------------------------------------


def test_half_canvas_is_the_mean_of_four_pixels():
    canvases = np.stack([random_photo(46, 46, seed) for seed in (1, 2)])
    halves = resampling.halve(tf.constant(canvases))
    assert halves.dtype == tf.float32
    np.testing.assert_allclose(halves, canvases.reshape(2, 23, 2, 23, 2, 3).mean(axis=(2, 4)), atol=1e-4)


def test_half_of_one_colour_is_that_colour_up_to_the_edges():
    canvas = np.broadcast_to(np.uint8([0, 7, 255]), (1, 16, 16, 3))
    expected = np.broadcast_to([0, 7, 255], (1, 8, 8, 3))
    np.testing.assert_allclose(resampling.halve(tf.constant(canvas)), expected, atol=1e-4)


def test_halves_of_a_batch_of_any_size_are_the_same_in_a_graph():
    canvases = tf.constant(np.stack([random_photo(32, 32, seed) for seed in range(3)]))
    halve = tf.function(resampling.halve, input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.uint8)])
    np.testing.assert_allclose(halve(canvases), resampling.halve(canvases), atol=1e-3)


def test_detectors_input_is_the_canvas_its_half_or_a_crop_of_it():
    canvases = tf.constant(np.stack([random_photo(48, 48, seed) for seed in (1, 2)]))
    halves = resampling.halve(canvases)
    whole = resampling.resize_canvases(canvases, halves, 48)
    assert whole.dtype == tf.float32
    np.testing.assert_array_equal(whole, canvases)
    np.testing.assert_array_equal(resampling.resize_canvases(canvases, halves, 24), halves)
    other = resampling.resize_canvases(canvases, halves, 32)
    for picture, canvas in zip(other.numpy(), canvases.numpy(), strict=True):
        assert np.abs(picture - pillow_window(canvas, (23.5, 23.5, 48), 32)).max() <= 1.01


# Crops of canvases ---------------------------------------------------------------------------------------------------


def window_by_hand(canvas, half, window, size):
    """What `crop_canvases` cuts, float64, and where that is beyond doubt: not on the last step to the padding."""
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


def test_crops_of_canvases_are_bilinear_sampling_of_the_canvas_or_its_half():
    random = np.random.default_rng(4)
    size, crop_size, num = 64, 20, 40
    canvases = tf.constant(np.stack([random_photo(size, size, seed) for seed in (1, 2, 3)]))
    halves = resampling.halve(canvases)
    # From windows of a few pixels to twice the canvas, in it, across its border and beside it.
    sides = np.exp(random.uniform(np.log(3), np.log(2 * size), num))
    windows = np.float32(np.concatenate([random.uniform(-0.3 * size, 1.3 * size, (num, 2)), sides[:, None]], axis=1))
    assert 5 < (sides >= 1.5 * crop_size).sum() < num - 5
    photo_of_crop = random.integers(0, 3, num)
    crops = resampling.crop_canvases(
        canvases, halves, tf.constant(photo_of_crop, tf.int32), tf.constant(windows), crop_size
    )
    assert crops.dtype == tf.float32 and crops.shape == (num, crop_size, crop_size, 3)
    for photo, window, crop in zip(photo_of_crop, windows, crops.numpy(), strict=True):
        expected, certain = window_by_hand(canvases[photo].numpy(), halves[photo].numpy(), window, crop_size)
        np.testing.assert_allclose(crop[certain], expected[certain], atol=0.05)
        alone = resampling.crop_canvas(canvases[photo], halves[photo], tf.constant(window), crop_size).numpy()
        np.testing.assert_allclose(alone[certain], crop[certain], atol=0.05)


@pytest.mark.parametrize("side, is_half", [(23.99, False), (24.0, True)])
def test_crop_comes_from_the_half_from_one_and_a_half_canvas_pixels_a_step(side, is_half):
    canvases, halves = tf.fill([1, 32, 32, 3], tf.constant(10, tf.uint8)), tf.fill([1, 16, 16, 3], 20.0)
    window, crop_size = tf.constant([15.5, 15.5, side]), 16
    expected = np.full((crop_size, crop_size, 3), 20 if is_half else 10)
    (crop,) = resampling.crop_canvases(canvases, halves, tf.constant([0]), window[tf.newaxis], crop_size)
    np.testing.assert_allclose(crop, expected, atol=1e-4)
    np.testing.assert_allclose(resampling.crop_canvas(canvases[0], halves[0], window, crop_size), expected, atol=1e-4)


def test_half_of_the_canvas_is_cut_out_of_the_half_canvas_as_it_is():
    canvases = tf.constant(random_photo(64, 64)[np.newaxis])
    halves = resampling.halve(canvases)
    # Canvas pixels 16 to 47, two to a step, are pixels 8 to 23 of the half.
    (crop,) = resampling.crop_canvases(canvases, halves, tf.constant([0]), tf.constant([[31.5, 31.5, 32.0]]), 16)
    np.testing.assert_allclose(crop, halves[0, 8:24, 8:24], atol=1e-3)


def test_a_dot_lands_where_canvas_to_crop_says_from_either_source():
    random = np.random.default_rng(6)
    size, crop_size, num = 96, 32, 30
    dots = random.uniform(30, 66, (num, 2))
    sides = np.linspace(20, 90, num)
    assert (sides >= 1.5 * crop_size).any() and (sides < 1.5 * crop_size).any()
    sigmas = 2 * np.maximum(1, sides / crop_size)
    centres = dots + random.uniform(-1, 1, (num, 2)) * (sides / 2 - 4 * sigmas)[:, None]
    canvases = (
        np.stack([dot(size, *xy, sigma) for xy, sigma in zip(dots, sigmas, strict=True)]).round().astype(np.uint8)
    )
    windows = tf.constant(np.concatenate([centres, sides[:, None]], axis=1), tf.float32)
    halves = resampling.halve(tf.constant(canvases))
    crops = resampling.crop_canvases(tf.constant(canvases), halves, tf.range(num), windows, crop_size)
    expected = geometry.canvas_to_crop(tf.constant(dots[:, None], tf.float32), windows, crop_size)[:, 0]
    found = np.stack([centroid(crop) for crop in crops])
    assert np.abs(found - expected.numpy()).max() < 0.1


def test_no_crops_of_canvases():
    canvases = tf.zeros([1, 32, 32, 3], tf.uint8)
    no_photos, no_windows = tf.zeros([0], tf.int32), tf.zeros([0, 3])
    crops = resampling.crop_canvases(canvases, resampling.halve(canvases), no_photos, no_windows, 16)
    assert crops.shape == (0, 16, 16, 3)


@pytest.mark.parametrize("side", [11.0, 40.0])
def test_half_and_crop_of_a_canvas_run_in_tflite_with_built_in_operations(side):
    canvases, window = random_photo(48, 48)[np.newaxis], np.float32([20, 27, side])

    def function(canvases, window):
        return resampling.crop_canvas(canvases[0], resampling.halve(canvases)[0], window, 16)

    found = run_in_tflite(function, canvases=canvases, window=window)
    np.testing.assert_allclose(found, function(tf.constant(canvases), tf.constant(window)), atol=1e-3)


# Crop ----------------------------------------------------------------------------------------------------------------


def cut(canvas, *windows, size):
    windows = tf.constant(np.array([windows], np.float32))
    return resampling.crop(tf.constant(canvas)[tf.newaxis], windows, size)[0].numpy()


def test_whole_window_at_the_same_size_is_the_identity():
    canvas = random_photo(48, 48)
    np.testing.assert_allclose(cut(canvas, geometry.whole_window(48), size=48)[0], canvas, atol=1e-3)


@pytest.mark.parametrize("size, canvas_size", [(150, 64), (129, 64), (128, 64), (64, 64), (30, 64), (200, 32)])
def test_crop_of_the_whole_window_is_the_letterbox_of_a_square(size, canvas_size):
    photo = random_photo(size, size)
    letterboxed, _ = resampling.letterbox(tf.constant(photo), canvas_size)
    cropped = cut(photo, geometry.whole_window(size), size=canvas_size)[0]
    # Sizes at which the letterbox is antialiased or enlarges. It is rounded to whole levels.
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
    crops = resampling.crop(tf.constant(canvases), windows, 16)
    assert crops.shape == (2, 3, 16, 16, 3) and crops.dtype == tf.float32
    for photo in range(2):
        for garment in range(3):
            alone = cut(canvases[photo], windows[photo, garment], size=16)[0]
            np.testing.assert_allclose(crops[photo, garment], alone, atol=1e-3)


def test_one_set_of_windows_serves_every_photo():
    canvases = tf.constant(np.stack([random_photo(48, 48, seed) for seed in (1, 2)]))
    windows = tf.constant([[[20, 20, 30], [30, 25, 12]]], tf.float32)
    shared = resampling.crop(canvases, windows, 16)
    np.testing.assert_allclose(shared, resampling.crop(canvases, tf.tile(windows, [2, 1, 1]), 16), atol=1e-3)


def test_crops_of_no_photos():
    assert resampling.crop(tf.zeros([0, 32, 32, 3]), tf.zeros([0, 2, 3]), 16).shape == (0, 2, 16, 16, 3)


def test_crop_one_is_crop():
    """The two implementations of one operation, over sizes, windows inside, across and beyond the picture's edges."""
    random = np.random.default_rng(2)
    for _ in range(60):
        size, crop_size = int(random.integers(20, 160)), int(random.integers(8, 100))
        canvas = random.integers(0, 256, (size, size, 3)).astype(np.uint8)
        window = np.float32([*random.uniform(-0.3 * size, 1.3 * size, 2), random.uniform(1, 2.5 * size)])
        found = resampling.crop_one(tf.constant(canvas), tf.constant(window), crop_size)
        np.testing.assert_allclose(found, cut(canvas, window, size=crop_size)[0], atol=0.02)


def test_crop_one_without_averaging_is_the_half_canvas_or_bilinear_sampling():
    canvas = random_photo(48, 48)
    found = resampling.crop_one(tf.constant(canvas), geometry.whole_window(48), 24, antialias=False)
    np.testing.assert_allclose(found, resampling.halve(tf.constant(canvas)[tf.newaxis])[0], atol=0.01)
    found = resampling.crop_one(tf.constant(canvas), tf.constant([20.3, 25.8, 30.0]), 18, antialias=False)
    steps = (np.arange(18) - 8.5) * (30 / 18)
    np.testing.assert_allclose(found, bilinear(canvas, 20.3 + steps, 25.8 + steps), atol=0.02)


def test_crop_one_takes_pictures_that_are_not_square():
    photo = random_photo(40, 70)
    square = np.full((70, 70, 3), 128, np.uint8)
    square[:40] = photo
    for window in ((30.0, 18.0, 20.0), (34.5, 34.5, 70.0), (60.0, 30.0, 50.0)):
        found = resampling.crop_one(tf.constant(photo), tf.constant(window), 33).numpy()
        inside = np.arange(33) * window[2] / 33 + window[1] - window[2] / 2 < 38 - window[2] / 33
        np.testing.assert_allclose(found[inside], cut(square, window, size=33)[0][inside], atol=0.02)


def test_crop_one_beside_the_picture_is_padding():
    for window in ((200.0, 15.0, 16.0), (15.0, -100.0, 16.0)):
        found = resampling.crop_one(tf.zeros([32, 32, 3], tf.uint8), tf.constant(window), 16)
        np.testing.assert_array_equal(found, np.full((16, 16, 3), PAD_VALUE))


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
    crops = resampling.crop(tf.constant(canvases), windows, crop_size)[:, 0]
    expected = geometry.canvas_to_crop(tf.constant(dots[:, None, None], tf.float32), windows, crop_size)[:, 0, 0]
    found = np.stack([centroid(crop) for crop in crops])
    assert np.abs(found - expected.numpy()).max() < 0.1


def test_crop_is_the_same_in_a_dataset():
    canvases = np.stack([random_photo(48, 48, seed) for seed in range(3)])
    windows = np.array([[[20, 20, 30], [-3, 50, 64]]] * 3, np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((canvases, windows)).batch(3)
    (mapped,) = dataset.map(lambda canvas, window: resampling.crop(canvas, window, 16))
    np.testing.assert_allclose(mapped, resampling.crop(tf.constant(canvases), tf.constant(windows), 16), atol=1e-4)


def test_crop_runs_in_tflite_with_built_in_operations():
    canvases = random_photo(48, 48)[np.newaxis]
    windows = np.array([[[20, 20, 30], [-3, 50, 64]]], np.float32)
    found = run_in_tflite(
        lambda canvases, windows: resampling.crop(canvases, windows, 16), canvases=canvases, windows=windows
    )
    np.testing.assert_allclose(found, resampling.crop(tf.constant(canvases), tf.constant(windows), 16), atol=1e-3)
