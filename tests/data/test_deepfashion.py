import dataclasses

import numpy as np
import pytest

from cspn_tf.console import UserError
from cspn_tf.data.deepfashion import read_deepfashion
from cspn_tf.garments import GarmentType, Variation

PARTITION = "Eval/list_eval_partition.txt"
BOXES = "Anno/list_bbox.txt"
LANDMARKS = "Anno/list_landmarks.txt"

HEADERS = {
    PARTITION: "image_name evaluation_status",
    BOXES: "image_name x_1 y_1 x_2 y_2",
    LANDMARKS: "image_name clothes_type variation_type "
    + " ".join(f"landmark_visibility_{k} landmark_location_x_{k} landmark_location_y_{k}" for k in range(1, 9)),
}

# Name; split; box; landmarks. The first two are rows of the dataset itself, 1 is zero-padded to eight keypoints.
PHOTOS = [
    (
        "img/img_00000001.jpg",
        "train",
        "053 130 289 440",
        "1  1  0 144 156  0 221 159  0 086 218  0 250 238  0 111 408  0 237 412",
    ),
    (
        "img/img_00000002.jpg",
        "val",
        "045  040  299  449",
        "1 4 0 132 048 0 215 054 0 063 067 0 280 088 2 000 000 2 000 000 0 000 000 0 000 000",
    ),
    ("img/img_00000003.jpg", "test", "10 20 200 400", "2 2 0 30 40 1 120 41 0 20 390 0 150 380"),
    (
        "img/img_00000005.jpg",
        "train",
        "010 020 200 400",
        "3 5 0 11 21 1 12 22 2 0 0 0 14 24 0 15 25 0 16 26 0 17 27 0 18 28",
    ),
    ("img/img_00000007.jpg", "train", "1 2 30 40", "1 3 0 5 6 0 7 8 0 9 10 0 11 12 0 13 14 0 15 16"),
]
NAMES = [photo[0] for photo in PHOTOS]


def _base_lines():
    """Lines of the three files, as lists of bytes."""
    rows = {
        PARTITION: [f"{name}  {split}" for name, split, _, _ in PHOTOS],
        BOXES: [f"{name}  {box}" for name, _, box, _ in PHOTOS],
        LANDMARKS: [f"{name}  {landmarks}" for name, _, _, landmarks in PHOTOS],
    }
    return {file: [line.encode() for line in (str(len(rows[file])), HEADERS[file], *rows[file])] for file in rows}


def _write(root, lines, newline=b"\n"):
    for file, file_lines in lines.items():
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_bytes(newline.join(file_lines) + newline)


@pytest.fixture
def root(tmp_path):
    _write(tmp_path, _base_lines())
    (tmp_path / "img").mkdir()
    return tmp_path


def _change(root, file, line, old, new):
    """Replace text in one line (counted from 1) of one file."""
    path = root / file
    lines = path.read_bytes().split(b"\n")
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    path.write_bytes(b"\n".join(lines))


def _append(root, file, line):
    path = root / file
    lines = path.read_bytes().rstrip(b"\n").split(b"\n")
    lines[0] = str(int(lines[0]) + 1).encode()
    path.write_bytes(b"\n".join([*lines, line]) + b"\n")


def _drop(root, file, line):
    path = root / file
    lines = path.read_bytes().rstrip(b"\n").split(b"\n")
    lines[0] = str(int(lines[0]) - 1).encode()
    del lines[line - 1]
    path.write_bytes(b"\n".join(lines) + b"\n")


def _assert_same(sample, other):
    assert (sample.photo, sample.split) == (other.photo, other.split)
    assert sample.garments == other.garments


# What is read --------------------------------------------------------------------------------------------------------


