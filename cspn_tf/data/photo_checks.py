"""Look at a photo before it is used: can it be decoded, how large is it, do its labels lie inside it.

Sizes are those of the photo as displayed, as in `cspn_tf.decoding`.
"""

import dataclasses
import errno
import hashlib
import io

import numpy as np

from cspn_tf.config import Config
from cspn_tf.data.samples import Rejected, Sample
from cspn_tf.garments import KEYPOINT_NAMES

# How far outside its photo a labelled keypoint may lie, pixels: annotators' tools round, and some count from 1.
OUTSIDE_TOLERANCE = 1.0

# Side of the grid of brightness steps by which photos are compared.
_LOOK_SIZE = 16
# A photo with fewer steps up, or down, than this shows too little to be compared.
_MIN_STEPS = 24


class PhotoError(Exception):
    """A photo cannot be used; the message says why."""


@dataclasses.dataclass(frozen=True)
class PhotoFacts:
    """What is known of a photo that was decoded.

    Attributes:
        height, width: pixels, after the EXIF orientation.
        digest: of the file's bytes, hexadecimal: the same for copies of a file.
        look: of what it shows, hexadecimal: the same for a photo that was only saved anew or resized; None where it
            shows too little to tell.
    """

    height: int
    width: int
    digest: str
    look: str | None


def photo_facts(photo_bytes) -> PhotoFacts:
    """Decode a photo to see that it can be, and say what it is.

    Args:
        photo_bytes: a JPEG or PNG file, as it is.

    Raises:
        PhotoError: not a JPEG or PNG, more pixels than `Config.max_pixels`, or the picture data are broken.
    """
    image = _open(io.BytesIO(photo_bytes))
    height, width = _displayed_size(image)
    digest = hashlib.blake2b(photo_bytes, digest_size=16).hexdigest()
    return PhotoFacts(height, width, digest, _look(_decode(image, photo_bytes)))


def _decode(image, photo_bytes):
    """Decode a photo, small where that is possible, with the decoder that training and serving use.

    Others are more lenient with some broken files, which would then stop a training run.

    Returns:
        uint8 `(h, w, 1)`, grey, as stored.
    """
    import tensorflow as tf

    try:
        if image.format == "PNG":
            # The decoder does not look at the checksums of the picture data; verifying does, and uses the image up.
            image.verify()
            return tf.io.decode_png(photo_bytes, channels=1).numpy()
        # An eighth of the size and no colour: all of the entropy-coded data is still read, in half the time.
        return tf.io.decode_jpeg(photo_bytes, channels=1, ratio=8).numpy()
    except tf.errors.InvalidArgumentError:
        raise PhotoError("cannot be decoded: its picture data are broken or cut short")
    except Exception as error:  # Pillow's verifying raises OSError, SyntaxError, struct.error, zlib.error and more
        raise PhotoError(f"cannot be decoded: {error}")


def _look(grey) -> str | None:
    """Return the signs of the brightness steps from left to right over a coarse grid (a "difference hash")."""
    from PIL import Image

    grid = Image.fromarray(grey[..., 0]).resize((_LOOK_SIZE + 1, _LOOK_SIZE))
    steps = np.diff(np.asarray(grid, np.int16), axis=1) > 0
    if not _MIN_STEPS <= steps.sum() <= steps.size - _MIN_STEPS:
        return None
    return np.packbits(steps).tobytes().hex()


def label_fault(garments, height, width) -> str | None:
    """Find labels that cannot be true of a photo of this size.

    Args:
        garments: labels, `Garments` of the photo.
        height, width: pixels, as displayed.

    Returns:
        What is wrong, one line, or None: a box that does not touch the photo, or a keypoint with coordinates more
        than `OUTSIDE_TOLERANCE` outside it.
    """
    size = f"the photo of {width} x {height} pixels"
    right, bottom = width - 0.5, height - 0.5
    for row, (x_min, y_min, x_max, y_max) in enumerate(garments.boxes_xyxy.tolist()):
        if x_min >= right or y_min >= bottom or x_max <= -0.5 or y_max <= -0.5:
            return f"box {x_min:g} {y_min:g} {x_max:g} {y_max:g} lies outside {size}"
        keypoints_xy = garments.keypoints_xy[row]
        beyond_xy = np.maximum(-0.5 - keypoints_xy, keypoints_xy - (right, bottom))
        outside = garments.labelled[row] & (beyond_xy.max(axis=1) > OUTSIDE_TOLERANCE)
        if outside.any():
            slot = int(outside.argmax())
            x, y = keypoints_xy[slot].tolist()
            return f"{KEYPOINT_NAMES[slot]} {x:g} {y:g} lies outside {size}"
    return None


def check_photo(sample: Sample) -> tuple[bytes, PhotoFacts] | Rejected:
    """Read a sample's photo and check it, and its labels against it.

    Returns:
        The photo's file and what is known of it; or why the sample cannot be used.
    """
    try:
        with open(sample.path, "rb") as photo_file:
            photo_bytes = photo_file.read()
        facts = photo_facts(photo_bytes)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return _rejected(sample, "missing photo", f"is missing: no file {sample.path}")
        return _rejected(sample, "unreadable photo", f"cannot be read: {error.strerror or error}")
    except ValueError as error:  # a name that cannot be one of a file
        return _rejected(sample, "missing photo", f"is missing: {error}")
    except PhotoError as error:
        return _rejected(sample, "unreadable photo", error)
    fault = label_fault(sample.garments, facts.height, facts.width)
    if fault:
        if facts.height != facts.width and not label_fault(sample.garments, facts.width, facts.height):
            fault += "; turned it holds all labels: were they made on the photo as stored?"
        size = (facts.height, facts.width)
        return Rejected(sample.photo, sample.where, fault, "label outside the photo", sample, size)
    return photo_bytes, facts


def _rejected(sample, kind, what):
    return Rejected(sample.photo, sample.where, f"photo {sample.photo!a} {what}", kind, sample)


def _open(photo_file):
    from PIL import Image

    try:
        image = Image.open(photo_file, formats=("JPEG", "PNG"))
    except Image.DecompressionBombError:
        raise PhotoError(f"has more than {Config.max_pixels} pixels")
    except Image.UnidentifiedImageError:
        raise PhotoError("is not a JPEG or PNG")
    except Exception as error:  # Pillow's header parsers raise OSError, SyntaxError, struct.error and more
        raise PhotoError(f"cannot be decoded: {error}")
    if image.width * image.height > Config.max_pixels:
        raise PhotoError(f"has {image.width * image.height} pixels, at most {Config.max_pixels} are allowed")
    return image


def _displayed_size(image):
    turned = _orientation(image) in (5, 6, 7, 8)
    return (image.width, image.height) if turned else (image.height, image.width)


def _orientation(image) -> int:
    """Return the EXIF orientation, 1 to 8, by the rules of `cspn_tf.decoding`: one in a PNG does not count."""
    from PIL import ExifTags, Image

    if image.format == "PNG":
        return 1
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # a photo with broken EXIF data is shown as it is stored
        return 1
