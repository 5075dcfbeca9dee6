import io

import numpy as np
from PIL import Image

from benchmarks.photos import photo_sizes, resized, synthesise_photo
from cspn_tf.decoding import pixels_as_displayed
from tests import photos


def test_synthesised_photo_is_a_jpeg_of_that_size_and_always_the_same():
    photo = synthesise_photo(96)
    assert photo == synthesise_photo(96)
    with Image.open(io.BytesIO(photo)) as image:
        assert (image.format, image.size) == ("JPEG", (96, 96))
        assert np.asarray(image).std() > 20


def test_photo_sizes_are_as_displayed():
    pixels = photos.picture(40, 56)
    turned, stored = photos.jpeg(pixels, orientation=6), photos.png(pixels)
    assert photo_sizes([stored, turned, stored]) == [(40, 56), (56, 40)]


def test_a_photo_is_resized_as_displayed():
    pixels = np.zeros([30, 40, 3], np.uint8)
    pixels[:, :20, 0] = 255  # red on the left; turned, on top
    found = pixels_as_displayed(resized(photos.jpeg(pixels, orientation=6), 60, 80))
    assert found.shape == (80, 60, 3)
    assert found[:30, :, 0].min() > 240 and found[50:, :, 0].max() < 15
