"""Read the DeepFashion family: four benchmarks in one text format, distinguished by their header lines.

| variant | further columns, boxes | further columns, landmarks | evaluation_status |
|---|---|---|---|
| FLD | | variation_type | train, val or test, of a photo |
| Category & Attribute | | | train, val or test, of a photo |
| In-shop | clothes_type pose_type | variation_type | train, query or gallery, of a photo and its item_id |
| Consumer-to-shop | clothes_type source_type | variation_type | train, val or test, of two photos of one item_id |

Layout: `Anno/list_bbox.txt`, `Anno/list_landmarks.txt`, `Eval/list_eval_partition.txt`, and the photos under `img/`
(`Img/` or `Img/img/` in some mirrors). The last two variants add `_inshop` and `_consumer2shop` to the first two
names; Category & Attribute may have `Anno_coarse/` for `Anno/`. In every file line 1 is the number of rows, line 2 the
column names. Fields are separated by white space and numbers may be zero-padded.

A faulty file is an error. A faulty row only rejects the photos it names, with reason and line.

Source: the README of each benchmark, http://mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html
"""

import dataclasses
import os
import re
from pathlib import Path, PurePosixPath

from cspn_tf.console import UserError
from cspn_tf.data import fields
from cspn_tf.data.fields import RowFault, faults_at, shown
from cspn_tf.data.samples import SPLITS, ReadResult, Sample, labelled_garment
from cspn_tf.data.tables import PhotoRows, Table, by_column
from cspn_tf.garments import KEYPOINT_NAMES, KEYPOINT_SLOTS, NUM_KEYPOINTS, GarmentType, Variation, Visibility

# Where a file may be, the original location first.
ANNOTATION_FOLDERS = ("Anno", "Anno_coarse", "")
PARTITION_FOLDERS = ("Eval", "Anno", "")
BOX_FILES = ("list_bbox.txt", "list_bbox_inshop.txt", "list_bbox_consumer2shop.txt")
LANDMARK_FILES = ("list_landmarks.txt", "list_landmarks_inshop.txt", "list_landmarks_consumer2shop.txt")
PARTITION_FILES = ("list_eval_partition.txt",)

_CORNERS = ("x_1", "y_1", "x_2", "y_2")
_KEYPOINT_COLUMNS = tuple(
    f"landmark_{what}_{k}" for k in range(1, NUM_KEYPOINTS + 1) for what in ("visibility", "location_x", "location_y")
)
_PAIR_COLUMNS = ("image_pair_name_1", "image_pair_name_2", "item_id", "evaluation_status")
_VARIATIONS = {int(variation): variation for variation in Variation if variation != Variation.UNKNOWN}

# In-shop has this code although its README lists 1 to 5 only; a public converter calls it "flat (no person)".
_FLAT_CODE = 6

# Valid codes of box columns that are not used otherwise; a row with another code is rejected.
_BOX_CODES = {"pose_type": range(1, 7), "source_type": range(1, 3)}


@dataclasses.dataclass(frozen=True)
class _Variant:
    """One benchmark of the family.

    Attributes:
        name: name of the benchmark.
        box_columns, partition_columns: column names of these files.
        landmark_columns: column names of the landmark file, up to the keypoints.
        splits: evaluation_status → split.
        variations: variation_type → `Variation`; empty if the variant has no such column.
    """

    name: str
    box_columns: tuple[str, ...] = ("image_name", *_CORNERS)
    landmark_columns: tuple[str, ...] = ("image_name", "clothes_type", "variation_type")
    partition_columns: tuple[str, ...] = ("image_name", "evaluation_status")
    splits: dict[str, str] = dataclasses.field(default_factory=lambda: {split: split for split in SPLITS})
    variations: dict[int, Variation] = dataclasses.field(default_factory=lambda: _VARIATIONS)

    @property
    def has_items(self):
        return "item_id" in self.partition_columns


VARIANTS = (
    _Variant("DeepFashion FLD"),
    _Variant("DeepFashion Category & Attribute", landmark_columns=("image_name", "clothes_type"), variations={}),
    _Variant(
        "DeepFashion In-shop",
        box_columns=("image_name", "clothes_type", "pose_type", *_CORNERS),
        partition_columns=("image_name", "item_id", "evaluation_status"),
        # Query and gallery are the two sides of the retrieval benchmark's test; keypoints are tested on both.
        splits={"train": "train", "query": "test", "gallery": "test"},
        variations={**_VARIATIONS, _FLAT_CODE: Variation.UNKNOWN},
    ),
    _Variant(
        "DeepFashion Consumer-to-shop",
        box_columns=("image_name", "clothes_type", "source_type", *_CORNERS),
        partition_columns=_PAIR_COLUMNS,
    ),
)

_FIELD = re.compile(r"[^ \t\r\v\f]+")  # only ASCII white space separates: a photo's name may have other spaces
_ITEM_FOLDER = re.compile(r"id_[0-9]+")

