"""Whatever is done to the DeepFashion text files, no label is ever wrong.

A small dataset of each variant is damaged at random. A second reading of the damaged text, `_oracle`, which shares
nothing with the reader, says which photos can be used and what their labels are; the reader must say the same.
"""

import re
import unicodedata
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspn_tf.console import UserError
from cspn_tf.data.deepfashion import read_deepfashion

KEYPOINTS = [f"landmark_{what}_{k}" for k in range(1, 9) for what in ("visibility", "location_x", "location_y")]
NAMES = [
    "img/img_1.jpg",
    "img/MEN/id_00000001/2.jpg",
    "img/MEN/id_00000001/3.jpg",
    "img/WOMEN/id_00000002/4.jpg",
    "img/grün.jpg",
]
ITEMS = ["id_00000009", "id_00000001", "id_00000001", "id_00000002", "id_00000002"]
TYPES = [1, 2, 3, 1, 2]
CORNERS = ["053 130 289 440", "45 040 299 449", "10 20 200 400", "0 0 1 1", "9.5 -3 900 900.25"]
POINTS = [
    "0 144 156  0 221 159  0 086 218  1 250 238  0 111 408  2 000 000",
    "0 30 40 1 120 41 0 20 390 0 150 380",
    "0 11 21 1 12 22 2 0 0 0 14 24 0 15 25 0 16 26 0 17 27 0 18 28",
    "0 132 048 0 215 054 0 063 067 0 280 088 2 000 000 2 000 000 0 000 000 0 000 000",
    "0 1.5 -2 0 3 4 0 5 6 0 7 8",
]


# What each variant's files are called and begin with; the order is boxes, landmarks, partition.
FILES = {
    "DeepFashion FLD": ("Anno/list_bbox.txt", "Anno/list_landmarks.txt"),
    "DeepFashion Category & Attribute": ("Anno_coarse/list_bbox.txt", "Anno_coarse/list_landmarks.txt"),
    "DeepFashion In-shop": ("Anno/list_bbox_inshop.txt", "Anno/list_landmarks_inshop.txt"),
    "DeepFashion Consumer-to-shop": ("list_bbox_consumer2shop.txt", "list_landmarks_consumer2shop.txt"),
}
PARTITION = "Eval/list_eval_partition.txt"
HEADERS = {
    "DeepFashion FLD": (
        "image_name x_1 y_1 x_2 y_2",
        "image_name clothes_type variation_type",
        "image_name evaluation_status",
    ),
    "DeepFashion Category & Attribute": (
        "image_name x_1 y_1 x_2 y_2",
        "image_name clothes_type",
        "image_name evaluation_status",
    ),
    "DeepFashion In-shop": (
        "image_name clothes_type pose_type x_1 y_1 x_2 y_2",
        "image_name clothes_type variation_type",
        "image_name item_id evaluation_status",
    ),
    "DeepFashion Consumer-to-shop": (
        "image_name clothes_type source_type x_1 y_1 x_2 y_2",
        "image_name clothes_type variation_type",
        "image_pair_name_1 image_pair_name_2 item_id evaluation_status",
    ),
}
STATUSES = {variant: {"train": "train", "val": "val", "test": "test"} for variant in HEADERS}
STATUSES["DeepFashion In-shop"] = {"train": "train", "query": "test", "gallery": "test"}


def _dataset(variant):
    """Return the undamaged files: name → list of lines, bytes."""
    headers, (box_file, landmark_file) = HEADERS[variant], FILES[variant]
    codes = [f"{t} {n % 2 + 1} " if "clothes_type" in headers[0] else "" for n, t in enumerate(TYPES)]
    boxes = [f"{name}  {code}{corners}" for name, code, corners in zip(NAMES, codes, CORNERS, strict=True)]
    variations = [f"{n + 1}  " if "variation_type" in headers[1] else "" for n in range(5)]
    landmarks = [f"{row[0]}  {row[1]}  {row[2]}{row[3]}" for row in zip(NAMES, TYPES, variations, POINTS, strict=True)]
    statuses = [list(STATUSES[variant])[n % 3] for n in range(5)]
    if "item_id" not in headers[2]:
        partition = [f"{name}    {status}" for name, status in zip(NAMES, statuses, strict=True)]
    elif "image_name" in headers[2]:
        partition = [f"{name} {item} {status}" for name, item, status in zip(NAMES, ITEMS, statuses, strict=True)]
    else:
        pairs = [(0, 0), (1, 2), (2, 1), (3, 4), (1, 2)]
        status = {ITEMS[0]: "train", ITEMS[1]: "val", ITEMS[3]: "test"}
        partition = [f"{NAMES[i]} {NAMES[j]} {ITEMS[i]} {status[ITEMS[i]]}" for i, j in pairs]
    landmark_header = " ".join([headers[1], *KEYPOINTS])
    tables = {
        box_file: [headers[0], *boxes],
        landmark_file: [landmark_header, *landmarks],
        PARTITION: [headers[2], *partition],
    }
    return {file: [line.encode() for line in (str(len(rows) - 1), *rows)] for file, rows in tables.items()}


