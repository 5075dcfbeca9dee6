import pytest

from cspn_tf.console import UserError
from cspn_tf.data.deepfashion import read_deepfashion
from cspn_tf.garment_set import Garments
from cspn_tf.garments import Variation
from tests.data.deepfashion_files import CATEGORY, CONSUMER, FLD, HEADERS, IN_SHOP, ITEMS, KEYPOINTS, NAMES, Dataset

# What the keypoints of each photo are by slot: x, y, visibility.
NOTHING = (0, 0, 0)
SLOTS = [
    [(144, 156, 2), (221, 159, 2), (86, 218, 2), (250, 238, 1), NOTHING, NOTHING, (111, 408, 2), (0, 0, -1)],
    [*[NOTHING] * 4, (30, 40, 2), (120, 41, 1), (20, 390, 2), (150, 380, 2)],
    [(11, 21, 2), (12, 22, 1), (0, 0, -1), (14, 24, 2), (15, 25, 2), (16, 26, 2), (17, 27, 2), (18, 28, 2)],
    [(132, 48, 2), (215, 54, 2), (63, 67, 2), (280, 88, 2), NOTHING, NOTHING, (0, 0, -1), (0, 0, -1)],
    [*[NOTHING] * 4, (1.5, -2, 2), (3, 4, 2), (5, 6, 2), (7, 8, 2)],
]


@pytest.fixture
def data(tmp_path):
    return Dataset(tmp_path)


def slots(sample):
    (garment,) = sample.garments
    xyv = zip(garment.keypoints_xy[0].tolist(), garment.visibility[0].tolist(), strict=True)
    return [(x, y, seen) for (x, y), seen in xyv]


def one_rejected(result, kept):
    """Return the only rejected row, having seen that the photos `kept`, by number, are read as they are."""
    assert [sample.photo for sample in result.samples] == [NAMES[n] for n in kept]
    assert [slots(sample) for sample in result.samples] == [SLOTS[n] for n in kept]
    (rejected,) = result.rejected
    return rejected


# What is read --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", HEADERS)
def test_every_variant_is_read_whole(tmp_path, variant):
    result = Dataset(tmp_path, variant).read()
    assert (result.variant, result.rejected) == (variant, [])
    assert [sample.photo for sample in result.samples] == NAMES
    assert [slots(sample) for sample in result.samples] == SLOTS
    garments = Garments.concatenate(sample.garments for sample in result.samples)
    assert garments.types.tolist() == [1, 2, 3, 1, 2]
    assert garments.variations.tolist() == ([0] * 5 if variant == CATEGORY else [1, 2, 3, 4, 5])
    assert garments.boxes_xyxy.tolist() == [
        [53, 130, 289, 440],
        [45, 40, 299, 449],
        [10, 20, 200, 400],
        [0, 0, 1, 1],
        [9.5, -3, 900, 900.25],
    ]


@pytest.mark.parametrize(
    ("variant", "splits", "groups"),
    [
        (FLD, ["train", "val", "test", "train", "val"], [None] * 5),
        (CATEGORY, ["train", "val", "test", "train", "val"], [None] * 5),
        (IN_SHOP, ["train", "test", "test", "train", "test"], ITEMS),
        (CONSUMER, ["train", "val", "val", "test", "test"], ITEMS),
    ],
)
def test_splits_and_items_are_those_of_the_partition(tmp_path, variant, splits, groups):
    result = Dataset(tmp_path, variant).read()
    assert [sample.split for sample in result.samples] == splits
    assert [sample.group for sample in result.samples] == groups
    assert result.notes == {}


@pytest.mark.parametrize("variant", HEADERS)
def test_without_own_splits_the_partition_is_not_read_and_the_item_is_the_folder(tmp_path, variant):
    data = Dataset(tmp_path, variant)
    data.files[data.partition] = [b"no table"]
    for _ in range(2):
        result = data.read(own_splits=False)
        assert [slots(sample) for sample in result.samples] == SLOTS and result.rejected == []
        assert [sample.split for sample in result.samples] == [None] * 5
        has_items = variant in (IN_SHOP, CONSUMER)
        folders = [None, "id_00000001", "id_00000001", "id_00000002", None]
        assert [sample.group for sample in result.samples] == (folders if has_items else [None] * 5)
        note = "photo whose item is not known, so that it is grouped with no other"
        assert result.notes == ({note: 2} if has_items else {})
        data.files.pop(data.partition, None)
        (tmp_path / data.partition).unlink(missing_ok=True)
    with pytest.raises(UserError, match=rf"{data.partition}: No such file or directory$"):
        data.read(own_splits=True)


