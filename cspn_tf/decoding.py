"""Photo files to pixels, in the graph and with core TensorFlow ops only: one decoder for training and serving.

A file that cannot be used gets a status and a small grey photo in its place; it never raises, so that one bad photo
does not fail its neighbours in a batch.

What comes out, always RGB, is the photo as displayed: whatever draws on photos, or sends their pixels, takes these.
    JPEG  grey, YCbCr, CMYK and YCCK, baseline and progressive. A file that ends early is refused, not filled up with
          grey: a keypoint in the missing part would be a guess. Damage that leaves the file decodable passes, as in
          other decoders.
    PNG   grey, palette and RGB of every depth, 16 bits cut to the upper 8; transparency is laid on white, because the
          colour under transparent pixels of a product cut-out is arbitrary. A wrong checksum of the header or of the
          picture data refuses the file; other chunks with one count as missing.
    Both are turned by the orientation in their EXIF block (of PNG: in the `eXIf` chunk), and a JPEG without one there
    by that in its XMP packet. An EXIF orientation that is no number from 1 to 8 says to leave the photo as it is
    stored. So does Pillow; browsers do not look into XMP.

Letters in shapes: H, W height and width of the photo as displayed.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from cspn_tf.config import Config
from cspn_tf.console import UserError
from cspn_tf.contract import STATUS_MEANINGS, STATUS_NOT_A_PHOTO, STATUS_OK, STATUS_TOO_LARGE, STATUS_UNDECODABLE
from cspn_tf.geometry import PAD_VALUE, swap_axes

_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# A size field of a PNG is 31 bits wide.
_PNG_MAX_SIDE = 2**31 - 1
# The last chunk: length, name, checksum.
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"

# Metadata stand among the first segments of a JPEG, and EXIF holds a few dozen entries; files beyond these bounds are
# hostile.
_MAX_SEGMENTS = 100
_MAX_EXIF_ENTRIES = 200
# How often the name of what is looked for may stand elsewhere before it.
_MAX_PLACES = 100
_EXIF_NAME = b"Exif\0\0"
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"

# A gzip file up to the sizes of its only block, which is stored as it is.
_GZIP_HEAD = b"\x1f\x8b\x08" + bytes(7) + b"\1"
_BYTES = [bytes([number]) for number in range(256)]

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
    if tf.executing_eagerly():
        return _decode_or_catch(photo_bytes, np.int64(max_pixels), np.int64(least_side))
    args = [tf.convert_to_tensor(photo_bytes, tf.string), tf.cast(max_pixels, tf.int64), tf.cast(least_side, tf.int64)]
    # A stateless call on purpose: the guard's last op counts as stateful, and `tf.map_fn` would decode one photo after
    # another to keep such ops in order.
    with tf.device("/cpu:0"):
        photo, image_size, status = tf.raw_ops.PartitionedCall(
            args=args, Tout=[tf.uint8, tf.int32, tf.int32], f=_decode_guarded.get_concrete_function()
        )
    return tf.ensure_shape(photo, [None, None, 3]), tf.ensure_shape(image_size, [2]), tf.ensure_shape(status, [])


def pixels_as_displayed(photo_bytes, max_pixels=Config.max_pixels):
    """Return what a model sees of a photo.

    Args:
        photo_bytes: a JPEG or PNG file, as it is.
        max_pixels: the largest height times width to decode.

    Returns:
        uint8 array `(H, W, 3)`, RGB.

    Raises:
        ValueError: the photo cannot be used; the message is one of `contract.STATUS_MEANINGS`.
    """
    photo, _, status = decode_photo(photo_bytes, max_pixels)
    if int(status) != STATUS_OK:
        raise ValueError(STATUS_MEANINGS[int(status)])
    return photo.numpy()


def read_photo_files(paths) -> list[bytes]:
    """Return photo files as they are, each of which a model answers for.

    Raises:
        UserError: one cannot be read, or is not a photo that can be used.
    """
    files = []
    for path in paths:
        try:
            files.append(Path(path).read_bytes())
            pixels_as_displayed(files[-1])
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error
    return files


_INTEGER = tf.TensorSpec([], tf.int64)
_graph = tf.function(input_signature=[tf.TensorSpec([], tf.string), _INTEGER, _INTEGER], autograph=False)

# What most photos pass by is called, not built in: each op of a branch that is not taken still costs a little time.
_called = tf.function(
    input_signature=[tf.TensorSpec([], tf.string)], autograph=False, experimental_attributes={"_noinline": True}
)


def _decode_or_catch(photo_bytes, max_pixels, least_side):
    """Decode one photo eagerly; where the decoder fails, return the stand-in. It is faster than the guard."""
    try:
        with tf.device("/cpu:0"):
            return _decode_unguarded(photo_bytes, max_pixels, least_side)
    except tf.errors.OpError:
        return _refuse(STATUS_UNDECODABLE)


@_graph
def _decode_unguarded(photo_bytes, max_pixels, least_side):
    orientation = _orientation(photo_bytes)
    return _turn_upright(_decode(photo_bytes, orientation, max_pixels, least_side), orientation)


@_graph
def _decode_guarded(photo_bytes, max_pixels, least_side):
    """Decode one photo; where the decoder fails, return the stand-in.

    A dataset is the one place where core ops can outlive an error: of [decoded, stand-in] without errors, take the
    first. Its function is built anew for each photo, so what raises nothing stays outside.
    """
    orientation = _orientation(photo_bytes)
    inputs = tf.data.Dataset.from_tensors((photo_bytes, orientation, max_pixels, least_side))
    stand_in = tf.data.Dataset.from_tensors(_refuse(STATUS_UNDECODABLE))
    decoded = inputs.map(_decode).ignore_errors().concatenate(stand_in).take(1)
    return _turn_upright(decoded.get_single_element(), orientation)


@tf.autograph.experimental.do_not_convert
def _decode(photo_bytes, orientation, max_pixels, least_side):
    """Decode one photo, with the returns of `decode_photo`, but as stored; raises on a corrupt file."""

    def decode_if_small(height, width, decode):
        height, width = tf.cast(height, tf.int64), tf.cast(width, tf.int64)
        return tf.cond(height * width <= max_pixels, decode, lambda: _refuse(STATUS_TOO_LARGE))

    def jpeg():
        height, width = _jpeg_size(photo_bytes)
        return decode_if_small(height, width, lambda: _decode_jpeg(photo_bytes, height, width, orientation, least_side))

    def png():
        return decode_if_small(*_png_size(photo_bytes), lambda: _decode_png(photo_bytes))

    return _by_format(photo_bytes, jpeg, png, lambda: _refuse(STATUS_NOT_A_PHOTO))


def _by_format(photo_bytes, jpeg, png, neither):
    """Return what one of three functions returns, by the first bytes of a file."""
    is_jpeg, is_png = _starts_with(photo_bytes, _JPEG_MAGIC), _starts_with(photo_bytes, _PNG_MAGIC)
    return tf.case([(is_jpeg, jpeg), (is_png, png)], default=neither)


def _accept(photo, image_size):
    return photo, image_size, tf.constant(STATUS_OK)


def _refuse(status):
    return tf.fill([1, 1, 3], tf.constant(int(PAD_VALUE), tf.uint8)), tf.zeros([2], tf.int32), tf.constant(status)


# JPEG ----------------------------------------------------------------------------------------------------------------


def _jpeg_size(photo_bytes):
    """Return height and width by the header, before any turn: read by the decoder's own library, so they agree."""
    shape = tf.image.extract_jpeg_shape(photo_bytes)
    return shape[0], shape[1]


