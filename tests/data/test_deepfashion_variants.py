"""The variants of the DeepFashion format, each on a small dataset written out in full."""

import pytest

from cspn_tf.console import UserError
from cspn_tf.data.deepfashion import read_deepfashion
from cspn_tf.garment_set import Garments
from cspn_tf.garments import GarmentType, Variation

KEYPOINTS = " ".join(f"landmark_visibility_{k} landmark_location_x_{k} landmark_location_y_{k}" for k in range(1, 9))
UPPER, LOWER, FULL = (
    "0 144 156  1 221 159  0 086 218  0 250 238  0 111 408  2 000 000",
    "0 30 40 1 120 41 0 20 390 0 150 380",
    "0 11 21 1 12 22 2 0 0 0 14 24 0 15 25 0 16 26 0 17 27 0 18 28",
)

# What each variant's keypoints are by slot: x, y, visibility.
UPPER_SLOTS = [
    (144, 156, 2),
    (221, 159, 1),
    (86, 218, 2),
    (250, 238, 2),
    (0, 0, 0),
    (0, 0, 0),
    (111, 408, 2),
    (0, 0, -1),
]
LOWER_SLOTS = [(0, 0, 0)] * 4 + [(30, 40, 2), (120, 41, 1), (20, 390, 2), (150, 380, 2)]
FULL_SLOTS = [(11, 21, 2), (12, 22, 1), (0, 0, -1), (14, 24, 2), (15, 25, 2), (16, 26, 2), (17, 27, 2), (18, 28, 2)]

PARTITION = "Eval/list_eval_partition.txt"
SHIRT, SKIRT, DRESS = "img/MEN/Tees/id_00000007/01_1.jpg", "img/a_Skirt/img_2.jpg", "img/WOMEN/id_9/3.jpg"


def _table(header, *rows):
    return [str(len(rows)), header, *rows]


def _category_and_attribute():
    return {
        "Anno/list_bbox.txt": _table(
            "image_name  x_1  y_1  x_2  y_2",
            f"{SHIRT}  072 079 232 423",
            f"{SKIRT}  067 059 155 395",
            f"{DRESS}  001 002 100 200",
        ),
        "Anno/list_landmarks.txt": _table(
            f"image_name  clothes_type  {KEYPOINTS}",
            f"{SHIRT}  1  {UPPER}",
            f"{SKIRT}  2  {LOWER}",
            f"{DRESS}  3  {FULL}",
        ),
        PARTITION: _table("image_name  evaluation_status", f"{SHIRT}    train", f"{SKIRT}    val", f"{DRESS}    test"),
    }


def _in_shop():
    return {
        "Anno/list_bbox_inshop.txt": _table(
            "image_name clothes_type pose_type x_1 y_1 x_2 y_2",
            f"{SHIRT} 1 1 072 079 232 423",
            f"{SKIRT} 2 3 067 059 155 395",
            f"{DRESS} 3 6 001 002 100 200",
        ),
        "Anno/list_landmarks_inshop.txt": _table(
            f"image_name clothes_type variation_type {KEYPOINTS}",
            f"{SHIRT} 1 2 {UPPER}",
            f"{SKIRT} 2 1 {LOWER}",
            f"{DRESS} 3 5 {FULL}",
        ),
        PARTITION: _table(
            "image_name item_id evaluation_status",
            f"{SHIRT} id_00000007 train",
            f"{SKIRT} id_00000008 query",
            f"{DRESS} id_00000008 gallery",
        ),
    }


def _consumer_to_shop():
    return {
        "Anno/list_bbox_consumer2shop.txt": _table(
            "image_name clothes_type source_type x_1 y_1 x_2 y_2",
            f"{SHIRT} 1 1 072 079 232 423",
            f"{SKIRT} 2 2 067 059 155 395",
            f"{DRESS} 3 2 001 002 100 200",
        ),
        "Anno/list_landmarks_consumer2shop.txt": _table(
            f"image_name clothes_type variation_type {KEYPOINTS}",
            f"{SHIRT} 1 2 {UPPER}",
            f"{SKIRT} 2 1 {LOWER}",
            f"{DRESS} 3 5 {FULL}",
        ),
        # The second photo is in two pairs, and the first pair is there twice.
        PARTITION: _table(
            "image_pair_name_1 image_pair_name_2 item_id evaluation_status",
            f"{SHIRT} {SKIRT} id_00000007 val",
            f"{DRESS} {SKIRT} id_00000007 val",
            f"{SHIRT} {SKIRT} id_00000007 val",
        ),
    }


