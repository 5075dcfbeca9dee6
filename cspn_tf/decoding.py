"""Decodes photo files in the graph, with core TensorFlow ops only: one decoder for training and serving.

A file that cannot be decoded gets a status and a one-pixel grey placeholder. Nothing is raised, so that one bad photo
does not fail the others in its batch.

The output is RGB and "as displayed": upright, after EXIF orientation. Code that draws on photos, or sends pixels, uses
the same decoder.
    JPEG  grey, YCbCr, CMYK and YCCK, baseline and progressive. A truncated file is rejected, not padded with grey:
          a keypoint in the missing part would be a guess. Corruption that leaves the file decodable is accepted, as
          in other decoders. More than 32 scans are rejected: each costs as much as a photo.
    PNG   grey, palette and RGB of every depth, 16 bits truncated to the upper 8; transparency is composited on white,
          because the colour under transparent pixels of a product cut-out is arbitrary. A wrong checksum of the header
          or the image data rejects the file; other chunks with a wrong checksum are ignored. The maximum number of
          pixels is half that of a JPEG, because a PNG costs more.
    Both are rotated or flipped by the EXIF orientation (of PNG: in the `eXIf` chunk); a JPEG without one, by that in
    its XMP packet. An EXIF orientation other than 1 to 8 leaves the photo as stored. Pillow behaves the same; browsers
    ignore XMP.

Letters in shapes: H, W height and width of the photo as displayed.
"""

import numpy as np
import tensorflow as tf

from cspn_tf.config import Config
from cspn_tf.contract import (
    JPEG_MAGIC,
    JPEG_MAX_SCANS,
    PAD_VALUE,
    PNG_MAGIC,
    PNG_MAX_SIDE,
    PNG_PIXEL_COST,
    STATUS_MEANINGS,
    STATUS_NOT_A_PHOTO,
    STATUS_OK,
    STATUS_TOO_LARGE,
    STATUS_UNDECODABLE,
)
from cspn_tf.geometry import swap_axes

# The IEND chunk: length, name, checksum.
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"

# Metadata is among the first segments of a JPEG, and EXIF has a few dozen entries; files beyond these limits are
# malicious.
_MAX_SEGMENTS = 100
_MAX_EXIF_ENTRIES = 200
# Maximum number of occurrences of a searched name to check: it may occur in other data first.
_MAX_PLACES = 100
_EXIF_NAME = b"Exif\0\0"
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"

# Header of a gzip file with a single stored (uncompressed) block, up to the block's sizes.
_GZIP_HEAD = b"\x1f\x8b\x08" + bytes(7) + b"\1"
_BYTES = [bytes([number]) for number in range(256)]

# Downscaling factors of the JPEG decoder.
_RATIOS = np.array([1, 2, 4, 8])
# Larger than any photo's side: disables downscaling.
_NEVER = 2**40


def decode_photo(photo_bytes, max_pixels, least_side=None):
    """Decode one JPEG or PNG file to the photo as displayed, or return a status that says why not.

    Works eagerly, in `tf.data.Dataset.map`, and in `tf.map_fn` without preventing parallel iterations.

    Args:
        photo_bytes: string scalar, the file's content.
        max_pixels: maximum height times width of a JPEG to decode, an integer; half of it is the maximum of a PNG.
        least_side: None to decode at full size. Otherwise an integer: a JPEG is decoded at 1/2, 1/4 or 1/8 of its size
            as long as its long side keeps at least this many pixels, which is faster and uses less memory than resizing
            it afterwards.

    Returns:
        photo: uint8 `(H, W, 3)`, RGB; if downscaled by r, `(ceil(H / r), ceil(W / r), 3)`; one grey pixel if the status
            is not 0.
        image_size: int32 `(2,)`, H and W at full size; zeros if the status is not 0.
        status: int32 scalar, one of `STATUS_*`.
    """
    least_side = _NEVER if least_side is None else least_side
    if tf.executing_eagerly():  # faster than by `_decode_guarded`
        try:
            with tf.device("/cpu:0"):
                return _decode_unguarded(photo_bytes, np.int64(max_pixels), np.int64(least_side))
        except tf.errors.OpError:
            return _refuse(STATUS_UNDECODABLE)
    args = [tf.convert_to_tensor(photo_bytes, tf.string), tf.cast(max_pixels, tf.int64), tf.cast(least_side, tf.int64)]
    # Deliberately a stateless call: the guard's last op is marked stateful, and `tf.map_fn` would decode photos one by
    # one to keep stateful ops in order.
    with tf.device("/cpu:0"):
        photo, image_size, status = tf.raw_ops.PartitionedCall(
            args=args, Tout=[tf.uint8, tf.int32, tf.int32], f=_decode_guarded.get_concrete_function()
        )
    return tf.ensure_shape(photo, [None, None, 3]), tf.ensure_shape(image_size, [2]), tf.ensure_shape(status, [])


