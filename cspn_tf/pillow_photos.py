"""Decode photo files and convert Pillow images, by the rules of `cspn_tf.decoding`, without TensorFlow.

One exception: Pillow discards the transparent colour (`tRNS` chunk) of a 16-bit RGB PNG.

WebP files are decoded here only, since TensorFlow has no decoder for them: models get their pixels, servers a PNG,
or a JPEG if there are too many for a PNG.

Letters in shapes: H, W height and width of the photo as displayed.
"""

import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin

from cspn_tf.config import Config
from cspn_tf.console import UserError
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
    is_webp,
)
from cspn_tf.files import picture_bytes

_ORIENTATION_TAG = 0x0112
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TRANSPOSING = (5, 6, 7, 8)
# 16-bit grey modes, in each byte order, and modes without a defined white value.
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_WITHOUT_RANGE = ("I", "F")
# Factors by which Pillow scales greys of fewer than 8 bits; it does not scale the transparent value.
_GREY_SCALES = {"L;2": 85, "L;4": 17}

# Downscaling factors of the JPEG decoder, and its maximum side.
_RATIOS = (8, 4, 2, 1)
_JPEG_MAX_SIDE = 65_500
# Chunks of a PNG that must not be damaged.
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_MAX_EXIF_BYTES = 0xFFFF - 4


def decode_photo(photo_bytes, max_pixels, least_side=None):
    """Decode one JPEG or PNG file like `cspn_tf.decoding.decode_photo`, with the same arguments, to arrays.

    Returns:
        photo: uint8 `(H, W, 3)`, RGB, or a JPEG downscaled by r; one grey pixel if the status is not 0.
        image_size: int32 `(2,)`, H and W at full size; zeros if the status is not 0.
        status: one of `contract.STATUS_*`.
    """
    try:
        if photo_bytes.startswith(JPEG_MAGIC):
            return _decode_jpeg(photo_bytes, max_pixels, least_side)
        if photo_bytes.startswith(PNG_MAGIC):
            return _decode_png(photo_bytes, max_pixels)
        return _refuse(STATUS_NOT_A_PHOTO)
    except Exception:  # Pillow raises OSError, SyntaxError, ValueError, struct.error and others on corrupt data
        return _refuse(STATUS_UNDECODABLE)


def decode_webp(photo_bytes, max_pixels):
    """Decode a WebP file, of an animation the first frame; the return value is that of `decode_photo`."""
    try:
        image = Image.open(io.BytesIO(photo_bytes), formats=("WEBP",))
        if image.width * image.height > max_pixels:
            return _refuse(STATUS_TOO_LARGE)
        photo = pillow_as_displayed(image)
    except Exception:  # as in `decode_photo`
        return _refuse(STATUS_UNDECODABLE)
    return photo, np.int32(photo.shape[:2]), STATUS_OK


def as_served(photo_bytes) -> bytes:
    """Return a WebP file as PNG or JPEG, for servers and training; other files, and a damaged WebP, unchanged."""
    if not is_webp(photo_bytes):
        return photo_bytes
    photo, _, status = decode_webp(photo_bytes, math.inf)
    if status != STATUS_OK:
        return photo_bytes
    return encode_photo(photo)


def read_photo_files(paths) -> list[bytes]:
    """Return the contents of photo files, `as_served`, after checking that each can be decoded.

    Raises:
        UserError: a file cannot be read or decoded.
    """
    files = []
    for path in paths:
        try:
            files.append(as_served(Path(path).read_bytes()))
            pixels_as_displayed(files[-1], Config.max_pixels)
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error
    return files


def encode_photo(pixels) -> bytes:
    """Encode pixels, uint8 `(H, W, 3)`, as a PNG, or as a JPEG if they are more than models accept of a PNG."""
    picture = Image.fromarray(pixels)
    if pixels.shape[0] * pixels.shape[1] * PNG_PIXEL_COST <= Config.max_pixels:
        return picture_bytes(picture, "PNG", compress_level=1)
    return picture_bytes(picture, "JPEG", quality=95, subsampling=0)


def pixels_as_displayed(photo_bytes, max_pixels):
    """Decode a photo or a WebP; arguments, result and errors are those of `cspn_tf.decoding.pixels_as_displayed`."""
    photo, _, status = (decode_webp if is_webp(photo_bytes) else decode_photo)(photo_bytes, max_pixels)
    if status != STATUS_OK:
        raise ValueError(STATUS_MEANINGS[status])
    return photo


def _refuse(status):
    return np.full((1, 1, 3), PAD_VALUE, np.uint8), np.zeros(2, np.int32), status


