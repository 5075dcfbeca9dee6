"""Read the DeepFashion family: four benchmarks in one text format, told apart by the header lines alone.

| variant | boxes say also | landmarks say also | an evaluation_status is |
|---|---|---|---|
| FLD | | variation_type | train, val or test, of a photo |
| Category & Attribute | | | train, val or test, of a photo |
| In-shop | clothes_type pose_type | variation_type | train, query or gallery, of a photo and its item_id |
| Consumer-to-shop | clothes_type source_type | variation_type | train, val or test, of two photos of one item_id |

Layout: `Anno/list_bbox.txt`, `Anno/list_landmarks.txt`, `Eval/list_eval_partition.txt`, and the photos under `img/`
(some mirrors have `Img/` or `Img/img/` for it); the last two variants add `_inshop` and `_consumer2shop` to the first
two names, and Category & Attribute comes with `Anno_coarse/` too. In every file line 1 is the number of rows, line 2
the column names. Fields are separated by white space and numbers may be zero-padded.

A fault of a file ends the reading; a fault of a row costs the photos it names alone, which then stand in the result
with the reason and the line.

Source: the README of each benchmark, http://mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html
"""

import dataclasses
import os
import re
from pathlib import Path, PurePosixPath

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.data.fields import FieldFault, photo_name
from cspn_tf.data.samples import SPLITS, ReadResult, Rejected, Sample
from cspn_tf.garment_set import Garments
from cspn_tf.garments import KEYPOINT_NAMES, KEYPOINT_SLOTS, NUM_KEYPOINTS, GarmentType, Variation, Visibility

# Where a file may be, the original place first.
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
_OWN_NAMES = {split: split for split in SPLITS}
_VARIATIONS = {int(variation): variation for variation in Variation if variation != Variation.UNKNOWN}

# The README of In-shop ends at 5; a public converter of it has 6 as "flat (no person)".
_FLAT_CODE = 6

# Codes the boxes may have, of which no label is made; a row with another code is not to be trusted.
_BOX_CODES = {"pose_type": range(1, 7), "source_type": range(1, 3)}


@dataclasses.dataclass(frozen=True)
class _Variant:
    """One benchmark of the family.

    Attributes:
        name: in words.
        box_columns, partition_columns: the column names of these files.
        landmark_columns: of the landmarks, those before the keypoints.
        splits: evaluation_status → split.
        variations: variation_type → `Variation`; empty where there is none.
    """

    name: str
    box_columns: tuple[str, ...]
    landmark_columns: tuple[str, ...]
    partition_columns: tuple[str, ...]
    splits: dict[str, str]
    variations: dict[int, Variation]

    @property
    def has_items(self):
        return "item_id" in self.partition_columns


VARIANTS = (
    _Variant(
        "DeepFashion FLD",
        ("image_name", *_CORNERS),
        ("image_name", "clothes_type", "variation_type"),
        ("image_name", "evaluation_status"),
        _OWN_NAMES,
        _VARIATIONS,
    ),
    _Variant(
        "DeepFashion Category & Attribute",
        ("image_name", *_CORNERS),
        ("image_name", "clothes_type"),
        ("image_name", "evaluation_status"),
        _OWN_NAMES,
        {},
    ),
    _Variant(
        "DeepFashion In-shop",
        ("image_name", "clothes_type", "pose_type", *_CORNERS),
        ("image_name", "clothes_type", "variation_type"),
        ("image_name", "item_id", "evaluation_status"),
        # Both sides of the retrieval test; what is no retrieval tests on both.
        {"train": "train", "query": "test", "gallery": "test"},
        {**_VARIATIONS, _FLAT_CODE: Variation.UNKNOWN},
    ),
    _Variant(
        "DeepFashion Consumer-to-shop",
        ("image_name", "clothes_type", "source_type", *_CORNERS),
        ("image_name", "clothes_type", "variation_type"),
        _PAIR_COLUMNS,
        _OWN_NAMES,
        _VARIATIONS,
    ),
)

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_WHOLE_NUMBER = re.compile(rb"\d{1,9}")
_ZERO = re.compile(rb"0+")
_ITEM_FOLDER = re.compile(r"id_[0-9]+")

# The annotation's code for how a keypoint is seen.
_CUT_OFF_CODE = 2
_VISIBILITY_OF_CODE = {0: Visibility.VISIBLE, 1: Visibility.OCCLUDED, _CUT_OFF_CODE: Visibility.CUT_OFF}

_LARGEST_COORDINATE = 1e6  # pixels; beyond this a number is a slip, whatever the photo


