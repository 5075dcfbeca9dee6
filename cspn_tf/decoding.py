"""Photo files to pixels, in the graph and with core TensorFlow ops only: one decoder for training and serving.

A file that cannot be used gets a status and a small grey photo in its place; it never raises, so that one bad photo
does not fail its neighbours in a batch.

What comes out, always RGB:
    JPEG  grey, YCbCr, CMYK and YCCK, baseline and progressive, turned by its EXIF orientation. A file that ends early
          is refused, not filled up with grey: a keypoint in the missing part would be a guess. Damage that leaves the
          file decodable passes, as in other decoders.
    PNG   grey, palette and RGB of every depth, 16 bits cut to the upper 8; transparency is laid on white, because the
          colour under transparent pixels of a product cut-out is arbitrary. An orientation in a PNG is ignored.

Letters in shapes: H, W height and width of the photo as displayed.
"""

import numpy as np
import tensorflow as tf

from cspn_tf.contract import STATUS_NOT_A_PHOTO, STATUS_OK, STATUS_TOO_LARGE, STATUS_UNDECODABLE
from cspn_tf.geometry import PAD_VALUE, swap_axes

_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# A size field of a PNG is 31 bits wide.
_PNG_MAX_SIDE = 2**31 - 1
_EXIF_NAME = b"Exif\0\0"
# EXIF stands among the first segments of a JPEG and holds a few dozen entries; files beyond these bounds are hostile.
_MAX_SEGMENTS = 100
_MAX_EXIF_ENTRIES = 200

# By how much a JPEG can be shrunk while it is decoded.
_RATIOS = np.array([1, 2, 4, 8])
# Longer than half of what any photo has.
_NEVER = 2**40


def decode_photo(photo_bytes, max_pixels, least_side=None):
    """Decode one JPEG or PNG file to the photo as displayed, or say why not.

    Works eagerly, in `tf.data.Dataset.map`, and in `tf.map_fn`, whose iterations it leaves free to run in parallel.

    Args:
        photo_bytes: string scalar, the file as it is.
        max_pixels: the largest height times width to decode, an integer.
        least_side: None for the photo at full size. An integer where a smaller one will do: a JPEG is then decoded at
            1/2, 1/4 or 1/8 of its size while its long side keeps so many pixels, which costs less time and memory
            than to shrink it afterwards.

    Returns:
        photo: uint8 `(H, W, 3)`, RGB, or, shrunk by r, `(ceil(H / r), ceil(W / r), 3)`; where the status is not 0, one
            grey pixel.
        image_size: int32 `(2,)`, H and W at full size; zeros where the status is not 0.
        status: int32 scalar, one of `STATUS_*`.
    """
    least_side = _NEVER if least_side is None else least_side
    # A stateless call on purpose: the guard's last op counts as stateful, and `tf.map_fn` would decode one photo after
    # another to keep such ops in order.
    with tf.device("/cpu:0"):
        photo, image_size, status = tf.raw_ops.PartitionedCall(
            args=[
                tf.convert_to_tensor(photo_bytes, tf.string),
                tf.cast(max_pixels, tf.int64),
                tf.cast(least_side, tf.int64),
            ],
            Tout=[tf.uint8, tf.int32, tf.int32],
            f=_decode_guarded.get_concrete_function(),
        )
    return tf.ensure_shape(photo, [None, None, 3]), tf.ensure_shape(image_size, [2]), tf.ensure_shape(status, [])


_INTEGER = tf.TensorSpec([], tf.int64)


@tf.function(input_signature=[tf.TensorSpec([], tf.string), _INTEGER, _INTEGER], autograph=False)
def _decode_guarded(photo_bytes, max_pixels, least_side):
    """Decode one photo; where the decoder fails, return the stand-in.

    A dataset is the one place where core ops can outlive an error: of [decoded, stand-in] without errors, take the
    first.
    """
    decoded = tf.data.Dataset.from_tensors((photo_bytes, max_pixels, least_side)).map(_decode).ignore_errors()
    stand_in = tf.data.Dataset.from_tensors(_refuse(STATUS_UNDECODABLE))
    return decoded.concatenate(stand_in).take(1).get_single_element()


