"""Files with something wrong in them, thousands of ways, for the three readers that are not of text tables.

A valid file is changed at random and then read by the reader and by a small oracle here, which shares no code with it.
What the reader accepts must be what the oracle says; the rest must be rejected or refused, in one line.
"""

import collections
import contextlib
import copy
import csv
import functools
import itertools
import json
import operator
import re
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cspn_tf.console import UserError
from cspn_tf.data.coco import read_coco
from cspn_tf.data.deepfashion2 import read_deepfashion2
from cspn_tf.data.fashionai import read_fashionai
from tests.data import mutations
from tests.data.mutations import MARK, Wrong, need, one_of, photo_name, pixels
from tests.data.test_landmark_maps import (
    DEEPFASHION2_WANTED,
    FASHIONAI_COLUMNS_WANTED,
    FASHIONAI_HEADER,
    FASHIONAI_WANTED,
    TYPES,
)

SETTINGS = settings(derandomize=True, deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])

# Mutations -----------------------------------------------------------------------------------------------------------

# json.dumps cannot write these, so they travel in strings and are put right in the text.
_REPEATED = "\0repeated"
_RAW = "\0raw:"

# Each line is as likely as any other, and each value within it.
_FOR_NUMBERS = [
    [float("nan"), float("inf"), -float("inf"), _RAW + "1e999"],
    [True, False],
    ["1", "", "NaN", None, [], [1], {}],
    [-1, 0, 1, 2, 3, 7, 1.0, 2.0, 1.5, -0.0],
    ["0", "02", "5.0", "-1", "1.5", 5.0],
    [10**7, -(10**7), 10**30, 1e300, 1e6, _RAW + "9" * 5000],
]
_FOR_TEXTS = [
    ["../a.jpg", "a/../b.jpg", "/etc/a.jpg", ".", "", "a\nb", "a\0b", "\ud800"],
    ["./2.jpg", "img//1.jpg", "é", "x" * 300, "a\u202fb", "a\\b"],
    ["vest", "sling", "skirt", "upper", "fashion"],
    ["left_hem", "Right-Collar", "nose"],
    [None, 1, True, float("nan"), ["a"], {"a": "b"}],
]
_FOR_OTHERS = [[None, True, 1, "item1"], [[], [1], [[1, [2]], 3], [1, 2, 3, 4]], [{}, {"id": 1}]]


def _junk_for(value):
    """Return lists of what to put in the place of a value."""
    if isinstance(value, str):
        return _FOR_TEXTS
    return _FOR_NUMBERS if isinstance(value, int | float) else _FOR_OTHERS


def _values_of(document, key):
    """Return all values under a key, anywhere in a document."""
    if not isinstance(document, dict | list):
        return []
    children = document.values() if isinstance(document, dict) else document
    own = [document[key]] if isinstance(document, dict) and key in document else []
    return own + [value for child in children for value in _values_of(child, key)]


def _mutate_value(draw, document):
    """Change one thing somewhere in a JSON document."""
    holder = document
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = draw(st.sampled_from(keys))
        if not (isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 7))):
            break
        holder = holder[key]
    action = draw(st.sampled_from(["replace", "replace", "borrow", "borrow", "remove", "repeat", "swap"]))
    if action == "replace" or (action == "borrow" and isinstance(holder, list)):
        holder[key] = copy.deepcopy(draw(st.sampled_from(draw(st.sampled_from(_junk_for(holder[key]))))))
    elif action == "borrow":
        holder[key] = copy.deepcopy(draw(st.sampled_from(_values_of(document, key))))
    elif action == "remove":
        del holder[key]
    elif action == "swap":
        other = draw(st.sampled_from(keys))
        holder[key], holder[other] = holder[other], holder[key]
    elif isinstance(holder, dict):
        holder[key + draw(st.sampled_from([_REPEATED, "x", "2"]))] = copy.deepcopy(holder[key])
    else:
        holder.insert(key, copy.deepcopy(holder[key]))


