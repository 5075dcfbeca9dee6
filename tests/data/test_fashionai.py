import pytest

from cspn_tf.console import UserError
from cspn_tf.data.fashionai import DERIVED_BOX, PHOTO_WITHOUT_LABELS, read_fashionai
from cspn_tf.garments import Variation
from tests.data.test_landmark_maps import FASHIONAI_HEADER

HEADER = f"image_id,image_category,{FASHIONAI_HEADER}"
COLUMNS = HEADER.split(",")

SKIRT = {
    "waistband_left": "200_50_1",
    "waistband_right": "300_50_0",
    "hemline_left": "180_250_1",
    "hemline_right": "320_240_1",
}
TROUSERS = {
    "waistband_left": "96_72_1",
    "waistband_right": "285_68_1",
    "crotch": "206_180_1",
    "bottom_left_in": "203_312_1",
    "bottom_left_out": "64_309_1",
    "bottom_right_in": "224_297_1",
    "bottom_right_out": "335_296_0",
}


def make_line(photo, category, cells, columns=COLUMNS):
    values = {"image_id": photo, "image_category": category, **cells}
    return ",".join(values.get(column, "-1_-1_-1") for column in columns)


def _write(path, *lines, header=HEADER, newline="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(newline.join([header, *lines, ""]).encode())


def _read(root, *lines):
    _write(root / "Annotations" / "train.csv", *lines)
    return read_fashionai(root)


def _read_one(root, category, cells):
    result = _read(root, make_line(f"Images/{category}/1.jpg", category, cells))
    assert result.rejected == []
    return result.samples[0].garments


def _reject(root, line):
    """Read a row that has a fault between two that have none."""
    good = [make_line(f"Images/skirt/{n}.jpg", "skirt", SKIRT) for n in (1, 3)]
    result = _read(root, good[0], line, good[1])
    assert [sample.photo for sample in result.samples] == ["Images/skirt/1.jpg", "Images/skirt/3.jpg"]
    (rejected,) = result.rejected
    assert rejected.where == f"{root / 'Annotations' / 'train.csv'}:3"
    assert rejected.reason.isprintable() and rejected.photo.isprintable()
    return rejected


def test_a_photo_is_a_sample(tmp_path):
    (sample,) = _read(tmp_path, make_line("Images/skirt/1.jpg", "skirt", SKIRT)).samples
    assert (sample.photo, sample.split, sample.group) == ("Images/skirt/1.jpg", None, None)
    assert sample.path == str(tmp_path / "Images/skirt/1.jpg")
    assert sample.where == f"{tmp_path / 'Annotations' / 'train.csv'}:2"
    assert sample.garments.variations.tolist() == [Variation.UNKNOWN]


def test_the_box_is_derived_from_all_points_with_a_margin(tmp_path):
    # Bounds of the labelled points, mapped or not: 64 to 335 and 68 to 312; 5 % of 271 are 14 pixels.
    assert _read_one(tmp_path, "trousers", TROUSERS).boxes_xyxy.tolist() == [[50.0, 54.0, 349.0, 326.0]]


def test_the_box_stays_in_the_photo_where_its_edge_is_known(tmp_path):
    cells = {**SKIRT, "waistband_left": "3_2_1"}
    # Bounds 3 to 320 and 2 to 250; the margin is 16 pixels.
    assert _read_one(tmp_path, "skirt", cells).boxes_xyxy.tolist() == [[0.0, 0.0, 336.0, 266.0]]


def test_the_box_holds_a_point_outside_the_photo(tmp_path):
    assert _read_one(tmp_path, "skirt", {**SKIRT, "waistband_left": "-1_2_1"}).boxes_xyxy[0, :2].tolist() == [-1.0, 0.0]


def test_derived_boxes_are_counted(tmp_path):
    result = _read(tmp_path, *(make_line(f"Images/skirt/{n}.jpg", "skirt", SKIRT) for n in range(3)), "broken")
    assert result.notes == {DERIVED_BOX: 3}
    assert "FashionAI" in result.variant and "no boxes" in result.variant


@pytest.mark.parametrize(
    "cells, words",
    [
        ({}, "0 labelled points, required 3 to derive a box"),
        ({"waistband_left": "1_2_1", "waistband_right": "9_8_0"}, "2 labelled points, required 3"),
        ({"waistband_left": "1_5_1", "waistband_right": "9_5_1", "hemline_left": "5_5_1"}, "has no area"),
    ],
)
def test_without_enough_points_there_is_no_box(tmp_path, cells, words):
    assert words in _reject(tmp_path, make_line("Images/skirt/2.jpg", "skirt", cells)).reason


@pytest.mark.parametrize("name", ["train.csv", "Annotations/annotations.csv", "test_a_answer.csv"])
def test_labels_are_found_under_any_name(tmp_path, name):
    _write(tmp_path / name, make_line("Images/skirt/1.jpg", "skirt", SKIRT))
    assert len(read_fashionai(str(tmp_path)).samples) == 1


def test_photos_are_looked_for_in_the_root_and_beside_the_file(tmp_path):
    lines = [make_line(f"Images/skirt/{n}.jpg", "skirt", SKIRT) for n in (1, 2, 3)]
    for path in ("Images/skirt/1.jpg", "Annotations/Images/skirt/1.jpg", "Annotations/Images/skirt/2.jpg"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"a photo")
    samples = _read(tmp_path, *lines).samples
    assert [sample.path.removeprefix(f"{tmp_path}/") for sample in samples] == [
        "Images/skirt/1.jpg",
        "Annotations/Images/skirt/2.jpg",
        "Images/skirt/3.jpg",  # nowhere, and so where it should be
    ]


def test_several_files_come_together(tmp_path):
    _write(tmp_path / "Annotations/b.csv", make_line("Images/skirt/2.jpg", "skirt", SKIRT))
    _write(tmp_path / "Annotations/a.csv", make_line("Images/skirt/3.jpg", "skirt", SKIRT))
    _write(tmp_path / "c.csv", make_line("Images/skirt/1.jpg", "skirt", SKIRT))
    assert [sample.photo[-5] for sample in read_fashionai(tmp_path).samples] == ["1", "3", "2"]


def test_a_list_of_photos_without_labels_is_left_out_and_counted(tmp_path):
    _write(
        tmp_path / "test.csv", "Images/skirt/8.jpg,skirt", "Images/skirt/9.jpg,skirt", header="image_id,image_category"
    )
    result = _read(tmp_path, make_line("Images/skirt/1.jpg", "skirt", SKIRT))
    assert [sample.photo for sample in result.samples] == ["Images/skirt/1.jpg"]
    assert result.notes == {DERIVED_BOX: 1, PHOTO_WITHOUT_LABELS: 2}


def test_quotes_spaces_and_a_byte_order_mark_do_no_harm(tmp_path):
    line = '"' + make_line("Images/skirt/1.jpg", "skirt", SKIRT).replace(",", '", "') + '"'
    line = line.replace(', "', ',"').replace("skirt/1.jpg", "skirt/1, 2.jpg")
    _write(tmp_path / "train.csv", line, header="\ufeff" + HEADER.replace(",", " ,"))
    assert [sample.photo for sample in read_fashionai(tmp_path).samples] == ["Images/skirt/1, 2.jpg"]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"image_category": "hat"}, "unknown image_category 'hat', required blouse, outwear, dress, skirt, trousers"),
        ({"image_category": ""}, "unknown image_category ''"),
        ({"image_category": "Skirt"}, "unknown image_category 'Skirt'"),
        ({"image_category": "trousers"}, "hemline_left '180_250_1', which a trousers does not have"),
        ({"crotch": "1_2_1"}, "crotch '1_2_1', which a skirt does not have"),
        ({"hemline_left": "1_2"}, "hemline_left '1_2' is not x_y_v"),
        ({"hemline_left": "1_2_2"}, "hemline_left '1_2_2' is not x_y_v with v 1, 0 or -1"),
        ({"hemline_left": "1_2_1_1"}, "is not x_y_v"),
        ({"hemline_left": ""}, "hemline_left '' is not x_y_v"),
        ({"hemline_left": "3_4_-1"}, "x_y must be -1_-1 if v is -1, and only then"),
        ({"hemline_left": "-1_-1_1"}, "x_y must be -1_-1 if v is -1, and only then"),
        ({"hemline_left": "-1_-1_0"}, "x_y must be -1_-1 if v is -1, and only then"),
        ({"hemline_left": "x" * 1000}, "is not x_y_v"),
        ({"image_id": ""}, "image_id '' is not a path inside the dataset"),
        ({"image_id": "a,b.jpg"}, "27 fields, required 26: 'image_id image_category"),
        ({"hemline_left": '"1_2_1'}, "the line is not CSV"),
    ],
)
def test_a_fault_of_a_row_costs_the_photo(tmp_path, changes, words):
    assert words in _reject(tmp_path, make_line("Images/skirt/2.jpg", "skirt", {**SKIRT, **changes})).reason


def test_a_row_with_a_fault_names_its_photo(tmp_path):
    line = make_line("Images/skirt/2.jpg", "skirt", SKIRT)
    assert _reject(tmp_path / "a", line.replace("skirt,", "hat,", 1)).photo == "Images/skirt/2.jpg"
    assert _reject(tmp_path / "b", line[:-9]).photo == "Images/skirt/2.jpg"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "image_id",
        HEADER + ",extra",
        HEADER.replace(",crotch", ""),
        HEADER.replace("crotch", "armpit_left"),
        HEADER.replace(",", ";"),
        "Images/skirt/1.jpg,skirt",
        'image_id,"image_category',
    ],
)
def test_another_header_is_refused(tmp_path, header):
    _write(tmp_path / "train.csv", header=header)
    with pytest.raises(UserError) as error:
        read_fashionai(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'train.csv'}:1: ") and str(error.value).isprintable()


def test_a_dataset_without_labels_is_refused(tmp_path):
    _write(tmp_path / "test.csv", "Images/skirt/1.jpg,skirt", header="image_id,image_category")
    with pytest.raises(UserError, match="no CSV file with keypoints in it or in Annotations"):
        read_fashionai(tmp_path)