@tf.autograph.experimental.do_not_convert
def _decode(photo_bytes, max_pixels, least_side):
    """Decode one photo, with the returns of `decode_photo`; raises on a corrupt file."""

    def decode_if_small(height, width, decode):
        height, width = tf.cast(height, tf.int64), tf.cast(width, tf.int64)
        return tf.cond(height * width <= max_pixels, decode, lambda: _refuse(STATUS_TOO_LARGE))

    def jpeg():
        height, width = _jpeg_size(photo_bytes)
        return decode_if_small(height, width, lambda: _decode_jpeg(photo_bytes, height, width, least_side))

    def png():
        return decode_if_small(*_png_size(photo_bytes), lambda: _decode_png(photo_bytes))

    return tf.case(
        [(_starts_with(photo_bytes, _JPEG_MAGIC), jpeg), (_starts_with(photo_bytes, _PNG_MAGIC), png)],
        default=lambda: _refuse(STATUS_NOT_A_PHOTO),
    )


def _accept(photo, image_size):
    return photo, image_size, tf.constant(STATUS_OK)


def _refuse(status):
    return tf.fill([1, 1, 3], tf.constant(int(PAD_VALUE), tf.uint8)), tf.zeros([2], tf.int32), tf.constant(status)


# JPEG ----------------------------------------------------------------------------------------------------------------


def _jpeg_size(photo_bytes):
    """Return height and width by the header, before any turn: read by the decoder's own library, so they agree."""
    shape = tf.image.extract_jpeg_shape(photo_bytes)
    return shape[0], shape[1]