_VISIBILITY_OF_CODE = {0: Visibility.VISIBLE, 1: Visibility.OCCLUDED, 2: Visibility.CUT_OFF}


def read_deepfashion(root, *, own_splits=True) -> ReadResult:
    """Read a dataset of the DeepFashion family. Photos are not opened.

    Query and gallery of In-shop both become the test split. In the two variants with items, a photo's group is its
    item.

    Args:
        root: the folder with `Anno`, `Eval` and the photos.
        own_splits: whether to read the dataset's own splits. If not, `list_eval_partition.txt` is not read and may be
            missing, every split is None, and a photo's item is its folder `id_…`.

    Returns:
        The photos in the order of the landmark file, and one `Rejected` for every unusable photo or duplicate row. Of
        two equal rows of a photo, the second is rejected; if they differ, the photo is rejected. Consumer-to-shop's
        partition has a photo in many pairs, which must agree on its item and split.

    Raises:
        UserError: a file is missing or exists twice, its first line is not the number of its rows, or the column
            names do not match one variant.
    """
    root = Path(root)
    partition = _Text(_find(root, PARTITION_FOLDERS, PARTITION_FILES)) if own_splits else None
    boxes = _Text(_find(root, ANNOTATION_FOLDERS, BOX_FILES))
    landmarks = _Text(_find(root, ANNOTATION_FOLDERS, LANDMARK_FILES))
    variant = _find_variant(boxes, landmarks, partition)
    result = ReadResult(variant.name)
    photos = {table: _rows_by_photo(table, result) for table in (partition, landmarks, boxes) if table}
    folder = _photo_folder(root)
    for name in dict.fromkeys(name for table in (landmarks, partition, boxes) if table for name in photos[table].first):
        where = [rows.first[name].where for rows in photos.values() if name in rows.first]
        with result.rejecting(name, where[0]):
            for table, rows in photos.items():
                if name not in rows.first:
                    raise RowFault(f"photo {shown(name)} is not in {table.path.name}")
            landmark_row = photos[landmarks].first[name]
            with faults_at(landmark_row.where):
                fields.photo_name(name, "photo name")
            if partition:
                group, split = _read_group_and_split(photos[partition].row(name), variant)
            else:
                group, split = _item_of_folder(name, variant), None
            garment = _read_garment(photos[landmarks].row(name), photos[boxes].row(name), variant)
            result.samples.append(Sample(name, split, garment, landmark_row.where, folder(name), group))
    _add_notes(result, variant)
    return result


def _add_notes(result, variant):
    if variant.has_items:
        result.note(
            "photo whose item is not known, so that it is grouped with no other",
            sum(sample.group is None for sample in result.samples),
        )
    if _FLAT_CODE in variant.variations:
        result.note(
            f"variation_type {_FLAT_CODE}, which the dataset's README does not explain, read as unknown",
            sum(sample.garments.variations[0] == Variation.UNKNOWN for sample in result.samples),
        )


# Files ---------------------------------------------------------------------------------------------------------------


def _find(root, folders, names):
    """Return the path of the only existing candidate; the first candidate if none exists."""
    paths = [root / folder / name for folder in folders for name in names]
    there = [path for path in paths if os.path.exists(path)] or paths[:1]
    if len(there) > 1:
        raise UserError(f"{there[0]}: {there[1]} also exists, keep one of them")
    return there[0]


class _Text(Table):
    """One of the three files.

    Attributes, besides those of `Table`:
        columns: tuple of column names.
    """

    def __init__(self, path):
        """Read the file.

        Raises:
            UserError: the file cannot be read, or line 1 is not the number of its rows.
        """
        super().__init__(path, num_header_lines=2)
        count, columns = (self.split(line) for line in (*self.header, b"")[:2])
        try:
            num_stated = fields.whole_number(" ".join(count), "it")
        except RowFault:
            raise UserError(f"{path}:1: {shown(' '.join(count))} is not the number of rows")
        if len(self.rows) != num_stated:
            raise UserError(f"{path}:1: says {num_stated} rows, the file has {len(self.rows)}")
        self.columns = tuple(columns)

    def split(self, line):
        return _FIELD.findall(line.decode("utf-8", "surrogateescape"))


def _rows_by_photo(table, result) -> PhotoRows:
    of_pairs = table.columns == _PAIR_COLUMNS
    rows = PhotoRows(result, of_pairs)
    for row in table.rows:
        for name in row.fields()[: 1 + of_pairs]:
            rows.add(name, row)
    return rows


def _find_variant(boxes, landmarks, partition) -> _Variant:
    """Recognise the variant by the column names of all files; `partition` may be None.

    Raises:
        UserError: the column names of a file match no variant, or not that of the other files.
    """
    variants = _fitting(boxes, VARIANTS, "box_columns")
    variants = _fitting(landmarks, variants, "landmark_columns", _KEYPOINT_COLUMNS)
    if partition:
        _fitting(partition, variants, "partition_columns")
    (variant,) = variants
    return variant


