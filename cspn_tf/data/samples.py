"""What annotation readers return: labelled photos, ready to be written as TFRecords, and rejected rows.

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

# The note of readers on photos without labels.
PHOTO_WITHOUT_GARMENT = "photo without a garment, kept as background"

REJECTION_KINDS = ("malformed row", "missing photo", "unreadable photo", "label outside the photo")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One labelled photo.

    Attributes:
        photo: the photo's path relative to the dataset's root, as the annotation names it.
        split: one of `SPLITS`, or None if the source defines no splits.
        garments: its labelled garments, `Garments` with visibility and variations; empty for a background photo.
        where: `file:line` of the annotation, for messages; the file alone in formats without meaningful lines.
        path: path of the photo's file, which may differ from the name in the annotation.
        group: photos with the same group go to the same split when splits are made; None for a photo without a group.
        labelled_size: height and width in pixels that the annotation states for the photo; None if it states none.
        other_paths: other paths at which the file was looked for.
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
        photo: the photo as the annotation names it, with control characters and undecodable bytes escaped.
        where: `file:line` of the faulty row, or `file` and the entry in formats without meaningful lines.
        reason: what is wrong, one line.
        kind: one of `REJECTION_KINDS`.
        sample: the labels, if they could be read and the check of the photo failed; else None.
        size: height and width of the photo as displayed, pixels, if it could be decoded; else None.
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
    """Result of a reader, which starts with an empty one and adds to it row by row.

    Attributes:
        variant: description of the format, as recognised from the files.
        samples: the usable photos.
        rejected: the rejected rows.
        notes: harmless things the reader skipped or derived, description → count; none makes a label wrong.
    """

    variant: str
    samples: list[Sample] = dataclasses.field(default_factory=list)
    rejected: list[Rejected] = dataclasses.field(default_factory=list)
    notes: dict[str, int] = dataclasses.field(default_factory=dict)

    def reject(self, photo, where, reason):
        """Add a rejected row; `photo` and `where` may have any characters, and are escaped where necessary."""
        self.rejected.append(Rejected(_printable(photo), _printable(where), reason))

    @contextlib.contextmanager
    def rejecting(self, photo, where):
        """Turn a `RowFault` raised in the block into a rejected row, at the fault's own location or else `where`."""
        try:
            yield
        except RowFault as fault:
            self.reject(photo, fault.where or where, fault.reason)

    def note(self, words, count=1):
        """Add `count` to a note."""
        if count:
            self.notes[words] = self.notes.get(words, 0) + count


def _printable(text):
    return escaped(text)[1:-1] if has_control_characters(text) else text


def labelled_garment(garment_type, box_xyxy, keypoints, variation=Variation.UNKNOWN) -> Garments:
    """Return the `Garments` of one garment that a reader has parsed.

    Args:
        garment_type: `GarmentType`.
        box_xyxy: four floats.
        keypoints: slot → (x, y, `Visibility`); missing slots are ABSENT. x and y are ignored unless the keypoint is
            VISIBLE or OCCLUDED.
        variation: `Variation`.
    """
    keypoints_xy = np.zeros((NUM_KEYPOINTS, 2), np.float32)
    visibility = np.full(NUM_KEYPOINTS, int(Visibility.ABSENT), np.int32)
    for slot, (x, y, seen) in keypoints.items():
        visibility[slot] = seen
        if seen > Visibility.ABSENT:
            keypoints_xy[slot] = x, y
    return Garments.label(garment_type, box_xyxy, keypoints_xy, visibility, variation)