def _mutate_bytes(draw, content):
    """Change the bytes of a file, or leave them."""
    action = draw(st.sampled_from(["keep"] * 15 + ["truncate", "insert", "mark", "lines", "digit"]))
    if action == "mark":
        return MARK + content
    if action == "lines":
        return content.replace(b"\n", b"\r\n")
    if action == "keep" or not content:
        return content
    position = draw(st.integers(0, len(content) - 1))
    if action == "truncate":
        return content[:position]
    if action == "insert":
        inserted = draw(st.sampled_from([b"\xff", b"\0", b"\xed\xa0\x80", b'"', b",", b"\r", b"\n", b"{", b"-", b"\\"]))
        return content[:position] + inserted + content[position:]
    digits = [match.start() for match in re.finditer(rb"[0-9]", content)]
    position = draw(st.sampled_from(digits))
    return content[:position] + draw(st.sampled_from([b"0", b"9", b"e", b"."])) + content[position + 1 :]


def _dump(document):
    text = json.dumps(document, indent=1).replace(json.dumps(_REPEATED)[1:], '"')
    return re.sub(r'"\\u0000raw:([^"]*)"', r"\1", text).encode()


@st.composite
def _json_files(draw, document):
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        if document:
            _mutate_value(draw, document)
    return _mutate_bytes(draw, _dump(document))


def _changed_everywhere(document):
    """Yield files with one thing changed, for every place and every sort of change."""
    places = [((), key) for key in document]
    for number, (path, key) in enumerate(places):  # which grows on the way
        value = functools.reduce(operator.getitem, path, document)[key]
        if isinstance(value, dict | list):
            places += [((*path, key), k) for k in (value if isinstance(value, dict) else range(len(value)))]
        changes = [operator.methodcaller("__delitem__", key)]
        junk = [choices[number % len(choices)] for choices in _junk_for(value)]
        if isinstance(key, str):
            changes.append(operator.methodcaller("__setitem__", key + _REPEATED, value))
            junk += [other for other in _values_of(document, key) if other != value]
            changes.append(lambda holder, key=key: holder.update({key + "x": holder.pop(key)}))
        changes += [operator.methodcaller("__setitem__", key, other) for other in junk]
        for change in changes:
            changed = copy.deepcopy(document)
            change(functools.reduce(operator.getitem, path, changed))
            yield _dump(changed)


# What the oracles share ----------------------------------------------------------------------------------------------


def _load(content):
    def unique(pairs):
        counts = collections.Counter(key for key, _ in pairs)
        return {**dict(pairs), **({"\0": "repeated"} if any(n > 1 for n in counts.values()) else {})}

    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise Wrong


def _dict(value):
    need(type(value) is dict and "\0" not in value)
    return value


def _get(value, key, wanted_type):
    need(key in value and type(value[key]) is wanted_type)
    return value[key]


def _identity(value):
    """An id: a whole number, or another text."""
    try:
        return mutations.whole(value)
    except Wrong:
        need(type(value) is str and value)
        return value


def _check_rejected(rejected, path):
    for fault in rejected:
        assert fault.where.startswith(str(path)) and fault.where.isprintable()
        assert fault.reason and fault.reason.isprintable() and len(fault.reason) < 400
        assert fault.photo.replace("\u202f", "").isprintable()


def _check_refusal(error, path):
    assert str(error).startswith(str(path)) and str(error).isprintable()


@contextlib.contextmanager
def _root(*folders):
    with tempfile.TemporaryDirectory() as name:
        for folder in folders:
            (Path(name) / folder).mkdir(parents=True)
        yield Path(name)


# DeepFashion2 --------------------------------------------------------------------------------------------------------


def _item(category_id, first):
    name, num_landmarks, _, _ = DEEPFASHION2_WANTED[category_id]
    return {
        "category_id": category_id,
        "category_name": name,
        "bounding_box": [first, 20, first + 150, 300],
        "landmarks": [value for n in range(num_landmarks) for value in (first + n, 2 * n + 0.5, (2, 1, 2, 0)[n % 4])],
    }