def pixels_as_displayed(photo_bytes, max_pixels=Config.max_pixels):
    """Decode a photo as the models do.

    Args:
        photo_bytes: content of a JPEG or PNG file.
        max_pixels: maximum height times width to decode.

    Returns:
        uint8 array `(H, W, 3)`, RGB.

    Raises:
        ValueError: the photo cannot be decoded; the message is one of `contract.STATUS_MEANINGS`.
    """
    photo, _, status = decode_photo(photo_bytes, max_pixels)
    if int(status) != STATUS_OK:
        raise ValueError(STATUS_MEANINGS[int(status)])
    return photo.numpy()


_INTEGER = tf.TensorSpec([], tf.int64)
_graph = tf.function(input_signature=[tf.TensorSpec([], tf.string), _INTEGER, _INTEGER], autograph=False)

# Code that most photos do not need is called, not inlined: ops of a branch not taken still cost some time.
_called = tf.function(
    input_signature=[tf.TensorSpec([], tf.string)], autograph=False, experimental_attributes={"_noinline": True}
)


@_graph
def _decode_unguarded(photo_bytes, max_pixels, least_side):
    orientation = _orientation(photo_bytes)
    return _turn_upright(_decode(photo_bytes, orientation, max_pixels, least_side), orientation)


@_graph
def _decode_guarded(photo_bytes, max_pixels, least_side):
    """Decode one photo in a graph; if the decoder fails, return the placeholder.

    Only a dataset can catch errors with core ops: drop errors from [decoded, placeholder], and take the first element.
    The dataset's function is instantiated again for each photo, so code that cannot fail stays outside it.
    """
    orientation = _orientation(photo_bytes)
    inputs = tf.data.Dataset.from_tensors((photo_bytes, orientation, max_pixels, least_side))
    placeholder = tf.data.Dataset.from_tensors(_refuse(STATUS_UNDECODABLE))
    decoded = inputs.map(_decode).ignore_errors().concatenate(placeholder).take(1)
    return _turn_upright(decoded.get_single_element(), orientation)


@tf.autograph.experimental.do_not_convert
def _decode(photo_bytes, orientation, max_pixels, least_side):
    """Decode one photo, see `decode_photo`, but in its stored orientation; raises on a corrupt file."""

    def decode_if_small(height, width, decode):
        height, width = tf.cast(height, tf.int64), tf.cast(width, tf.int64)
        return tf.cond(height * width <= max_pixels, decode, lambda: _refuse(STATUS_TOO_LARGE))

    def jpeg():
        height, width = _jpeg_size(photo_bytes)

        def decode():
            return tf.cond(
                _has_bounded_scans(photo_bytes),
                lambda: _decode_jpeg(photo_bytes, height, width, orientation, least_side),
                lambda: _refuse(STATUS_UNDECODABLE),
            )

        return decode_if_small(height, width, decode)

    def png():
        height, width = _png_size(photo_bytes)
        # A PNG costs more than a JPEG of as many pixels, and a few kilobytes can hold a large one.
        return decode_if_small(height * PNG_PIXEL_COST, width, lambda: _decode_png(photo_bytes))

    return _by_format(photo_bytes, jpeg, png, lambda: _refuse(STATUS_NOT_A_PHOTO))


