"""Read the DeepFashion landmark benchmark (FLD): three text files and a folder of photos.

Layout: `Anno/list_bbox.txt`, `Anno/list_landmarks.txt`, `Eval/list_eval_partition.txt`, and the photos under `img/`
(some mirrors have `Img/` or `Img/img/` for it). In every file line 1 is the number of rows, line 2 the column names.
Fields are separated by white space and numbers may be zero-padded.

A fault of a file ends the reading; a fault of a row costs that photo alone, which then stands in the result with the
reason and the line.

Source: README of the Fashion Landmark Detection Benchmark, http://mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html
"""

import contextlib
import dataclasses
import re
from pathlib import Path, PurePosixPath

import numpy as np

from cspn_tf.console import UserError
from cspn_tf.data.samples import SPLITS, Garment, ReadResult, Rejected, Sample, check_photo, map_in_order
from cspn_tf.garments import KEYPOINT_NAMES, KEYPOINT_SLOTS, NUM_KEYPOINTS, GarmentType, Variation, Visibility

# The column names each file may have; of the landmarks, those before the keypoints. A variant of the format is a
# further entry here: rows are read by column name.
PARTITION_COLUMNS = (("image_name", "evaluation_status"),)
BOX_COLUMNS = (("image_name", "x_1", "y_1", "x_2", "y_2"),)
LANDMARK_COLUMNS = (("image_name", "clothes_type", "variation_type"),)

_KEYPOINT_COLUMN = re.compile(r"(?:landmark_)?(?:location_)?(?P<kind>visibility|x|y)(?:_\d)?")
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_WHOLE_NUMBER = re.compile(rb"\d{1,9}")
_ZERO = re.compile(rb"0+")

# The annotation's code for how a keypoint is seen.
_CUT_OFF_CODE = 2
_VISIBILITY_OF_CODE = {0: Visibility.VISIBLE, 1: Visibility.OCCLUDED, _CUT_OFF_CODE: Visibility.CUT_OFF}
_VARIATIONS = tuple(variation for variation in Variation if variation != Variation.UNKNOWN)

_LARGEST_COORDINATE = 1e6  # pixels; beyond this a number is a slip, whatever the photo


def read_deepfashion(root, *, check_photos=True, num_threads=8, progress=None) -> ReadResult:
    """Read an FLD dataset.

    Args:
        root: the folder with `Anno`, `Eval` and `img`.
        check_photos: whether to open every photo's header, to see that it is there and that the labels lie inside
            it. What writes the TFRecords decodes every photo and checks the same.
        num_threads: threads that open photos.
        progress: called with (photos checked, photos in all) after each photo, or None.

    Returns:
        The photos in the order of `list_landmarks.txt`, and one `Rejected` for every photo or repeated row that
        cannot be used. Two rows of one photo that say the same cost only the second; where they differ nobody knows
        which is right, and the photo is rejected.

    Raises:
        UserError: a file is missing, its first line is not the number of its rows, or its columns are unknown.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    partition = _Table(root / "Eval" / "list_eval_partition.txt", PARTITION_COLUMNS)
    boxes = _Table(root / "Anno" / "list_bbox.txt", BOX_COLUMNS)
    landmarks = _Table(root / "Anno" / "list_landmarks.txt", LANDMARK_COLUMNS, followed_by_keypoints=True)

    folder = _photo_folder(root)
    samples, rejected = [], [*landmarks.repeated, *boxes.repeated, *partition.repeated]
    for name in dict.fromkeys([*landmarks.rows, *partition.rows, *boxes.rows]):
        try:
            samples.append(_read_photo(name, partition, boxes, landmarks, folder))
        except _RowFault as fault:
            rejected.append(Rejected(_text(name), fault.where, fault.reason))
    if check_photos:
        samples, faults = _check_photos(samples, num_threads, progress)
        rejected += faults
    return ReadResult(samples, rejected)


def _check_photos(samples, num_threads, progress):
    kept, rejected = [], []
    with contextlib.closing(map_in_order(check_photo, samples, num_threads)) as faults:
        for num_checked, (sample, fault) in enumerate(zip(samples, faults, strict=True), start=1):
            if fault is None:
                kept.append(sample)
            else:
                rejected.append(fault)
            if progress:
                progress(num_checked, len(samples))
    return kept, rejected


# Files and their lines -----------------------------------------------------------------------------------------------


class _RowFault(Exception):
    """A row cannot be used."""

    def __init__(self, where, reason):
        super().__init__(f"{where}: {reason}")
        self.where, self.reason = where, reason


@dataclasses.dataclass(frozen=True)
class _Row:
    """One line of a file, split into fields only when it is read: a large dataset's fields take much memory."""

    where: str
    line: bytes

    def fields(self):
        return self.line.split()