def _decode_jpeg(photo_bytes, max_pixels, least_side):
    # The classes, not `Image.open`, which takes other formats and has a pixel cap of its own.
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(photo_bytes))
    scan = photo_bytes.rindex(b"\xff\xda", 0, image.fp.tell())
    width, height = image.size
    if not 0 < min(image.size) <= max(image.size) <= _JPEG_MAX_SIDE:
        return _refuse(STATUS_UNDECODABLE)
    if height * width > max_pixels:
        return _refuse(STATUS_TOO_LARGE)
    # A progressive JPEG may go on after any scan; of others, nothing is read after one that has all components.
    has_one_scan = not image.info.get("progressive") and photo_bytes[scan + 4] == image.layers
    has_many_scans = photo_bytes.count(b"\xff\xda") > JPEG_MAX_SCANS and not has_one_scan
    if has_many_scans or photo_bytes.find(b"\xff\xd9", scan) < 0:
        return _refuse(STATUS_UNDECODABLE)
    if least_side is not None:
        ratio = next(ratio for ratio in _RATIOS if ratio == 1 or max(image.size) >= ratio * least_side)
        if _orientation(image) == 1 or (width % ratio, height % ratio) == (0, 0):
            image.draft(None, (width / ratio, height / ratio))  # fractions, for a side shorter than the ratio
    is_turned = _orientation(image) in _TRANSPOSING
    return pillow_as_displayed(image), np.int32([width, height] if is_turned else [height, width]), STATUS_OK


def _decode_png(photo_bytes, max_pixels):
    name, width, height = struct.unpack_from(">4sII", photo_bytes, 12)
    if name != b"IHDR" or not 0 < min(width, height) <= max(width, height) <= PNG_MAX_SIDE:
        return _refuse(STATUS_UNDECODABLE)
    if height * width * PNG_PIXEL_COST > max_pixels:
        return _refuse(STATUS_TOO_LARGE)
    photo = pillow_as_displayed(PngImagePlugin.PngImageFile(io.BytesIO(_needed_chunks(photo_bytes))))
    return photo, np.int32(photo.shape[:2]), STATUS_OK


def _needed_chunks(photo_bytes) -> bytes:
    """Return a PNG without the chunks that do not matter, on many of which Pillow fails.

    Raises:
        ValueError or struct.error: a critical chunk is damaged or missing.
    """
    kept, has_exif, position, name = [PNG_MAGIC], False, len(PNG_MAGIC), b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", photo_bytes, position)
        chunk = photo_bytes[position : position + length + 12]
        is_sound = len(chunk) == length + 12 and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        if name in _CRITICAL and not is_sound:
            raise ValueError(f"PNG chunk {name} with a wrong checksum")
        is_exif = name == b"eXIf" and is_sound and length <= _MAX_EXIF_BYTES and not has_exif
        has_exif |= is_exif
        if is_exif or (is_sound and name in (*_CRITICAL, b"tRNS")):
            kept.append(chunk)
        position += length + 12
    return b"".join(kept)


def pillow_as_displayed(image):
    """Convert a Pillow image to pixels, like `cspn_tf.decoding` converts a photo file.

    Args:
        image: a `PIL.Image.Image` of any mode except `I` and `F`, opened from a file or created in memory.

    Returns:
        uint8 `(H, W, 3)`, RGB: upright, transparency composited on white, 16 bits truncated to the upper 8.

    Raises:
        ValueError: the mode does not define which value is white.
        OSError: the image file cannot be decoded.
    """
    is_grey_16 = image.mode in _GREY_16 or (image.mode, image.format) == ("I", "PNG")  # the mode in Pillow 10
    if image.mode in _WITHOUT_RANGE and not is_grey_16:
        raise ValueError(f"an image of mode {image.mode} has no white value; convert it to L or RGB, received {image}")
    grey_scale = _grey_scale(image)
    image.load()
    if is_grey_16:
        grey = np.asarray(image)
        pixels = _grey_on_white(np.uint8(grey >> 8), grey == image.info.get("transparency", -1))
    elif image.mode == "L" and "transparency" in image.info:
        grey = np.asarray(image)
        pixels = _grey_on_white(grey, grey == image.info["transparency"] * grey_scale)
    elif image.has_transparency_data:
        pixels = _on_white(np.asarray(image.convert("RGBA")))
    else:
        pixels = np.asarray(image.convert("RGB"))
    turn = _TURN.get(_orientation(image))
    return pixels if turn is None else np.asarray(Image.fromarray(pixels).transpose(turn))


def _grey_scale(image) -> int:
    """Return the factor by which Pillow will scale a PNG's greys; known only before the image is loaded."""
    is_unread_png = image.format == "PNG" and image.tile
    return _GREY_SCALES.get(image.tile[0][3], 1) if is_unread_png else 1  # Pillow 10's tiles are plain tuples


def _grey_on_white(grey, is_transparent):
    return np.repeat(np.where(is_transparent, np.uint8(255), grey)[..., np.newaxis], 3, axis=-1)


def _on_white(rgba):
    """Composite RGBA on white, with the same rounding as `cspn_tf.decoding`."""
    weighted = np.uint16(255 - rgba[..., :3]) * rgba[..., 3:]
    return 255 - np.uint8((weighted + 127) // 255)


def _orientation(image) -> int:
    """Return the orientation from EXIF, else XMP; of a PNG from EXIF only, although Pillow also reads other chunks."""
    names = ("exif",) if image.format == "PNG" else ("exif", "xmp")
    carrier = Image.new("1", (1, 1))
    carrier.info = {name: image.info[name] for name in names if name in image.info}
    try:
        orientation = carrier.getexif().get(_ORIENTATION_TAG, 1)
        return orientation if orientation in _TURN else 1
    except Exception:  # Pillow's parser raises SyntaxError, struct.error and others on corrupt data
        return 1