@pytest.mark.parametrize("folder", ["id_", "id_1x", "xid_1", "id_١", "ID_1", "id_1/x"])
def test_a_folder_not_named_after_an_item_is_none(tmp_path, folder):
    data = Dataset(tmp_path, IN_SHOP)
    data.rename("id_00000002", folder)
    assert data.read(own_splits=False).samples[3].group is None


def test_the_row_and_the_file_of_a_photo_are_told(data):
    sample = data.read().samples[1]
    assert sample.where == f"{data.root / data.landmarks}:4"
    assert sample.path == str(data.root / NAMES[1])


@pytest.mark.parametrize("newline", [b"\n\n", b" \t\n"])
def test_white_space_and_blank_lines_between_rows_change_nothing(data, newline):
    for file, lines in data.files.items():
        data.files[file] = [*lines[:2], newline.join(lines[2:])]
    result = data.read()
    assert [slots(sample) for sample in result.samples] == SLOTS and result.rejected == []


def test_a_header_for_fewer_keypoints_is_known(data):
    data.change(data.landmarks, 2, " landmark_visibility_8 landmark_location_x_8 landmark_location_y_8", "")
    assert len(data.read().samples) == 5


@pytest.mark.parametrize("folder", ["Img", "Img/img"])
def test_photos_may_lie_in_the_folder_of_a_mirror(data, folder):
    (data.root / "img").rmdir()
    (data.root / folder).mkdir(parents=True)
    sample = data.read().samples[0]
    assert (sample.photo, sample.path) == ("img/img_1.jpg", str(data.root / folder / "img_1.jpg"))


@pytest.mark.parametrize(
    ("file", "folder"),
    [(0, "Anno_coarse"), (0, "."), (1, "Anno_coarse"), (1, "."), (2, "Anno"), (2, ".")],
)
def test_files_may_lie_where_mirrors_have_them(data, file, folder):
    name = list(data.files)[file]
    data.files[f"{folder}/{name.split('/')[1]}"] = data.files.pop(name)
    assert len(data.read().samples) == 5


@pytest.mark.parametrize("variant", HEADERS)
def test_file_names_do_not_decide_the_variant(tmp_path, variant):
    data = Dataset(tmp_path, variant)
    data.files["Anno/list_bbox.txt"] = data.files.pop(data.boxes)
    data.files["Anno/list_landmarks_inshop.txt"] = data.files.pop(data.landmarks)
    result = data.read()
    assert (result.variant, len(result.samples)) == (variant, 5)


def test_the_code_of_flat_garments_is_an_unknown_variation_of_in_shop_alone(tmp_path):
    data = Dataset(tmp_path / "a", IN_SHOP)
    data.change(data.landmarks, 5, f"{NAMES[2]}  3  3", f"{NAMES[2]}  3  6")
    result = data.read()
    assert result.samples[2].garments.variations[0] == Variation.UNKNOWN and result.rejected == []
    assert result.notes == {"variation_type 6, which the dataset's README does not explain, read as unknown": 1}
    data = Dataset(tmp_path / "b", CONSUMER)
    data.change(data.landmarks, 5, f"{NAMES[2]}  3  3", f"{NAMES[2]}  3  6")
    assert one_rejected(data.read(), [0, 1, 3, 4]).reason == "variation_type is '6', required 1, 2, 3, 4, 5"


