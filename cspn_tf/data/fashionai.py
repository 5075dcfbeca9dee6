"""Read FashionAI's key points of apparel: CSV files, one garment per row, one row per photo.

Layout: CSV files of any name in the root or in `Annotations/` (`train.csv`, `annotations.csv`,
`fashionAI_key_points_test_a_answer_20180426.csv`), and the photos at the path in `image_id`, `Images/blouse/….jpg`,
relative to the root or to the CSV file's folder.

The header line must have `image_id`, `image_category` and the 24 keypoint columns, in any order. A cell is `x_y_v`,
v 1 visible, 0 occluded, -1 absent (`-1_-1_-1`). A file with `image_id` and `image_category` only lists test photos
without labels. The dataset has no splits, and does not distinguish a keypoint that is cut off from one the garment
does not have, so both are ABSENT.

The dataset has no boxes. A garment's box is derived from all of its labelled points, including those that are not
among our keypoints: their bounds plus `BOX_MARGIN`. It fits a whole garment closely, and is too small for one that
extends beyond the photo.

A faulty file is an error; a faulty row only rejects its photo.

Source: data description of the FashionAI Global Challenge 2018, "Key Points Detection of Apparel",
https://tianchi.aliyun.com/competition/entrance/231648/information
"""

import csv
from pathlib import Path

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.data import fields
from cspn_tf.data.fields import RowFault, refusing, shown
from cspn_tf.data.landmark_maps import FASHIONAI, FASHIONAI_COLUMNS
from cspn_tf.data.samples import ReadResult, Sample, labelled_garment
from cspn_tf.data.tables import PhotoRows, Table, by_column
from cspn_tf.garments import Visibility

# Margin around the labelled points on every side, as a fraction of the long side of their bounds, because a garment
# extends slightly beyond its labelled corners. Rounded to whole pixels.
BOX_MARGIN = 0.05
# Fewer labelled points than this do not determine a box.
MIN_POINTS_FOR_BOX = 3

DERIVED_BOX = "box derived from the labelled points"
PHOTO_WITHOUT_LABELS = "photo listed without labels, left out"

_UNLABELLED_COLUMNS = ("image_id", "image_category")
_LABELLED_COLUMNS = (*_UNLABELLED_COLUMNS, *FASHIONAI_COLUMNS)
_VISIBILITY_OF_CODE = {"1": Visibility.VISIBLE, "0": Visibility.OCCLUDED, "-1": Visibility.ABSENT}
_ABSENT_XY = (-1.0, -1.0)


def read_fashionai(root) -> ReadResult:
    """Read a FashionAI dataset.

    Args:
        root: the folder with `Images`, and with the CSV files or `Annotations`.

    Returns:
        The photos in the order of the file names and rows, without splits, and one `Rejected` for every unusable
        photo or duplicate row. Of two equal rows of a photo, the second is rejected; if they differ, the photo is
        rejected. Photos are not opened.

    Raises:
        UserError: no CSV file with labels is found, or a CSV file has another header line.
    """
    root = Path(root)
    tables = [_Csv(path) for folder in (root, root / "Annotations") for path in sorted(folder.glob("[!.]*.csv"))]
    labelled = [table for table in tables if table.is_labelled]
    if not labelled:
        raise UserError(f"{root}: no FashionAI labels: no CSV file with keypoints in it or in Annotations")

    result = ReadResult("FashionAI, 24 keypoints, no boxes")
    rows = PhotoRows(result)
    for row in (row for table in labelled for row in table.rows):
        with result.rejecting(_name_as_it_stands(row), row.where):
            rows.add(fields.photo_name(row.fields()[0], "image_id"), row)
    for photo, row in rows.first.items():
        with result.rejecting(photo, row.where):
            garment = _read_garment(dict(zip(_LABELLED_COLUMNS, rows.row(photo).fields(), strict=True)))
            path, *others = fields.photo_paths(dict.fromkeys((root, row.table.path.parent)), photo)
            result.samples.append(Sample(photo, None, garment, row.where, path, other_paths=tuple(others)))
    result.note(DERIVED_BOX, len(result.samples))
    result.note(PHOTO_WITHOUT_LABELS, sum(len(table.rows) for table in tables if not table.is_labelled))
    return result


