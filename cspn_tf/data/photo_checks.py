"""Look at a photo before it is used: can it be decoded, how large is it, do its labels lie inside it.

A photo is what `cspn_tf.decoding` makes of its file: other decoders know other rules and are more lenient with some
broken files, which would then stop a training run.
"""

import dataclasses
import errno
import hashlib

import numpy as np

from cspn_tf.config import Config
from cspn_tf.contract import STATUS_NOT_A_PHOTO, STATUS_OK, STATUS_TOO_LARGE, STATUS_UNDECODABLE
from cspn_tf.data.samples import Rejected, Sample
from cspn_tf.garments import KEYPOINT_NAMES

# How far outside its photo a labelled keypoint may lie, pixels: annotators' tools round, and some count from 1.
OUTSIDE_TOLERANCE = 1.0

# A JPEG of twice this size or more is decoded at a fraction of it: all of its data is read, in half the time.
_LEAST_SIDE = 64
# Side of the grid of brightness steps of the perceptual hash.
_LOOK_SIZE = 16
# A photo with fewer steps up, or down, than this shows too little to be compared.
_MIN_STEPS = 24


class PhotoError(Exception):
    """A photo cannot be used; the message says why."""


@dataclasses.dataclass(frozen=True)
class PhotoFacts:
    """What is known of a photo that was decoded.

    Attributes:
        height, width: pixels, as displayed.
        digest: of the file's bytes, hexadecimal: the same for copies of a file.
        look: perceptual hash of what it shows, hexadecimal: the same for a photo that was only saved anew or
            resized; None where it shows too little to tell.
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
    from cspn_tf.decoding import decode_photo

    photo, image_size, status = decode_photo(photo_bytes, Config.max_pixels, _LEAST_SIDE)
    if int(status) != STATUS_OK:
        faults = {
            STATUS_NOT_A_PHOTO: "is not a JPEG or PNG",
            STATUS_TOO_LARGE: f"has more pixels than the {Config.max_pixels} that are allowed",
            STATUS_UNDECODABLE: "cannot be decoded: its picture data are broken or cut short",
        }
        raise PhotoError(faults[int(status)])
    height, width = image_size.numpy().tolist()
    digest = hashlib.blake2b(photo_bytes, digest_size=16).hexdigest()
    return PhotoFacts(height, width, digest, _look(photo.numpy()))


def _look(photo) -> str | None:
    """Return a perceptual hash: the signs of the brightness steps from left to right over a coarse grid."""
    from PIL import Image

    grid = Image.fromarray(photo).convert("L").resize((_LOOK_SIZE + 1, _LOOK_SIZE))
    steps = np.diff(np.asarray(grid, np.int16), axis=1) > 0
    if not _MIN_STEPS <= steps.sum() <= steps.size - _MIN_STEPS:
        return None
    return np.packbits(steps).tobytes().hex()


def beyond_edges(points_xy, height, width) -> np.ndarray:
    """Return how far outside the photo points `(..., 2)` lie, pixels `(...)`; negative for those inside.

    A photo ends half a pixel beyond the centres of its outermost pixels.
    """
    return np.maximum(-0.5 - points_xy, points_xy - np.array([width - 0.5, height - 0.5])).max(axis=-1)


def label_fault(garments, height, width) -> str | None:
    """Find labels that cannot be true of a photo of this size.

    Args:
        garments: `Garments` of the photo, labelled.
        height, width: pixels, as displayed.

    Returns:
        What is wrong, one line, or None: a box that does not touch the photo, or a keypoint with coordinates more
        than `OUTSIDE_TOLERANCE` outside it.
    """
    boxes, keypoints_xy = garments.boxes_xyxy, garments.keypoints_xy
    box_is_outside = ((boxes[:, :2] >= np.array([width - 0.5, height - 0.5])) | (boxes[:, 2:] <= -0.5)).any(axis=1)
    is_outside = garments.labelled & (beyond_edges(keypoints_xy, height, width) > OUTSIDE_TOLERANCE)
    faulty = np.flatnonzero(box_is_outside | is_outside.any(axis=1))
    if not len(faulty):
        return None
    row = faulty[0]
    slot = is_outside[row].argmax()
    what, numbers = ("box", boxes[row]) if box_is_outside[row] else (KEYPOINT_NAMES[slot], keypoints_xy[row, slot])
    return f"{what} {' '.join(f'{number:g}' for number in numbers)} lies outside the photo of {width} x {height} pixels"


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