def test_published_upper_body_row_goes_to_collar_sleeve_and_hem_slots(root):
    sample = read_deepfashion(root).samples[0]
    (garment,) = sample.garments
    assert (sample.photo, sample.split) == ("img/img_00000001.jpg", "train")
    assert sample.where == f"{root}/Anno/list_landmarks.txt:3"
    assert sample.path == str(root / "img/img_00000001.jpg")
    assert garment.types == GarmentType.UPPER_BODY
    assert garment.variations == Variation.NORMAL_POSE
    assert garment.boxes_xyxy.tolist() == [[53, 130, 289, 440]]
    np.testing.assert_array_equal(
        garment.keypoints_xy[0],
        [[144, 156], [221, 159], [86, 218], [250, 238], [0, 0], [0, 0], [111, 408], [237, 412]],
    )
    np.testing.assert_array_equal(garment.visibility[0], [2, 2, 2, 2, 0, 0, 2, 2])
    assert garment.keypoints_xy.dtype == np.float32
    assert garment.visibility.dtype == np.int32


def test_published_cut_off_row_padded_to_eight_has_no_hem_coordinates(root):
    (garment,) = read_deepfashion(root).samples[1].garments
    assert garment.variations == Variation.MEDIUM_ZOOM_IN
    np.testing.assert_array_equal(
        garment.keypoints_xy[0], [[132, 48], [215, 54], [63, 67], [280, 88], [0, 0], [0, 0], [0, 0], [0, 0]]
    )
    np.testing.assert_array_equal(garment.visibility[0], [2, 2, 2, 2, 0, 0, -1, -1])


def test_lower_body_row_goes_to_waistline_and_hem_slots(root):
    (garment,) = read_deepfashion(root).samples[2].garments
    assert garment.types == GarmentType.LOWER_BODY
    np.testing.assert_array_equal(garment.keypoints_xy[0, 4:], [[30, 40], [120, 41], [20, 390], [150, 380]])
    np.testing.assert_array_equal(garment.visibility[0], [0, 0, 0, 0, 2, 1, 2, 2])


def test_full_body_row_fills_every_slot(root):
    (garment,) = read_deepfashion(root).samples[3].garments
    np.testing.assert_array_equal(
        garment.keypoints_xy[0], [[11, 21], [12, 22], [0, 0], [14, 24], [15, 25], [16, 26], [17, 27], [18, 28]]
    )
    np.testing.assert_array_equal(garment.visibility[0], [2, 1, -1, 2, 2, 2, 2, 2])


def test_every_photo_is_read_in_order_and_nothing_rejected(root):
    result = read_deepfashion(root)
    assert result.variant == "DeepFashion FLD"
    assert result.notes == {}
    assert [sample.group for sample in result.samples] == [None] * 5
    assert [sample.photo for sample in result.samples] == NAMES
    assert [sample.split for sample in result.samples] == ["train", "val", "test", "train", "train"]
    assert result.rejected == []


@pytest.mark.parametrize("newline", [b"\r\n", b"\n\n", b" \t\n"])
def test_line_ends_and_blank_lines_change_nothing(root, newline):
    wanted = read_deepfashion(root).samples
    if newline == b"\n\n":  # blank lines between rows; the first two lines are fixed
        lines = {file: [*ls[:2], b"\n".join(line + b"\n" for line in ls[2:])] for file, ls in _base_lines().items()}
        _write(root, lines)
    else:
        _write(root, _base_lines(), newline)
    result = read_deepfashion(root)
    assert result.rejected == []
    for sample, other in zip(result.samples, wanted, strict=True):
        _assert_same(sample, other)


def test_byte_order_mark_is_skipped(root):
    (root / BOXES).write_bytes(b"\xef\xbb\xbf" + (root / BOXES).read_bytes())
    assert len(read_deepfashion(root).samples) == 5


def test_numbers_are_base_ten_and_may_have_a_fraction(root):
    _change(root, BOXES, 3, b"053 130", b"0053.50 0130")
    assert read_deepfashion(root).samples[0].garments.boxes_xyxy.tolist() == [[53.5, 130, 289, 440]]