# Rejected rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "line", "old", "new", "reason"),
    [
        (1, 7, "0 1.5 -2", "0 1.5 nan", "y of left_waistline is 'nan', required a number"),
        (1, 7, "0 1.5 -2", "0 5\udcff -2", "x of left_waistline is '5\\xff', required a number"),
        (1, 7, "0 1.5 -2", "0 9999999 -2", "x of left_waistline 9999999.0 is not a number of pixels"),
        (1, 7, "0 1.5 -2", "0 1.5", "11 fields for 4 keypoints, required 12 or 24"),
        (1, 7, "0 1.5 -2", "0 1.5 -2 7", "13 fields for 4 keypoints, required 12 or 24"),
        (1, 3, "0 144 156", "0 144", "17 fields for 6 keypoints, required 18 or 24"),
        (1, 5, "0 11 21", "0 11", "23 fields for 8 keypoints, required 24"),
        (1, 7, "2  5  0", "4  5  0", "clothes_type is '4', required 1, 2, 3"),
        (1, 7, "2  5  0", "-1  5  0", "clothes_type is '-1', required 1, 2, 3"),
        (1, 7, "2  5  0", "2  6  0", "variation_type is '6', required 1, 2, 3, 4, 5"),
        (1, 7, "2  5  0", "2  0  0", "variation_type is '0', required 1, 2, 3, 4, 5"),
        (1, 7, "2  5  0", "2  5  3", "visibility of left_waistline is '3', required 0, 1, 2"),
        (1, 7, "2  5  0", "2  5  2", "left_waistline is cut off and has coordinates 1.5 -2, required 0 0"),
        (1, 6, "0 000 000 0 000 000", "0 000 000 0 000 003", "'003' after the 6 keypoints of the garment, required 0"),
        (0, 7, "9.5 -3 900", "9.5 -3 x", "x_2 is 'x', required a number"),
        (0, 7, "9.5 -3 900", "9.5 -3", "4 fields, required 5: 'image_name x_1 y_1 x_2 y_2'"),
        (0, 7, "9.5 -3 900", "9.5 -3 900 5", "6 fields, required 5: 'image_name x_1 y_1 x_2 y_2'"),
        (0, 5, "10 20 200", "200 20 200", "box 200 20 200 400 has no area"),
        (0, 5, "10 20 200", "10 500 200", "box 10 500 200 400 has no area"),
        (2, 7, "val", "training", "unknown evaluation_status 'training', required train, val, test"),
        (2, 7, "val", "train val", "3 fields, required 2: 'image_name evaluation_status'"),
        (2, 7, "val", "", "1 fields, required 2: 'image_name evaluation_status'"),
    ],
)
def test_a_bad_row_is_named_and_its_neighbours_kept(data, file, line, old, new, reason):
    file = list(data.files)[file]
    data.change(file, line, old, new)
    rejected = one_rejected(data.read(), [n for n in range(5) if n != line - 3])
    assert (rejected.photo, rejected.where, rejected.reason) == (NAMES[line - 3], f"{data.root / file}:{line}", reason)


@pytest.mark.parametrize(("variant", "code"), [(IN_SHOP, "pose_type"), (CONSUMER, "source_type")])
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (" 2 2 45", " 1 2 45", "clothes_type 1, in {landmarks} 2"),
        (" 2 2 45", " 4 2 45", "clothes_type is '4', required 1, 2, 3"),
        (" 2 2 45", " 2 7 45", "{code} is '7', required {codes}"),
        (" 2 2 45", " 2 0 45", "{code} is '0', required {codes}"),
        (" 449", "", "6 fields, required 7: 'image_name clothes_type {code} x_1 y_1 x_2 y_2'"),
    ],
)
def test_a_box_row_that_disagrees_or_is_broken_costs_the_photo(tmp_path, variant, code, old, new, reason):
    data = Dataset(tmp_path, variant)
    data.change(data.boxes, 4, old, new)
    rejected = one_rejected(data.read(), [0, 2, 3, 4])
    codes = {"pose_type": "1, 2, 3, 4, 5, 6", "source_type": "1, 2"}[code]
    assert rejected.reason == reason.format(landmarks=data.landmarks.split("/")[-1], code=code, codes=codes)
    assert (rejected.photo, rejected.where) == (NAMES[1], f"{tmp_path / data.boxes}:4")


