"""What all readers have in common: the same labels in every format, and a fault that costs one photo and no other."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from cspn_tf.console import UserError
from cspn_tf.data.sources import SOURCES, read_source
from cspn_tf.garments import GarmentType, Variation
from tests.data.coco_labels import LOWER_NAMES, make_annotation, make_images, make_labels
from tests.data.deepfashion_files import FLD, HEADERS, KEYPOINTS
from tests.data.test_fashionai import HEADER as CSV_HEADER
from tests.data.test_fashionai import make_line

FORMATS = ("fld", "deepfashion2", "fashionai", "coco")
NAMED_BY_ROWS = ("fld", "fashionai", "coco")  # DeepFashion2 names photos by its files

XY = [[50, 51], [60, 61], [70, 71], [80, 81]]  # of waistline and hem, left before right


def write_skirts(root, source, names=("1.jpg", "2.jpg", "3.jpg"), x=50, code=None):
    """Write a dataset of one skirt a photo, in which the second one's first keypoint may be another.

    Texts may have bytes that are not UTF-8 as Python does: "\\udcff" is 0xff.

    Returns:
        The file that has the second photo's keypoints.
    """
    skirts = [(name, [[50, 51], *XY[1:]], None) for name in names]
    skirts[1] = names[1], [[x, 51], *XY[1:]], code
    texts = {"fld": _fld, "deepfashion2": _deepfashion2, "fashionai": _fashionai, "coco": _coco}[source](skirts)
    for file, text in texts.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(text.encode("utf-8", "surrogateescape"))
    if source == "deepfashion2":
        (root / "train/image").mkdir(exist_ok=True)
    return root / list(texts)[1 if source == "deepfashion2" else -1]


def _xyv(xys, codes):
    return [[*xy, code] for xy, code in zip(xys, codes, strict=True)]


def _fld(skirts):
    landmarks = []
    for name, xys, code in skirts:
        points = " ".join(f"{v} {x} {y}" for x, y, v in _xyv(xys, (code or 0, 1, 0, 0)))
        landmarks.append(f"{name} 2 1 {points}")
    files = {
        "Eval/list_eval_partition.txt": (HEADERS[FLD][2], [f"{name} train" for name, _, _ in skirts]),
        "Anno/list_bbox.txt": (HEADERS[FLD][0], [f"{name} 40 41 90 91" for name, _, _ in skirts]),
        "Anno/list_landmarks.txt": (" ".join([HEADERS[FLD][1], *KEYPOINTS]), landmarks),
    }
    return {file: "\n".join([str(len(rows)), header, *rows, ""]) for file, (header, rows) in files.items()}


def _fashionai(skirts):
    columns = ("waistband_left", "waistband_right", "hemline_left", "hemline_right")
    lines = [CSV_HEADER]
    for name, xys, code in skirts:
        cells = ["_".join(map(str, xyv)) for xyv in _xyv(xys, (code or 1, 0, 1, 1))]
        lines.append(make_line(name, "skirt", dict(zip(columns, cells, strict=True))))
    return {"train.csv": "\n".join([*lines, ""])}


def _coco(skirts):
    annotations = []
    for number, (_, xys, code) in enumerate(skirts, start=1):
        keypoints = list(itertools.chain(*_xyv(xys, (code or 2, 1, 2, 2))))
        given = {"bbox": [40, 41, 50, 50], "keypoints": keypoints, "num_keypoints": 4}
        annotations.append({**make_annotation(number, number, []), **given})
    images = make_images(*(name for name, _, _ in skirts))
    return {"labels.json": json.dumps(make_labels(LOWER_NAMES, images=images, annotations=annotations), indent=1)}


def _deepfashion2(skirts):
    texts = {}
    for name, xys, code in skirts:
        landmarks = [[0, 0, 0]] * 8
        landmarks[::2] = _xyv(xys, (code or 2, 1, 2, 2))  # waistband 1 and 3, hem 5 and 7
        item = {"category_id": 9, "bounding_box": [40, 41, 90, 91], "landmarks": list(itertools.chain(*landmarks))}
        document = {"source": "user", "pair_id": 7, "item1": item}
        texts[f"train/annos/{name.removesuffix('.jpg')}.json"] = json.dumps(document, indent=1)
    return texts


def rewrite(path, change):
    path.write_bytes(change(path.read_bytes()))


def rejected_second(root, source):
    """Return the one rejected row, of the second photo, having seen that its neighbours are read."""
    result = read_source(source, root)
    assert [sample.photo[-5:] for sample in result.samples] == ["1.jpg", "3.jpg"]
    (rejected,) = result.rejected
    assert rejected.reason.isprintable() and rejected.where.startswith(str(root)) and rejected.kind == "malformed row"
    return rejected


# What is read --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", FORMATS)
def test_one_garment_is_the_same_in_every_format(tmp_path, source):
    write_skirts(tmp_path, source)
    result = read_source(source, str(tmp_path))
    assert result.rejected == [] and len(result.samples) == 3
    for sample in result.samples:
        garments = sample.garments
        assert garments.types.tolist() == [GarmentType.LOWER_BODY]
        known = Variation.NORMAL_POSE if source == "fld" else Variation.UNKNOWN
        assert garments.variations.tolist() == [known]
        # FashionAI's is derived: the bounds of the points and 5 % of 30 pixels, rounded.
        box_xyxy = [48, 49, 82, 83] if source == "fashionai" else [40, 41, 90, 91]
        assert garments.boxes_xyxy.tolist() == [box_xyxy]
        assert garments.keypoints_xy.tolist() == [[[0, 0]] * 4 + XY]
        assert garments.visibility.tolist() == [[0, 0, 0, 0, 2, 1, 2, 2]]
        assert garments.keypoints_xy.dtype == np.float32 and garments.visibility.dtype == np.int32


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content.rstrip(b"\n"),
        lambda content: content + b"\n\n",
    ],
    ids=["byte order mark", "CRLF", "no last line end", "blank lines"],
)
def test_byte_order_marks_and_line_ends_change_nothing(tmp_path, source, change):
    path = write_skirts(tmp_path, source)
    wanted = read_source(source, tmp_path)
    rewrite(path, change)
    result = read_source(source, tmp_path)
    assert result.rejected == []
    for sample, other in zip(result.samples, wanted.samples, strict=True):
        assert dataclasses.replace(sample, garments=None) == dataclasses.replace(other, garments=None)
        assert sample.garments == other.garments


@pytest.mark.parametrize("source", NAMED_BY_ROWS)
@pytest.mark.parametrize("name", ["img/grün.jpg", "a\u00a0b\u3000c.jpg", "9.41.00\u202fAM.jpg"])
def test_names_that_people_have_are_read(tmp_path, source, name):
    write_skirts(tmp_path, source, ("1.jpg", name, "3.jpg"))
    result = read_source(source, tmp_path)
    assert (result.rejected, result.samples[1].photo) == ([], name)


# Faults --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("x", ["5x", "1234567", "9" * 5000])  # the others are in test_fields.py
def test_a_coordinate_that_is_none_costs_the_photo(tmp_path, source, x):
    write_skirts(tmp_path, source, x=x)
    reason = rejected_second(tmp_path, source).reason
    assert reason.startswith("x of ") and len(reason) < 120
    assert reason.endswith("required a number") or reason.endswith("is not a number of pixels")


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("code", ["3", "x"])
def test_a_visibility_that_is_none_costs_the_photo(tmp_path, source, code):
    write_skirts(tmp_path, source, code=code)
    reason = rejected_second(tmp_path, source).reason
    assert "is not x_y_v with v 1, 0 or -1" in reason or (reason.startswith("visibility of ") and "required" in reason)


@pytest.mark.parametrize("source", NAMED_BY_ROWS)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../2.jpg", "'../2.jpg' is not a path inside the dataset"),
        ("img/\x00.jpg", "'img/\\x00.jpg' has control characters"),
    ],
)
def test_a_photo_name_that_cannot_be_is_rejected(tmp_path, source, name, words):
    if source == "coco":  # which takes the last part of such a path
        name, words = name.replace("../2.jpg", ".."), words.replace("../2.jpg", "..")
    write_skirts(tmp_path, source, ("1.jpg", name, "3.jpg"))
    assert words in rejected_second(tmp_path, source).reason


@pytest.mark.parametrize("source", ["fld", "fashionai"])
def test_a_photo_name_that_is_not_utf8_is_rejected_and_shown(tmp_path, source):
    write_skirts(tmp_path, source, ("1.jpg", "img/\udcff.jpg", "3.jpg"))
    rejected = rejected_second(tmp_path, source)
    assert rejected.photo == "img/\\xff.jpg" and "not UTF-8" in rejected.reason


@pytest.mark.parametrize("source", ["deepfashion2", "coco"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"pair_id": "\xff"}', "is not UTF-8: byte 13"),
        (b"", "is not JSON"),
        (b"{", "is not JSON: Expecting property name"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"images": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"[]", "is a list of 0, required an object"),
        (b'{"images": [], "pair_id": 1, "images": []}', "has the key 'images' more than once"),
    ],
)
def test_a_file_that_is_no_document_is_named(tmp_path, source, content, words):
    path = write_skirts(tmp_path, source)
    path.write_bytes(content)
    if source == "coco":
        with pytest.raises(UserError) as error:
            read_source(source, tmp_path)
        assert str(error.value).startswith(f"{path}: ") and words in str(error.value)
    else:
        rejected = rejected_second(tmp_path, source)
        assert rejected.where == str(path) and words in rejected.reason


@pytest.mark.parametrize("source", ["fld", "fashionai"])
def test_a_row_that_is_there_again_costs_itself_and_one_that_differs_the_photo(tmp_path, source):
    path = write_skirts(tmp_path, source, ("1.jpg", "2.jpg", "2.jpg"))
    for other in tmp_path.rglob("*.txt"):
        if other != path:
            rewrite(other, lambda content: content.replace(b"3\n", b"2\n", 1).rsplit(b"\n", 2)[0] + b"\n")
    result = read_source(source, tmp_path)
    line = len(path.read_bytes().splitlines())
    (rejected,) = result.rejected
    assert [sample.photo for sample in result.samples] == ["1.jpg", "2.jpg"]
    assert (rejected.photo, rejected.where) == ("2.jpg", f"{path}:{line}")
    assert rejected.reason == f"duplicate row: photo '2.jpg' is in {path}:{line - 1} already"

    rewrite(path, lambda content: content[::-1].replace(b"05", b"25", 1)[::-1])  # 50 becomes 52
    result = read_source(source, tmp_path)
    (rejected,) = result.rejected
    assert [sample.photo for sample in result.samples] == ["1.jpg"]
    assert rejected.reason.startswith(f"photo '2.jpg' is in {path}:{line - 1} with other values: '50")


@pytest.mark.parametrize("source", SOURCES)
def test_a_missing_folder_is_named(tmp_path, source):
    with pytest.raises(UserError, match=r"nowhere: no such folder$"):
        read_source(source, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("source", "folders", "words"),
    [
        ("fld", [], "list_eval_partition.txt: No such file or directory"),
        *(
            ("deepfashion2", folders, "no JSON file in train/annos, validation/annos or annos")
            for folders in ([], ["train/annos", "train/image"], ["test/image"], ["train/image"])
        ),
        ("fashionai", ["Annotations"], "no CSV file with keypoints in it or in Annotations"),
        ("coco", ["annotations"], "no JSON file in it or in annotations"),
    ],
)
def test_a_dataset_without_annotations_is_refused(tmp_path, source, folders, words):
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(UserError) as error:
        read_source(source, tmp_path)
    assert str(error.value).startswith(str(tmp_path)) and words in str(error.value)
