"""The one form in which labelled photos travel from the annotation readers to the TFRecords.

Coordinates are pixels of the photo as displayed (after its EXIF orientation), with integers at pixel centres: see
`cspn_tf.geometry`.
"""

import collections
import dataclasses
import errno
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cspn_tf.config import Config
from cspn_tf.garments import KEYPOINT_NAMES, GarmentType, Variation, Visibility

SPLITS = ("train", "val", "test")

REJECTION_KINDS = ("malformed row", "missing photo", "unreadable photo", "label outside the photo")

# How far outside its photo a labelled keypoint may lie, pixels: annotators' tools round, and some count from 1.
OUTSIDE_TOLERANCE = 1.0


@dataclasses.dataclass(frozen=True)
class Garment:
    """One labelled garment.

    Attributes:
        garment_type: its `GarmentType`.
        box_xyxy: four floats, x_min, y_min, x_max, y_max.
        keypoints_xy: float32 `(8, 2)`, x and y by slot; zeros where there are no coordinates.
        visibility: int32 `(8,)`, `Visibility` codes by slot.
        variation: its `Variation`.
    """

    garment_type: GarmentType
    box_xyxy: tuple[float, float, float, float]
    keypoints_xy: np.ndarray
    visibility: np.ndarray
    variation: Variation = Variation.UNKNOWN


@dataclasses.dataclass(frozen=True)
class Sample:
    """One labelled photo.

    Attributes:
        photo: the photo's path relative to the dataset's root, as the annotation names it.
        split: one of `SPLITS`, or None where the source has no splits of its own.
        garments: its labelled garments, at least one.
        where: `file:line` of the annotation, for messages; the file alone where lines mean nothing.
        path: where the photo's file lies, which need not be under the name the annotation has for it.
        group: photos that must stay together when splits are made have the same; None for a photo by itself.
    """

    photo: str
    split: str | None
    garments: tuple[Garment, ...]
    where: str
    path: str
    group: str | None = None


@dataclasses.dataclass(frozen=True)
class Rejected:
    """One annotation row, or the photo it labels, that cannot be used.

    Attributes:
        photo: the photo as the annotation names it, with what is not UTF-8 escaped.
        where: `file:line` of the row at fault, or `file` and what in it, where lines mean nothing.
        reason: what is wrong with it, one line.
        kind: one of `REJECTION_KINDS`.
        sample: the labels, where they could be read and the photo is what is wrong; else None.
    """

    photo: str
    where: str
    reason: str
    kind: str = "malformed row"
    sample: Sample | None = None

    def as_dict(self) -> dict[str, str]:
        """Return photo, where, reason and kind."""
        return {"photo": self.photo, "where": self.where, "reason": self.reason, "kind": self.kind}


@dataclasses.dataclass(frozen=True)
class ReadResult:
    """What a reader found.

    Attributes:
        samples: the photos that can be used.
        rejected: the rows that cannot.
        variant: the format in words, as the files themselves tell it.
        notes: what else the reader left out or made up, in words, and how often: nothing that makes a label wrong.
    """

    samples: list[Sample]
    rejected: list[Rejected]
    variant: str = ""
    notes: dict[str, int] = dataclasses.field(default_factory=dict)


# Labels against their photo ------------------------------------------------------------------------------------------


class PhotoError(Exception):
    """A photo, or its labels in view of its size, cannot be used; the message says why."""


def photo_size(photo_file) -> tuple[int, int]:
    """Read a photo's size as displayed from its header, without decoding it.

    Args:
        photo_file: binary file object at its start.

    Returns:
        height, width: pixels, after the EXIF orientation.

    Raises:
        PhotoError: not a JPEG or PNG, or more pixels than `Config.max_pixels`.
    """
    return _displayed_size(_open(photo_file))


def decoded_photo_size(photo_bytes) -> tuple[int, int]:
    """Decode a photo to see that it can be, and return its size as displayed.

    Args:
        photo_bytes: a JPEG or PNG file, as it is.

    Returns:
        height, width: pixels, after the EXIF orientation.

    Raises:
        PhotoError: as `photo_size`, or the picture data are broken.
    """
    image = _open(io.BytesIO(photo_bytes))
    size = _displayed_size(image)
    try:
        if image.format == "PNG":
            # Loading a PNG does not look at the checksums of its picture data; verifying does, and uses the image up.
            image.verify()
            image = _open(io.BytesIO(photo_bytes))
        else:
            # An eighth of the size and no colour: all of the entropy-coded data is still read, in half the time.
            image.draft("L", (1, 1))
        image.load()
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, zlib.error and more
        raise PhotoError(f"cannot be decoded: {error}")
    return size


def label_fault(garments, height, width) -> str | None:
    """Find labels that cannot be true of a photo of this size.

    Args:
        garments: `Garment`s of the photo.
        height, width: pixels, as displayed.

    Returns:
        What is wrong, one line, or None: a box that does not touch the photo, or a keypoint with coordinates more
        than `OUTSIDE_TOLERANCE` outside it.
    """
    size = f"the photo of {width} x {height} pixels"
    right, bottom = width - 0.5, height - 0.5
    for garment in garments:
        x_min, y_min, x_max, y_max = garment.box_xyxy
        if x_min >= right or y_min >= bottom or x_max <= -0.5 or y_max <= -0.5:
            return f"box {x_min:g} {y_min:g} {x_max:g} {y_max:g} lies outside {size}"
        beyond_xy = np.maximum(-0.5 - garment.keypoints_xy, garment.keypoints_xy - (right, bottom))
        outside = (garment.visibility > Visibility.ABSENT) & (beyond_xy.max(axis=1) > OUTSIDE_TOLERANCE)
        if outside.any():
            slot = int(outside.argmax())
            x, y = garment.keypoints_xy[slot]
            return f"{KEYPOINT_NAMES[slot]} {x:g} {y:g} lies outside {size}"
    return None


def check_photo(sample: Sample) -> Rejected | None:
    """Check that a sample's photo is there and as large as its labels require, from the photo's header alone.

    Returns:
        None, or why the sample cannot be used.
    """
    try:
        with open(sample.path, "rb") as photo_file:
            height, width = photo_size(photo_file)
        fault = label_fault(sample.garments, height, width)
    except OSError as error:
        fault = missing_photo(sample, error)
    except PhotoError as error:
        fault = f"photo {sample.photo!a} {error}"
    return Rejected(sample.photo, sample.where, fault) if fault else None


def missing_photo(sample: Sample, error: OSError) -> str:
    """Put into words that a sample's photo could not be read."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"photo {sample.photo!a} is missing: no file {sample.path}"
    return f"photo {sample.photo!a} cannot be read: {error.strerror or error}"


def _open(photo_file):
    from PIL import Image

    try:
        image = Image.open(photo_file, formats=("JPEG", "PNG"))
    except Image.DecompressionBombError:
        raise PhotoError(f"has more than {Config.max_pixels} pixels")
    except Image.UnidentifiedImageError:
        raise PhotoError("is not a JPEG or PNG")
    except Exception as error:  # Pillow's header parsers raise OSError, SyntaxError, struct.error and more
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the file could not be read
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


def map_in_order(function, items, num_threads):
    """Map a function over items in threads, in order, holding only a few results at a time.

    Close the generator (`contextlib.closing`) to stop early without waiting for what was queued.

    Args:
        function: of one item.
        items: iterable.
        num_threads: threads to run in.

    Yields:
        The function's results, in the order of the items.
    """
    pending = collections.deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > 2 * num_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