def read_deepfashion(root, *, own_splits=True) -> ReadResult:
    """Read a dataset of the DeepFashion family. Photos are not opened.

    Of In-shop, query and gallery are both the test split. In the two variants that have items, a photo's group is
    its item.

    Args:
        root: the folder with `Anno`, `Eval` and the photos.
        own_splits: whether to read the dataset's own splits. If not, `list_eval_partition.txt` is not read and may be
            missing, every split is None, and the item is the folder `id_…` that a photo lies in.

    Returns:
        The photos in the order of the landmarks' file, and one `Rejected` for every photo or repeated row that cannot
        be used. Two rows of one photo that say the same cost only the second; where they differ nobody knows which is
        right, and the photo is rejected. Pairs name a photo many times, and must agree on its item and split.

    Raises:
        UserError: a file is missing or there twice, its first line is not the number of its rows, or the column names
            are not those of one variant.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    partition_lines = _Lines(_find(root, PARTITION_FOLDERS, PARTITION_FILES)) if own_splits else None
    box_lines = _Lines(_find(root, ANNOTATION_FOLDERS, BOX_FILES))
    landmark_lines = _Lines(_find(root, ANNOTATION_FOLDERS, LANDMARK_FILES))
    variant = _find_variant(box_lines, landmark_lines, partition_lines)

    boxes, landmarks = _Table(box_lines, variant.box_columns), _Table(landmark_lines, variant.landmark_columns)
    if not own_splits:
        partition = _NoPartition(variant, boxes, landmarks)
    elif variant.partition_columns == _PAIR_COLUMNS:
        partition = _PairPartition(partition_lines, variant)
    else:
        partition = _PhotoPartition(partition_lines, variant)
    folder = _photo_folder(root)
    samples, rejected = [], [*landmarks.repeated, *boxes.repeated, *partition.repeated]
    for name in dict.fromkeys([*landmarks.rows, *partition.rows, *boxes.rows]):
        try:
            samples.append(_read_photo(name, variant, partition, boxes, landmarks, folder))
        except _RowFault as fault:
            rejected.append(Rejected(_text(name), fault.where, fault.reason))
    return ReadResult(samples, rejected, variant.name, _notes(variant, samples))


def _notes(variant, samples):
    notes = {}
    if variant.has_items:
        notes["photo whose item is not known, so that it is grouped with no other"] = sum(
            sample.group is None for sample in samples
        )
    if _FLAT_CODE in variant.variations:
        notes[f"variation_type {_FLAT_CODE}, which the dataset's README does not explain, read as unknown"] = sum(
            sample.garments.variations[0] == Variation.UNKNOWN for sample in samples
        )
    return {note: count for note, count in notes.items() if count}


# Files and their lines -----------------------------------------------------------------------------------------------


def _find(root, folders, names):
    """Return the path of the one file there is."""
    paths = [root / folder / name for folder in folders for name in names]
    there = [path for path in paths if os.path.exists(path)] or paths[:1]
    if len(there) > 1:
        raise UserError(f"{there[0]}: {there[1]} is there too, keep one of them")
    return there[0]


class _Lines:
    """The lines of one file: the number of rows, the column names, and the rows.

    Rows are split into fields only when they are read: a large dataset's fields take much memory.

    Attributes:
        path: of the file.
        header: tuple of column names.
        numbers: list of the numbers of the lines that are rows; line 1 is the first.
    """

    def __init__(self, path):
        """Read the file.

        Raises:
            UserError: it cannot be read, or line 1 is not the number of rows.
        """
        self.path = path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}")
        self._lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        count = self._lines[0].strip()
        if not _WHOLE_NUMBER.fullmatch(count):
            raise UserError(f"{path}:1: {_shown(count)} is not the number of rows")
        self.header = tuple(_text(name) for name in self.fields(2)) if len(self._lines) > 1 else ()
        self.numbers = [number for number, line in enumerate(self._lines[2:], start=3) if line.strip()]
        self._num_stated = int(count)

    def check_count(self):
        """Raise UserError if line 1 is not the number of rows there are."""
        if len(self.numbers) != self._num_stated:
            raise UserError(f"{self.path}:1: says {self._num_stated} rows, the file has {len(self.numbers)}")

    def fields(self, number) -> list[bytes]:
        return self._lines[number - 1].split()

    def first_fields(self, number, count) -> list[bytes]:
        return self._lines[number - 1].split(None, count)[:count]

    def where(self, number) -> str:
        return f"{self.path}:{number}"


def _find_variant(boxes, landmarks, partition) -> _Variant:
    """Tell the variant from the column names of all files; `partition` may be None.

    Raises:
        UserError: the column names of a file are not those of one variant, or not of the variant the other files
            have; or line 1 of a file is not the number of its rows.
    """
    variants = [variant for variant in VARIANTS if boxes.header == variant.box_columns]
    if not variants:
        raise _unknown_columns(boxes, [(" ".join(variant.box_columns), variant) for variant in VARIANTS])
    fitting = [variant for variant in variants if _fits_landmarks(landmarks.header, variant.landmark_columns)]
    if not fitting:
        required = [(f"{' '.join(v.landmark_columns)} and visibility, x, y of each keypoint", v) for v in variants]
        raise _unknown_columns(landmarks, required)
    (variant,) = fitting
    if partition and partition.header != variant.partition_columns:
        raise _unknown_columns(partition, [(" ".join(variant.partition_columns), variant)])
    for lines in (partition, boxes, landmarks):
        if lines:
            lines.check_count()
    return variant


def _fits_landmarks(header, columns):
    # A header may stop before the last of its rows' keypoints, but not exchange or leave out any before.
    num_named, rest = len(columns), len(header) - len(columns)
    return (
        header[:num_named] == columns and rest > 0 and rest % 3 == 0 and header[num_named:] == _KEYPOINT_COLUMNS[:rest]
    )


def _unknown_columns(lines, required):
    """Put into words that a file's column names are not among those required, of which some variants share theirs."""
    names = {}
    for columns, variant in required:
        names.setdefault(columns, []).append(variant.name)
    required = " or ".join(f"{columns} ({', '.join(of)})" for columns, of in names.items())
    return UserError(f"{lines.path}:2: unknown columns {_shown(' '.join(lines.header), 200)}, required {required}")