# The second reading --------------------------------------------------------------------------------------------------


class _FileFault(Exception):
    """The text is no dataset."""


class _Unusable(Exception):
    """The text does not say what the labels of a photo are."""


def _need(condition):
    if not condition:
        raise _Unusable


def _tokens(line):
    return re.findall("[^ \t\r\n\v\f]+", line)


def _rows(content):
    """Split a file's text, one character a byte, into its header and its rows, each with the number of its line."""
    text = content.decode("latin-1")
    lines = [_tokens(line) for line in (text[3:] if text[:3] == "ï»¿" else text).split("\n")]
    rows = [(number, tokens) for number, tokens in enumerate(lines, 1) if number > 2 and tokens]
    if len(lines) < 2 or len(lines[0]) != 1 or not _is_digits(lines[0][0], 9) or int(lines[0][0]) != len(rows):
        raise _FileFault
    return " ".join(lines[1]), rows


def _is_digits(token, at_most=10**9):
    return 0 < len(token) <= at_most and set(token) <= set("0123456789")


def _code(token, known):
    _need(_is_digits(token, 9) and int(token) in known)
    return int(token)


def _coordinate(token):
    whole, *fraction = token.removeprefix("-").split(".")
    _need(len(fraction) < 2 and all(_is_digits(part) for part in (whole, *fraction)))
    _need(abs(Decimal(token)) <= 1_000_000)
    return float(Decimal(token))


def _variant_of(box_header, landmark_header, partition_header):
    for variant, (boxes, landmarks, partition) in HEADERS.items():
        known = [" ".join([landmarks, *KEYPOINTS[: 3 * k]]) for k in range(1, 9)]
        if box_header == boxes and landmark_header in known and partition_header in (partition, None):
            return variant
    raise _FileFault


def _oracle(contents, root, landmark_file, own_splits):
    """Read a dataset photo by photo, and every file anew for each.

    Args:
        contents: of the boxes, the landmarks and the partition, bytes.
        root: the dataset's folder.
        landmark_file: name of the landmarks' file in it.
        own_splits: as of the reader.

    Returns:
        variant: its name.
        photos: photo name, one character a byte → what a `Sample` of it says, or None for what cannot be used.

    Raises:
        _FileFault: it is no dataset.
    """
    (box_header, boxes), (landmark_header, landmarks) = _rows(contents[0]), _rows(contents[1])
    partition_header, partition = _rows(contents[2]) if own_splits else (None, [])
    variant = _variant_of(box_header, landmark_header, partition_header)
    num_names = 2 if partition_header and "pair" in partition_header else 1
    names = {tokens[0] for _, tokens in boxes + landmarks}
    names |= {name for _, tokens in partition for name in tokens[:num_names]}
    photos = {}
    for name in names:
        box_rows, landmark_rows = ([row for row in rows if row[1][0] == name] for rows in (boxes, landmarks))
        split_rows = [tokens for _, tokens in partition if name in tokens[:num_names]]
        try:
            path = "/".join([str(root), *_components(name)])
            labels = _labels(variant, _only(box_rows), _only(landmark_rows))
            item = _item_and_split(variant, split_rows) if own_splits else (_folder_item(variant, name), None)
        except _Unusable:
            photos[name] = None
        else:
            photos[name] = (*item, f"{root}/{landmark_file}:{landmark_rows[0][0]}", path, *labels)
    return variant, photos