@pytest.mark.parametrize(
    ("variant", "status", "required"),
    [
        (CATEGORY, "query", "train, val, test"),
        (IN_SHOP, "val", "train, query, gallery"),
        (IN_SHOP, "test", "train, query, gallery"),
        (CONSUMER, "gallery", "train, val, test"),
    ],
)
def test_a_status_of_another_variant_is_rejected(tmp_path, variant, status, required):
    data = Dataset(tmp_path, variant)
    lines = data.files[data.partition]
    lines[2:] = [line.rpartition(b" ")[0] + f" {status}".encode() for line in lines[2:]]
    result = data.read()
    assert result.samples == [] and len(result.rejected) == 5
    assert {row.reason for row in result.rejected} == {f"unknown evaluation_status '{status}', required {required}"}


@pytest.mark.parametrize("row", ["0 30 40 1 120 41 0 20 390 0 150 380 0", "1 0 30 40 1 120 41 0 20 390 0 150 380"])
def test_rows_of_another_variant_than_the_header_says_are_rejected(tmp_path, row):
    data = Dataset(tmp_path, CATEGORY)
    data.change(data.landmarks, 4, "0 30 40 1 120 41 0 20 390 0 150 380", row)
    assert one_rejected(data.read(), [0, 2, 3, 4]).reason == "13 fields for 4 keypoints, required 12 or 24"


@pytest.mark.parametrize(
    ("item", "reason"),
    [("id_\x00", "item_id 'id_\\x00' is not printable ASCII"), ("id_ü", "item_id 'id_\\xfc' is not printable ASCII")],
)
def test_an_item_that_is_no_text_is_rejected(tmp_path, item, reason):
    data = Dataset(tmp_path, IN_SHOP)
    data.change(data.partition, 3, " id_00000009", " " + item)
    rejected = one_rejected(data.read(), [1, 2, 3, 4])
    assert (rejected.photo, rejected.where, rejected.reason) == (NAMES[0], f"{tmp_path / data.partition}:3", reason)


def test_a_row_of_a_name_alone_is_rejected(data):
    data.files[data.landmarks][6] = NAMES[4].encode()
    reason = "1 fields, required image_name clothes_type variation_type and the keypoints"
    assert one_rejected(data.read(), [0, 1, 2, 3]).reason == reason


@pytest.mark.parametrize(("missing", "there"), [(0, 2), (1, 2), (2, 1)])
def test_a_photo_that_is_not_in_all_files_is_rejected_once(data, missing, there):
    missing, there = (list(data.files)[file] for file in (missing, there))
    data.drop(missing, 5)
    rejected = one_rejected(data.read(), [0, 1, 3, 4])
    assert rejected.where == f"{data.root / there}:5"
    assert rejected.reason == f"photo '{NAMES[2]}' is not in {missing.split('/')[1]}"


def test_a_box_of_an_unknown_photo_is_rejected(data):
    data.append(data.boxes, "img/img_00000099.jpg 1 2 3 4")
    assert one_rejected(data.read(), range(5)).where == f"{data.root / data.boxes}:8"


def test_without_own_splits_a_photo_of_one_table_alone_is_rejected_there(tmp_path):
    data = Dataset(tmp_path, IN_SHOP)
    data.change(data.boxes, 5, NAMES[2], "img/other.jpg")
    result = data.read(own_splits=False)
    assert [(row.photo, row.where, row.reason) for row in result.rejected] == [
        (NAMES[2], f"{tmp_path / data.landmarks}:5", f"photo '{NAMES[2]}' is not in list_bbox_inshop.txt"),
        ("img/other.jpg", f"{tmp_path / data.boxes}:5", "photo 'img/other.jpg' is not in list_landmarks_inshop.txt"),
    ]


@pytest.mark.parametrize("file", [0, 1, 2])
def test_a_repeated_row_is_rejected_and_the_first_kept(data, file):
    file = list(data.files)[file]
    data.append(file, data.files[file][4].decode().replace(" ", "   "))
    rejected = one_rejected(data.read(), range(5))
    assert rejected.where == f"{data.root / file}:8"
    assert rejected.reason == f"duplicate row: photo '{NAMES[2]}' is in {data.root / file}:5 already"