def _decode_jpeg(photo_bytes, height, width, least_side):
    orientation = _exif_orientation(photo_bytes)
    sides = tf.cast(tf.stack([height, width]), tf.int64)
    # One decoder a ratio, as it is an attribute of the op.
    index = tf.reduce_sum(tf.cast(tf.reduce_max(sides) >= least_side * _RATIOS[1:], tf.int32))
    # The last row and column of a shrunk photo stand for fewer pixels. Turning would bring them to the front, where
    # the frame of the photo begins.
    is_whole = tf.reduce_all(sides % tf.gather(_RATIOS, index) == 0)
    index = tf.where((orientation == 1) | is_whole, index, 0)

    def decode_by(ratio):
        # The accurate DCT is what Pillow and browsers use; TensorFlow's default is a faster, coarser one.
        return lambda: tf.io.decode_jpeg(photo_bytes, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")

    photo = tf.switch_case(index, [decode_by(int(ratio)) for ratio in _RATIOS])
    image_size = tf.cast(tf.where(orientation >= 5, swap_axes(sides), sides), tf.int32)
    return _accept(_turn_upright(photo, orientation), image_size)


def _turn_upright(photo, orientation):
    """Turn a photo from how it is stored to how it is displayed.

    Args:
        photo: uint8 `(height, width, 3)`, as stored.
        orientation: int32 scalar, 1 to 8.

    Returns:
        uint8 `(H, W, 3)`.

    Source: EXIF 2.32, tag 0x0112.
    """

    def transposed():
        return tf.transpose(photo, [1, 0, 2])

    return tf.switch_case(
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


def _exif_orientation(photo_bytes):
    """Return the orientation that a JPEG's EXIF block tells, int32 scalar, 1 to 8; 1 where there is none or garbage."""
    # To look for the block's name is many times faster than to walk the file's segments, and most files have none.
    parts = tf.raw_ops.StringSplitV2(input=photo_bytes[tf.newaxis], sep=_EXIF_NAME, maxsplit=1).values
    return tf.cond(tf.size(parts) > 1, lambda: _segments_orientation(photo_bytes), lambda: 1)


def _segments_orientation(photo_bytes):
    """Do what `_exif_orientation` does, segment by segment.

    Raises nothing and ends soon whatever the bytes are: reads past the end give zeros.
    """
    # The bytes of a segment's head that hold its length, whatever that is.
    is_length = tf.range(10) // 2 == 1

    def is_more(position, exif_position, exif_length, step):
        return (position >= 0) & (step < _MAX_SEGMENTS)

    def next_segment(position, exif_position, exif_length, step):
        # Marker, 2 bytes; length, 2 bytes that count themselves; content, which in EXIF's APP1 begins with a name.
        head = _bytes_at(photo_bytes, position, 10)
        marker, length = tf.unstack(_big_endian(tf.reshape(head[:4], [2, 2])))
        is_exif = tf.reduce_all((head == list(b"\xff\xe1.." + _EXIF_NAME)) | is_length)
        is_fill = marker == 0xFFFF
        # After the start of scan, 0xFFDA, comes the picture's data.
        goes_on = ~is_exif & (marker >= 0xFF00) & (marker != 0xFFDA) & ((length >= 2) | is_fill)
        exif_position = tf.where(is_exif, position + 10, exif_position)
        exif_length = tf.where(is_exif, tf.maximum(length - 8, 0), exif_length)
        following = position + tf.where(is_fill, tf.ones_like(length), 2 + length)
        return tf.where(goes_on, following, -1), exif_position, exif_length, step + 1

    start, none, first = tf.constant(2, tf.int64), tf.constant(0, tf.int64), tf.constant(0)
    _, exif_position, exif_length, _ = tf.while_loop(is_more, next_segment, [start, none, none, first])
    return _tiff_orientation(_text_at(photo_bytes, exif_position, exif_length))


def _tiff_orientation(tiff_bytes):
    """Return the orientation in the first directory of a TIFF block, int32 scalar, 1 to 8; 1 where there is none.

    Source: TIFF 6.0, section 2; EXIF 2.32, section 4.6.2.
    """
    is_big = _text_at(tiff_bytes, 0, 4) == b"MM\0*"
    is_tiff = is_big | (_text_at(tiff_bytes, 0, 4) == b"II*\0")

    def number(digits):
        return _big_endian(tf.where(is_big, digits, tf.reverse(digits, [-1])))

    directory = number(_bytes_at(tiff_bytes, 4, 4))
    num_entries = number(_bytes_at(tiff_bytes, directory, 2))
    entries = _bytes_at(tiff_bytes, directory + 2, 12 * _MAX_EXIF_ENTRIES)
    # An entry: tag, 2 bytes; type, 2; count, 4; value, 4, left-aligned: a SHORT stands in the first 2 of them.
    entries = tf.reshape(entries, [_MAX_EXIF_ENTRIES, 12])
    is_orientation = (
        (tf.range(_MAX_EXIF_ENTRIES, dtype=tf.int64) < num_entries)
        & (number(entries[:, 0:2]) == 0x0112)
        & (number(entries[:, 2:4]) == 3)
        & (number(entries[:, 4:8]) == 1)
    )
    value = tf.reduce_max(tf.where(is_orientation, number(entries[:, 8:10]), 0))
    return tf.cast(tf.where(is_tiff & (value >= 1) & (value <= 8), value, 1), tf.int32)


# PNG -----------------------------------------------------------------------------------------------------------------


def _png_size(photo_bytes):
    """Return height and width by the header, int64 scalars; raises on a size that no PNG can have."""
    sides = _big_endian(tf.reshape(_bytes_at(photo_bytes, 16, 8), [2, 4]))
    is_possible = tf.reduce_all((sides >= 1) & (sides <= _PNG_MAX_SIDE)) & (_text_at(photo_bytes, 12, 4) == b"IHDR")
    with tf.control_dependencies([tf.debugging.Assert(is_possible, ["A PNG without a possible size"])]):
        return tf.identity(sides[1]), tf.identity(sides[0])


def _decode_png(photo_bytes):
    photo = tf.io.decode_png(photo_bytes, channels=4)
    colour, alpha = photo[..., :3], photo[..., 3:]

    def on_white():
        # 255 - (255 - colour) * alpha / 255, rounded, without leaving 16 bits.
        weighted = tf.cast(255 - colour, tf.uint16) * tf.cast(alpha, tf.uint16)
        return 255 - tf.cast((weighted + 127) // 255, tf.uint8)

    # Where a PNG has no alpha, the op fills in the largest sample of the file's depth: 1 of 255 for a 1-bit PNG.
    bit_depth = tf.cast(_bytes_at(photo_bytes, 24, 1)[0], tf.int32)
    no_alpha = tf.cast(tf.bitwise.left_shift(1, bit_depth) - 1, tf.uint8)
    photo = tf.cond(tf.reduce_all(alpha == no_alpha), lambda: colour, on_white)
    return _accept(photo, tf.shape(photo)[:2])


# Bytes ---------------------------------------------------------------------------------------------------------------


def _starts_with(text, prefix):
    return _text_at(text, 0, len(prefix)) == prefix


def _text_at(text, position, count):
    """Return up to `count` bytes of a string from a position on, a string; fewer or none past its end."""
    length = tf.cast(tf.strings.length(text), tf.int64)
    return tf.strings.substr(text, tf.minimum(tf.cast(position, tf.int64), length), tf.cast(count, tf.int64))


def _bytes_at(text, position, count):
    """Return `count` bytes of a string from a position on, int64 `(count,)`; zeros past its end."""
    found = tf.io.decode_raw(_text_at(text, position, count), tf.uint8, fixed_length=count)
    return tf.cast(tf.ensure_shape(found, [count]), tf.int64)


def _big_endian(digits):
    """Return the numbers that bytes spell, most significant first, int64 `(..., count)` to `(...)`, count up to 4."""
    count = digits.shape[-1]
    return tf.reduce_sum(digits * [256 ** (count - 1 - i) for i in range(count)], axis=-1)
