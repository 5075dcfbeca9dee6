"""The one form in which labelled photos travel from the annotation readers to the TFRecords.

Coordinates are pixels of the photo as displayed (after its EXIF orientation), with integers at pixel centres: see
`cspn_tf.geometry`.
"""

import dataclasses

from cspn_tf.garment_set import Garments

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
        photo: the photo as the annotation names it, with what is not UTF-8 escaped.
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