@pytest.mark.parametrize(
    ("file", "row", "difference"),
    [
        (0, "10 20 200 401", "'400', here '401'"),
        (1, "3 3 0 11 21 1 12 22 2 0 0 0 14 24 0 15 25 0 16 26 0 17 27 0 18", "'28', here ''"),
        (2, "val", "'test', here 'val'"),
    ],
)
def test_two_rows_that_differ_cost_the_photo(data, file, row, difference):
    file = list(data.files)[file]
    data.append(file, f"{NAMES[2]} {row}")
    rejected = one_rejected(data.read(), [0, 1, 3, 4])
    assert rejected.where == f"{data.root / file}:8"
    assert rejected.reason == f"photo '{NAMES[2]}' is in {data.root / file}:5 with other values: {difference}"


# Pairs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        (" val", " train", "'val', here 'train'"),
        (" id_00000001 val", " id_8 val", "'id_00000001', here 'id_8'"),
        (" val", "", "'val', here ''"),
        (" val", " val x", "'', here 'x'"),
    ],
)
def test_a_pair_at_odds_with_an_earlier_one_costs_both_its_photos(tmp_path, old, new, difference):
    data = Dataset(tmp_path, CONSUMER)
    data.change(data.partition, 7, old, new)
    result = data.read()
    assert [sample.photo for sample in result.samples] == [NAMES[0], NAMES[3], NAMES[4]]
    where = f"{tmp_path / data.partition}"
    assert [(row.photo, row.where, row.reason) for row in result.rejected] == [
        (name, f"{where}:7", f"photo '{name}' is in {where}:4 with other values: {difference}") for name in NAMES[1:3]
    ]


def test_a_pair_at_odds_over_one_of_its_photos_costs_that_one(tmp_path):
    data = Dataset(tmp_path, CONSUMER)
    data.change(data.partition, 6, NAMES[4], NAMES[1])
    result = data.read()
    assert [(sample.photo, sample.split) for sample in result.samples] == [
        (NAMES[0], "train"),
        (NAMES[2], "val"),
        (NAMES[3], "test"),
    ]
    assert [(row.photo, row.where) for row in result.rejected] == [
        (NAMES[1], f"{tmp_path / data.partition}:6"),
        (NAMES[4], f"{tmp_path / data.landmarks}:7"),
    ]


def test_a_pair_with_too_few_fields_costs_both_its_photos(tmp_path):
    data = Dataset(tmp_path, CONSUMER)
    data.change(data.partition, 6, " test", "")
    result = data.read()
    assert [row.photo for row in result.rejected] == NAMES[3:]
    columns = "'image_pair_name_1 image_pair_name_2 item_id evaluation_status'"
    assert {row.reason for row in result.rejected} == {f"3 fields, required 4: {columns}"}


def test_a_photo_of_a_pair_without_labels_and_one_without_a_pair_are_rejected(tmp_path):
    data = Dataset(tmp_path, CONSUMER)
    data.change(data.partition, 6, NAMES[4], "img/other.jpg")
    assert [(row.photo, row.where, row.reason) for row in data.read().rejected] == [
        (NAMES[4], f"{tmp_path / data.landmarks}:7", "photo 'img/gr\\xfcn.jpg' is not in list_eval_partition.txt"),
        (
            "img/other.jpg",
            f"{tmp_path / data.partition}:6",
            "photo 'img/other.jpg' is not in list_landmarks_consumer2shop.txt",
        ),
    ]


# Faults of a file ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [0, 1, 2])
def test_a_file_that_is_missing_or_there_twice_is_named(data, file):
    file = list(data.files)[file]
    data.files[file.split("/")[1]] = data.files[file]
    copy = data.root / file.split("/")[1]
    with pytest.raises(UserError, match=rf"{data.root / file}: {copy} also exists, keep one of them$"):
        data.read()
    copy.unlink()
    (data.root / file).unlink()
    with pytest.raises(UserError, match=rf"{file}: No such file or directory$"):
        read_deepfashion(data.root)
    (data.root / file).mkdir()
    with pytest.raises(UserError, match=rf"{file}: Is a directory$"):
        read_deepfashion(data.root)