VARIANTS = {
    "DeepFashion Category & Attribute": _category_and_attribute,
    "DeepFashion In-shop": _in_shop,
    "DeepFashion Consumer-to-shop": _consumer_to_shop,
}


def _write(root, files):
    for file, lines in files.items():
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text("\n".join(lines) + "\n")
    return root


def _read_changed(root, files, file, line, old, new, **options):
    """Read a dataset of which one line, counted from 1, is changed; the file by the beginning of its name."""
    (file,) = (name for name in files if name.rpartition("/")[2].startswith(file))
    assert old in files[file][line - 1]
    files[file][line - 1] = files[file][line - 1].replace(old, new, 1)
    return read_deepfashion(_write(root, files), **options), f"{root / file}:{line}"


def _slots(sample):
    (garment,) = sample.garments
    return [
        (*xy, seen) for xy, seen in zip(garment.keypoints_xy[0].tolist(), garment.visibility[0].tolist(), strict=True)
    ]


# What is read --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_keypoints_of_each_garment_type_go_to_their_slots(tmp_path, variant):
    result = read_deepfashion(_write(tmp_path, VARIANTS[variant]()))
    assert (result.variant, result.rejected, result.notes) == (variant, [], {})
    assert [sample.photo for sample in result.samples] == [SHIRT, SKIRT, DRESS]
    assert [_slots(sample) for sample in result.samples] == [UPPER_SLOTS, LOWER_SLOTS, FULL_SLOTS]
    garments = Garments.concatenate(sample.garments for sample in result.samples)
    assert garments.types.tolist() == list(GarmentType)
    assert garments.boxes_xyxy.tolist() == [
        [72, 79, 232, 423],
        [67, 59, 155, 395],
        [1, 2, 100, 200],
    ]
    with_variation = [Variation.MEDIUM_POSE, Variation.NORMAL_POSE, Variation.LARGE_ZOOM_IN]
    without = variant == "DeepFashion Category & Attribute"
    assert garments.variations.tolist() == ([Variation.UNKNOWN] * 3 if without else with_variation)


@pytest.mark.parametrize(
    ("variant", "splits", "groups"),
    [
        ("DeepFashion Category & Attribute", ["train", "val", "test"], [None] * 3),
        ("DeepFashion In-shop", ["train", "test", "test"], ["id_00000007", "id_00000008", "id_00000008"]),
        ("DeepFashion Consumer-to-shop", ["val"] * 3, ["id_00000007"] * 3),
    ],
)
def test_splits_and_items_are_those_of_the_partition(tmp_path, variant, splits, groups):
    samples = read_deepfashion(_write(tmp_path, VARIANTS[variant]())).samples
    assert [sample.split for sample in samples] == splits
    assert [sample.group for sample in samples] == groups


@pytest.mark.parametrize("variant", ["DeepFashion In-shop", "DeepFashion Consumer-to-shop"])
def test_without_own_splits_the_item_is_the_folder_named_after_it(tmp_path, variant):
    files = VARIANTS[variant]()
    del files[PARTITION]
    result = read_deepfashion(_write(tmp_path, files), own_splits=False)
    assert [(sample.split, sample.group) for sample in result.samples] == [
        (None, "id_00000007"),
        (None, None),
        (None, "id_9"),
    ]
    assert result.notes == {"photo whose item is not known, so that it is grouped with no other": 1}