def _decode_jpeg(photo_bytes, height, width, orientation, least_side):
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
    return _accept(photo, tf.cast(sides, tf.int32))


# PNG -----------------------------------------------------------------------------------------------------------------


def _png_size(photo_bytes):
    """Return height and width by the header, int64 scalars; raises on a size that no PNG can have."""
    sides = _big_endian(tf.reshape(_bytes_at(photo_bytes, 16, 8), [2, 4]))
    is_possible = tf.reduce_all((sides >= 1) & (sides <= _PNG_MAX_SIDE)) & (_text_at(photo_bytes, 12, 4) == b"IHDR")
    with tf.control_dependencies([tf.debugging.Assert(is_possible, ["A PNG without a possible size"])]):
        return tf.identity(sides[1]), tf.identity(sides[0])


@_called
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


# Orientation ---------------------------------------------------------------------------------------------------------


def _orientation(photo_bytes):
    """Return how a file says that its photo is to be turned, int32 scalar, 1 to 8; 1 where it does not.

    Raises nothing and ends soon whatever the bytes are: reads past the end give zeros.
    """

    # To look for a name is many times faster than to walk a file's parts, and most files have none of these.
    def if_held(name, find):
        return lambda: tf.cond(_holds(photo_bytes, name), lambda: tf.maximum(find(photo_bytes), 1), lambda: 1)

    # The marker of APP1 never stands in a JPEG's picture data.
    jpeg, png = if_held(b"\xff\xe1", _jpeg_orientation), if_held(b"eXIf", _png_orientation)
    return _by_format(photo_bytes, jpeg, png, lambda: 1)