# Rows by photo -------------------------------------------------------------------------------------------------------


class _RowFault(Exception):
    """A row cannot be used."""

    def __init__(self, where, reason):
        super().__init__(f"{where}: {reason}")
        self.where, self.reason = where, reason


class _Table:
    """A file with one row a photo.

    Attributes:
        name: of the file.
        columns: names of its columns; of the landmarks, those before the keypoints.
        rows: photo name, bytes → number of the line of its first row.
        repeated: a `Rejected` for each row that says again what an earlier one said.
    """

    def __init__(self, lines, columns):
        self.name, self._lines, self.columns = lines.path.name, lines, columns
        self.rows, self.repeated = {}, []
        self._contradicted = {}  # photo name → the fault of a row that says something else than an earlier one
        for number in lines.numbers:
            (name,) = lines.first_fields(number, 1)
            first = self.rows.setdefault(name, number)
            if first != number:
                self._add_repeated(name, number, first)

    def _add_repeated(self, name, number, first):
        where = self._lines.where(number)
        if self._lines.fields(number) == self._lines.fields(first):
            reason = f"duplicate row: photo {_shown(name)} is in line {first} already"
            self.repeated.append(Rejected(_text(name), where, reason))
        else:
            reason = f"duplicate row: photo {_shown(name)} is in line {first} with other values"
            self._contradicted.setdefault(name, _RowFault(where, reason))

    def where(self, name) -> str:
        """Return `file:line` of a photo's first row."""
        return self._lines.where(self.rows[name])

    def values(self, name) -> tuple[dict[str, bytes], list[bytes]]:
        """Return what a photo's row has in the named columns, and the fields that follow.

        Raises:
            _RowFault: another row of the photo says something else.
        """
        if name in self._contradicted:
            raise self._contradicted[name]
        fields = self._lines.fields(self.rows[name])
        return dict(zip(self.columns, fields, strict=False)), fields[len(self.columns) :]

    def exact_values(self, name) -> dict[str, bytes]:
        """Return what a photo's row has in the named columns, of which it must have all and no more."""
        named, rest = self.values(name)
        if rest or len(named) < len(self.columns):
            raise _RowFault(self.where(name), _num_fields_fault(len(named) + len(rest), self.columns))
        return named


class _PhotoPartition(_Table):
    """The partition of the variants that list photos."""

    def __init__(self, lines, variant):
        super().__init__(lines, variant.partition_columns)
        self._variant = variant

    def group_and_split(self, name, photo):
        """Return a photo's item, or None where there are none, and its split; `photo` is its name as text."""
        values, where = self.exact_values(name), self.where(name)
        group = _read_item(values["item_id"], where) if self._variant.has_items else None
        return group, _read_split(values["evaluation_status"], self._variant.splits, where)