def test_a_photo_name_may_have_other_letters_than_ascii(root):
    for file in (PARTITION, BOXES, LANDMARKS):
        _change(root, file, 5, b"img_00000003", "grün".encode())
    assert read_deepfashion(root).samples[2].photo == "img/grün.jpg"


def test_a_header_for_fewer_keypoints_is_known(root):
    _change(root, LANDMARKS, 2, b" landmark_visibility_8 landmark_location_x_8 landmark_location_y_8", b"")
    assert len(read_deepfashion(root).samples) == 5


@pytest.mark.parametrize("folder", ["Img", "Img/img"])
def test_photos_may_lie_in_the_folder_of_a_mirror(root, folder):
    (root / "img").rename(root / "moved")
    (root / folder).parent.mkdir(exist_ok=True)
    (root / "moved").rename(root / folder)
    result = read_deepfashion(root)
    assert result.rejected == []
    assert result.samples[0].photo == "img/img_00000001.jpg"
    assert result.samples[0].path == str(root / folder / "img_00000001.jpg")


def test_without_own_splits_the_partition_is_not_read(root):
    wanted = read_deepfashion(root).samples
    (root / PARTITION).write_bytes(b"no table")
    for _ in range(2):
        result = read_deepfashion(root, own_splits=False)
        assert result.rejected == []
        for sample, other in zip(result.samples, wanted, strict=True):
            assert sample.split is None
            _assert_same(dataclasses.replace(sample, split=other.split), other)
        (root / PARTITION).unlink(missing_ok=True)
    with pytest.raises(UserError, match=rf"{PARTITION}: No such file or directory$"):
        read_deepfashion(root, own_splits=True)


@pytest.mark.parametrize("file", [BOXES, LANDMARKS])
@pytest.mark.parametrize("folder", ["Anno_coarse", "."])
def test_annotations_may_lie_where_mirrors_have_them(root, file, folder):
    (root / folder).mkdir(exist_ok=True)
    (root / file).rename(root / folder / file.split("/")[1])
    assert len(read_deepfashion(root).samples) == 5


@pytest.mark.parametrize("folder", ["Anno", "."])
def test_the_partition_may_lie_where_mirrors_have_it(root, folder):
    (root / PARTITION).rename(root / folder / "list_eval_partition.txt")
    assert len(read_deepfashion(root).samples) == 5