def _turn_upright(decoded, orientation):
    """Turn a photo from how it is stored to how it is displayed.

    Args:
        decoded: photo, image_size and status of `decode_photo`, but as stored.
        orientation: int32 scalar, 1 to 8.

    Returns:
        The same, as displayed.

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
    """Return the orientation that a JPEG's metadata tell, int32 scalar; 0 where they do not."""
    by_exif = _exif_orientation(_app1_content(photo_bytes, _EXIF_NAME))
    return tf.cond(by_exif > 0, lambda: by_exif, lambda: _xmp_orientation(_app1_content(photo_bytes, _XMP_NAME)))


def _app1_content(photo_bytes, name):
    """Return what follows the name in a JPEG's first APP1 segment of that name, a string; empty where there is none."""

    def is_more(position, content_position, content_length, step):
        return (position >= 0) & (step < _MAX_SEGMENTS)

    def next_segment(position, content_position, content_length, step):
        # Marker, 2 bytes; length, 2 bytes that count themselves; content, which in an APP1 begins with a name.
        marker, length = tf.unstack(_big_endian(tf.reshape(_bytes_at(photo_bytes, position, 4), [2, 2])))
        is_found = (marker == 0xFFE1) & (_text_at(photo_bytes, position + 4, len(name)) == name)
        is_fill = marker == 0xFFFF
        # After the start of scan, 0xFFDA, comes the picture's data.
        goes_on = ~is_found & (marker >= 0xFF00) & (marker != 0xFFDA) & ((length >= 2) | is_fill)
        content_position = tf.where(is_found, position + 4 + len(name), content_position)
        content_length = tf.where(is_found, tf.maximum(length - 2 - len(name), 0), content_length)
        following = position + tf.where(is_fill, tf.ones_like(length), 2 + length)
        return tf.where(goes_on, following, -1), content_position, content_length, step + 1

    start, none, first = tf.constant(2, tf.int64), tf.constant(0, tf.int64), tf.constant(0)
    _, content_position, content_length, _ = tf.while_loop(is_more, next_segment, [start, none, none, first])
    return _text_at(photo_bytes, content_position, content_length)


@_called
def _png_orientation(photo_bytes):
    """Return the orientation that a PNG's metadata tell, int32 scalar; 0 where they do not."""
    exif = _chunk_content(_split(photo_bytes, _PNG_END, 1)[0], b"eXIf")
    # Some writers keep the name that the block has in a JPEG.
    start = tf.where(_starts_with(exif, _EXIF_NAME), len(_EXIF_NAME), 0)
    return _exif_orientation(_text_at(exif, start, tf.strings.length(exif)))