class _PairPartition:
    """The partition of the variant that lists pairs of photos, in which a photo may be many times.

    A faulty row costs both photos it names, whatever other rows say of them.

    Attributes: as of `_Table`; a repeated pair is no fault.
    """

    repeated = ()

    def __init__(self, lines, variant):
        self.name, self._lines, self._variant = lines.path.name, lines, variant
        self.rows = {}
        self._faults = {}  # photo name → the first fault of a row that names it
        for number in lines.numbers:
            fields = lines.fields(number)
            for name in fields[:2]:
                first = self.rows.setdefault(name, number)
                if name not in self._faults and (fault := self._fault(name, fields, number, first)):
                    self._faults[name] = fault

    def _fault(self, name, fields, number, first):
        if len(fields) != len(self._variant.partition_columns):
            return _RowFault(self._lines.where(number), _num_fields_fault(len(fields), self._variant.partition_columns))
        ours, theirs = fields[2:], self._lines.fields(first)[2:]
        if ours == theirs:
            return None
        ours, theirs = _shown(b" ".join(ours)), _shown(b" ".join(theirs))
        return _RowFault(self._lines.where(number), f"photo {_shown(name)} is of {ours}, in line {first} of {theirs}")

    def where(self, name) -> str:
        """Return `file:line` of a photo's first row."""
        return self._lines.where(self.rows[name])

    def group_and_split(self, name, photo):
        """As of `_PhotoPartition`."""
        if name in self._faults:
            raise self._faults[name]
        _, _, item, status = self._lines.fields(self.rows[name])
        where = self.where(name)
        return _read_item(item, where), _read_split(status, self._variant.splits, where)


class _NoPartition:
    """What stands for the partition where it is not wanted: every photo is in it.

    Attributes: as of `_Table`.
    """

    repeated = ()

    def __init__(self, variant, boxes, landmarks):
        self._variant, self._boxes, self._landmarks = variant, boxes, landmarks
        self.rows = {**landmarks.rows, **boxes.rows}

    def where(self, name) -> str:
        """Return `file:line` of the row that speaks of a photo first."""
        return _either(name, self._landmarks, self._boxes).where(name)

    def group_and_split(self, name, photo):
        """As of `_PhotoPartition`; the item as the datasets that have items name their folders."""
        folder = PurePosixPath(photo).parent.name
        return folder if self._variant.has_items and _ITEM_FOLDER.fullmatch(folder) else None, None


def _either(name, table, other):
    return table if name in table.rows else other


def _num_fields_fault(num_fields, columns):
    return f"{num_fields} fields, required {len(columns)}: {' '.join(columns)}"


# Values --------------------------------------------------------------------------------------------------------------


def _read_photo(name, variant, partition, boxes, landmarks, folder) -> Sample:
    """Put together what the files say of one photo."""
    if name not in partition.rows:
        table = _either(name, landmarks, boxes)
        raise _RowFault(table.where(name), f"photo {_shown(name)} is not in {partition.name}")
    for table, what in ((boxes, "box"), (landmarks, "landmarks")):
        if name not in table.rows:
            raise _RowFault(partition.where(name), f"photo {_shown(name)} has no {what}: no row in {table.name}")

    where = landmarks.where(name)
    photo = _photo_name(name, where)
    group, split = partition.group_and_split(name, photo)
    garments = _read_garment(name, variant, boxes, landmarks, where)
    return Sample(photo, split, garments, where, folder(photo), group)


def _photo_name(name, where):
    try:
        photo = name.decode()
    except UnicodeDecodeError:
        raise _RowFault(where, f"photo name {_shown(name)} is not UTF-8")
    try:
        photo_name(photo, "photo name")
    except FieldFault as fault:
        raise _RowFault(where, str(fault))
    return photo


def _read_item(field, where):
    item = _text(field)
    if not item.isprintable() or not field.isascii():
        raise _RowFault(where, f"item_id {_shown(field)} is not printable ASCII")
    return item


def _read_split(field, splits, where):
    status = _text(field)
    if status not in splits:
        raise _RowFault(where, f"unknown evaluation_status {_shown(status)}, required {', '.join(splits)}")
    return splits[status]


def _read_garment(name, variant, boxes, landmarks, where) -> Garments:
    named, keypoint_fields = landmarks.values(name)
    garment_type, variation = _read_types(named, variant, where)
    keypoints_xy, visibility = _read_keypoints(garment_type, keypoint_fields, where)
    box_values, box_where = boxes.exact_values(name), boxes.where(name)
    _check_box_codes(box_values, garment_type, box_where, landmarks.name)
    return Garments.label(garment_type, _read_box(box_values, box_where), keypoints_xy, visibility, variation)


