"""Convert Pillow images to pixels as displayed, by the rules of `cspn_tf.decoding`, without TensorFlow.

One exception: Pillow discards the transparent colour (`tRNS` chunk) of a 16-bit RGB PNG.

Letters in shapes: H, W height and width of the photo as displayed.
"""

import numpy as np
from PIL import Image

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
# 16-bit grey modes, in each byte order, and modes without a defined white value.
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_WITHOUT_RANGE = ("I", "F")
# Factors by which Pillow scales greys of fewer than 8 bits; it does not scale the transparent value.
_GREY_SCALES = {"L;2": 85, "L;4": 17}


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
        pixels = _grey_of_16_bits(image)
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


def _grey_of_16_bits(image):
    grey = np.asarray(image)
    return _grey_on_white(np.uint8(grey >> 8), grey == image.info.get("transparency", -1))


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
        return carrier.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # Pillow's parser raises SyntaxError, struct.error and others on corrupt data
        return 1