def _only(rows):
    _need(len({tuple(tokens) for _, tokens in rows}) == 1)
    return rows[0][1]


def _components(name):
    try:
        name = name.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        raise _Unusable
    components = [component for component in name.split("/") if component not in ("", ".")]
    _need(
        not any(unicodedata.category(character) in ("Cc", "Cs") for character in name)
        and not name.startswith("/")
        and components
        and ".." not in components
    )
    return components


def _item_and_split(variant, rows):
    num_columns = len(HEADERS[variant][2].split())
    num_names = num_columns - 2 if "item_id" in HEADERS[variant][2] else 1
    _need(rows and all(len(tokens) == num_columns for tokens in rows))
    said = {tuple(tokens[num_names:]) for tokens in rows}
    _need(len(said) == 1)
    *item, status = said.pop()
    _need(status in STATUSES[variant])
    _need(all("!" <= character <= "~" for character in "".join(item)))
    return (*item, STATUSES[variant][status]) if item else (None, STATUSES[variant][status])


def _folder_item(variant, name):
    if "item_id" not in HEADERS[variant][2]:
        return None
    components = _components(name)
    folder = components[-2] if len(components) > 1 else ""
    return folder if folder.startswith("id_") and _is_digits(folder[3:]) else None


def _labels(variant, box, landmarks):
    box_names = HEADERS[variant][0].split()
    _need(len(box) == len(box_names))
    box = dict(zip(box_names, box, strict=True))
    corners = [_coordinate(box[name]) for name in ("x_1", "y_1", "x_2", "y_2")]
    _need(corners[0] < corners[2] and corners[1] < corners[3])

    fields = landmarks[1:]
    _need(fields)
    garment_type = _code(fields.pop(0), {1, 2, 3})
    if "clothes_type" in box:
        _need(_code(box["clothes_type"], {1, 2, 3}) == garment_type)
    _code(box.get("pose_type", "1"), {1, 2, 3, 4, 5, 6})
    _code(box.get("source_type", "1"), {1, 2})
    variation = 0
    if "variation_type" in HEADERS[variant][1]:
        _need(fields)
        variation = _code(fields.pop(0), {1, 2, 3, 4, 5, 6} if "In-shop" in variant else {1, 2, 3, 4, 5}) % 6

    slots = {1: [0, 1, 2, 3, 6, 7], 2: [4, 5, 6, 7], 3: [0, 1, 2, 3, 4, 5, 6, 7]}[garment_type]
    _need(len(fields) in (24, 3 * len(slots)))
    _need(all(token.strip("0") == "" for token in fields[3 * len(slots) :]))
    points = [(0.0, 0.0, 0)] * 8
    for slot, seen, x, y in zip(slots, fields[::3], fields[1::3], fields[2::3], strict=False):
        x, y, seen = _coordinate(x), _coordinate(y), _code(seen, {0, 1, 2})
        _need(seen < 2 or x == y == 0)
        points[slot] = (float(np.float32(x)), float(np.float32(y)), {0: 2, 1: 1, 2: -1}[seen])
    return garment_type, variation, np.float32(corners).tolist(), points


def _said_by(sample):
    """Put what a `Sample` says as `_oracle` does."""
    (garment,) = sample.garments
    (xy,), (seen,), (box,) = (v.tolist() for v in (garment.keypoints_xy, garment.visibility, garment.boxes_xyxy))
    points = [(x, y, code) for (x, y), code in zip(xy, seen, strict=True)]
    labels = (int(garment.types[0]), int(garment.variations[0]), box, points)
    return (sample.group, sample.split, sample.where, sample.path, *labels)


# Damage --------------------------------------------------------------------------------------------------------------

_NUMBERS = ["-5", "0", "1", "2", "3", "6", "007", "99999999999", "1000000", "1000000.1", "nan", "inf", "-inf", "1e5"]
_NUMBERS += ["0x10", "1_0", "٣", "²", "+3", "1.2.3", ".5", "5.", "-", "--1", "1,5", "7.25", "0" * 12 + "1", "9" * 400]
_TOKENS = [token.encode() for token in _NUMBERS + NAMES + ITEMS]
_TOKENS += [b"train", b"val", b"test", b"query", b"gallery", b"\xff\xfe", b"\x00", b"1\x00", b"\xc2\xa0", b"a" * 20_000]
_TOKENS += [b"../a.jpg", b"/a.jpg", b".", b"img/./img_1.jpg", b"id_3/id_4", b"image_name", b"pose_type"]
_MARK = b"\xef\xbb\xbf"  # byte order mark
_BYTES = [b"\x00", b"\t", b"\r", b"\n", b"\n\n", b" ", b"\xff", b"\x0b", b"\x85", b"\xa0", _MARK, b" 1" * 5_000]