def _read_types(named, variant, where):
    columns = variant.landmark_columns
    if len(named) < len(columns):
        raise _RowFault(where, f"{len(named)} fields, required {' '.join(columns)} and the keypoints")
    garment_type = GarmentType(_read_code(named["clothes_type"], "clothes_type", tuple(GarmentType), where))
    if not variant.variations:
        return garment_type, Variation.UNKNOWN
    code = _read_code(named["variation_type"], "variation_type", variant.variations, where)
    return garment_type, variant.variations[code]


def _check_box_codes(values, garment_type, where, landmarks_file):
    """Check what a row of the boxes says besides the box."""
    for column, known in _BOX_CODES.items():
        if column in values:
            _read_code(values[column], column, known, where)
    if "clothes_type" in values:
        box_type = _read_code(values["clothes_type"], "clothes_type", tuple(GarmentType), where)
        if box_type != garment_type:
            raise _RowFault(where, f"clothes_type {box_type}, in {landmarks_file} {int(garment_type)}")


def _read_keypoints(garment_type, fields, where):
    """Read the keypoints of one row into the slots they belong to.

    Args:
        garment_type: its `GarmentType`, which says how many keypoints there are and in which order.
        fields: visibility, x, y of each; rows may be padded with zeros to eight keypoints.
        where: of the row.

    Returns:
        keypoints_xy, visibility: `(8, 2)` and `(8,)`, see `Garments`.
    """
    slots = KEYPOINT_SLOTS[garment_type]
    num_fields, num_padded = 3 * len(slots), 3 * NUM_KEYPOINTS
    if len(fields) not in (num_fields, num_padded):
        required = " or ".join(str(n) for n in sorted({num_fields, num_padded}))
        raise _RowFault(where, f"{len(fields)} fields for {len(slots)} keypoints, required {required}")
    for field in fields[num_fields:]:
        if not _ZERO.fullmatch(field):
            raise _RowFault(where, f"{_shown(field)} after the {len(slots)} keypoints of the garment, required 0")

    keypoints_xy = np.zeros((NUM_KEYPOINTS, 2), np.float32)
    visibility = np.full(NUM_KEYPOINTS, int(Visibility.ABSENT), np.int32)
    for index, slot in enumerate(slots):
        what = KEYPOINT_NAMES[slot]
        code_field, x_field, y_field = fields[3 * index : 3 * index + 3]
        code = _read_code(code_field, f"visibility of {what}", _VISIBILITY_OF_CODE, where)
        xy = _read_coordinate(x_field, f"x of {what}", where), _read_coordinate(y_field, f"y of {what}", where)
        if code == _CUT_OFF_CODE and xy != (0.0, 0.0):
            raise _RowFault(where, f"{what} is cut off and has coordinates {xy[0]:g} {xy[1]:g}, required 0 0")
        visibility[slot] = _VISIBILITY_OF_CODE[code]
        keypoints_xy[slot] = xy
    return keypoints_xy, visibility


def _read_box(values, where):
    x_min, y_min, x_max, y_max = (_read_coordinate(values[column], column, where) for column in _CORNERS)
    if x_max <= x_min or y_max <= y_min:
        raise _RowFault(where, f"box {x_min:g} {y_min:g} {x_max:g} {y_max:g} has no area")
    return x_min, y_min, x_max, y_max


def _read_code(field, what, known, where) -> int:
    """Read a whole number that must be one of those known."""
    if not _WHOLE_NUMBER.fullmatch(field):
        raise _RowFault(where, f"{what} {_shown(field)} is not a whole number")
    code = int(field)
    if code not in known:
        raise _RowFault(where, f"unknown {what} {code}, required {', '.join(str(int(k)) for k in known)}")
    return code


def _read_coordinate(field, what, where) -> float:
    if not _NUMBER.fullmatch(field):
        raise _RowFault(where, f"{what} {_shown(field)} is not a number")
    value = float(field)
    if abs(value) > _LARGEST_COORDINATE:
        raise _RowFault(where, f"{what} {_shown(field)} is not a coordinate in pixels")
    return value


# Names ---------------------------------------------------------------------------------------------------------------


def _photo_folder(root):
    """Return the map from a photo's name to its path, whichever way this mirror has named the folder."""
    if not (root / "img").is_dir():
        if (root / "Img" / "img").is_dir():
            return lambda photo: str(root / "Img" / photo)
        if (root / "Img").is_dir():
            return lambda photo: str(root / "Img" / photo.removeprefix("img/"))
    return lambda photo: str(root / photo)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _shown(text, limit=60) -> str:
    """Quote what a file says for a message: printable, and not too long."""
    text = _text(text) if isinstance(text, bytes) else text
    return ascii(text if len(text) <= limit else text[:limit] + "...")
