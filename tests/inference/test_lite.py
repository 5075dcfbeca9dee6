"""Letterbox and outputs without TensorFlow, compared with those of the graph."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cspn_tf import resampling
from cspn_tf.contract import PAD_VALUE
from cspn_tf.inference import lite
from cspn_tf.inference.photo_outputs import outputs_on_photos
from tests import photos

CANVAS = 64
MAX_PIXELS = 1_000_000
# At, below and above the canvas and twice the canvas, strips, and sizes that the JPEG decoder's ratios do not divide.
EDGE_SIZES = [
    *[(1, 1), (1, 64), (64, 64), (63, 64), (65, 64), (127, 128), (128, 127), (129, 128), (7, 64), (64, 5)],
    *[(1, 5000), (5000, 2), (3, 1024), (256, 256), (255, 512), (513, 300), (1, 127), (2, 129), (600, 1)],
]


def generated(index):
    """Return a photo file of a size, shape, mode and orientation of its own."""
    random = np.random.default_rng(index)
    height, width = np.exp(random.uniform(0, np.log(700), 2)).astype(int)
    if index < len(EDGE_SIZES):
        height, width = EDGE_SIZES[index]
    pixels = photos.picture(height, width, seed=index)
    if index % 4 == 0:
        pixels = random.integers(0, 256, pixels.shape, np.uint8)
    orientation = int(random.integers(1, 9))
    mode = ["RGB", "L", "RGBA", "P", "CMYK"][random.integers(5)]
    if mode in ("RGBA", "P"):
        image = Image.fromarray(pixels).convert(mode)
        if mode == "RGBA":
            image.putalpha(Image.fromarray(pixels[..., 0]))
        file = io.BytesIO()
        image.save(file, "PNG")
        return photos.insert_chunks(file.getvalue(), photos.png_chunk(b"eXIf", photos.exif_of(orientation)))
    return photos.jpeg(pixels, mode, orientation=orientation, progressive=bool(random.integers(2)))


def assert_same_canvas(found, expected):
    canvas, transform, size, status = expected
    assert found[0].dtype == np.uint8 and found[0].shape == canvas.shape
    np.testing.assert_allclose(np.int32(found[0]), np.int32(canvas), atol=1)
    np.testing.assert_allclose(found[1], transform, rtol=1e-5, atol=1e-4)
    assert (found[2].tolist(), int(found[3])) == (size.numpy().tolist(), int(status))
    assert (found[1].dtype, found[2].dtype, found[3].dtype) == (np.float32, np.int32, np.int32)


@pytest.mark.parametrize("tens", range(10))
def test_canvases_of_photo_files_are_those_of_the_graph(tens):
    for index in range(10 * tens, 10 * tens + 10):
        file = generated(index)
        expected = resampling.read_photo(file, CANVAS, MAX_PIXELS)
        assert int(expected[3]) == 0
        assert_same_canvas(lite.read_photo(file, CANVAS, MAX_PIXELS), expected)


@pytest.mark.parametrize("height, width", [*EDGE_SIZES, (130, 97), (300, 7000)])
def test_canvases_of_pixels_are_those_of_the_graph(height, width):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    assert_same_canvas(lite.take_photo(pixels, CANVAS), resampling.take_photo(pixels, CANVAS))


def test_letterbox_by_hand():
    # Two pixels side by side on a canvas of 4: a row of padding above them, and a last column that only repeats.
    pixels = np.uint8([[[0] * 3, [200] * 3]])
    canvas, transform = lite.letterbox(pixels, 4)
    assert transform.tolist() == [2.0, 0.5, 0.5]
    # Rows at -0.25, 0.25, 0.75, 1.25 of the square, whose second row is padding.
    assert canvas[0, :, 0].tolist() == [0, 50, 150, 200]
    assert canvas[3, :, 0].tolist() == [128] * 4
    assert canvas[1, :, 0].tolist() == [int(0.75 * value + 0.25 * 128 + 0.5) for value in (0, 50, 150, 200)]


def test_a_file_that_is_no_photo_has_a_grey_canvas():
    canvas, transform, size, status = lite.read_photo(b"no photo", 8, MAX_PIXELS)
    assert (canvas == PAD_VALUE).all() and canvas.shape == (8, 8, 3)
    assert np.isfinite(transform).all() and (size.tolist(), int(status)) == ([0, 0], 1)


def test_outputs_are_those_of_the_graph():
    random = np.random.default_rng(0)
    classes = random.integers(0, 4, (5, 6)).astype(np.int32)
    found = {
        "num_garments": (classes > 0).sum(axis=1).astype(np.int32),
        "boxes": np.float32(random.uniform(-5, 70, (5, 6, 4))),
        "classes": classes,
        "scores": np.float32(random.uniform(0, 1, (5, 6))),
        "keypoints": np.float32(random.uniform(-5, 70, (5, 6, 8, 2))),
        "keypoint_scores": np.float32(random.uniform(0, 1, (5, 6, 8))),
    }
    sizes = np.int32([[32, 64], [500, 300], [1, 1], [0, 0], [64, 64]])
    transforms = np.float32([lite.letterbox(np.zeros((*np.maximum(size, 1), 3), np.uint8), 64)[1] for size in sizes])
    statuses = np.int32([0, 0, 0, 3, 2])
    tensors = tf.nest.map_structure(tf.constant, (found, transforms, sizes, statuses))
    expected = outputs_on_photos(*tensors)
    outputs = lite.outputs_on_photos(found, transforms, sizes, statuses)
    assert set(outputs) == set(expected)
    for name, value in outputs.items():
        assert value.dtype == expected[name].numpy().dtype, name
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-4, err_msg=name)