_DEEPFASHION2 = {
    "item1": {**_item(9, 10), "segmentation": [[1, 2, 3, 4]]},
    "source": "user",
    "pair_id": 12,
    "item2": _item(5, 40),
}
_DEEPFASHION2_NAMES = {name: category_id for category_id, (name, *_) in DEEPFASHION2_WANTED.items()}


def _deepfashion2_oracle(content):
    """Return the group and the garments of one file."""
    document = _dict(_load(content))
    need("pair_id" in document)
    group = mutations.whole(document["pair_id"])
    numbers = []
    for key in document:
        if key not in ("source", "pair_id"):
            need(re.fullmatch("item[1-9][0-9]{0,5}", key))
            numbers.append(int(key[4:]))
    garments = []
    for number in sorted(numbers):
        item = _dict(document[f"item{number}"])
        need("category_id" in item)
        category_id = one_of(item["category_id"], range(1, 14))
        name = item.get("category_name")
        need(type(name) is not str or _DEEPFASHION2_NAMES.get(name, category_id) == category_id)
        _, num_landmarks, garment_type, landmark_of_slot = DEEPFASHION2_WANTED[category_id]
        box = _get(item, "bounding_box", list)
        landmarks = _get(item, "landmarks", list)
        need(len(box) == 4 and len(landmarks) == 3 * num_landmarks)
        points = [
            (pixels(landmarks[i]), pixels(landmarks[i + 1]), one_of(landmarks[i + 2], (0, 1, 2)))
            for i in range(0, len(landmarks), 3)
        ]
        keypoints = {slot: points[number - 1] for slot, number in enumerate(landmark_of_slot) if number}
        garments.append(mutations.plain(TYPES[garment_type], mutations.corners(*map(pixels, box)), keypoints))
    return str(group), garments


def _check_deepfashion2(content):
    good = json.dumps(_DEEPFASHION2).encode()
    with _root("train/annos", "train/image") as root:
        for number, file_content in ((1, good), (2, content), (3, good)):
            (root / f"train/annos/{number:06d}.json").write_bytes(file_content)
        result = read_deepfashion2(root)
        bad_path = root / "train/annos/000002.json"

    found = {sample.photo: (sample.group, mutations.plain_garments(sample)) for sample in result.samples}
    wanted = {f"train/image/00000{number}.jpg": _deepfashion2_oracle(good) for number in (1, 3)}
    try:
        group, garments = _deepfashion2_oracle(content)
    except Wrong:
        (fault,) = result.rejected
        assert fault.photo == "train/image/000002.jpg"
        _check_rejected(result.rejected, bad_path)
    else:
        assert result.rejected == []
        if garments:
            wanted["train/image/000002.jpg"] = group, garments
    assert found == wanted


@SETTINGS
@given(_json_files(_DEEPFASHION2))
@example(_dump(_DEEPFASHION2))
@example(b"")
@example(b"[" * 100_000)
@example(json.dumps(_DEEPFASHION2).encode("utf-16"))
def test_deepfashion2_accepts_only_what_the_file_says(content):
    _check_deepfashion2(content)


def test_deepfashion2_accepts_only_what_the_file_says_with_one_change_anywhere():
    for content in _changed_everywhere(_DEEPFASHION2):
        _check_deepfashion2(content)


# FashionAI -----------------------------------------------------------------------------------------------------------

_FASHIONAI_COLUMNS = ["image_id", "image_category", *FASHIONAI_HEADER.split(",")]
_FASHIONAI_CELLS = ["", "x", "1_2", "1_2_3", "1_2_1_", "-1_-1_1", "-1_-1_0", "-1_-1_-1", "1_2_-1", "nan_1_1", "inf_1_1"]
_FASHIONAI_CELLS += ["1e999_1_1", "10_20_1", " 10_20_0 ", "5.5_6.25_0", "007_8_1", "-3_4_1", "1000001_1_1"]
_FASHIONAI_CELLS += ["999999_1_1", "١_2_1", "True", "None", "[1]", '"10_20_1"', '"10_20_1', '10"20', "1_2_1\r", "\0"]
_FASHIONAI_CELLS += ["é", "skirt", "blouse", "trousers", "Images/skirt/b.jpg", "./Images/skirt/b.jpg", "../a.jpg"]
_FASHIONAI_CELLS += ["/a.jpg", "a/../b.jpg", ".", "9" * 200_000]