def _fitting(table, variants, attribute, more_columns=()):
    """Return the variants whose columns match those of a file.

    Args:
        table: the file.
        variants: candidates.
        attribute: attribute of `_Variant` with the columns of this file.
        more_columns: columns that follow. A header may end before the last keypoint of the rows, but must not swap or
            omit any earlier one.

    Raises:
        UserError: no variant matches; the message has the columns of each.
    """
    fitting, variants_of_columns = [], {}
    for variant in variants:
        columns = getattr(variant, attribute)
        more = table.columns[len(columns) :]
        if (
            table.columns == columns + more_columns[: len(more)]
            and len(more) % 3 == 0
            and bool(more) == bool(more_columns)
        ):
            fitting.append(variant)
        words = " ".join(columns) + (" and visibility, x, y of each keypoint" if more_columns else "")
        variants_of_columns.setdefault(words, []).append(variant.name)
    if fitting:
        return fitting
    required = " or ".join(f"{columns} ({', '.join(names)})" for columns, names in variants_of_columns.items())
    raise UserError(f"{table.path}:2: unknown columns {shown(' '.join(table.columns), 200)}, required {required}")


# Rows ----------------------------------------------------------------------------------------------------------------


def _read_group_and_split(row, variant):
    """Return a photo's item, or None if the variant has no items, and its split."""
    with faults_at(row.where):
        values = by_column(variant.partition_columns, row.fields())
        item, status = values.get("item_id"), values["evaluation_status"]
        if item is not None and not (item.isascii() and item.isprintable()):
            raise RowFault(f"item_id {shown(item)} is not printable ASCII")
        if status not in variant.splits:
            raise RowFault(f"unknown evaluation_status {shown(status)}, required {', '.join(variant.splits)}")
    return item, variant.splits[status]


def _item_of_folder(name, variant):
    """Return a photo's item from its folder's name, or None if the variant has no items or the name is no item."""
    folder = PurePosixPath(name).parent.name
    return folder if variant.has_items and _ITEM_FOLDER.fullmatch(folder) else None


def _read_garment(landmark_row, box_row, variant):
    with faults_at(landmark_row.where):
        columns, values = variant.landmark_columns, landmark_row.fields()
        if len(values) < len(columns):
            raise RowFault(f"{len(values)} fields, required {' '.join(columns)} and the keypoints")
        named = dict(zip(columns, values, strict=False))
        garment_type = _read_type(named)
        variation = Variation.UNKNOWN
        if variant.variations:
            variation = variant.variations[fields.one_of(named["variation_type"], "variation_type", variant.variations)]
        keypoints = _read_keypoints(garment_type, values[len(columns) :])
    with faults_at(box_row.where):
        named = by_column(variant.box_columns, box_row.fields())
        for column, known in _BOX_CODES.items():
            if column in named:
                fields.one_of(named[column], column, known)
        if "clothes_type" in named and (box_type := _read_type(named)) != garment_type:
            raise RowFault(f"clothes_type {box_type}, in {landmark_row.table.path.name} {int(garment_type)}")
        box_xyxy = fields.box(*(fields.number(named[column], column) for column in _CORNERS))
    return labelled_garment(garment_type, box_xyxy, keypoints, variation)


def _read_type(named):
    return GarmentType(fields.one_of(named["clothes_type"], "clothes_type", tuple(GarmentType)))


def _read_keypoints(garment_type, values):
    """Parse the keypoints of one row.

    Args:
        garment_type: `GarmentType` of the row, which determines the number and order of the keypoints.
        values: visibility, x, y of each keypoint; rows may be padded with zeros to eight keypoints.

    Returns:
        slot → (x, y, `Visibility`).
    """
    slots = KEYPOINT_SLOTS[garment_type]
    num_values, num_padded = 3 * len(slots), 3 * NUM_KEYPOINTS
    if len(values) not in (num_values, num_padded):
        required = " or ".join(str(num) for num in sorted({num_values, num_padded}))
        raise RowFault(f"{len(values)} fields for {len(slots)} keypoints, required {required}")
    for value in values[num_values:]:
        if value.strip("0"):
            raise RowFault(f"{shown(value)} after the {len(slots)} keypoints of the garment, required 0")
    keypoints = {}
    for slot, code, x, y in zip(slots, values[::3], values[1::3], values[2::3], strict=False):
        name = KEYPOINT_NAMES[slot]
        x, y, seen = keypoints[slot] = fields.keypoint(x, y, code, name, _VISIBILITY_OF_CODE)
        if seen == Visibility.CUT_OFF and (x, y) != (0.0, 0.0):
            raise RowFault(f"{name} is cut off and has coordinates {x:g} {y:g}, required 0 0")
    return keypoints


def _photo_folder(root):
    """Return the function from a photo's name to its path, for the folder names that mirrors use."""
    if not (root / "img").is_dir():
        if (root / "Img" / "img").is_dir():
            return lambda photo: str(root / "Img" / photo)
        if (root / "Img").is_dir():
            return lambda photo: str(root / "Img" / photo.removeprefix("img/"))
    return lambda photo: str(root / photo)