@pytest.mark.parametrize("folder", ["id_", "id_1x", "xid_1", "id_١", "ID_1", "id_1/x"])
def test_a_folder_not_named_after_an_item_is_none(tmp_path, folder):
    files = _in_shop()
    files = {file: [line.replace("id_00000007", folder) for line in lines] for file, lines in files.items()}
    assert read_deepfashion(_write(tmp_path, files), own_splits=False).samples[0].group is None


def test_without_own_splits_other_variants_have_no_items(tmp_path):
    result = read_deepfashion(_write(tmp_path, _category_and_attribute()), own_splits=False)
    assert [(sample.split, sample.group) for sample in result.samples] == [(None, None)] * 3
    assert result.notes == {}


@pytest.mark.parametrize("variant", VARIANTS)
def test_file_names_do_not_decide_the_variant(tmp_path, variant):
    files = VARIANTS[variant]()
    boxes, landmarks = (name for name in files if name != PARTITION)
    files["Anno/list_bbox.txt"], files["Anno/list_landmarks_inshop.txt"] = files.pop(boxes), files.pop(landmarks)
    result = read_deepfashion(_write(tmp_path, files))
    assert (result.variant, len(result.samples)) == (variant, 3)


def test_rows_padded_to_eight_keypoints_are_read_in_every_variant(tmp_path):
    result, _ = _read_changed(tmp_path, _category_and_attribute(), "list_landmarks", 4, LOWER, LOWER + " 0 000 000" * 4)
    assert _slots(result.samples[1]) == LOWER_SLOTS


def test_the_code_of_flat_garments_is_an_unknown_variation(tmp_path):
    result, _ = _read_changed(tmp_path, _in_shop(), "list_landmarks", 5, f"{DRESS} 3 5", f"{DRESS} 3 6")
    assert result.rejected == []
    assert result.samples[2].garments.variations[0] == Variation.UNKNOWN
    note = "variation_type 6, which the dataset's README does not explain, read as unknown"
    assert result.notes == {note: 1}


# Rejected rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [_in_shop, _consumer_to_shop])
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (f"{SKIRT} 2", f"{SKIRT} 1", "clothes_type 1, in {landmarks} 2"),
        (f"{SKIRT} 2", f"{SKIRT} 4", "unknown clothes_type 4, required 1, 2, 3"),
        (f"{SKIRT} 2", f"{SKIRT} x", "clothes_type 'x' is not a whole number"),
        (" 395", "", "6 fields, required 7: image_name clothes_type {code} x_1 y_1 x_2 y_2"),
        (" 395", " 395 1", "8 fields, required 7: image_name clothes_type {code} x_1 y_1 x_2 y_2"),
    ],
)
def test_a_box_row_that_disagrees_or_is_broken_costs_the_photo(tmp_path, files, old, new, reason):
    result, where = _read_changed(tmp_path, files(), "list_bbox", 4, old, new)
    (rejected,) = result.rejected
    suffix, code = ("inshop", "pose_type") if files is _in_shop else ("consumer2shop", "source_type")
    reason = reason.format(landmarks=f"list_landmarks_{suffix}.txt", code=code)
    assert (rejected.photo, rejected.where, rejected.reason) == (SKIRT, where, reason)
    assert [sample.photo for sample in result.samples] == [SHIRT, DRESS]


@pytest.mark.parametrize(
    ("files", "code", "reason"),
    [
        (_in_shop, "0", "unknown pose_type 0, required 1, 2, 3, 4, 5, 6"),
        (_in_shop, "7", "unknown pose_type 7, required 1, 2, 3, 4, 5, 6"),
        (_in_shop, "-1", "pose_type '-1' is not a whole number"),
        (_consumer_to_shop, "0", "unknown source_type 0, required 1, 2"),
        (_consumer_to_shop, "3", "unknown source_type 3, required 1, 2"),
    ],
)
def test_a_pose_or_source_that_is_not_known_costs_the_photo(tmp_path, files, code, reason):
    result, where = _read_changed(tmp_path, files(), "list_bbox", 3, f"{SHIRT} 1 1", f"{SHIRT} 1 {code}")
    (rejected,) = result.rejected
    assert (rejected.photo, rejected.where, rejected.reason) == (SHIRT, where, reason)


