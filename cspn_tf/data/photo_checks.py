"""Check a photo before it is used: that it decodes, how large it is, and that its labels lie inside it.

Photos are decoded by `cspn_tf.decoding`, as in training: a more lenient decoder would accept broken files that later
stop a training run.
"""

import dataclasses
import errno
import hashlib

import numpy as np

from cspn_tf.config import Config
from cspn_tf.contract import STATUS_NOT_A_PHOTO, STATUS_OK, STATUS_TOO_LARGE, STATUS_UNDECODABLE
from cspn_tf.data.samples import Rejected, Sample
from cspn_tf.garments import KEYPOINT_NAMES
from cspn_tf.pillow_photos import as_served

# How far outside its photo a labelled keypoint may lie, pixels: annotation tools round, and some count from 1.
OUTSIDE_TOLERANCE = 1.0

# A JPEG of at least twice this size is decoded at reduced scale: all of its data is still read, in half the time.
_LEAST_SIDE = 64
# Side of the grid of brightness differences that make up the perceptual hash.
_LOOK_SIZE = 16
# A photo with fewer rising, or falling, differences than this has too little structure for its hash to identify it.
_MIN_STEPS = 24


class PhotoError(Exception):
    """A photo cannot be used; the message says why."""


@dataclasses.dataclass(frozen=True)
class PhotoFacts:
    """Size and hashes of a decoded photo.

    Attributes:
        size: height and width in pixels, as displayed.
        digest: hash of the file's bytes, as hexadecimal; equal for copies of a file.
        look: 256-bit perceptual hash, as hexadecimal; equal for a photo that was only re-encoded or resized. None if
            the photo has too little structure.
    """

    size: tuple[int, int]
    digest: str
    look: str | None


def photo_facts(photo_bytes) -> PhotoFacts:
    """Decode a photo to check it, and return its size and hashes.

    Args:
        photo_bytes: content of a JPEG or PNG file.

    Raises:
        PhotoError: not a JPEG or PNG, more pixels than `Config.max_pixels`, or broken image data.
    """
    from cspn_tf.decoding import decode_photo

    photo, image_size, status = decode_photo(photo_bytes, Config.max_pixels, _LEAST_SIDE)
    if int(status) != STATUS_OK:
        faults = {
            STATUS_NOT_A_PHOTO: "is not a JPEG, PNG or WebP",
            STATUS_TOO_LARGE: f"has more pixels than allowed: {Config.max_pixels}, of a PNG half as many",
            STATUS_UNDECODABLE: "cannot be decoded: its picture data are broken or cut short",
        }
        raise PhotoError(faults[int(status)])
    digest = hashlib.blake2b(photo_bytes, digest_size=16).hexdigest()
    return PhotoFacts(tuple(image_size.numpy().tolist()), digest, _look(photo.numpy()))


def _look(photo) -> str | None:
    """Return the photo's perceptual hash (dHash): signs of horizontal brightness differences on a coarse grid."""
    from PIL import Image

    grid = Image.fromarray(photo).convert("L").resize((_LOOK_SIZE + 1, _LOOK_SIZE))
    steps = np.diff(np.asarray(grid, np.int16), axis=1) > 0
    if not _MIN_STEPS <= steps.sum() <= steps.size - _MIN_STEPS:
        return None
    return np.packbits(steps).tobytes().hex()


def beyond_edges(points_xy, size) -> np.ndarray:
    """Return how far points `(..., 2)` lie outside a photo of this height and width, pixels `(...)`; negative inside.

    A photo ends half a pixel beyond the centres of its outermost pixels.
    """
    height, width = size
    return np.maximum(-0.5 - points_xy, points_xy - np.array([width - 0.5, height - 0.5])).max(axis=-1)


def label_fault(garments, size) -> str | None:
    """Find a label that lies outside a photo of this size.

    Args:
        garments: labelled `Garments` of the photo.
        size: height and width in pixels, as displayed.

    Returns:
        One line about the first garment with a box entirely outside the photo, or a labelled keypoint more than
        `OUTSIDE_TOLERANCE` outside it; else None.
    """
    boxes, keypoints_xy, (height, width) = garments.boxes_xyxy, garments.keypoints_xy, size
    box_is_outside = ((boxes[:, :2] >= np.array([width - 0.5, height - 0.5])) | (boxes[:, 2:] <= -0.5)).any(axis=1)
    is_outside = garments.labelled & (beyond_edges(keypoints_xy, size) > OUTSIDE_TOLERANCE)
    faulty = np.flatnonzero(box_is_outside | is_outside.any(axis=1))
    if not len(faulty):
        return None
    row = faulty[0]
    slot = is_outside[row].argmax()
    what, numbers = ("box", boxes[row]) if box_is_outside[row] else (KEYPOINT_NAMES[slot], keypoints_xy[row, slot])
    return f"{what} {' '.join(f'{number:g}' for number in numbers)} lies outside the photo of {width} x {height} pixels"


def check_photo(sample: Sample) -> tuple[bytes, PhotoFacts] | Rejected:
    """Read a sample's photo, decode it, and check that its labels lie inside it.

    Returns:
        The photo's bytes, of a WebP those of a PNG, and its `PhotoFacts`; or a `Rejected` with the reason.
    """
    try:
        with open(sample.path, "rb") as photo_file:
            photo_bytes = as_served(photo_file.read())
        facts = photo_facts(photo_bytes)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            others = "".join(f", {path}" for path in sample.other_paths)
            return _rejected(sample, "missing photo", f"is missing: no file {sample.path}{others}")
        return _rejected(sample, "unreadable photo", f"cannot be read: {error.strerror or error}")
    except PhotoError as error:
        return _rejected(sample, "unreadable photo", error)
    fault = label_fault(sample.garments, facts.size)
    if fault:
        if not label_fault(sample.garments, facts.size[::-1]):
            fault += "; rotated, it contains all labels: were they made on the photo as stored?"
        return Rejected(sample.photo, sample.where, fault, "label outside the photo", sample, facts.size)
    return photo_bytes, facts


def _rejected(sample, kind, what):
    return Rejected(sample.photo, sample.where, f"photo {sample.photo!a} {what}", kind, sample)