class _Table:
    """One annotation file: its columns, and its rows by photo name."""

    def __init__(self, path, known_columns, followed_by_keypoints=False):
        """Read the file.

        Args:
            path: of the file.
            known_columns: tuples of column names, of which line 2 must have one.
            followed_by_keypoints: whether columns for visibility, x and y of keypoints follow those.

        Raises:
            UserError: see `read_deepfashion`.
        """
        self.path = path
        lines = _read_lines(path)
        num_rows = _row_count(path, lines)
        self.columns = _columns(path, lines, known_columns, followed_by_keypoints)
        self.rows = {}  # photo name, bytes → its first row
        self.repeated = []  # rows that say again what an earlier one said
        self._contradicted = {}  # photo name → the fault of a row that says something else than an earlier one
        num_found = 0
        for number, line in enumerate(lines[2:], start=3):
            if line.strip():
                num_found += 1
                self._add(_Row(f"{path}:{number}", line))
        if num_found != num_rows:
            raise UserError(f"{path}:1: says {num_rows} rows, the file has {num_found}")

    def _add(self, row):
        name = row.line.split(None, 1)[0]
        first = self.rows.setdefault(name, row)
        if first is row:
            return
        line_of_first = first.where.rpartition(":")[2]
        if row.fields() == first.fields():
            reason = f"duplicate row: photo {_shown(name)} is in line {line_of_first} already"
            self.repeated.append(Rejected(_text(name), row.where, reason))
        else:
            reason = f"duplicate row: photo {_shown(name)} is in line {line_of_first} with other values"
            self._contradicted.setdefault(name, _RowFault(row.where, reason))

    def row(self, name) -> _Row:
        """Return the row of a photo that has one."""
        if name in self._contradicted:
            raise self._contradicted[name]
        return self.rows[name]

    def values(self, row) -> tuple[dict[str, bytes], list[bytes]]:
        """Split a row into the values of the named columns, and the fields that follow."""
        fields = row.fields()
        named = dict(zip(self.columns, fields, strict=False))
        return named, fields[len(self.columns) :]

    def exact_values(self, row) -> dict[str, bytes]:
        """Split a row that has the named columns and no more."""
        fields = row.fields()
        if len(fields) != len(self.columns):
            raise _RowFault(row.where, f"{len(fields)} fields, required {len(self.columns)}: {' '.join(self.columns)}")
        return dict(zip(self.columns, fields, strict=True))


def _read_lines(path):
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}")
    return content.removeprefix(b"\xef\xbb\xbf").split(b"\n")


def _row_count(path, lines):
    count = lines[0].strip()
    if not _WHOLE_NUMBER.fullmatch(count):
        raise UserError(f"{path}:1: {_shown(count)} is not the number of rows")
    return int(count)


def _columns(path, lines, known_columns, followed_by_keypoints):
    header = lines[1].split() if len(lines) > 1 else []
    names = [_text(name) for name in header]
    for columns in known_columns:
        rest = names[len(columns) :]
        if tuple(names[: len(columns)]) == columns and (_are_keypoints(rest) if followed_by_keypoints else not rest):
            return columns
    wanted = " or ".join(
        " ".join(columns) + (" and visibility, x, y of each keypoint" if followed_by_keypoints else "")
        for columns in known_columns
    )
    raise UserError(f"{path}:2: unknown columns {_shown(b' '.join(header), 200)}, required {wanted}")


def _are_keypoints(names):
    kinds = [_KEYPOINT_COLUMN.fullmatch(name) for name in names]
    wanted = ["visibility", "x", "y"] * (len(names) // 3)
    return len(names) <= 3 * NUM_KEYPOINTS and [kind and kind["kind"] for kind in kinds] == wanted


# Rows ----------------------------------------------------------------------------------------------------------------


def _read_photo(name, partition, boxes, landmarks, folder) -> Sample:
    """Put together what the three files say of one photo."""
    if name not in partition.rows:
        row = (landmarks if name in landmarks.rows else boxes).rows[name]
        raise _RowFault(row.where, f"photo {_shown(name)} is not in {partition.path.name}")
    split_row = partition.row(name)
    for table, what in ((boxes, "box"), (landmarks, "landmarks")):
        if name not in table.rows:
            raise _RowFault(split_row.where, f"photo {_shown(name)} has no {what}: no row in {table.path.name}")
    landmark_row, box_row = landmarks.row(name), boxes.row(name)

    photo = _photo_name(name, landmark_row.where)
    split = _read_split(partition.exact_values(split_row), split_row.where)
    named, keypoint_fields = landmarks.values(landmark_row)
    garment_type, variation = _read_types(landmarks, named, landmark_row.where)
    keypoints_xy, visibility = _read_keypoints(garment_type, keypoint_fields, landmark_row.where)
    box_xyxy = _read_box(boxes.exact_values(box_row), box_row.where)
    garment = Garment(garment_type, box_xyxy, keypoints_xy, visibility, variation)
    return Sample(photo, split, (garment,), landmark_row.where, folder(photo))


def _photo_name(name, where):
    try:
        photo = name.decode()
    except UnicodeDecodeError:
        raise _RowFault(where, f"photo name {_shown(name)} is not UTF-8")
    path = PurePosixPath(photo)
    if not photo.isprintable() or path.is_absolute() or ".." in path.parts:
        raise _RowFault(where, f"photo name {_shown(name)} is not a path inside the dataset")
    return photo


def _read_split(values, where):
    split = _text(values["evaluation_status"])
    if split not in SPLITS:
        raise _RowFault(where, f"unknown evaluation_status {_shown(split)}, required {', '.join(SPLITS)}")
    return split


def _read_types(table, named, where):
    if len(named) < len(table.columns):
        raise _RowFault(where, f"{len(named)} fields, required {' '.join(table.columns)} and the keypoints")
    garment_type = GarmentType(_read_code(named["clothes_type"], "clothes_type", tuple(GarmentType), where))
    if "variation_type" not in table.columns:
        return garment_type, Variation.UNKNOWN
    return garment_type, Variation(_read_code(named["variation_type"], "variation_type", _VARIATIONS, where))


def _read_keypoints(garment_type, fields, where):
    """Read the keypoints of one row into the slots they belong to.

    Args:
        garment_type: its `GarmentType`, which says how many keypoints there are and in which order.
        fields: visibility, x, y of each; rows may be padded with zeros to eight keypoints.
        where: of the row.

    Returns:
        keypoints_xy, visibility: see `Garment`.
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
    x_min, y_min, x_max, y_max = (_read_coordinate(values[c], c, where) for c in ("x_1", "y_1", "x_2", "y_2"))
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