def _by_format(photo_bytes, jpeg, png, neither):
    """Call one of three functions, by the first bytes of a file, and return its result."""
    is_jpeg, is_png = _starts_with(photo_bytes, JPEG_MAGIC), _starts_with(photo_bytes, PNG_MAGIC)
    return tf.case([(is_jpeg, jpeg), (is_png, png)], default=neither)


def _refuse(status):
    return tf.fill([1, 1, 3], tf.constant(int(PAD_VALUE), tf.uint8)), tf.zeros([2], tf.int32), tf.constant(status)


# JPEG ----------------------------------------------------------------------------------------------------------------


def _jpeg_size(photo_bytes):
    """Return height and width from the header, as stored; read by libjpeg, so that they agree with the decoder."""
    shape = tf.image.extract_jpeg_shape(photo_bytes)
    return shape[0], shape[1]


def _has_bounded_scans(photo_bytes):
    """Check that a JPEG cannot have more than `JPEG_MAX_SCANS` scans, bool scalar.

    The decoder goes over the whole photo once per scan, and a scan may have no more than a few bytes.
    """
    # The start of a scan cannot occur in image data, but in what some cameras append to a JPEG, such as a video.
    is_few = tf.size(_split(photo_bytes, b"\xff\xda", JPEG_MAX_SCANS + 1)) <= JPEG_MAX_SCANS + 1
    return tf.cond(is_few, lambda: True, lambda: _has_one_scan(photo_bytes))


@_called
def _has_one_scan(photo_bytes):
    """Check that a JPEG is not progressive and its first scan has all colour components: nothing after it is read."""

    def is_frame(marker, position):
        # SOF0 to SOF15; C4, C8 and CC are other segments.
        return (marker >= 0xFFC0) & (marker <= 0xFFCF) & (marker % 4 != 0) | (marker == 0xFFC0)

    frame = _find_segment(photo_bytes, is_frame)
    scan = _find_segment(photo_bytes, lambda marker, position: marker == 0xFFDA)
    is_sequential = _bytes_at(photo_bytes, frame + 1, 1)[0] <= 0xC1
    # Marker and length, 4 bytes; in a frame then depth, height and width, 5 bytes; number of components.
    num_components, num_in_scan = _bytes_at(photo_bytes, frame + 9, 1)[0], _bytes_at(photo_bytes, scan + 4, 1)[0]
    return (frame > 0) & (scan > 0) & is_sequential & (num_components == num_in_scan)