def _swap(lines, line, place, other):
    fields = lines[line].split()
    if fields:
        place, other = place % len(fields), other % len(fields)
        fields[place], fields[other] = fields[other], fields[place]
        lines[line] = b" ".join(fields)


def _set_token(lines, line, place, token):
    fields = lines[line].split() or [b""]
    fields[place % len(fields)] = token
    lines[line] = b" ".join(fields)


def _insert_token(lines, line, place, token):
    fields = lines[line].split()
    fields.insert(place % (len(fields) + 1), token)
    lines[line] = b" ".join(fields)


def _drop_token(lines, line, place, _):
    fields = lines[line].split() or [b""]
    del fields[place % len(fields)]
    lines[line] = b" ".join(fields)


def _insert_bytes(lines, line, place, inserted):
    place %= len(lines[line]) + 1
    lines[line] = lines[line][:place] + inserted + lines[line][place:]


def _truncate(lines, line, place, _):
    lines[line] = lines[line][: place % (len(lines[line]) + 1)]
    del lines[line + 1 :]


def _copy_line(lines, line, place, _):
    lines.insert(place % (len(lines) + 1), lines[line])


def _drop_line(lines, line, place, _):
    del lines[line]


def _exchange_lines(lines, line, place, _):
    place %= len(lines)
    lines[line], lines[place] = lines[place], lines[line]


def _shuffle(lines, line, place, random):
    fields = lines[line].split()
    random.shuffle(fields)
    lines[line] = b" ".join(fields)


def _other_header(lines, line, place, header):
    if len(lines) > 1:
        lines[1] = header


_PIXELS = st.integers(-3, 453).map(lambda value: b"%03d" % value)
_TOKEN = st.sampled_from(_TOKENS) | _PIXELS | st.binary(max_size=3)
_ALL_HEADERS = sorted(
    {
        " ".join([header, *(KEYPOINTS if i == 1 else [])]).encode()
        for each in HEADERS.values()
        for i, header in enumerate(each)
    }
)
_DAMAGE = st.one_of(
    st.tuples(st.just(_set_token), _TOKEN),
    st.tuples(st.sampled_from([_set_token, _insert_token]), _TOKEN),
    st.tuples(st.just(_swap), st.integers(0, 30)),
    st.tuples(st.sampled_from([_drop_token, _truncate, _copy_line, _drop_line, _exchange_lines]), st.none()),
    st.tuples(st.just(_insert_bytes), st.sampled_from(_BYTES)),
    st.tuples(st.just(_shuffle), st.randoms(use_true_random=False)),
    st.tuples(st.just(_other_header), st.sampled_from(_ALL_HEADERS)),
)
_ODD_NAMES = [
    b"../a.jpg",
    b"img/../a.jpg",
    b"/a.jpg",
    b".",
    b"img/./a.jpg",
    b"a.jpg",
    b"id_7/a.jpg",
    b"id_\xd9\xa1/a.jpg",
]
_ODD_NAMES += [b"img/\xff.jpg", b"img/\x00.jpg", _MARK + b"a.jpg", b"id_\xc3\xa9", b"a" * 20_000, NAMES[1].encode()]
_RENAMED = st.tuples(st.sampled_from([name.encode() for name in NAMES + ITEMS]), st.sampled_from(_ODD_NAMES))
_LINE = st.sampled_from([*range(2, 7)] * 4 + [0, 1])  # mostly a row
_EDITS = st.tuples(st.integers(0, 2), _LINE, st.integers(0, 200), _DAMAGE)