# Files and their rows ------------------------------------------------------------------------------------------------


class _Csv(Table):
    """One CSV file; the fields of its rows are reordered to the order of `_LABELLED_COLUMNS`."""

    def __init__(self, path):
        super().__init__(path, num_header_lines=1)
        with refusing(f"{path}:1"):
            self.columns = _cells(self.header[0])
            columns = sorted(self.columns)
            known = [names for names in (_LABELLED_COLUMNS, _UNLABELLED_COLUMNS) if sorted(names) == columns]
            if not known:
                found, required = shown(",".join(self.columns), 200), ",".join(_LABELLED_COLUMNS)
                raise RowFault(f"unknown columns {found}, required {required} in any order")
        (self._order,) = known
        self.is_labelled = self._order == _LABELLED_COLUMNS

    def split(self, line):
        cells = by_column(self.columns, _cells(line))
        return [cells[column] for column in self._order]


def _cells(line):
    """Parse one line. Lines are parsed one by one so that a stray quote does not swallow the next lines."""
    try:
        rows = list(csv.reader([line.removesuffix(b"\r").decode()], strict=True))
    except UnicodeDecodeError:
        raise RowFault("the line is not UTF-8")
    except csv.Error as error:
        raise RowFault(f"the line is not CSV: {error}")
    return [cell.strip() for cell in rows[0]] if rows else []


def _name_as_it_stands(row):
    """Return the raw `image_id` of a row, also of one that cannot be parsed; "" if it has too few cells."""
    cells = row.line.split(b",")
    index = row.table.columns.index("image_id")
    return cells[index].decode("utf-8", "surrogateescape") if index < len(cells) else ""


# Cells ---------------------------------------------------------------------------------------------------------------


def _read_garment(values):
    """Read one row's garment, and derive its box."""
    name = values["image_category"]
    if name not in FASHIONAI:
        raise RowFault(f"unknown image_category {shown(name)}, required {', '.join(FASHIONAI)}")
    category = FASHIONAI[name]
    points = {column: _read_cell(values[column], column) for column in FASHIONAI_COLUMNS}
    points = {column: point for column, point in points.items() if point[2] != Visibility.ABSENT}
    for column in points:
        if column not in category.columns:
            raise RowFault(f"{column} {shown(values[column])}, which a {name} does not have")
    keypoints = {slot: points[column] for slot, column in category.column_of_slot.items() if column in points}
    return labelled_garment(category.garment_type, _derive_box([xy for *xy, _ in points.values()]), keypoints)


def _read_cell(cell, column):
    """Return x, y and `Visibility` of one point."""
    x, y, code = cell.split("_") if cell.count("_") == 2 else (None, None, None)
    if code not in _VISIBILITY_OF_CODE:
        raise RowFault(f"{column} {shown(cell)} is not x_y_v with v 1, 0 or -1")
    x, y, seen = fields.number(x, f"x of {column}"), fields.number(y, f"y of {column}"), _VISIBILITY_OF_CODE[code]
    if (seen == Visibility.ABSENT) != ((x, y) == _ABSENT_XY):
        raise RowFault(f"{column} {shown(cell)}: x_y must be -1_-1 if v is -1, and only then")
    return x, y, seen


def _derive_box(points_xy):
    """Return the bounds of a garment's labelled points with a margin that ends at the photo's left and top edge."""
    if len(points_xy) < MIN_POINTS_FOR_BOX:
        raise RowFault(f"{len(points_xy)} labelled points, required {MIN_POINTS_FOR_BOX} to derive a box")
    (x_min, y_min), (x_max, y_max) = np.min(points_xy, axis=0).tolist(), np.max(points_xy, axis=0).tolist()
    fields.box(x_min, y_min, x_max, y_max)  # checks the area before the margin is added: points on a line have none
    margin = round(BOX_MARGIN * max(x_max - x_min, y_max - y_min))
    # The right and bottom edge are unknown here: the photo has not been opened.
    return min(x_min, max(x_min - margin, 0.0)), min(y_min, max(y_min - margin, 0.0)), x_max + margin, y_max + margin