# Rejected rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "line", "old", "new", "reason"),
    [
        (LANDMARKS, 7, b"0 5 6", b"0 5x 6", "x of left_collar '5x' is not a number"),
        (LANDMARKS, 7, b"0 5 6", b"0 nan 6", "x of left_collar 'nan' is not a number"),
        (LANDMARKS, 7, b"0 5 6", b"0 5 inf", "y of left_collar 'inf' is not a number"),
        (LANDMARKS, 7, b"0 5 6", b"0 1e1 6", "x of left_collar '1e1' is not a number"),
        (LANDMARKS, 7, b"0 5 6", b"0 1.2.3 6", "x of left_collar '1.2.3' is not a number"),
        (LANDMARKS, 7, b"0 5 6", b"0 +5 6", "x of left_collar '+5' is not a number"),
        (LANDMARKS, 7, b"0 5 6", b"0 .5 6", "x of left_collar '.5' is not a number"),
        (LANDMARKS, 7, b"0 5 6", b"0 0x5 6", "x of left_collar '0x5' is not a number"),
        (LANDMARKS, 7, b"0 5 6", b"0 1_0 6", "x of left_collar '1_0' is not a number"),
        (LANDMARKS, 7, b"0 5 6", b"0 \xd9\xa1 6", "is not a number"),
        (LANDMARKS, 7, b"0 5 6", b"0 5\xff 6", "x of left_collar '5\\\\xff' is not a number"),
        (LANDMARKS, 7, b"0 5 6", b"0 5", "17 fields for 6 keypoints, required 18 or 24"),
        (LANDMARKS, 7, b"0 5 6", b"0 5 6 7", "19 fields for 6 keypoints"),
        (LANDMARKS, 5, b"0 30 40", b"0 30", "11 fields for 4 keypoints, required 12 or 24"),
        (LANDMARKS, 6, b"0 11 21", b"0 11", "23 fields for 8 keypoints, required 24"),
        (LANDMARKS, 7, b"1 3 0 5 6", b"4 3 0 5 6", "unknown clothes_type 4, required 1, 2, 3"),
        (LANDMARKS, 7, b"1 3 0 5 6", b"0 3 0 5 6", "unknown clothes_type 0"),
        (LANDMARKS, 7, b"1 3 0 5 6", b"-1 3 0 5 6", "clothes_type '-1' is not a whole number"),
        (LANDMARKS, 7, b"1 3 0 5 6", b"1 6 0 5 6", "unknown variation_type 6, required 1, 2, 3, 4, 5"),
        (LANDMARKS, 7, b"1 3 0 5 6", b"1 0 0 5 6", "unknown variation_type 0"),
        (LANDMARKS, 7, b"1 3 0 5 6", b"1 3 3 5 6", "unknown visibility of left_collar 3, required 0, 1, 2"),
        (LANDMARKS, 7, b"1 3 0 5 6", b"1 3 2 5 6", "left_collar is cut off and has coordinates 5 6, required 0 0"),
        (LANDMARKS, 4, b"0 000 000 0 000 000", b"0 000 000 0 000 003", "'003' after the 6 keypoints"),
        (LANDMARKS, 7, b"0 5 6", b"0 9999999 6", "x of left_collar '9999999' is not a coordinate in pixels"),
        (LANDMARKS, 7, b"0 5 6", b"0 " + b"9" * 5000 + b" 6", "is not a coordinate in pixels"),
        (BOXES, 7, b"1 2 30 40", b"1 2 x 40", "x_2 'x' is not a number"),
        (BOXES, 7, b"1 2 30 40", b"1 2 30", "4 fields, required 5: image_name x_1 y_1 x_2 y_2"),
        (BOXES, 7, b"1 2 30 40", b"1 2 30 40 5", "6 fields, required 5"),
        (BOXES, 7, b"1 2 30 40", b"30 2 30 40", "box 30 2 30 40 has no area"),
        (BOXES, 7, b"1 2 30 40", b"1 50 30 40", "box 1 50 30 40 has no area"),
        (PARTITION, 7, b"train", b"training", "unknown evaluation_status 'training', required train, val, test"),
        (PARTITION, 7, b"train", b"train val", "3 fields, required 2"),
        (PARTITION, 7, b"train", b"", "1 fields, required 2"),
    ],
)
def test_a_bad_row_is_named_and_its_neighbours_kept(root, file, line, old, new, reason):
    wanted = read_deepfashion(root).samples
    _change(root, file, line, old, new)
    result = read_deepfashion(root)
    (rejected,) = result.rejected
    assert reason in rejected.reason
    assert rejected.where == f"{root / file}:{line}"
    assert rejected.photo == NAMES[line - 3]
    del wanted[line - 3]
    for sample, other in zip(result.samples, wanted, strict=True):
        _assert_same(sample, other)


def test_a_row_of_a_name_alone_is_rejected(root):
    _change(root, LANDMARKS, 7, (root / LANDMARKS).read_bytes().split(b"\n")[6], NAMES[4].encode())
    (rejected,) = read_deepfashion(root).rejected
    assert "1 fields, required image_name clothes_type variation_type and the keypoints" in rejected.reason


def test_what_only_the_photo_can_tell_is_left_alone(root):
    _change(root, LANDMARKS, 7, b"0 5 6", b"0 -2 9999")
    result = read_deepfashion(root)
    assert result.rejected == []
    np.testing.assert_array_equal(result.samples[4].garments.keypoints_xy[0, 0], [-2, 9999])


