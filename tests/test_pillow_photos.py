import io
import struct

import numpy as np
import pytest
from PIL import Image

from cspn_tf import decoding
from cspn_tf.config import Config
from cspn_tf.console import UserError
from cspn_tf.contract import STATUS_MEANINGS, STATUS_OK, STATUS_TOO_LARGE, STATUS_UNDECODABLE
from cspn_tf.decoding import pixels_as_displayed
from cspn_tf.pillow_photos import as_served, decode_photo, decode_webp, pillow_as_displayed, read_photo_files
from cspn_tf.pillow_photos import pixels_as_displayed as pixels_by_pillow
from tests import photos
from tests.test_decoding import GARBAGE_EXIF, NOT_PHOTOS, PNG_CHUNKS

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


# Files ---------------------------------------------------------------------------------------------------------------

MAX_PIXELS = 1_000_000
JPEG, PROGRESSIVE, PNG = photos.jpeg(PICTURE), photos.jpeg(PICTURE, progressive=True), photos.png(PICTURE)


def assert_decodes_like_the_graph(file, least_side=None, max_pixels=MAX_PIXELS):
    photo, size, status = decode_photo(file, max_pixels, least_side)
    expected, expected_size, expected_status = decoding.decode_photo(file, max_pixels, least_side)
    assert (status, size.tolist()) == (int(expected_status), expected_size.numpy().tolist())
    assert photo.dtype == np.uint8 and photo.shape == expected.shape
    if size.any():  # what a damaged file contains is not compared
        return np.abs(np.int32(photo) - expected.numpy()).max()
    np.testing.assert_array_equal(photo, expected)
    return 0


def decode_status(file):
    return int(decoding.decode_photo(file, MAX_PIXELS)[2])


ODD = {
    **NOT_PHOTOS,
    **{name: file for name, (file, _) in photos.awkward().items()},
    **{f"EXIF: {name}": photos.insert_segments(JPEG, segment) for name, segment in GARBAGE_EXIF.items()},
    **{f"PNG chunk {name}": photos.insert_chunks(PNG, *chunks) for name, (chunks, _) in PNG_CHUNKS.items()},
    **{
        f"JPEG of {size}": photos.jpeg_with_size(*size)
        for size in [(0, 8), (8, 0), (65_535, 1), (65_000, 65_000), (65_535, 65_535), (1001, 1000)]
    },
    **{
        f"PNG of {size}": photos.png_with_size(*size)
        for size in [(0, 8), (8, 0), (2**31, 1), (2**32 - 1, 2**32 - 1), (2**31 - 1, 2**31 - 1), (707, 708)]
    },
    "PNG bomb": photos.png_bomb(),
    "JPEG without tables": JPEG[:2] + JPEG[JPEG.index(b"\xff\xc0") :],
    **{f"{num} scans": photos.jpeg_of_scans(PICTURE, num) for num in (32, 33, 5000)},
    "scans behind a JPEG": JPEG + 100 * b"\xff\xda",
    "scans behind a grey JPEG": photos.jpeg(PICTURE, "L") + 100 * b"\xff\xda",
    "scans behind a progressive JPEG": PROGRESSIVE + 100 * b"\xff\xda",
    "scans behind a scan of one component": photos.jpeg_of_one_component(PICTURE) + 100 * b"\xff\xda",
}
# Pillow takes the first of several orientations in one entry; the graph takes none.
ODD.pop("EXIF: two orientations in one")


@pytest.mark.filterwarnings("ignore")  # Pillow's, of corrupt EXIF
@pytest.mark.parametrize("least_side", [None, 16])
@pytest.mark.parametrize("file", ODD.values(), ids=ODD)
def test_odd_files_are_judged_like_by_the_graph(file, least_side):
    assert assert_decodes_like_the_graph(file, least_side) <= JPEG_TOLERANCE


@pytest.mark.parametrize("file", [JPEG, PROGRESSIVE, PNG], ids=["JPEG", "progressive JPEG", "PNG"])
def test_truncated_files_are_judged_like_by_the_graph(file):
    for length in [*range(40), *range(40, len(file) - 1, 97), len(file) - 2, len(file) - 1]:
        assert assert_decodes_like_the_graph(file[:length]) == 0


# Measured: of 1000 JPEGs with 1 to 3 damaged bytes, 3 are judged differently; of progressive ones and PNGs none. The
# graph refuses headers that libjpeg cannot read before it looks at their size, and reads on after the last row.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file", [JPEG, PROGRESSIVE, PNG], ids=["JPEG", "progressive JPEG", "PNG"])
def test_nearly_all_damaged_files_are_judged_like_by_the_graph(file):
    random = np.random.default_rng(0)
    judged = []
    for _ in range(100):
        damaged = bytearray(file)
        for place in random.integers(0, len(file), random.integers(1, 4)):
            damaged[place] = random.integers(0, 256)
        judged.append((decode_photo(bytes(damaged), MAX_PIXELS)[2], decode_status(bytes(damaged))))
    assert len(set(judged)) > 1 and sum(ours != graphs for ours, graphs in judged) <= 2