@pytest.mark.parametrize(
    ("files", "status", "required"),
    [
        (_category_and_attribute, "query", "train, val, test"),
        (_in_shop, "val", "train, query, gallery"),
        (_in_shop, "test", "train, query, gallery"),
        (_consumer_to_shop, "gallery", "train, val, test"),
    ],
)
def test_a_status_of_another_variant_is_rejected(tmp_path, files, status, required):
    files = files()
    files[PARTITION][2:] = [row.rpartition(" ")[0] + f" {status}" for row in files[PARTITION][2:]]
    result = read_deepfashion(_write(tmp_path, files))
    assert result.samples == []
    reasons = {rejected.reason for rejected in result.rejected}
    assert reasons == {f"unknown evaluation_status '{status}', required {required}"}


def test_the_code_of_flat_garments_is_known_of_in_shop_alone(tmp_path):
    result, where = _read_changed(tmp_path, _consumer_to_shop(), "list_landmarks", 3, f"{SHIRT} 1 2", f"{SHIRT} 1 6")
    (rejected,) = result.rejected
    assert (rejected.where, rejected.reason) == (where, "unknown variation_type 6, required 1, 2, 3, 4, 5")


@pytest.mark.parametrize("row", [f"{UPPER} 0", f"1 {UPPER}"])
def test_rows_of_another_variant_than_the_header_says_are_rejected(tmp_path, row):
    result, _ = _read_changed(tmp_path, _category_and_attribute(), "list_landmarks", 3, UPPER, row)
    (rejected,) = result.rejected
    assert rejected.reason == "19 fields for 6 keypoints, required 18 or 24"


@pytest.mark.parametrize(
    ("item", "reason"),
    [("id_\x00", "item_id 'id_\\x00' is not printable ASCII"), ("id_ü", "item_id 'id_\\xfc' is not printable ASCII")],
)
def test_an_item_that_is_no_text_is_rejected(tmp_path, item, reason):
    result, where = _read_changed(tmp_path, _in_shop(), "list_eval", 3, " id_00000007", " " + item)
    (rejected,) = result.rejected
    assert (rejected.photo, rejected.where, rejected.reason) == (SHIRT, where, reason)


# Pairs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("val", "train", "photo '{photo}' is of 'id_00000007 train', in line 3 of 'id_00000007 val'"),
        (" id_00000007", " id_8", "photo '{photo}' is of 'id_8 val', in line 3 of 'id_00000007 val'"),
        (" val", "", "3 fields, required 4: image_pair_name_1 image_pair_name_2 item_id evaluation_status"),
        (" val", " val x", "5 fields, required 4: image_pair_name_1 image_pair_name_2 item_id evaluation_status"),
    ],
)
def test_a_pair_at_odds_with_an_earlier_one_costs_both_its_photos(tmp_path, old, new, reason):
    result, where = _read_changed(tmp_path, _consumer_to_shop(), "list_eval", 5, old, new)
    assert [sample.photo for sample in result.samples] == [DRESS]
    assert [(rejected.photo, rejected.where, rejected.reason) for rejected in result.rejected] == [
        (SHIRT, where, reason.format(photo=SHIRT)),
        (SKIRT, where, reason.format(photo=SKIRT)),
    ]


def test_a_pair_at_odds_over_one_of_its_photos_costs_that_one(tmp_path):
    result, where = _read_changed(tmp_path, _consumer_to_shop(), "list_eval", 4, "val", "test")
    assert [(sample.photo, sample.split) for sample in result.samples] == [(SHIRT, "val"), (DRESS, "test")]
    (rejected,) = result.rejected
    assert (rejected.photo, rejected.where) == (SKIRT, where)


def test_a_photo_may_be_paired_with_itself(tmp_path):
    result, _ = _read_changed(tmp_path, _consumer_to_shop(), "list_eval", 4, SKIRT, DRESS)
    assert (len(result.samples), result.rejected) == (3, [])


