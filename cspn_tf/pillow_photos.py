"""Pictures of Pillow as displayed, by the rules of `cspn_tf.decoding`, for who holds a picture instead of a file.

No TensorFlow is needed. What Pillow drops cannot follow the rules: of a PNG of 16-bit RGB, the colour that a `tRNS`
chunk makes transparent.

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
# Greys of 16 bits, in each byte order, and modes that have no upper end.
_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_WITHOUT_RANGE = ("I", "F")
# What Pillow multiplies greys of fewer than 8 bits by; it leaves the transparent one as it is in the file.
_GREY_SCALES = {"L;2": 85, "L;4": 17}


def pillow_as_displayed(image):
    """Return what a model sees of a picture of Pillow.

    Args:
        image: a `PIL.Image.Image` of any mode but `I` and `F`; opened from a file, or made.

    Returns:
        uint8 `(H, W, 3)`, RGB: turned by its orientation, transparency laid on white, 16 bits cut to the upper 8.

    Raises:
        ValueError: the mode says nothing of which number is white.
        OSError: the picture's file cannot be decoded.
    """
    is_grey_16 = image.mode in _GREY_16 or (image.mode, image.format) == ("I", "PNG")  # which is Pillow 10's way
    if image.mode in _WITHOUT_RANGE and not is_grey_16:
        raise ValueError(f"a picture of mode {image.mode} has no white; convert it to L or RGB, received {image}")
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
    """Return what the greys of a PNG will be multiplied by; only before it is read Pillow knows."""
    is_unread_png = image.format == "PNG" and image.tile
    return _GREY_SCALES.get(image.tile[0][3], 1) if is_unread_png else 1  # Pillow 10's tiles are plain tuples


def _grey_of_16_bits(image):
    grey = np.asarray(image)
    return _grey_on_white(np.uint8(grey >> 8), grey == image.info.get("transparency", -1))


def _grey_on_white(grey, is_transparent):
    return np.repeat(np.where(is_transparent, np.uint8(255), grey)[..., np.newaxis], 3, axis=-1)


def _on_white(rgba):
    """Lay RGBA on white, to the same integers as the graph's."""
    weighted = np.uint16(255 - rgba[..., :3]) * rgba[..., 3:]
    return 255 - np.uint8((weighted + 127) // 255)


def _orientation(image) -> int:
    """Return the orientation by EXIF, else XMP; of a PNG, which may hold more that Pillow reads, by EXIF alone."""
    names = ("exif",) if image.format == "PNG" else ("exif", "xmp")
    carrier = Image.new("1", (1, 1))
    carrier.info = {name: image.info[name] for name in names if name in image.info}
    try:
        return carrier.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # Pillow's parser raises SyntaxError, struct.error and more on garbage
        return 1