@pytest.mark.parametrize(("file", "what"), [(BOXES, "box"), (LANDMARKS, "landmarks")])
def test_a_photo_of_the_partition_without_a_row_is_rejected(root, file, what):
    _drop(root, file, 5)
    result = read_deepfashion(root)
    (rejected,) = result.rejected
    assert rejected.where == f"{root / PARTITION}:5"
    assert f"photo 'img/img_00000003.jpg' has no {what}: no row in {file.split('/')[1]}" in rejected.reason
    assert len(result.samples) == 4


def test_a_photo_outside_the_partition_is_rejected_once(root):
    _drop(root, PARTITION, 5)
    (rejected,) = read_deepfashion(root).rejected
    assert rejected.where == f"{root / LANDMARKS}:5"
    assert rejected.reason == "photo 'img/img_00000003.jpg' is not in list_eval_partition.txt"


def test_a_box_of_an_unknown_photo_is_rejected(root):
    _append(root, BOXES, b"img/img_00000099.jpg 1 2 3 4")
    result = read_deepfashion(root)
    (rejected,) = result.rejected
    assert rejected.where == f"{root / BOXES}:8"
    assert len(result.samples) == 5


@pytest.mark.parametrize("file", [PARTITION, BOXES, LANDMARKS])
def test_a_repeated_row_is_rejected_and_the_first_kept(root, file):
    _append(root, file, (root / file).read_bytes().split(b"\n")[4].replace(b" ", b"   "))
    result = read_deepfashion(root)
    (rejected,) = result.rejected
    assert rejected.where == f"{root / file}:8"
    assert rejected.reason == "duplicate row: photo 'img/img_00000003.jpg' is in line 5 already"
    assert len(result.samples) == 5


@pytest.mark.parametrize(
    ("file", "row"),
    [(PARTITION, b"val"), (BOXES, b"1 2 3 4"), (LANDMARKS, b"2 2 0 31 40 1 120 41 0 20 390 0 150 380")],
)
def test_two_rows_that_differ_cost_the_photo(root, file, row):
    _append(root, file, b"img/img_00000003.jpg " + row)
    result = read_deepfashion(root)
    (rejected,) = result.rejected
    assert rejected.where == f"{root / file}:8"
    assert rejected.reason == "duplicate row: photo 'img/img_00000003.jpg' is in line 5 with other values"
    assert [sample.photo for sample in result.samples] == NAMES[:2] + NAMES[3:]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"img/\xff.jpg", "photo name 'img/\\\\xff.jpg' is not UTF-8"),
        (b"../img_00000003.jpg", "is not a path inside the dataset"),
        (b"/etc/passwd", "is not a path inside the dataset"),
        (b"img/\x00.jpg", "has control characters"),
        (b".", "is not a path inside the dataset"),
    ],
)
def test_a_photo_name_that_cannot_be_is_rejected(root, name, reason):
    for file in (PARTITION, BOXES, LANDMARKS):
        _change(root, file, 5, b"img/img_00000003.jpg", name)
    result = read_deepfashion(root)
    (rejected,) = result.rejected
    assert reason in rejected.reason
    assert rejected.where == f"{root / LANDMARKS}:5"
    assert len(result.samples) == 4


@pytest.mark.parametrize(
    "name", ["img/9.41.00\u202fAM.jpg", "img/a\u00a0b\u3000c.jpg", "img/\U0001f469\u200d\U0001f3a8.jpg"]
)
def test_a_photo_name_may_have_characters_that_cannot_be_seen(root, name):
    for file in (PARTITION, BOXES, LANDMARKS):
        _change(root, file, 5, b"img/img_00000003.jpg", name.encode())
    result = read_deepfashion(root)
    assert (result.rejected, result.samples[2].photo) == ([], name)


# Faults of a file ----------------------------------------------------------------------------------------------------


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder$"):
        read_deepfashion(tmp_path / "nowhere")


@pytest.mark.parametrize("file", [PARTITION, BOXES, LANDMARKS])
def test_a_missing_file_is_named(root, file):
    (root / file).unlink()
    with pytest.raises(UserError, match=rf"{file}: No such file or directory$"):
        read_deepfashion(root)