@pytest.mark.parametrize("file, num", [(JPEG, 40 * 56), (PNG, 2 * 40 * 56)], ids=["JPEG", "PNG"])
def test_the_cap_is_that_of_the_graph(file, num):
    for max_pixels in (num, num - 1):
        assert assert_decodes_like_the_graph(file, max_pixels=max_pixels) <= JPEG_TOLERANCE


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"progressive": True}, {"mode": "L"}, {"mode": "CMYK"}])
@pytest.mark.parametrize("height, width", [(128, 160), (131, 157), (3, 400), (400, 1)])
@pytest.mark.parametrize("orientation", [1, 2, 6, 9])
@pytest.mark.parametrize("least_side", [1, 16, 40, 80, 1000])
def test_a_jpeg_is_shrunk_like_by_the_graph(height, width, orientation, least_side, options):
    file = photos.jpeg(photos.picture(height, width), orientation=orientation, **options)
    assert assert_decodes_like_the_graph(file, least_side) <= JPEG_TOLERANCE


def test_pixels_or_the_reason_in_words():
    np.testing.assert_array_equal(pixels_by_pillow(PNG, MAX_PIXELS), PICTURE)
    for file, status in ((b"GIF89a", 1), (PNG, 2), (JPEG[:100], 3)):
        assert status != STATUS_OK
        with pytest.raises(ValueError, match=STATUS_MEANINGS[status]):
            pixels_by_pillow(file, 100 if status == 2 else MAX_PIXELS)


# WebP -----------------------------------------------------------------------------------------------------------------

WEBP = photos.webp(PICTURE)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_webp_is_decoded_as_displayed_and_sent_as_a_png(orientation):
    file = photos.webp(PICTURE, exif=b"Exif\0\0" + photos.exif_of(orientation))
    expected = np.rot90(PICTURE, {1: 0, 3: 2, 6: 3}[orientation])
    photo, image_size, status = decode_webp(file, PICTURE[..., 0].size)
    assert status == STATUS_OK and image_size.tolist() == list(expected.shape[:2])
    for pixels in (photo, pixels_by_pillow(file, MAX_PIXELS), pixels_as_displayed(as_served(file))):
        np.testing.assert_array_equal(pixels, expected)


def test_webp_with_too_many_pixels_for_a_png_is_sent_as_a_jpeg(monkeypatch):
    monkeypatch.setattr(Config, "max_pixels", 2 * PICTURE[..., 0].size - 1)
    sent = as_served(WEBP)
    with Image.open(io.BytesIO(sent)) as photo:
        assert photo.format == "JPEG" and photo.size == PICTURE.shape[1::-1]
    assert np.abs(pixels_as_displayed(sent).astype(int) - PICTURE).mean() < 2
    monkeypatch.setattr(Config, "max_pixels", 2 * PICTURE[..., 0].size)
    np.testing.assert_array_equal(pixels_as_displayed(as_served(WEBP)), PICTURE)


def test_webp_with_alpha_is_composited_like_a_png():
    rgba = np.dstack([PICTURE, PICTURE[..., 1]])
    expected = pixels_as_displayed(photos.png(rgba))
    np.testing.assert_array_equal(decode_webp(photos.webp(rgba), MAX_PIXELS)[0], expected)


def test_the_first_frame_of_an_animated_webp_counts():
    file = photos.webp(PICTURE, frames=[255 - PICTURE])
    np.testing.assert_array_equal(decode_webp(file, MAX_PIXELS)[0], PICTURE)


def test_webp_beyond_the_cap_or_damaged_is_refused():
    assert decode_webp(WEBP, PICTURE[..., 0].size - 1)[2] == STATUS_TOO_LARGE
    for length in (12, 40, len(WEBP) // 2):
        assert decode_webp(WEBP[:length], MAX_PIXELS)[2] == STATUS_UNDECODABLE
        assert as_served(WEBP[:length]) == WEBP[:length], "for the server to refuse"


@pytest.mark.parametrize("file", [JPEG, PNG, b"", b"RIFF\0\0\0\0WAVEfmt "])
def test_other_files_are_sent_as_they_are(file):
    assert as_served(file) is file


def test_photo_files_are_read_as_they_are_served(tmp_path):
    files = {
        "text.png": photos.insert_chunks(photos.png(PICTURE), photos.png_text()),  # which Pillow by itself refuses
        "webp.jpg": WEBP,
        "cut.jpg": photos.jpeg(PICTURE)[:500],
        "cut.webp": WEBP[:40],
        "gif.jpg": photos.other_format("GIF"),
    }
    for name, file in files.items():
        (tmp_path / name).write_bytes(file)
    text, webp = read_photo_files([tmp_path / "text.png", tmp_path / "webp.jpg"])
    assert text == files["text.png"]
    np.testing.assert_array_equal(pixels_as_displayed(webp), PICTURE)
    refused = {"cut.jpg": "could not be decoded", "cut.webp": "could not be decoded", "gif.jpg": "not a JPEG or PNG"}
    for name, fault in refused.items():
        with pytest.raises(UserError, match=rf"{name}: {fault}$"):
            read_photo_files([tmp_path / "text.png", tmp_path / name])
    with pytest.raises(UserError, match=r"^cannot read .*none\.jpg: No such file"):
        read_photo_files([tmp_path / "none.jpg"])