def _damaged(files, renamed, edits, fix_counts, newline, mark):
    """Return the contents of the files after a photo or item has another name in all of them, and after the edits."""
    tables = [[line.replace(*renamed) if renamed else line for line in lines] for lines in files.values()]
    for table, line, place, (damage, what) in edits:
        lines = tables[table]
        if lines:
            damage(lines, min(line, len(lines) - 1), place, what)
    contents = [b"\n".join(lines) + b"\n" for lines in tables]
    if fix_counts:  # so that most examples get as far as the rows
        for index, content in enumerate(contents):
            _, *rest = content.split(b"\n")
            contents[index] = b"\n".join([b"%d" % sum(bool(row.split()) for row in rest[1:]), *rest])
    return [mark + content.replace(b"\n", newline) for content in contents]


# The property --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """A folder for each variant, which every example writes anew."""
    roots = {}
    for variant in HEADERS:
        roots[variant] = tmp_path_factory.mktemp("deepfashion")
        for file in _dataset(variant):
            (roots[variant] / file).parent.mkdir(exist_ok=True)
    return roots


def _check(root, variant, contents, own_splits):
    """Compare the reader with the second reading; return what the reader returned, or None where it refused."""
    for file, content in zip((*FILES[variant], PARTITION), contents, strict=True):
        (root / file).write_bytes(content)
    try:
        wanted_variant, wanted = _oracle(contents, root, FILES[variant][1], own_splits)
    except _FileFault:
        with pytest.raises(UserError) as error:
            read_deepfashion(root, own_splits=own_splits)
        assert re.fullmatch(rf"{root}/({'|'.join((*FILES[variant], PARTITION))}):[12]: .+", str(error.value))
        assert str(error.value).isprintable()
        return None
    result = read_deepfashion(root, own_splits=own_splits)
    read = {sample.photo.encode().decode("latin-1"): _said_by(sample) for sample in result.samples}
    assert len(read) == len(result.samples)
    assert read == {name: said for name, said in wanted.items() if said}
    assert result.variant == wanted_variant

    unusable = {name.encode("latin-1").decode("utf-8", "backslashreplace") for name, said in wanted.items() if not said}
    rejected = {row.photo for row in result.rejected}
    assert unusable <= rejected
    assert rejected <= unusable | {sample.photo for sample in result.samples}
    for row in result.rejected:
        file, _, line = row.where.rpartition(":")
        assert file in {str(root / file) for file in (*FILES[variant], PARTITION)}
        assert int(line) > 2
        assert row.reason.isprintable()
        assert len(row.reason) < 1000
        if row.photo not in unusable:  # nothing but a row said twice
            assert row.reason.startswith("duplicate row: ")
            assert row.reason.endswith(" already")
    return result


@pytest.mark.parametrize("own_splits", [True, False])
@pytest.mark.parametrize("variant", HEADERS)
def test_the_undamaged_dataset_is_read_whole(roots, variant, own_splits):
    contents = [b"\n".join(lines) + b"\n" for lines in _dataset(variant).values()]
    result = _check(roots[variant], variant, contents, own_splits)
    assert result.variant == variant
    assert [sample.photo for sample in result.samples] == NAMES
    assert result.rejected == []


@pytest.mark.parametrize("variant", HEADERS)
@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    renamed=st.none() | _RENAMED,
    edits=st.lists(_EDITS, max_size=5),
    fix_counts=st.sampled_from([True] * 9 + [False]),
    newline=st.sampled_from([b"\n", b"\n", b"\r\n", b" \t\n"]),
    mark=st.sampled_from([b""] * 8 + [_MARK, _MARK, 2 * _MARK]),
    own_splits=st.sampled_from([True, True, True, False]),
)
def test_damaged_files_give_right_labels_or_none(roots, variant, renamed, edits, fix_counts, newline, mark, own_splits):
    contents = _damaged(_dataset(variant), renamed, edits, fix_counts, newline, mark)
    _check(roots[variant], variant, contents, own_splits)


@pytest.mark.parametrize("variant", HEADERS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(table=st.integers(0, 2), cut=st.integers(0, 10**4), own_splits=st.booleans())
def test_a_file_cut_off_at_any_byte_gives_right_labels_or_none(roots, variant, table, cut, own_splits):
    contents = [b"\n".join(lines) + b"\n" for lines in _dataset(variant).values()]
    contents[table] = contents[table][: cut % len(contents[table])]
    _check(roots[variant], variant, contents, own_splits)