def _decode_jpeg(photo_bytes, height, width, orientation, least_side):
    sides = tf.cast(tf.stack([height, width]), tf.int64)
    # One op per ratio, because the ratio is an attribute of the op.
    index = tf.reduce_sum(tf.cast(tf.reduce_max(sides) >= least_side * _RATIOS[1:], tf.int32))
    # If the size is not a multiple of the ratio, the last row and column of the downscaled photo cover fewer pixels.
    # Rotating or flipping could move them to the origin and shift all coordinates, so such photos keep full size.
    is_whole = tf.reduce_all(sides % tf.gather(_RATIOS, index) == 0)
    index = tf.where((orientation == 1) | is_whole, index, 0)

    def decode_by(ratio):
        # Pillow and browsers use the accurate DCT; TensorFlow's default is faster and less accurate.
        return lambda: tf.io.decode_jpeg(photo_bytes, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")

    photo = tf.switch_case(index, [decode_by(int(ratio)) for ratio in _RATIOS])
    return photo, tf.cast(sides, tf.int32), tf.constant(STATUS_OK)


# PNG -----------------------------------------------------------------------------------------------------------------


def _png_size(photo_bytes):
    """Return height and width from the header, int64 scalars; raises on an invalid size."""
    sides = _big_endian(tf.reshape(_bytes_at(photo_bytes, 16, 8), [2, 4]))
    is_possible = tf.reduce_all((sides >= 1) & (sides <= PNG_MAX_SIDE)) & (_text_at(photo_bytes, 12, 4) == b"IHDR")
    with tf.control_dependencies([tf.debugging.Assert(is_possible, ["PNG with an invalid size"])]):
        return tf.identity(sides[1]), tf.identity(sides[0])


@_called
def _decode_png(photo_bytes):
    photo = tf.io.decode_png(photo_bytes, channels=4)
    colour, alpha = photo[..., :3], photo[..., 3:]

    def on_white():
        # 255 - (255 - colour) * alpha / 255, rounded, in 16-bit arithmetic.
        weighted = tf.cast(255 - colour, tf.uint16) * tf.cast(alpha, tf.uint16)
        return 255 - tf.cast((weighted + 127) // 255, tf.uint8)

    # Without alpha, the op fills in the maximum sample value at the file's bit depth: 1 instead of 255 for a 1-bit PNG.
    bit_depth = tf.cast(_bytes_at(photo_bytes, 24, 1)[0], tf.int32)
    no_alpha = tf.cast(tf.bitwise.left_shift(1, bit_depth) - 1, tf.uint8)
    photo = tf.cond(tf.reduce_all(alpha == no_alpha), lambda: colour, on_white)
    return photo, tf.shape(photo)[:2], tf.constant(STATUS_OK)


# Orientation ---------------------------------------------------------------------------------------------------------


def _orientation(photo_bytes):
    """Return the EXIF orientation of a file, int32 scalar, 1 to 8; 1 if it has none.

    Does not raise, and terminates quickly on any input: reads past the end return zeros.
    """

    # Searching for a name is many times faster than walking a file's segments or chunks, and most files have none.
    def if_held(name, find):
        return lambda: tf.cond(_holds(photo_bytes, name), lambda: tf.maximum(find(photo_bytes), 1), lambda: 1)

    # The APP1 marker cannot occur in a JPEG's image data.
    jpeg, png = if_held(b"\xff\xe1", _jpeg_orientation), if_held(b"eXIf", _png_orientation)
    return _by_format(photo_bytes, jpeg, png, lambda: 1)


def _turn_upright(decoded, orientation):
    """Rotate or flip a photo from its stored to its displayed orientation.

    Args:
        decoded: photo, image_size and status of `decode_photo`, but in stored orientation.
        orientation: int32 scalar, 1 to 8.

    Returns:
        The same in displayed orientation.

    Source: EXIF 2.32, tag 0x0112.
    """
    photo, image_size, status = decoded

    def transposed():
        return tf.transpose(photo, [1, 0, 2])

    turned = tf.switch_case(
        orientation - 1,
        [
            lambda: photo,
            lambda: tf.reverse(photo, [1]),
            lambda: tf.reverse(photo, [0, 1]),
            lambda: tf.reverse(photo, [0]),
            transposed,
            lambda: tf.reverse(transposed(), [1]),
            lambda: tf.reverse(transposed(), [0, 1]),
            lambda: tf.reverse(transposed(), [0]),
        ],
    )
    return turned, tf.where(orientation >= 5, swap_axes(image_size), image_size), status


@_called
def _jpeg_orientation(photo_bytes):
    """Return the orientation from a JPEG's metadata, int32 scalar; 0 if there is none."""
    by_exif = _exif_orientation(_app1_content(photo_bytes, _EXIF_NAME))
    return tf.cond(by_exif > 0, lambda: by_exif, lambda: _xmp_orientation(_app1_content(photo_bytes, _XMP_NAME)))


def _app1_content(photo_bytes, name):
    """Return a JPEG's first APP1 segment of that name, without the name, a string; empty if there is none."""

    def is_named(marker, position):
        return (marker == 0xFFE1) & (_text_at(photo_bytes, position + 4, len(name)) == name)

    position = _find_segment(photo_bytes, is_named)
    length = _big_endian(_bytes_at(photo_bytes, position + 2, 2)) - 2 - len(name)
    return tf.cond(position < 0, lambda: b"", lambda: _text_at(photo_bytes, position + 4 + len(name), length))


def _find_segment(photo_bytes, is_wanted):
    """Return the position of a JPEG's first header segment that is wanted, int64 scalar; -1 if there is none.

    Args:
        photo_bytes: string scalar, a JPEG file.
        is_wanted: function of a segment's marker and position, int64 scalars, that returns a bool.
    """

    def is_more(position, found, step):
        return (position >= 0) & (found < 0) & (step < _MAX_SEGMENTS)

    def next_segment(position, found, step):
        # Marker, 2 bytes; length including itself, 2 bytes; content, which in APP1 begins with a name.
        marker, length = tf.unstack(_big_endian(tf.reshape(_bytes_at(photo_bytes, position, 4), [2, 2])))
        is_fill = marker == 0xFFFF
        # Image data follows the start of scan, 0xFFDA.
        goes_on = (marker >= 0xFF00) & (marker != 0xFFDA) & ((length >= 2) | is_fill)
        following = position + tf.where(is_fill, tf.ones_like(length), 2 + length)
        return tf.where(goes_on, following, -1), tf.where(is_wanted(marker, position), position, found), step + 1

    start, none = tf.constant(2, tf.int64), tf.constant(-1, tf.int64)
    return tf.while_loop(is_more, next_segment, [start, none, tf.constant(0)])[1]


@_called
def _png_orientation(photo_bytes):
    """Return the orientation from a PNG's metadata, int32 scalar; 0 if there is none."""
    exif = _chunk_content(_split(photo_bytes, _PNG_END, 1)[0], b"eXIf")
    # Some writers keep the EXIF header of a JPEG segment.
    start = tf.where(_starts_with(exif, _EXIF_NAME), len(_EXIF_NAME), 0)
    return _exif_orientation(_text_at(exif, start, tf.strings.length(exif)))


def _chunk_content(photo_bytes, name):
    """Return the content of a PNG's first chunk with that name and a valid checksum, a string; empty if there is none.

    The chunk may follow thousands of others, so they are not walked: the chunk is at the first occurrence of the name
    where the checksum is valid. To verify the checksum (CRC-32), the chunk is wrapped into a gzip file, whose reader
    computes it. A chunk of more than 65535 bytes does not fit into one gzip block and counts as invalid.

    Source: PNG 1.3, section 3.2; RFC 1952, section 2.2; RFC 1951, section 3.2.4.
    """
    parts = _split(photo_bytes, name, _MAX_PLACES)
    positions = tf.cumsum(tf.strings.length(parts) + len(name))[:-1]

    def checked_content(position):
        num_bytes = _big_endian(_bytes_at(photo_bytes, position - len(name) - 4, 4)) + len(name)
        start = tf.cast(position, tf.int64) - len(name)
        end = start + num_bytes
        # The gzip reader accepts truncated files, so the length is checked here.
        is_whole = (num_bytes <= 0xFFFF) & (end + 4 <= tf.cast(tf.strings.length(photo_bytes), tf.int64))
        with tf.control_dependencies([tf.debugging.Assert(is_whole, ["PNG chunk truncated or too long"])]):
            chunk, checksum = _text_at(photo_bytes, start, num_bytes), _bytes_at(photo_bytes, end, 4)
        size = num_bytes // [1, 2**8, 2**16, 2**24] % 256
        head, tail = tf.concat([size[:2], 255 - size[:2]], 0), tf.concat([checksum[::-1], size], 0)
        gzip = tf.strings.join([_GZIP_HEAD, _text_of(head), chunk, _text_of(tail)])
        return _text_at(tf.io.decode_compressed(gzip, "GZIP"), len(name), num_bytes)

    found = tf.data.Dataset.from_tensor_slices(positions).map(checked_content).ignore_errors()
    return found.concatenate(tf.data.Dataset.from_tensors(b"")).take(1).get_single_element()


def _exif_orientation(exif):
    """Return the orientation in an EXIF block, int32 scalar; 0 if it has none, 1 if it is invalid.

    Args:
        exif: string scalar, a TIFF file; the orientation is in its first directory, as SHORT or, violating the
            standard, as LONG.

    Source: TIFF 6.0, section 2; EXIF 2.32, section 4.6.2.
    """
    is_big = _text_at(exif, 0, 4) == b"MM\0*"
    is_tiff = is_big | (_text_at(exif, 0, 4) == b"II*\0")

    def number(digits):
        return _big_endian(tf.where(is_big, digits, tf.reverse(digits, [-1])))

    directory = number(_bytes_at(exif, 4, 4))
    num_entries = number(_bytes_at(exif, directory, 2))
    entries = _bytes_at(exif, directory + 2, 12 * _MAX_EXIF_ENTRIES)
    # An entry: tag, 2 bytes; type, 2; count, 4; value, 4, left-aligned: a SHORT occupies the first 2.
    entries = tf.reshape(entries, [_MAX_EXIF_ENTRIES, 12])
    is_tag = (tf.range(_MAX_EXIF_ENTRIES, dtype=tf.int64) < num_entries) & (number(entries[:, 0:2]) == 0x0112)
    is_short, is_long = number(entries[:, 2:4]) == 3, number(entries[:, 2:4]) == 4
    value = tf.where(is_long, number(entries[:, 8:12]), number(entries[:, 8:10]))
    is_valid = is_tag & (is_short | is_long) & (number(entries[:, 4:8]) == 1) & (value >= 1) & (value <= 8)
    found = tf.reduce_max(tf.where(is_valid, value, tf.cast(is_tag, tf.int64)))
    return tf.cast(tf.where(is_tiff, found, 0), tf.int32)


def _xmp_orientation(xmp):
    """Return the orientation in an XMP packet, from an attribute or element, int32 scalar; 0 if there is none.

    Source: XMP specification part 2, section 3.6, TIFF namespace.
    """
    values = tf.strings.substr(_split(xmp, b"tiff:Orientation", _MAX_PLACES)[1:], 0, 4)
    values = tf.boolean_mask(values, tf.strings.regex_full_match(values, "=[\"'][1-8][\"']|>[1-8]</"))
    return tf.reduce_sum(tf.strings.to_number(tf.strings.regex_replace(values[:1], "[^1-8]", ""), tf.int32))


# Bytes ---------------------------------------------------------------------------------------------------------------


def _split(text, name, max_splits):
    """Split a string at the occurrences of a name; strings `(at most max_splits + 1,)`."""
    return tf.raw_ops.StringSplitV2(input=text[tf.newaxis], sep=name, maxsplit=max_splits).values


def _holds(text, name):
    return tf.size(_split(text, name, 1)) > 1


def _starts_with(text, prefix):
    return _text_at(text, 0, len(prefix)) == prefix


def _text_at(text, position, count):
    """Return the string of `count` bytes from a position on; shorter or empty past the end."""
    length = tf.cast(tf.strings.length(text), tf.int64)
    return tf.strings.substr(text, tf.minimum(tf.cast(position, tf.int64), length), tf.cast(count, tf.int64))


def _bytes_at(text, position, count):
    """Return `count` bytes from a position on, int64 `(count,)`; zeros past the end."""
    found = tf.io.decode_raw(_text_at(text, position, count), tf.uint8, fixed_length=count)
    return tf.cast(tf.ensure_shape(found, [count]), tf.int64)


def _big_endian(digits):
    """Convert big-endian bytes to numbers, int64 `(..., count)` to `(...)`, count up to 4."""
    count = digits.shape[-1]
    return tf.reduce_sum(digits * [256 ** (count - 1 - i) for i in range(count)], axis=-1)


def _text_of(numbers):
    """Convert byte values, integers `(count,)` from 0 to 255, to a string."""
    return tf.strings.reduce_join(tf.gather(_BYTES, numbers))