@pytest.mark.parametrize("file", [PARTITION, BOXES, LANDMARKS])
@pytest.mark.parametrize(
    ("line", "content", "message"),
    [
        (1, b"five", ":1: 'five' is not the number of rows"),
        (1, b"", ":1: '' is not the number of rows"),
        (1, b"-5", ":1: '-5' is not the number of rows"),
        (1, b"\xff", r":1: '\\\\xff' is not the number of rows"),
        (1, b"9" * 5000, ":1: '9999"),
        (1, b"6", ":1: says 6 rows, the file has 5"),
        (1, b"4", ":1: says 4 rows, the file has 5"),
        (2, b"image_name category_label", ":2: unknown columns 'image_name category_label', required image_name "),
        (2, b"", ":2: unknown columns '', required image_name "),
        (2, b"\xff\xfe", ":2: unknown columns "),
    ],
)
def test_a_file_with_wrong_first_lines_is_refused(root, file, line, content, message):
    lines = _base_lines()
    lines[file][line - 1] = content
    _write(root, lines)
    with pytest.raises(UserError) as error:
        read_deepfashion(root)
    assert file + message.replace(r"\\", "\\") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"5", b"\x00" * 100, b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_table_is_refused(root, content):
    (root / BOXES).write_bytes(content)
    with pytest.raises(UserError, match=r"list_bbox.txt:[12]: "):
        read_deepfashion(root)


def test_a_file_cut_short_is_refused(root):
    content = (root / LANDMARKS).read_bytes()
    (root / LANDMARKS).write_bytes(content[: content.index(b"img/img_00000005.jpg")])
    with pytest.raises(UserError, match=r"list_landmarks.txt:1: says 5 rows, the file has 3$"):
        read_deepfashion(root)


@pytest.mark.parametrize(
    "header",
    [
        HEADERS[LANDMARKS].replace("landmark_location_x_1 landmark_location_y_1", "landmark_visibility_2"),
        HEADERS[LANDMARKS].replace("x_1 landmark_location_y_1", "y_1 landmark_location_x_1"),
        HEADERS[LANDMARKS].replace("_1", "_0").replace("_2", "_1").replace("_0", "_2"),
        HEADERS[LANDMARKS].replace("image_name clothes_type", "clothes_type image_name"),
        "image_name clothes_type variation_type",
        "image_name clothes_type",
        HEADERS[LANDMARKS] + " extra",
        HEADERS[LANDMARKS] + " landmark_visibility_9 landmark_location_x_9 landmark_location_y_9",
    ],
)
def test_landmarks_with_other_or_exchanged_columns_are_refused(root, header):
    _change(root, LANDMARKS, 2, HEADERS[LANDMARKS].encode(), header.encode())
    with pytest.raises(UserError, match=r"list_landmarks.txt:2: unknown columns"):
        read_deepfashion(root)


@pytest.mark.parametrize(
    "header", ["image_name y_1 x_1 y_2 x_2", "image_name x_1 x_2 y_1 y_2", "image_name x_1 y_1 x_2"]
)
def test_boxes_with_exchanged_or_missing_columns_are_refused(root, header):
    _change(root, BOXES, 2, HEADERS[BOXES].encode(), header.encode())
    with pytest.raises(UserError, match=r"list_bbox.txt:2: unknown columns"):
        read_deepfashion(root)


@pytest.mark.parametrize("file", [PARTITION, BOXES, LANDMARKS])
def test_a_file_that_is_there_twice_is_refused(root, file):
    copy = root / file.split("/")[1]
    copy.write_bytes((root / file).read_bytes())
    with pytest.raises(UserError, match=rf"{root / file}: {copy} is there too, keep one of them$"):
        read_deepfashion(root)


def test_a_folder_in_place_of_a_file_is_named(root):
    (root / BOXES).unlink()
    (root / BOXES).mkdir()
    with pytest.raises(UserError, match=r"list_bbox.txt: Is a directory$"):
        read_deepfashion(root)
