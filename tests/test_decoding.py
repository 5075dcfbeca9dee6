import io
import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cspn_tf.contract import PAD_VALUE
from cspn_tf.data.photo_checks import PhotoError, photo_facts
from cspn_tf.decoding import (
    STATUS_NOT_A_PHOTO,
    STATUS_OK,
    STATUS_TOO_LARGE,
    STATUS_UNDECODABLE,
    decode_photo,
    pixels_as_displayed,
)
from tests import photos

MAX_PIXELS = 1_000_000
PICTURE = photos.picture(40, 56)
NOISE = np.random.default_rng(0).integers(0, 256, (41, 59, 3), np.uint8)
# Pillow and TensorFlow bundle the same JPEG library; measured 0, and 1 for YCCK.
JPEG_TOLERANCE = 2


def decode(photo_bytes, max_pixels=MAX_PIXELS):
    photo, image_size, status = decode_photo(photo_bytes, max_pixels)
    return photo.numpy(), image_size.numpy().tolist(), int(status)


def decode_good(photo_bytes):
    photo, image_size, status = decode(photo_bytes)
    assert status == STATUS_OK
    assert photo.dtype == np.uint8
    assert photo.shape == (*image_size, 3)
    return photo


def assert_refused(photo_bytes, expected, max_pixels=MAX_PIXELS):
    photo, image_size, status = decode(photo_bytes, max_pixels)
    assert (status, image_size) == (expected, [0, 0])
    assert np.array_equal(photo, np.full((1, 1, 3), PAD_VALUE))


def with_pillow(photo_bytes):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(photo_bytes))).convert("RGB"))


def largest_difference(one, other):
    assert one.shape == other.shape
    return np.abs(np.int32(one) - np.int32(other)).max()


def to_8_bits(samples, bit_depth):
    return samples >> 8 if bit_depth == 16 else samples * 255 // (2**bit_depth - 1)


def on_white(colour, alpha):
    return np.round((colour * alpha + 255.0 * (255 - alpha)) / 255.0)


# JPEG ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", [PICTURE, NOISE], ids=["smooth", "noise of odd size"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"subsampling": 0},
        {"quality": 30},
        {"progressive": True},
        {"mode": "L"},
        {"mode": "L", "progressive": True},
        {"mode": "CMYK"},
    ],
    ids=str,
)
def test_every_kind_of_jpeg_equals_pillow(pixels, options):
    file = photos.jpeg(pixels, **options)
    assert largest_difference(decode_good(file), with_pillow(file)) <= JPEG_TOLERANCE


def test_adobe_cmyk_is_not_inverted():
    assert largest_difference(decode_good(photos.jpeg(PICTURE, "CMYK")), PICTURE) <= 6


def test_ycck_is_the_picture_and_equals_pillow():
    file = photos.jpeg_ycck(PICTURE)
    assert largest_difference(decode_good(file), PICTURE) <= 10
    assert largest_difference(decode_good(file), with_pillow(file)) <= JPEG_TOLERANCE


def test_bytes_after_the_end_of_a_jpeg_do_not_matter():
    file = photos.jpeg(PICTURE)
    assert np.array_equal(decode_good(file + b"trailing"), decode_good(file))


def test_a_jpeg_of_many_scans_is_undecodable_before_they_are_decoded():
    for num, status in ((32, STATUS_OK), (33, STATUS_UNDECODABLE), (5000, STATUS_UNDECODABLE)):
        many = photos.jpeg_of_scans(PICTURE, num)
        assert many.count(b"\xff\xda") == num
        assert decode(many)[2] == status


def test_starts_of_scans_after_the_end_of_a_jpeg_do_not_count():
    """A video that a camera appends has such bytes by chance."""
    file = photos.jpeg(PICTURE)
    assert np.array_equal(decode_good(file + 100 * b"\xff\xda"), decode_good(file))
    grey = photos.jpeg(PICTURE, mode="L")
    assert np.array_equal(decode_good(grey + 100 * b"\xff\xda"), decode_good(grey))
    # A progressive one could go on there, as could one whose scans have a colour component each.
    assert_refused(photos.jpeg(PICTURE, progressive=True) + 100 * b"\xff\xda", STATUS_UNDECODABLE)
    assert_refused(photos.jpeg_of_one_component(PICTURE) + 100 * b"\xff\xda", STATUS_UNDECODABLE)