def _fashionai_rows():
    rows = [list(_FASHIONAI_COLUMNS)]
    for number, (name, letter) in enumerate(
        [("blouse", "a"), ("skirt", "b"), ("trousers", "c"), ("dress", "d")], start=1
    ):
        cells = dict.fromkeys(_FASHIONAI_COLUMNS, "-1_-1_-1")
        cells.update(image_id=f"Images/{name}/{letter}.jpg", image_category=name)
        for n, column in enumerate(FASHIONAI_COLUMNS_WANTED[name].split()):
            cells[column] = f"{50 * number + 7 * n}_{300 - 11 * n}_{n % 2}"
        rows.append([cells[column] for column in _FASHIONAI_COLUMNS])
    return rows


def _csv(rows):
    return "".join(",".join(row) + "\n" for row in rows).encode()


_DAMAGE = mutations.table_damage(st.sampled_from([cell.encode() for cell in _FASHIONAI_CELLS]))


@st.composite
def _csv_files(draw):
    rows = _fashionai_rows()
    if draw(st.booleans()):
        order = draw(st.permutations(range(len(_FASHIONAI_COLUMNS))))
        rows = [[row[index] for index in order] for row in rows]
    line = st.sampled_from([*range(1, 5)] * 4 + [0])  # mostly a row
    edits = draw(st.lists(st.tuples(line, st.integers(0, 25), _DAMAGE), max_size=3))
    lines = mutations.damaged(_csv(rows).splitlines(), edits)
    return _mutate_bytes(draw, b"".join(line + b"\n" for line in lines))


