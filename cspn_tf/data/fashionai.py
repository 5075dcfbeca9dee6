"""Read FashionAI's key points of apparel: CSV files, one garment a row, one row a photo.

Layout: the CSV files in the root or in `Annotations/`, whatever their names (`train.csv`, `annotations.csv`,
`fashionAI_key_points_test_a_answer_20180426.csv`), and the photos as a row's `image_id` names them,
`Images/blouse/….jpg`, from the root or from the CSV file's folder.

The header line makes a file one of these: `image_id`, `image_category` and the 24 keypoints' columns, in any order.
A cell is `x_y_v`, v 1 visible, 0 occluded, -1 absent (`-1_-1_-1`). A file with `image_id` and `image_category` alone
lists test photos without labels. There are no splits, and the dataset does not tell a keypoint that is cut off from
one the garment does not have, so neither do we.

There are no boxes either. A garment's box is derived from all of its labelled points, those that are none of our
keypoints too: their bounds and `BOX_MARGIN` around. It is close for a whole garment and too small for one that reaches
out of the picture.

A fault of a file ends the reading; a fault of a row costs that photo alone.

Source: data description of the FashionAI Global Challenge 2018, "Key Points Detection of Apparel",
https://tianchi.aliyun.com/competition/entrance/231648/information
"""

import csv
import dataclasses
import re
from pathlib import Path

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.data import fields
from cspn_tf.data.fields import FieldFault
from cspn_tf.data.landmark_maps import FASHIONAI, FASHIONAI_COLUMNS
from cspn_tf.data.samples import ReadResult, Rejected, Sample
from cspn_tf.garment_set import Garments
from cspn_tf.garments import NUM_KEYPOINTS, Visibility

# Space around the labelled points on every side, as a part of the long side of their bounds: a garment reaches a
# little farther than the corners that are labelled. Rounded to whole pixels.
BOX_MARGIN = 0.05
# Fewer labelled points than this say too little of where the garment ends.
MIN_POINTS_FOR_BOX = 3

DERIVED_BOX = "box derived from the labelled points"
PHOTO_WITHOUT_LABELS = "photo listed without labels, left out"

_UNLABELLED_COLUMNS = ("image_id", "image_category")
_LABELLED_COLUMNS = (*_UNLABELLED_COLUMNS, *FASHIONAI_COLUMNS)
_CELL = re.compile(r"(-?[0-9]{1,6}(?:\.[0-9]{1,6})?)_(-?[0-9]{1,6}(?:\.[0-9]{1,6})?)_(-1|0|1)")
_VISIBILITY_OF_CODE = {1: Visibility.VISIBLE, 0: Visibility.OCCLUDED, -1: Visibility.ABSENT}
_ABSENT_XY = (-1.0, -1.0)