# EXIF orientation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_is_turned_like_pillow_turns_it(orientation, big_endian):
    file = photos.jpeg(PICTURE, orientation=orientation, big_endian=big_endian)
    photo = decode_good(file)
    assert photo.shape[:2] == ((40, 56) if orientation <= 4 else (56, 40))
    assert largest_difference(photo, with_pillow(file)) <= JPEG_TOLERANCE


def test_exif_is_found_behind_other_segments():
    before = [
        photos.jpeg_segment(0xE0, b"JFIF\0" + bytes(9)),
        photos.jpeg_segment(0xE2, bytes(65_533)),
        photos.jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
        photos.jpeg_segment(0xFE, b"a comment with Exif\0\0MM\0* in it"),
        b"\xff\xff\xff",  # fill bytes
        photos.jpeg_segment(0xED, b""),
    ]
    file = photos.jpeg(PICTURE, orientation=6, before_exif=before)
    assert np.array_equal(decode_good(file), decode_good(photos.jpeg(PICTURE, orientation=6)))


def test_exif_of_our_making_is_read():
    file = photos.insert_segments(photos.jpeg(PICTURE), photos.exif_segment([(0x0112, 3, 1, b"\x08\0\0\0")]))
    assert np.array_equal(decode_good(file), np.rot90(decode_good(photos.jpeg(PICTURE))))


SIX = b"\x06\0\0\0"
GARBAGE_EXIF = {
    "orientation 0": photos.exif_segment([(0x0112, 3, 1, b"\0\0\0\0")]),
    "orientation 9": photos.exif_segment([(0x0112, 3, 1, b"\x09\0\0\0")]),
    "orientation 65535": photos.exif_segment([(0x0112, 3, 1, b"\xff\xff\0\0")]),
    "orientation as text": photos.exif_segment([(0x0112, 2, 1, SIX)]),
    "two orientations in one": photos.exif_segment([(0x0112, 3, 2, SIX)]),
    "an entry after the last": photos.exif_segment([(0x0112, 3, 1, SIX)], num_entries=0),
    "more entries than bytes": photos.exif_segment([(0x010F, 3, 1, SIX)], num_entries=65_535),
    "directory past the end": photos.exif_segment([(0x0112, 3, 1, SIX)], directory=2**32 - 1),
    "no directory": photos.jpeg_segment(0xE1, b"Exif\0\0II*\0"),
    "no TIFF": photos.jpeg_segment(0xE1, b"Exif\0\0"),
    "byte order unknown": photos.jpeg_segment(0xE1, b"Exif\0\0XX*\0" + bytes(40)),
    "name cut short": photos.jpeg_segment(0xE1, b"Exi"),
    "empty": photos.jpeg_segment(0xE1, b""),
    "orientation in a comment": photos.jpeg_segment(0xFE, photos.exif_segment([(0x0112, 3, 1, SIX)])[4:]),
    "hundreds of segments": photos.jpeg_segment(0xE5, b"") * 500,
}


@pytest.mark.parametrize("segment", GARBAGE_EXIF.values(), ids=GARBAGE_EXIF)
def test_photo_with_garbage_for_exif_is_left_as_stored(segment):
    plain = photos.jpeg(PICTURE)
    assert np.array_equal(decode_good(photos.insert_segments(plain, segment)), decode_good(plain))


# Other places of the orientation -------------------------------------------------------------------------------------