def _chunk_content(photo_bytes, name):
    """Return the content of a PNG's first chunk of that name with a right checksum, a string; empty if there is none.

    The chunk may stand behind thousands of others, so they are not walked: of the places where the name stands, the
    chunk is the first that has its checksum. What computes that is the reader of gzip files, so one is made of the
    chunk. One of more than 65535 bytes does not fit in and counts as wrong.

    Source: PNG 1.3, section 3.2; RFC 1952, section 2.2; RFC 1951, section 3.2.4.
    """
    parts = _split(photo_bytes, name, _MAX_PLACES)
    positions = tf.cumsum(tf.strings.length(parts) + len(name))[:-1]

    def checked_content(position):
        num_bytes = _big_endian(_bytes_at(photo_bytes, position - len(name) - 4, 4)) + len(name)
        start = tf.cast(position, tf.int64) - len(name)
        end = start + num_bytes
        # Of a gzip file that ends early the reader returns what there is.
        is_whole = (num_bytes <= 0xFFFF) & (end + 4 <= tf.cast(tf.strings.length(photo_bytes), tf.int64))
        with tf.control_dependencies([tf.debugging.Assert(is_whole, ["A chunk beyond the end or too long"])]):
            chunk, checksum = _text_at(photo_bytes, start, num_bytes), _bytes_at(photo_bytes, end, 4)
        size = num_bytes // [1, 2**8, 2**16, 2**24] % 256
        head, tail = tf.concat([size[:2], 255 - size[:2]], 0), tf.concat([checksum[::-1], size], 0)
        gzip = tf.strings.join([_GZIP_HEAD, _text_of(head), chunk, _text_of(tail)])
        return _text_at(tf.io.decode_compressed(gzip, "GZIP"), len(name), num_bytes)

    found = tf.data.Dataset.from_tensor_slices(positions).map(checked_content).ignore_errors()
    return found.concatenate(tf.data.Dataset.from_tensors(b"")).take(1).get_single_element()


def _exif_orientation(exif):
    """Return the orientation in an EXIF block, int32 scalar; 0 where it says nothing, 1 where it says nonsense.

    Args:
        exif: string scalar, a TIFF file; the orientation is in its first directory, as SHORT or, against the
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
    # An entry: tag, 2 bytes; type, 2; count, 4; value, 4, left-aligned: a SHORT stands in the first 2 of them.
    entries = tf.reshape(entries, [_MAX_EXIF_ENTRIES, 12])
    is_tag = (tf.range(_MAX_EXIF_ENTRIES, dtype=tf.int64) < num_entries) & (number(entries[:, 0:2]) == 0x0112)
    is_short, is_long = number(entries[:, 2:4]) == 3, number(entries[:, 2:4]) == 4
    value = tf.where(is_long, number(entries[:, 8:12]), number(entries[:, 8:10]))
    is_valid = is_tag & (is_short | is_long) & (number(entries[:, 4:8]) == 1) & (value >= 1) & (value <= 8)
    found = tf.reduce_max(tf.where(is_valid, value, tf.cast(is_tag, tf.int64)))
    return tf.cast(tf.where(is_tiff, found, 0), tf.int32)


def _xmp_orientation(xmp):
    """Return the orientation in an XMP packet, as attribute or as element, int32 scalar; 0 where there is none.

    Source: XMP specification part 2, section 3.6, the namespace of TIFF properties.
    """
    values = tf.strings.substr(_split(xmp, b"tiff:Orientation", _MAX_PLACES)[1:], 0, 4)
    values = tf.boolean_mask(values, tf.strings.regex_full_match(values, "=[\"'][1-8][\"']|>[1-8]</"))
    return tf.reduce_sum(tf.strings.to_number(tf.strings.regex_replace(values[:1], "[^1-8]", ""), tf.int32))


# Bytes ---------------------------------------------------------------------------------------------------------------


def _split(text, name, max_splits):
    """Return the parts of a string that stand before, between and after a name, strings `(at most max_splits + 1,)`."""
    return tf.raw_ops.StringSplitV2(input=text[tf.newaxis], sep=name, maxsplit=max_splits).values


def _holds(text, name):
    return tf.size(_split(text, name, 1)) > 1


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


def _text_of(numbers):
    """Return the string of the bytes that integers `(count,)`, 0 to 255, are."""
    return tf.strings.reduce_join(tf.gather(_BYTES, numbers))
