import io
import struct

import numpy as np
import pytest
from PIL import Image

from cspn_tf.decoding import pixels_as_displayed
from cspn_tf.pillow_photos import pillow_as_displayed
from tests import photos

PICTURE = photos.picture(40, 56)
# Pillow and TensorFlow bundle the same JPEG library; measured 0, and 1 for YCCK.
JPEG_TOLERANCE = 2


def displayed(file):
    return pillow_as_displayed(Image.open(io.BytesIO(file)))


def assert_equals_the_graph(file, tolerance=0):
    pixels, expected = displayed(file), pixels_as_displayed(file)
    assert pixels.dtype == np.uint8 and pixels.shape == expected.shape
    assert np.abs(np.int32(pixels) - expected).max() <= tolerance


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("is_transparent", [False, True])
def test_grey_png(bit_depth, is_transparent):
    samples = photos.samples_of(bit_depth, 1)
    transparency = struct.pack(">H", samples[0, 0, 0]) if is_transparent else None
    assert_equals_the_graph(photos.png_of_samples(samples, photos.GREY, bit_depth, transparency=transparency))


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8])
@pytest.mark.parametrize("transparency", [None, b"\x80\x00", b"\x00", b"\xff\x00\xff"])
def test_palette_png(bit_depth, transparency):
    palette = np.random.default_rng(0).integers(0, 256, (2**bit_depth, 3))
    transparency = transparency and transparency[: len(palette)]
    file = photos.png_of_samples(photos.samples_of(bit_depth, 1), photos.PALETTE, bit_depth, palette, transparency)
    assert_equals_the_graph(file)


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("colour_type, channels", [(photos.RGB, 3), (photos.RGBA, 4), (photos.GREY_ALPHA, 2)])
def test_png_of_colour_and_alpha(colour_type, channels, bit_depth):
    assert_equals_the_graph(photos.png_of_samples(photos.samples_of(bit_depth, channels), colour_type, bit_depth))


def test_png_with_one_transparent_colour():
    samples = photos.samples_of(8, 3)
    transparency = struct.pack(">HHH", *samples[0, 0])
    assert_equals_the_graph(photos.png_of_samples(samples, photos.RGB, 8, transparency=transparency))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_jpeg(orientation, mode):
    assert_equals_the_graph(photos.jpeg(PICTURE, mode, orientation=orientation), JPEG_TOLERANCE)


def test_ycck_jpeg():
    assert_equals_the_graph(photos.jpeg_ycck(PICTURE), JPEG_TOLERANCE)


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_exif_of_png_and_in_xmp_of_jpeg(orientation, long):
    chunk = photos.png_chunk(b"eXIf", photos.exif_of(orientation, long))
    xmp = photos.xmp_segment(b'tiff:Orientation="%d"' % orientation)
    for at_end in (False, True):
        assert_equals_the_graph(photos.insert_chunks(photos.png(PICTURE), chunk, at_end=at_end))
    assert_equals_the_graph(photos.insert_segments(photos.jpeg(PICTURE), xmp), JPEG_TOLERANCE)


def test_orientation_that_only_pillow_reads_in_a_png_does_not_count():
    xmp = photos.png_chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0tiff:Orientation="6"')
    exif = photos.exif_of(6)
    raw = photos.png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n%8d\n%s\n" % (len(exif), exif.hex().encode()))
    for chunk in (xmp, raw):
        assert_equals_the_graph(photos.insert_chunks(photos.png(PICTURE), chunk))


def test_garbage_for_exif_leaves_the_picture_as_stored():
    file = photos.insert_segments(photos.jpeg(PICTURE), photos.jpeg_segment(0xE1, b"Exif\0\0XX*\0" + bytes(40)))
    assert_equals_the_graph(file, JPEG_TOLERANCE)


def test_a_made_picture_of_every_mode():
    rgba = Image.fromarray(np.uint8([[[10, 20, 30, 255], [10, 20, 30, 0], [100, 0, 200, 128]]]))
    assert pillow_as_displayed(rgba).tolist() == [[[10, 20, 30], [255, 255, 255], [177, 127, 227]]]
    rgb = Image.fromarray(PICTURE)
    assert np.array_equal(pillow_as_displayed(rgb), PICTURE)
    for mode in ("1", "L", "P", "CMYK", "YCbCr", "HSV", "LAB", "RGBX"):
        pixels = pillow_as_displayed(Image.new(mode, (2, 3)))
        assert (pixels.shape, pixels.dtype) == ((3, 2, 3), np.uint8)
    assert pillow_as_displayed(Image.new("I;16B", (1, 1), 0xAB12)).tolist() == [[[0xAB] * 3]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_picture_without_a_white_is_refused(mode):
    with pytest.raises(ValueError, match=f"mode {mode} has no white value"):
        pillow_as_displayed(Image.new(mode, (2, 2)))