def read_fashionai(root) -> ReadResult:
    """Read a FashionAI dataset.

    Args:
        root: the folder with `Images`, and with the CSV files or `Annotations`.

    Returns:
        The photos in the order of the files' names and rows, without splits, and one `Rejected` for every photo or
        repeated row that cannot be used. Two rows of one photo that say the same cost only the second; where they
        differ nobody knows which is right, and the photo is rejected. Photos have not been looked at.

    Raises:
        UserError: there is no CSV file with labels, or one has another header line.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    tables = [_Table(path) for folder in (root, root / "Annotations") for path in _csv_files(folder)]
    labelled = [table for table in tables if table.is_labelled]
    if not labelled:
        raise UserError(f"{root}: no FashionAI labels: no CSV file with keypoints in it or in Annotations")

    photos, rejected = _rows_by_photo(labelled)
    samples = []
    for photo, row in photos.items():
        try:
            garments = _read_garment(row.values())
        except FieldFault as fault:
            rejected.append(Rejected(photo, row.where, str(fault)))
        else:
            path, *others = fields.photo_paths((root, row.table.path.parent), photo)
            samples.append(Sample(photo, None, garments, row.where, path, other_paths=tuple(others)))
    num_unlabelled = sum(len(table.rows) for table in tables if not table.is_labelled)
    counts = {DERIVED_BOX: len(samples), PHOTO_WITHOUT_LABELS: num_unlabelled}
    notes = {words: count for words, count in counts.items() if count}
    return ReadResult(samples, rejected, "FashionAI, 24 keypoints, no boxes", notes)


def _csv_files(folder):
    return sorted(path for path in folder.glob("*.csv") if not path.name.startswith("."))


# Files and their rows ------------------------------------------------------------------------------------------------


class _Table:
    """One CSV file: its columns and its rows, which are split into cells only when they are read."""

    def __init__(self, path):
        self.path = path
        lines = _read_lines(path)
        self.columns = _columns(path, lines[0])
        self.is_labelled = len(self.columns) > len(_UNLABELLED_COLUMNS)
        self.rows = [_Row(self, number, line) for number, line in enumerate(lines[1:], start=2) if line.strip()]


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class _Row:
    """One line of a table."""

    table: _Table
    number: int
    line: bytes

    @property
    def where(self):
        return f"{self.table.path}:{self.number}"

    def values(self) -> dict[str, str]:
        """Return the cells by column."""
        cells = _cells(self.line)
        columns = self.table.columns
        if len(cells) != len(columns):
            raise FieldFault(f"{len(cells)} cells, required {len(columns)}")
        return dict(zip(columns, cells, strict=True))

    def name_as_it_stands(self) -> str:
        """Return what a row that cannot be used has for its photo, printable."""
        cells = self.line.split(b",")
        index = self.table.columns.index("image_id")
        name = cells[index].decode("utf-8", "backslashreplace") if index < len(cells) else ""
        return name if name.isprintable() else ascii(name)


def _read_lines(path):
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}")
    return [line.removesuffix(b"\r") for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n")]


def _columns(path, line):
    try:
        columns = tuple(_cells(line))
    except FieldFault as fault:
        raise UserError(f"{path}:1: {fault}")
    if sorted(columns) not in (sorted(_UNLABELLED_COLUMNS), sorted(_LABELLED_COLUMNS)):
        found = fields.shown(",".join(columns), 200)
        raise UserError(f"{path}:1: unknown columns {found}, required {','.join(_LABELLED_COLUMNS)} in any order")
    return columns


def _cells(line):
    """Split a line; each by itself, so that a stray quote does not swallow those after it."""
    try:
        rows = list(csv.reader([line.decode()], strict=True))
    except UnicodeDecodeError:
        raise FieldFault("the line is not UTF-8")
    except csv.Error as error:
        raise FieldFault(f"the line is not CSV: {error}")
    return [cell.strip() for cell in rows[0]] if rows else []


def _rows_by_photo(tables):
    """Find the one row of every photo.

    Returns:
        photos: photo → its row, of photos that have one.
        rejected: list of `Rejected`, for the rows that name no photo, repeat an earlier row or contradict it.
    """
    photos, rejected, contradicted = {}, [], {}
    for row in (row for table in tables for row in table.rows):
        try:
            photo = fields.photo_name(row.values()["image_id"], "image_id")
        except FieldFault as fault:
            rejected.append(Rejected(row.name_as_it_stands(), row.where, str(fault)))
            continue
        first = photos.setdefault(photo, row)
        if first is row:
            continue
        reason = f"duplicate row: photo {fields.shown(photo)} is in {first.where} already"
        if row.values() == first.values():
            rejected.append(Rejected(photo, row.where, reason))
        else:
            contradicted.setdefault(photo, Rejected(photo, row.where, f"{reason}, with other values"))
    for photo in contradicted:
        del photos[photo]
    return photos, [*rejected, *contradicted.values()]


# Cells ---------------------------------------------------------------------------------------------------------------


def _read_garment(values) -> Garments:
    """Read one row's garment, and derive its box."""
    name = values["image_category"]
    if name not in FASHIONAI:
        raise FieldFault(f"unknown image_category {fields.shown(name)}, required {', '.join(FASHIONAI)}")
    category = FASHIONAI[name]
    keypoints_xy = np.zeros((NUM_KEYPOINTS, 2), np.float32)
    visibility = np.full(NUM_KEYPOINTS, int(Visibility.ABSENT), np.int32)
    slot_of_column = {column: slot for slot, column in category.column_of_slot.items()}
    labelled_xy = []
    for column in FASHIONAI_COLUMNS:
        seen, xy = _read_cell(values[column], column)
        if seen == Visibility.ABSENT:
            continue
        if column not in category.columns:
            raise FieldFault(f"{column} {fields.shown(values[column])}, which a {name} does not have")
        labelled_xy.append(xy)
        if column in slot_of_column:
            keypoints_xy[slot_of_column[column]] = xy
            visibility[slot_of_column[column]] = seen
    return Garments.label(category.garment_type, _derive_box(labelled_xy), keypoints_xy, visibility)


def _read_cell(cell, column):
    """Read one keypoint.

    Returns:
        seen: its `Visibility`.
        xy: pair of floats.
    """
    match = _CELL.fullmatch(cell)
    if not match:
        raise FieldFault(f"{column} {fields.shown(cell)} is not x_y_v with v 1, 0 or -1")
    xy = fields.number(float(match[1]), f"x of {column}"), fields.number(float(match[2]), f"y of {column}")
    seen = _VISIBILITY_OF_CODE[int(match[3])]
    if (seen == Visibility.ABSENT) != (xy == _ABSENT_XY):
        raise FieldFault(f"{column} {fields.shown(cell)}: absent is -1_-1_-1, and -1_-1 is nothing else")
    return seen, xy


def _derive_box(points_xy):
    """Return the bounds of a garment's labelled points with a margin, inside the photo on the left and above."""
    if len(points_xy) < MIN_POINTS_FOR_BOX:
        raise FieldFault(f"{len(points_xy)} labelled points, required {MIN_POINTS_FOR_BOX} to derive a box")
    (x_min, y_min), (x_max, y_max) = np.min(points_xy, axis=0).tolist(), np.max(points_xy, axis=0).tolist()
    fields.box(x_min, y_min, x_max, y_max)  # a line of points has no area; a margin would hide that
    margin = round(BOX_MARGIN * max(x_max - x_min, y_max - y_min))
    # Where the photo ends on the right and below is not known here.
    return min(x_min, max(x_min - margin, 0.0)), min(y_min, max(y_min - margin, 0.0)), x_max + margin, y_max + margin