def turn(photo, orientation):
    """Turn a photo as EXIF 2.32 says: where its first row and its first column are to be displayed."""
    photo = photo if orientation <= 4 else photo.transpose(1, 0, 2)
    flips = {2: [1], 3: [0, 1], 4: [0], 6: [1], 7: [0, 1], 8: [0]}
    return np.flip(photo, flips[orientation]) if orientation in flips else photo


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("long", [False, True], ids=["SHORT", "LONG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_both_types_turns_jpeg_and_png(orientation, long, big_endian):
    exif = photos.exif_of(orientation, long, big_endian)
    plain = photos.jpeg(PICTURE)
    jpeg = photos.insert_segments(plain, photos.jpeg_segment(0xE1, b"Exif\0\0" + exif))
    assert np.array_equal(decode_good(jpeg), turn(decode_good(plain), orientation))
    for at_end in (False, True):
        png = photos.insert_chunks(photos.png(PICTURE), photos.png_chunk(b"eXIf", exif), at_end=at_end)
        assert np.array_equal(decode_good(png), turn(PICTURE, orientation))


XMP_FORMS = ['tiff:Orientation="%d"', "tiff:Orientation='%d'", "<tiff:Orientation>%d</tiff:Orientation>"]


@pytest.mark.parametrize("form", XMP_FORMS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_xmp_turns_a_jpeg_that_has_none_in_exif(orientation, form):
    plain, stored = photos.jpeg(PICTURE), decode_good(photos.jpeg(PICTURE))
    xmp = photos.xmp_segment((form % orientation).encode())
    without = photos.exif_segment([(0x010F, 3, 1, SIX)])
    for segments in ([xmp], [xmp, without], [without, xmp], [photos.exif_segment([]), xmp]):
        assert np.array_equal(decode_good(photos.insert_segments(plain, *segments)), turn(stored, orientation))
    for exif, by_exif in ((b"\x03", 3), (b"\0", 1), (b"\x09", 1)):
        exif = photos.exif_segment([(0x0112, 3, 1, exif.ljust(4, b"\0"))])
        for segments in ([xmp, exif], [exif, xmp]):
            assert np.array_equal(decode_good(photos.insert_segments(plain, *segments)), turn(stored, by_exif))


@pytest.mark.parametrize(
    "properties, orientation",
    [
        (b"", 1),
        (b"tiff:Orientation", 1),
        (b'tiff:Orientation="0"', 1),
        (b'tiff:Orientation="9"', 1),
        (b'tiff:Orientation="16"', 1),
        (b'\xff\xfe changed="tiff:Orientation" tiff:Orientation="6" tiff:Orientation="3"', 6),
    ],
)
def test_the_first_possible_orientation_in_xmp_counts(properties, orientation):
    plain = photos.jpeg(PICTURE)
    file = photos.insert_segments(plain, photos.xmp_segment(properties))
    assert np.array_equal(decode_good(file), turn(decode_good(plain), orientation))


EXIF_CHUNK = photos.png_chunk(b"eXIf", photos.exif_of(6))
PNG_CHUNKS = {
    "behind its name": ([photos.png_chunk(b"eXIf", b"Exif\0\0" + photos.exif_of(6))], 6),
    "behind text that names it": ([photos.png_chunk(b"tEXt", b"a\0eXIf eXIf\0\0\0\x08eXIf"), EXIF_CHUNK], 6),
    "as long as is read": ([photos.png_chunk(b"eXIf", photos.exif_of(6).ljust(65_531, b"\0"))], 6),
    "longer": ([photos.png_chunk(b"eXIf", photos.exif_of(6).ljust(65_532, b"\0"))], 1),
    "with a wrong checksum": ([photos.png_chunk(b"eXIf", photos.exif_of(6), checksum_error=1)], 1),
    "wrong, then right": ([photos.png_chunk(b"eXIf", photos.exif_of(3), checksum_error=2**31), EXIF_CHUNK], 6),
    "empty": ([photos.png_chunk(b"eXIf", b"")], 1),
    "in XMP": ([photos.png_chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0tiff:Orientation="6"')], 1),
}


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("chunks, orientation", PNG_CHUNKS.values(), ids=PNG_CHUNKS)
def test_orientation_of_a_png_is_that_of_its_first_sound_exif_chunk(chunks, orientation, at_end):
    file = photos.insert_chunks(photos.png(PICTURE), *chunks, at_end=at_end)
    assert np.array_equal(decode_good(file), turn(PICTURE, orientation))


def test_a_chunk_behind_the_end_of_a_png_does_not_count():
    assert np.array_equal(decode_good(photos.png(PICTURE) + EXIF_CHUNK), PICTURE)


# One rule for all ----------------------------------------------------------------------------------------------------


AWKWARD = photos.awkward()


@pytest.mark.parametrize("file, size", AWKWARD.values(), ids=AWKWARD)
def test_all_agree_on_what_an_awkward_photo_is(file, size):
    if size is None:
        assert decode(file)[2] in (STATUS_NOT_A_PHOTO, STATUS_UNDECODABLE)
        with pytest.raises(ValueError, match=r"could not be decoded|not a JPEG or PNG"):
            pixels_as_displayed(file)
        with pytest.raises(PhotoError):
            photo_facts(file)
        return
    facts, pixels = photo_facts(file), pixels_as_displayed(file)
    assert facts.size == size
    assert pixels.shape == (*size, 3) and np.array_equal(pixels, decode_good(file))


def test_pixels_beyond_the_cap_are_refused_in_words():
    assert pixels_as_displayed(photos.jpeg(PICTURE), 40 * 56).shape == (40, 56, 3)
    with pytest.raises(ValueError, match="more pixels than the cap"):
        pixels_as_displayed(photos.jpeg(PICTURE), 40 * 56 - 1)


# JPEG at a smaller size ----------------------------------------------------------------------------------------------


def decode_small(photo_bytes, least_side):
    photo, image_size, status = decode_photo(photo_bytes, MAX_PIXELS, least_side)
    assert int(status) == STATUS_OK
    return photo.numpy(), image_size.numpy().tolist()


@pytest.mark.parametrize(
    "long_side, ratio",
    [(15, 1), (16, 1), (31, 1), (32, 2), (63, 2), (64, 4), (127, 4), (128, 8), (300, 8)],
)
@pytest.mark.parametrize("is_high", [False, True])
def test_jpeg_is_shrunk_while_its_long_side_keeps_as_many_pixels_as_asked_for(long_side, ratio, is_high):
    height, width = (long_side, 9) if is_high else (9, long_side)
    photo, image_size = decode_small(photos.jpeg(photos.picture(height, width)), 16)
    assert image_size == [height, width]
    assert photo.shape == (-(-height // ratio), -(-width // ratio), 3)


# What a smooth picture's shrunk decode may differ by from the average of its pixels, levels. Measured: 3, and 4 in a
# last row that stands for a single one; a colour picture that lies one pixel beside its place differs by 5 to 8.
SHRUNK_TOLERANCE = 4


@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"progressive": True}, {"mode": "L"}, {"mode": "CMYK"}], ids=str
)
@pytest.mark.parametrize("height, width", [(128, 160), (131, 157)])
@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_a_shrunk_jpeg_is_the_average_of_its_pixels(ratio, height, width, options):
    file = photos.jpeg(photos.picture(height, width), **options)
    photo, _ = decode_small(file, width // ratio)
    assert largest_difference(np.round(photos.shrunk(decode_good(file), ratio)), photo) <= SHRUNK_TOLERANCE


@pytest.mark.parametrize("ratio", [2, 4, 8])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_is_shrunk_where_its_sides_divide(orientation, ratio):
    file = photos.jpeg(photos.picture(96, 128), orientation=orientation)
    photo, image_size = decode_small(file, 128 // ratio)
    assert image_size == ([96, 128] if orientation <= 4 else [128, 96])
    assert largest_difference(np.round(photos.shrunk(decode_good(file), ratio)), photo) <= SHRUNK_TOLERANCE


@pytest.mark.parametrize("height, width", [(97, 128), (96, 129)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_keeps_its_size_where_a_side_does_not_divide(orientation, height, width):
    file = photos.jpeg(photos.picture(height, width), orientation=orientation)
    photo, image_size = decode_small(file, 32)
    whole = decode_good(file)
    assert image_size == list(whole.shape[:2])
    if orientation == 1:  # not turned: the last row and column stay the last
        assert largest_difference(np.round(photos.shrunk(whole, 4)), photo) <= SHRUNK_TOLERANCE
    else:
        assert np.array_equal(photo, whole)


def test_without_a_least_side_or_with_a_large_one_the_photo_is_whole():
    file = photos.jpeg(photos.picture(96, 128))
    for least_side in (65, 128, 4096, 2**31):
        photo, _ = decode_small(file, least_side)
        assert np.array_equal(photo, decode_good(file))


@pytest.mark.parametrize("least_side", [1, 16, 1000])
def test_png_keeps_its_size(least_side):
    picture = photos.picture(97, 128)
    photo, image_size = decode_small(photos.png(picture), least_side)
    assert image_size == [97, 128]
    assert np.array_equal(photo, picture)


def test_the_cap_counts_the_pixels_before_a_photo_is_shrunk():
    file = photos.jpeg(photos.picture(96, 128))
    photo, image_size, status = decode_photo(file, 96 * 128 - 1, 16)
    assert int(status) == STATUS_TOO_LARGE
    assert image_size.numpy().tolist() == [0, 0] and photo.shape == (1, 1, 3)
    assert int(decode_photo(file, 96 * 128, 16)[2]) == STATUS_OK


@pytest.mark.parametrize("least_side", [64, 32, 16])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_is_undecodable_at_every_size(progressive, least_side):
    file = photos.jpeg(photos.picture(96, 128), progressive=progressive)
    for length in (len(file) // 2, len(file) - 100, len(file) - 2, len(file) - 1):
        photo, image_size, status = decode_photo(file[:length], MAX_PIXELS, least_side)
        assert int(status) == STATUS_UNDECODABLE
        assert image_size.numpy().tolist() == [0, 0] and photo.shape == (1, 1, 3)


def test_least_side_may_be_a_tensor_and_shrinks_the_same_in_a_dataset():
    files = [photos.jpeg(photos.picture(height, 128), orientation=6) for height in (96, 97)]
    dataset = tf.data.Dataset.from_tensor_slices(files)
    mapped = list(dataset.map(lambda file: decode_photo(file, MAX_PIXELS, tf.constant(32))))
    for file, (photo, image_size, _) in zip(files, mapped, strict=True):
        expected, expected_size = decode_small(file, 32)
        assert np.array_equal(photo, expected) and image_size.numpy().tolist() == expected_size


# PNG -----------------------------------------------------------------------------------------------------------------


def test_rgb_png_is_exact():
    assert np.array_equal(decode_good(photos.png(PICTURE)), PICTURE)


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8, 16])
def test_grey_png_of_every_depth(bit_depth):
    samples = photos.samples_of(bit_depth, 1)
    photo = decode_good(photos.png_of_samples(samples, photos.GREY, bit_depth))
    assert np.array_equal(photo, np.repeat(to_8_bits(samples, bit_depth), 3, axis=-1))


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8])
def test_palette_png_of_every_depth_equals_pillow(bit_depth):
    samples = photos.samples_of(bit_depth, 1)
    palette = np.random.default_rng(0).integers(0, 256, (2**bit_depth, 3))
    file = photos.png_of_samples(samples, photos.PALETTE, bit_depth, palette)
    assert np.array_equal(decode_good(file), palette[samples[..., 0]])
    assert np.array_equal(decode_good(file), with_pillow(file))


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8])
def test_transparency_of_a_palette_is_laid_on_white(bit_depth):
    samples = photos.samples_of(bit_depth, 1)
    palette, alphas = np.split(np.random.default_rng(0).integers(0, 256, (2**bit_depth, 4)), [3], axis=1)
    alphas[-1] = 255  # left out of the file, which means opaque
    transparency = np.uint8(alphas[:-1]).tobytes()
    photo = decode_good(photos.png_of_samples(samples, photos.PALETTE, bit_depth, palette, transparency))
    assert np.array_equal(photo, on_white(palette, alphas)[samples[..., 0]])


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8, 16])
def test_transparent_grey_is_white(bit_depth):
    samples = photos.samples_of(bit_depth, 1)
    transparent = samples[0, 0, 0]
    photo = decode_good(
        photos.png_of_samples(samples, photos.GREY, bit_depth, transparency=struct.pack(">H", transparent))
    )
    expected = np.where(samples == transparent, 255, to_8_bits(samples, bit_depth))
    assert np.array_equal(photo, np.repeat(expected, 3, axis=-1))


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("colour_type, channels", [(photos.RGB, 3), (photos.RGBA, 4), (photos.GREY_ALPHA, 2)])
def test_colour_and_alpha_of_8_and_16_bits(colour_type, channels, bit_depth):
    samples = photos.samples_of(bit_depth, channels)
    photo = decode_good(photos.png_of_samples(samples, colour_type, bit_depth))
    samples = to_8_bits(samples, bit_depth)
    expected = samples if channels == 3 else on_white(samples[..., :-1], samples[..., -1:])
    assert np.array_equal(photo, np.broadcast_to(expected, photo.shape))


def test_alpha_by_hand():
    rgba = np.uint8([[[10, 20, 30, 255], [10, 20, 30, 0], [100, 0, 200, 128]]])
    # (100 * 128 + 255 * 127) / 255 = 177.2; (0 + 255 * 127) / 255 = 127; (200 * 128 + 255 * 127) / 255 = 227.4
    assert decode_good(photos.png(rgba)).tolist() == [[[10, 20, 30], [255, 255, 255], [177, 127, 227]]]


# What is refused -----------------------------------------------------------------------------------------------------


NOT_PHOTOS = {
    "empty": b"",
    "one byte": b"\xff",
    "two bytes of a JPEG": b"\xff\xd8",
    "seven bytes of a PNG": photos.png(PICTURE)[:7],
    "text": b"<html>404</html>",
    "zeros": bytes(100),
    **{name: photos.other_format(name) for name in ("GIF", "BMP", "WEBP", "TIFF")},
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "JPEG XL": b"\xff\x0a\xfa\x1f\x01\x91\x08\x06\x01",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
}


@pytest.mark.parametrize("file", NOT_PHOTOS.values(), ids=NOT_PHOTOS)
def test_other_files_are_not_photos(file):
    assert_refused(file, STATUS_NOT_A_PHOTO)


@pytest.mark.parametrize("orientation", [None, 6])
def test_jpeg_is_decoded_up_to_the_cap(orientation):
    file = photos.jpeg(PICTURE, orientation=orientation)
    assert decode(file, max_pixels=40 * 56)[2] == STATUS_OK
    assert_refused(file, STATUS_TOO_LARGE, max_pixels=40 * 56 - 1)


def test_png_is_decoded_up_to_half_the_cap():
    assert decode(photos.png(PICTURE), max_pixels=2 * 40 * 56)[2] == STATUS_OK
    assert_refused(photos.png(PICTURE), STATUS_TOO_LARGE, max_pixels=2 * 40 * 56 - 1)


@pytest.mark.parametrize("size", [(65_000, 65_000), (1001, 1000)])
@pytest.mark.parametrize("with_size", [photos.jpeg_with_size, photos.png_with_size])
def test_size_that_the_header_claims_counts(with_size, size):
    assert_refused(with_size(*size), STATUS_TOO_LARGE)


def test_product_of_the_sides_does_not_overflow():
    assert_refused(photos.png_with_size(2**31 - 1, 2**31 - 1), STATUS_TOO_LARGE)


def test_png_bomb_is_refused_without_being_decoded():
    bomb = photos.png_bomb()
    assert len(bomb) < 60_000
    # 400 million pixels: to decode them would take gigabytes and tens of seconds.
    assert_refused(bomb, STATUS_TOO_LARGE, max_pixels=50_000_000)


@pytest.mark.parametrize("size", [(0, 8), (8, 0), (2**31, 1), (2**32 - 1, 2**32 - 1), (1, 1_000_001)])
def test_png_of_an_impossible_size_is_undecodable(size):
    assert_refused(photos.png_with_size(*size), STATUS_UNDECODABLE, max_pixels=4_000_000)


@pytest.mark.parametrize("size", [(0, 8), (8, 0), (65_535, 1)])
def test_jpeg_of_an_impossible_size_is_undecodable(size):
    assert_refused(photos.jpeg_with_size(*size), STATUS_UNDECODABLE)


@pytest.mark.parametrize(
    "file, shortest",
    [(photos.jpeg(PICTURE), 3), (photos.jpeg(PICTURE, progressive=True), 3), (photos.png(PICTURE), 8)],
    ids=["JPEG", "progressive JPEG", "PNG"],
)
def test_truncated_file_is_undecodable(file, shortest):
    for length in [*range(shortest, 40), *range(40, len(file) - 1, 97), len(file) - 2, len(file) - 1]:
        assert_refused(file[:length], STATUS_UNDECODABLE)


def test_corrupt_png_is_undecodable():
    file = bytearray(photos.png(PICTURE))
    file[len(file) // 2] ^= 0xFF
    assert_refused(bytes(file), STATUS_UNDECODABLE)


def test_jpeg_without_tables_is_undecodable():
    file = photos.jpeg(PICTURE)
    assert_refused(file[:2] + file[file.index(b"\xff\xc0") :], STATUS_UNDECODABLE)


# In graphs -----------------------------------------------------------------------------------------------------------


FILES = [
    photos.jpeg(PICTURE, orientation=6),
    b"",
    photos.png(NOISE),
    photos.jpeg(PICTURE)[:-100],
    photos.png_with_size(5000, 5000),
    photos.jpeg(NOISE, "L"),
    photos.png_with_size(0, 3),
    b"GIF89a" + bytes(20),
    photos.jpeg_ycck(PICTURE),
    *(file for file, _ in AWKWARD.values()),
]
STATUSES = [0, 1, 0, 3, 2, 0, 3, 1, 0] + [0] * 13 + [3, 3, 3, 1]


def summary(photo_bytes):
    """Return what tells one decoded photo from another, float32 `(8,)`: sizes, status, sums of the channels."""
    photo, image_size, status = decode_photo(photo_bytes, MAX_PIXELS)
    sums = tf.reduce_sum(tf.cast(photo, tf.float32), axis=[0, 1])
    return tf.concat([sums, tf.cast(tf.concat([tf.shape(photo)[:2], image_size, [status]], 0), tf.float32)], 0)


@tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
def summaries(photo_bytes):
    return {"summary": tf.map_fn(summary, photo_bytes, fn_output_signature=tf.float32, parallel_iterations=4)}


@pytest.fixture(scope="module")
def one_by_one():
    found = np.stack([summary(file) for file in FILES])
    assert found[:, -1].tolist() == STATUSES
    return found


@pytest.mark.parametrize("order", [1, -1])
def test_bad_photos_leave_their_neighbours_in_a_batch_alone(one_by_one, order):
    found = summaries(tf.constant(FILES[::order]))["summary"]
    assert np.array_equal(found, one_by_one[::order])


@pytest.mark.parametrize("num_parallel_calls", [None, 4])
def test_dataset_map_equals_eager(one_by_one, num_parallel_calls):
    dataset = tf.data.Dataset.from_tensor_slices(tf.constant(FILES)).repeat(3)
    found = list(dataset.map(summary, num_parallel_calls=num_parallel_calls).as_numpy_iterator())
    assert np.array_equal(found, np.tile(one_by_one, [3, 1]))


def test_map_fn_may_decode_in_parallel():
    # `tf.map_fn` keeps stateful ops in order, one iteration after another.
    graph = tf.function(summary).get_concrete_function(tf.TensorSpec([], tf.string)).graph
    assert [op.type for op in graph.get_operations() if op.op_def.is_stateful] == []


def test_static_shapes_are_known():
    decoder = tf.function(decode_photo).get_concrete_function(tf.TensorSpec([], tf.string), 10)
    assert [shape.as_list() for shape in decoder.output_shapes] == [[None, None, 3], [2], []]


def test_max_pixels_may_be_a_tensor():
    file = photos.png(PICTURE)
    assert int(decode_photo(file, tf.constant(2 * 40 * 56))[2]) == STATUS_OK
    assert int(decode_photo(file, tf.constant(40 * 56 - 1))[2]) == STATUS_TOO_LARGE


LOAD_AS_TF_SERVING_DOES = """
import sys
import tensorflow as tf

directory, files, out = sys.argv[1:]
feed = tf.make_tensor_proto(list(tf.data.TFRecordDataset(files).as_numpy_iterator()), dtype=tf.string)
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta_graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], directory)
    signature = meta_graph.signature_def["serving_default"]
    found = session.run(
        signature.outputs["summary"].name, {signature.inputs["image_bytes"].name: tf.make_ndarray(feed)}
    )
found.tofile(out)
assert "cspn_tf" not in sys.modules
"""


def test_saved_model_loads_where_only_tensorflow_is_imported(one_by_one, tmp_path):
    module = tf.Module()
    module.summaries = summaries
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=summaries)

    loaded = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    assert np.array_equal(loaded(tf.constant(FILES))["summary"], one_by_one)

    with tf.io.TFRecordWriter(str(tmp_path / "files")) as writer:
        for file in FILES:
            writer.write(file)
    arguments = [str(tmp_path / name) for name in ("model", "files", "found")]
    subprocess.run([sys.executable, "-c", LOAD_AS_TF_SERVING_DOES, *arguments], check=True, cwd=tmp_path)
    found = np.fromfile(tmp_path / "found", np.float32).reshape(one_by_one.shape)
    assert np.array_equal(found, one_by_one)


# Hostile bytes -------------------------------------------------------------------------------------------------------


SMALL = photos.picture(19, 27)
SEEDS = [
    photos.jpeg(SMALL, orientation=6),
    photos.jpeg(SMALL, "CMYK"),
    photos.jpeg(SMALL, "L", progressive=True),
    photos.png(SMALL),
    photos.png_of_samples(photos.samples_of(4, 1), photos.PALETTE, 4, np.arange(48).reshape(16, 3), b"\x10\x80"),
    photos.png_of_samples(photos.samples_of(16, 4), photos.RGBA, 16),
    photos.insert_segments(photos.jpeg(SMALL), photos.xmp_segment(b'tiff:Orientation="6"')),
    photos.insert_chunks(photos.png(SMALL), EXIF_CHUNK),
]


@st.composite
def damaged_files(draw):
    """Draw a photo file with some bytes replaced, most of them near the start, where the headers are, or cut short."""
    file = bytearray(draw(st.sampled_from(SEEDS)))
    places = st.one_of(st.integers(3, min(700, len(file) - 1)), st.integers(0, len(file) - 1))
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        file[place] = value
    return bytes(file[: draw(st.one_of(st.just(len(file)), st.integers(0, len(file))))])


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def decode_in_graph(file):
    return decode_photo(file, 100_000)


@settings(max_examples=800, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged_files())
def test_damaged_file_gives_the_same_status_everywhere_and_never_raises(file):
    photo, image_size, status = decode(file, max_pixels=100_000)
    in_graph = decode_in_graph(file)
    assert (in_graph[1].numpy().tolist(), int(in_graph[2])) == (image_size, status)
    assert np.array_equal(in_graph[0], photo)
    assert status in (STATUS_OK, STATUS_NOT_A_PHOTO, STATUS_TOO_LARGE, STATUS_UNDECODABLE)
    assert image_size == (list(photo.shape[:2]) if status == STATUS_OK else [0, 0])
    assert photo.shape[2] == 3
    assert photo.shape[0] * photo.shape[1] <= 100_000


PLAIN = photos.jpeg(SMALL)
AS_STORED = decode_photo(PLAIN, MAX_PIXELS)[0].numpy()
ALL_TURNS = [np.rot90(turned, times) for turned in (AS_STORED, AS_STORED[:, ::-1]) for times in range(4)]
TIFF_HEADS = st.sampled_from([b"", b"II*\0", b"MM\0*", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"])
XMP_HEADS = st.sampled_from([b"", b"tiff:Orientation", b'tiff:Orientation="6"', b"tiff:Orientation>8</"])
METADATA_HEADS = TIFF_HEADS.map(b"Exif\0\0".__add__) | XMP_HEADS.map(b"http://ns.adobe.com/xap/1.0/\0".__add__)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0xE0, 0xEF), METADATA_HEADS, st.binary(max_size=60)), max_size=4))
def test_metadata_of_any_bytes_only_ever_turn_a_jpeg(segments):
    segments = [photos.jpeg_segment(marker, head + tail) for marker, head, tail in segments]
    photo = decode_good(photos.insert_segments(PLAIN, *segments))
    assert any(np.array_equal(photo, turned) for turned in ALL_TURNS)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(TIFF_HEADS, st.binary(max_size=60), st.sampled_from([0, 0, 1])), max_size=4), st.booleans())
def test_metadata_of_any_bytes_only_ever_turn_a_png(chunks, at_end):
    chunks = [photos.png_chunk(b"eXIf", head + tail, error) for head, tail, error in chunks]
    photo = decode_good(photos.insert_chunks(photos.png(AS_STORED), *chunks, at_end=at_end))
    assert any(np.array_equal(photo, turned) for turned in ALL_TURNS)