def test_a_photo_of_a_pair_without_labels_and_one_without_a_pair_are_rejected(tmp_path):
    files = _consumer_to_shop()
    files[PARTITION][2:] = [f"{SHIRT} {SKIRT} id_1 val", f"{SHIRT} img/other.jpg id_1 val", f"{SHIRT} {SKIRT} id_1 val"]
    result = read_deepfashion(_write(tmp_path, files))
    assert [sample.photo for sample in result.samples] == [SHIRT, SKIRT]
    unpaired, unlabelled = result.rejected
    assert (unpaired.photo, unpaired.reason) == (DRESS, f"photo '{DRESS}' is not in list_eval_partition.txt")
    assert unpaired.where == f"{tmp_path}/Anno/list_landmarks_consumer2shop.txt:5"
    assert (unlabelled.photo, unlabelled.where) == ("img/other.jpg", f"{tmp_path / PARTITION}:4")
    assert unlabelled.reason == "photo 'img/other.jpg' has no box: no row in list_bbox_consumer2shop.txt"


def test_without_own_splits_a_photo_of_one_table_alone_is_rejected_there(tmp_path):
    files = _in_shop()
    del files[PARTITION]
    files["Anno/list_bbox_inshop.txt"][4] = "img/other.jpg 1 1 1 2 3 4"
    result = read_deepfashion(_write(tmp_path, files), own_splits=False)
    assert [(rejected.photo, rejected.where.rpartition("/")[2]) for rejected in result.rejected] == [
        (DRESS, "list_landmarks_inshop.txt:5"),
        ("img/other.jpg", "list_bbox_inshop.txt:5"),
    ]
    assert [rejected.reason for rejected in result.rejected] == [
        f"photo '{DRESS}' has no box: no row in list_bbox_inshop.txt",
        "photo 'img/other.jpg' has no landmarks: no row in list_landmarks_inshop.txt",
    ]


# Headers -------------------------------------------------------------------------------------------------------------


def test_an_unknown_header_of_the_boxes_is_answered_with_those_that_are_known(tmp_path):
    files = _in_shop()
    files["Anno/list_bbox_inshop.txt"][1] = "image_name clothes_type view x_1 y_1 x_2 y_2"
    with pytest.raises(UserError) as error:
        read_deepfashion(_write(tmp_path, files))
    assert str(error.value) == (
        f"{tmp_path}/Anno/list_bbox_inshop.txt:2: unknown columns 'image_name clothes_type view x_1 y_1 x_2 y_2', "
        "required image_name x_1 y_1 x_2 y_2 (DeepFashion FLD, DeepFashion Category & Attribute) or "
        "image_name clothes_type pose_type x_1 y_1 x_2 y_2 (DeepFashion In-shop) or "
        "image_name clothes_type source_type x_1 y_1 x_2 y_2 (DeepFashion Consumer-to-shop)"
    )


def test_landmarks_of_another_variant_than_the_boxes_are_refused(tmp_path):
    files = _in_shop()
    files["Anno/list_landmarks_inshop.txt"][1] = "image_name clothes_type " + KEYPOINTS[:65]
    with pytest.raises(UserError) as error:
        read_deepfashion(_write(tmp_path, files))
    assert str(error.value) == (
        f"{tmp_path}/Anno/list_landmarks_inshop.txt:2: unknown columns 'image_name clothes_type {KEYPOINTS[:65]}', "
        "required image_name clothes_type variation_type and visibility, x, y of each keypoint (DeepFashion In-shop)"
    )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("other", VARIANTS)
def test_a_partition_of_another_variant_is_refused(tmp_path, variant, other):
    files = {**VARIANTS[variant](), PARTITION: VARIANTS[other]()[PARTITION]}
    if variant == other:
        assert len(read_deepfashion(_write(tmp_path, files)).samples) == 3
        return
    with pytest.raises(UserError, match=rf"{PARTITION}:2: unknown columns 'image_.*\({variant}\)$"):
        read_deepfashion(_write(tmp_path, files))
    assert len(read_deepfashion(tmp_path, own_splits=False).samples) == 3