@pytest.mark.parametrize("file", [0, 1, 2])
@pytest.mark.parametrize(
    ("line", "content", "message"),
    [
        (1, b"five", ":1: 'five' is not the number of rows"),
        (1, b"", ":1: '' is not the number of rows"),
        (1, b"-5", ":1: '-5' is not the number of rows"),
        (1, b"5 5", ":1: '5 5' is not the number of rows"),
        (1, b"\xff", r":1: '\xff' is not the number of rows"),
        (1, b"9" * 5000, ":1: '9999"),
        (1, b"6", ":1: says 6 rows, the file has 5"),
        (1, b"4", ":1: says 4 rows, the file has 5"),
        (2, b"image_name category_label", ":2: unknown columns 'image_name category_label', required image_name "),
        (2, b"", ":2: unknown columns '', required image_name "),
        (2, b"\xff\xfe", ":2: unknown columns "),
    ],
)
def test_a_file_with_wrong_first_lines_is_refused(data, file, line, content, message):
    file = list(data.files)[file]
    data.files[file][line - 1] = content
    with pytest.raises(UserError) as error:
        data.read()
    assert file + message in str(error.value)
    assert "\n" not in str(error.value)


_LANDMARKS = " ".join([HEADERS[FLD][1], *KEYPOINTS])


@pytest.mark.parametrize(
    "header",
    [
        _LANDMARKS.replace("landmark_location_x_1 landmark_location_y_1", "landmark_visibility_2"),
        _LANDMARKS.replace("x_1 landmark_location_y_1", "y_1 landmark_location_x_1"),
        _LANDMARKS.replace("_1", "_0").replace("_2", "_1").replace("_0", "_2"),
        _LANDMARKS.replace("image_name clothes_type", "clothes_type image_name"),
        "image_name clothes_type variation_type",
        "image_name clothes_type",
        _LANDMARKS + " extra",
        _LANDMARKS + " landmark_visibility_9 landmark_location_x_9 landmark_location_y_9",
    ],
)
def test_landmarks_with_other_or_exchanged_columns_are_refused(data, header):
    data.files[data.landmarks][1] = header.encode()
    with pytest.raises(UserError, match=r"list_landmarks.txt:2: unknown columns"):
        data.read()


@pytest.mark.parametrize(
    "header", ["image_name y_1 x_1 y_2 x_2", "image_name x_1 x_2 y_1 y_2", "image_name x_1 y_1 x_2"]
)
def test_boxes_with_exchanged_or_missing_columns_are_refused(data, header):
    data.files[data.boxes][1] = header.encode()
    with pytest.raises(UserError, match=r"list_bbox.txt:2: unknown columns"):
        data.read()


def test_an_unknown_header_is_answered_with_those_that_are_known(tmp_path):
    data = Dataset(tmp_path, IN_SHOP)
    columns = " ".join(["image_name clothes_type", *KEYPOINTS[:3]])
    data.files[data.landmarks][1] = columns.encode()
    with pytest.raises(UserError) as error:
        data.read()
    assert str(error.value) == (
        f"{tmp_path / data.landmarks}:2: unknown columns '{columns}', "
        "required image_name clothes_type variation_type and visibility, x, y of each keypoint (DeepFashion In-shop)"
    )
    data.files[data.boxes][1] = b"image_name clothes_type view x_1 y_1 x_2 y_2"
    with pytest.raises(UserError) as error:
        data.read()
    assert str(error.value) == (
        f"{tmp_path / data.boxes}:2: unknown columns 'image_name clothes_type view x_1 y_1 x_2 y_2', "
        "required image_name x_1 y_1 x_2 y_2 (DeepFashion FLD, DeepFashion Category & Attribute) or "
        "image_name clothes_type pose_type x_1 y_1 x_2 y_2 (DeepFashion In-shop) or "
        "image_name clothes_type source_type x_1 y_1 x_2 y_2 (DeepFashion Consumer-to-shop)"
    )


@pytest.mark.parametrize("variant", [CATEGORY, IN_SHOP, CONSUMER])
@pytest.mark.parametrize("other", [CATEGORY, IN_SHOP, CONSUMER])
def test_a_partition_of_another_variant_is_refused(tmp_path, variant, other):
    data = Dataset(tmp_path, variant)
    data.files[data.partition] = Dataset(tmp_path, other).files[data.partition]
    if variant == other:
        assert len(data.read().samples) == 5
        return
    with pytest.raises(UserError, match=rf"{data.partition}:2: unknown columns 'image_.*\({variant}\)$"):
        data.read()
    assert len(read_deepfashion(tmp_path, own_splits=False).samples) == 5
