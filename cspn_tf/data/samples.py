"""The one form in which labelled photos go from the annotation readers to the TFRecords, and what cannot be used.

Coordinates are pixels of the photo as displayed (after its EXIF orientation), with integers at pixel centres: see
`cspn_tf.geometry`.
"""

import contextlib
import dataclasses

import numpy as np

from cspn_tf.data.fields import RowFault, escaped, has_control_characters
from cspn_tf.garment_set import Garments
from cspn_tf.garments import NUM_KEYPOINTS, Variation, Visibility

SPLITS = ("train", "val", "test")

REJECTION_KINDS = ("malformed row", "missing photo", "unreadable photo", "label outside the photo")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One labelled photo.

    Attributes:
        photo: the photo's path relative to the dataset's root, as the annotation names it.
        split: one of `SPLITS`, or None where the source has no splits of its own.
        garments: its labelled garments, `Garments` with visibility and variations; none in a photo of background.
        where: `file:line` of the annotation, for messages; the file alone where lines mean nothing.
        path: where the photo's file lies, which need not be under the name the annotation has for it.
        group: photos that must stay together when splits are made have the same; None for a photo by itself.
        labelled_size: height and width in pixels of the photo that was labelled, as the annotation says; None where
            it does not.
        other_paths: where else its file was looked for.
    """

    photo: str
    split: str | None
    garments: Garments
    where: str
    path: str
    group: str | None = None
    labelled_size: tuple[int, int] | None = None
    other_paths: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Rejected:
    """One annotation row, or the photo it labels, that cannot be used.

    Attributes:
        photo: the photo as the annotation names it, with control characters and what is not UTF-8 escaped.
        where: `file:line` of the row at fault, or `file` and what in it, where lines mean nothing.
        reason: what is wrong with it, one line.
        kind: one of `REJECTION_KINDS`.
        sample: the labels, where they could be read and the photo is what is wrong; else None.
        size: height and width of the photo as displayed, pixels, where it could be decoded; else None.
    """

    photo: str
    where: str
    reason: str
    kind: str = "malformed row"
    sample: Sample | None = None
    size: tuple[int, int] | None = None

    def as_dict(self) -> dict[str, str]:
        """Return photo, where, reason and kind."""
        return {"photo": self.photo, "where": self.where, "reason": self.reason, "kind": self.kind}


@dataclasses.dataclass(frozen=True)
class ReadResult:
    """What a reader has found. A reader starts with an empty one and adds row by row.

    Attributes:
        variant: the format in words, as the files themselves tell it.
        samples: the photos that can be used.
        rejected: the rows that cannot.
        notes: what else the reader left out or made up, in words, and how often: nothing that makes a label wrong.
    """

    variant: str
    samples: list[Sample] = dataclasses.field(default_factory=list)
    rejected: list[Rejected] = dataclasses.field(default_factory=list)
    notes: dict[str, int] = dataclasses.field(default_factory=dict)

    def reject(self, photo, where, reason):
        """Add a rejected row; the photo's name and the place may have any characters."""
        self.rejected.append(Rejected(_printable(photo), _printable(where), reason))

    @contextlib.contextmanager
    def rejecting(self, photo, where):
        """Turn a `RowFault` of the body into a rejected row, at the fault's own place or else at `where`."""
        try:
            yield
        except RowFault as fault:
            self.reject(photo, fault.where or where, fault.reason)

    def note(self, words, count=1):
        """Add to the number of times that something was noted."""
        if count:
            self.notes[words] = self.notes.get(words, 0) + count


def _printable(text):
    return escaped(text)[1:-1] if has_control_characters(text) else text


def labelled_garment(garment_type, box_xyxy, keypoints, variation=Variation.UNKNOWN) -> Garments:
    """Return one garment as a reader has read it.

    Args:
        garment_type: `GarmentType`.
        box_xyxy: four floats.
        keypoints: slot → (x, y, `Visibility`); slots that are not in it are absent. x and y count only where the
            visibility has coordinates.
        variation: `Variation`.
    """
    keypoints_xy = np.zeros((NUM_KEYPOINTS, 2), np.float32)
    visibility = np.full(NUM_KEYPOINTS, int(Visibility.ABSENT), np.int32)
    for slot, (x, y, seen) in keypoints.items():
        visibility[slot] = seen
        if seen > Visibility.ABSENT:
            keypoints_xy[slot] = x, y
    return Garments.label(garment_type, box_xyxy, keypoints_xy, visibility, variation)