def _fashionai_cells(line):
    """Split a line; for what CSV itself says, the standard library may be believed."""
    try:
        cells = next(csv.reader([line.decode()], strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        raise Wrong
    return [cell.strip() for cell in cells]


def _fashionai_garment(cells):
    need(cells["image_category"] in FASHIONAI_WANTED)
    garment_type, column_of_slot = FASHIONAI_WANTED[cells["image_category"]]
    points = {}
    for column in FASHIONAI_HEADER.split(","):
        parts = cells[column].split("_")
        need(len(parts) == 3 and parts[2] in ("1", "0", "-1"))
        x, y = pixels(parts[0]), pixels(parts[1])
        if parts[2] == "-1":
            need((x, y) == (-1, -1))
        else:
            need((x, y) != (-1, -1) and column in FASHIONAI_COLUMNS_WANTED[cells["image_category"]].split())
            points[column] = x, y, {"1": 2, "0": 1}[parts[2]]
    need(len(points) >= 3)
    xs, ys = sorted(x for x, _, _ in points.values()), sorted(y for _, y, _ in points.values())
    need(xs[0] < xs[-1] and ys[0] < ys[-1])
    margin = round(0.05 * max(xs[-1] - xs[0], ys[-1] - ys[0]))
    low = [bound if bound < 0 else max(bound - margin, 0.0) for bound in (xs[0], ys[0])]
    keypoints = {slot: points[column] for slot, column in column_of_slot.items() if column in points}
    return mutations.plain(TYPES[garment_type], (*low, xs[-1] + margin, ys[-1] + margin), keypoints)


def _fashionai_oracle(content):
    """Return photo → its garment, or None where there is a fault."""
    lines = [line.removesuffix(b"\r") for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    columns = _fashionai_cells(lines[0])
    need(sorted(columns) == sorted(_FASHIONAI_COLUMNS))
    rows = {}
    for line in lines[1:]:
        with contextlib.suppress(Wrong):
            cells = _fashionai_cells(line)
            need(len(cells) == len(columns))
            cells = dict(zip(columns, cells, strict=True))
            rows.setdefault(photo_name(cells["image_id"]), []).append(cells)
    garments = {}
    for photo, same in rows.items():
        garments[photo] = None
        with contextlib.suppress(Wrong):
            need(all(cells == same[0] for cells in same))
            garments[photo] = _fashionai_garment(same[0])
    return garments


def _check_fashionai(content):
    with _root("Annotations") as root:
        path = root / "Annotations" / "train.csv"
        path.write_bytes(content)
        try:
            result = read_fashionai(root)
        except UserError as error:
            _check_refusal(error, root)
            result = None
    try:
        wanted = _fashionai_oracle(content)
    except Wrong:
        assert result is None
        return
    assert result is not None
    _check_rejected(result.rejected, path)
    found = {sample.photo: mutations.plain_garments(sample) for sample in result.samples}
    assert found == {photo: [garment] for photo, garment in wanted.items() if garment}
    assert {photo for photo, garment in wanted.items() if not garment} <= {fault.photo for fault in result.rejected}


@SETTINGS
@given(_csv_files())
@example(b"")
@example(b"\xff")
@example(_csv(_fashionai_rows()))
def test_fashionai_accepts_only_what_the_file_says(content):
    _check_fashionai(content)


def test_fashionai_accepts_only_what_the_file_says_with_one_change_anywhere():
    rows = _fashionai_rows()
    cells = itertools.cycle(_FASHIONAI_CELLS)
    for row, column in itertools.product(range(len(rows)), range(len(_FASHIONAI_COLUMNS))):
        for _ in range(5):
            changed = copy.deepcopy(rows)
            changed[row][column] = next(cells)
            _check_fashionai(_csv(changed))
            changed[row][column] = rows[row][column]
            changed.append([next(cells) if index == column else cell for index, cell in enumerate(rows[row])])
            _check_fashionai(_csv(changed))


@settings(SETTINGS, max_examples=50)
@given(st.permutations(range(len(_FASHIONAI_COLUMNS))))
def test_fashionai_columns_are_read_by_the_header_in_any_order(order):
    straight = _csv(_fashionai_rows())
    shuffled = _csv([[row[index] for index in order] for row in _fashionai_rows()])
    with _root() as root:
        found = []
        for content in (straight, shuffled):
            (root / "train.csv").write_bytes(content)
            result = read_fashionai(root)
            found.append([(sample.photo, mutations.plain_garments(sample)) for sample in result.samples])
    assert len(found[0]) == 4 and found[0] == found[1]


# COCO ----------------------------------------------------------------------------------------------------------------

_UPPER = ["left collar", "right collar", "left sleeve", "right sleeve", "left hem", "right hem"]
_LOWER = ["left_hem", "right_hem", "left_waistline", "right_waistline"]
_SLOT_OF_NAME = {
    "left collar": 0,
    "right collar": 1,
    "left sleeve": 2,
    "right sleeve": 3,
    "left waistline": 4,
    "right waistline": 5,
    "left hem": 6,
    "right hem": 7,
}
_SLOTS_OF_TYPE = {1: {0, 1, 2, 3, 6, 7}, 2: {4, 5, 6, 7}, 3: set(range(8))}


def _annotation(number, image_id, category_id, codes):
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [10 * number, 5.5, 100, 150],
        "iscrowd": 0,
        "num_keypoints": sum(code > 0 for code in codes),
        "keypoints": [value for n, code in enumerate(codes) for value in (10 * number + n, 20 + n / 2, code)],
        "variation": number % 6,
    }


_COCO = {
    "images": [
        {"id": 1, "file_name": "img/1.jpg", "height": 300, "split_group": "a"},
        {"id": 2, "file_name": "2.jpg"},
        {"id": 5, "file_name": "3.jpg"},
    ],
    "annotations": [
        _annotation(1, 1, 1, (2, 2, 1, 0, 2, 2)),
        _annotation(2, 1, 2, (2, 2, 2, 1)),
        _annotation(3, 2, 7, (2, 0, 1, 1, 2, 2, 2, 2)),
        _annotation(4, 5, 1, (2, 2, 2, 2, 2, 1)),
        _annotation(6, 5, 8, (2, 2, 2, 2, 0, 0, 2, 1)),
    ],
    "categories": [
        {"id": 1, "name": "fashion", "keypoints": _UPPER},
        {"id": 2, "name": "trousers", "keypoints": _LOWER},
        {"id": 7, "name": "full-body", "keypoints": list(_SLOT_OF_NAME)},
        {"id": 8, "name": "upper-body", "keypoints": list(_SLOT_OF_NAME)},
    ],
}


def _coco_slots(category):
    """Return the slots of a category's keypoints in the order of the names."""
    slots = []
    for name in _get(category, "keypoints", list):
        need(type(name) is str)
        normalised = " ".join(re.split(r"[\s._-]+", name.strip().lower()))
        need(normalised in _SLOT_OF_NAME)
        slots.append(_SLOT_OF_NAME[normalised])
    need(len(set(slots)) == len(slots))
    return slots


def _coco_type(category, slots, is_only_one):
    need(slots)
    first = re.split(r"[\s._-]+", category["name"].strip().lower())
    named = {"upper": 1, "lower": 2, "full": 3}.get(first[0]) if first[1:] in ([], ["body"]) else None
    if named:
        need(len(slots) == 8 or set(slots) <= set(_SLOTS_OF_TYPE[named]))
        return named
    types = [garment_type for garment_type, of_type in _SLOTS_OF_TYPE.items() if of_type == set(slots)]
    need(types and (types != [3] or is_only_one))
    return types[0]


def _reference(entry, key):
    """What an id is compared by, whether it can be used or not; None if there is none."""
    value = entry.get(key) if type(entry) is dict else None
    if value is None:
        return None
    try:
        return _identity(value)
    except Wrong:
        return f"\0{type(value)} {len(value) if type(value) is list else value if type(value) is not dict else ''}"


def _coco_categories(categories, used):
    """Return id → garment type and slots; what no annotation uses may be wrong."""

    def attempt(function, *args):
        try:
            return function(*args)
        except Wrong:
            return None

    def parts(category):
        _dict(category)
        need("id" in category)
        category_id = _identity(category["id"])
        name = category.get("name") if type(category.get("name")) is str else None
        return category_id, name, attempt(_coco_slots, category) if name is not None else None

    read = [attempt(parts, category) or (None, None, None) for category in categories]
    is_only_one = sum(1 for _, _, slots in read if slots) == 1
    types = {}
    for (category_id, name, slots), category in zip(read, categories, strict=True):
        if category_id is None:
            need(used <= {other for other, _, _ in read})
            continue
        try:
            need(slots is not None)
            need(sum(other == category_id for other, _, _ in read) == 1)
            need(category_id not in used or sum(n == name for other, n, _ in read if other in used) == 1)
            types[category_id] = _coco_type(category, slots, is_only_one), slots
        except Wrong:
            need(category_id not in used)
    return types


def _coco_garment(annotation, categories, num_of_id):
    label_id = _reference(annotation, "id")
    need(label_id is None or str(label_id).startswith("\0") or num_of_id[label_id] == 1)
    need(annotation.get("iscrowd") in (None, False) or mutations.whole(annotation["iscrowd"]) == 0)
    need("category_id" in annotation)
    category_id = _identity(annotation["category_id"])
    need(category_id in categories)
    garment_type, slots = categories[category_id]
    bbox = _get(annotation, "bbox", list)
    need(len(bbox) == 4)
    x, y, width, height = map(pixels, bbox)
    values = annotation.get("keypoints")
    need(values is None or type(values) is list)
    values = values or [0] * 3 * len(slots)
    need(len(values) == 3 * len(slots))
    keypoints = {}
    for index, slot in enumerate(slots):
        triple = values[3 * index : 3 * index + 3]
        is_nothing = all(type(value) not in (list, dict) and (not value or value != value) for value in triple)
        code = 0 if is_nothing else one_of(triple[2], (0, 1, 2))
        if code:
            keypoints[slot] = pixels(values[3 * index]), pixels(values[3 * index + 1]), code
            need(slot in _SLOTS_OF_TYPE[garment_type])
    try:
        variation = one_of(annotation.get("variation"), range(6))
    except Wrong:
        variation = 0
    return mutations.plain(garment_type, mutations.corners(x, y, x + width, y + height), keypoints, variation)


def _coco_oracle(content):
    """Return photo → its group and its garments, or None where there is a fault."""
    document = _dict(_load(content))
    images, annotations, categories = (_get(document, key, list) for key in ("images", "annotations", "categories"))
    types = _coco_categories(categories, {_reference(label, "category_id") for label in annotations} - {None})
    num_of_image = collections.Counter(_reference(image, "id") for image in images)
    num_of_label = collections.Counter(_reference(label, "id") for label in annotations)

    photos, photo_of_id = {}, {}
    for image in images:
        if type(image) is not dict:
            continue
        image_id, group = _reference(image, "id"), image.get("split_group")
        try:
            name = image.get("file_name")
            parts = name.split("/") if type(name) is str else []
            parts_of_path = [part for part in parts if part not in ("", ".")]
            if parts_of_path and (name.startswith("/") or ".." in parts_of_path):
                name = parts_of_path[-1]
            name = photo_name(name)
        except Wrong:
            name = None
        if image_id is not None:
            photo_of_id.setdefault(image_id, name)
        if name is None:
            continue
        good = name not in photos and "\0" not in image
        good = good and image_id is not None and not str(image_id).startswith("\0") and num_of_image[image_id] == 1
        photos[name] = (group if type(group) is str else None, []) if good else None
    for annotation in annotations:
        name = photo_of_id.get(_reference(annotation, "image_id"))
        if name is None or photos[name] is None:
            continue
        try:
            garment = _coco_garment(_dict(annotation), types, num_of_label)
        except Wrong:
            photos[name] = None
        else:
            if garment not in photos[name][1]:
                photos[name][1].append(garment)
    return photos


def _check_coco(content):
    with _root("annotations") as root:
        path = root / "annotations" / "labels.train.json"
        path.write_bytes(content)
        try:
            result = read_coco(root)
        except UserError as error:
            _check_refusal(error, path)
            result = None
    try:
        wanted = _coco_oracle(content)
    except Wrong:
        assert result is None
        return
    assert result is not None
    _check_rejected(result.rejected, path)
    found = {sample.photo: (sample.group, mutations.plain_garments(sample)) for sample in result.samples}
    assert found == {photo: labels for photo, labels in wanted.items() if labels}
    assert {sample.split for sample in result.samples} <= {"train"}
    bad = {photo for photo, labels in wanted.items() if labels is None}
    assert bad <= {fault.photo for fault in result.rejected}
    assert not {fault.photo for fault in result.rejected} & set(found)


@SETTINGS
@given(_json_files(_COCO))
@example(_dump(_COCO))
@example(b"")
@example(b"[" * 100_000)
@example(_dump({**_COCO, "images": [*_COCO["images"], _COCO["images"][0]]}))
def test_coco_accepts_only_what_the_file_says(content):
    _check_coco(content)


def test_coco_accepts_only_what_the_file_says_with_one_change_anywhere():
    for content in _changed_everywhere(_COCO):
        _check_coco(content)


def test_coco_accepts_only_what_a_file_of_one_category_says():
    document = {key: [_COCO[key][2]] for key in ("images", "annotations", "categories")}
    document["annotations"][0] = {**document["annotations"][0], "image_id": 5}
    for content in _changed_everywhere(document):
        _check_coco(content)
