import pytest

from cspn_tf.data.landmark_maps import DEEPFASHION2, FASHIONAI, FASHIONAI_COLUMNS
from cspn_tf.garments import GarmentType

# Read off the numbered outlines in the dataset's README, by hand: category id → name, number of landmarks, type, and
# the landmark of each slot, left collar to right hem; 0 where there is none.
DEEPFASHION2_WANTED = {
    1: ("short sleeve top", 25, "upper", (2, 6, 9, 23, 0, 0, 15, 17)),
    2: ("long sleeve top", 33, "upper", (2, 6, 11, 29, 0, 0, 19, 21)),
    3: ("short sleeve outwear", 31, "upper", (4, 6, 9, 23, 0, 0, 15, 17)),
    4: ("long sleeve outwear", 39, "upper", (2, 6, 11, 29, 0, 0, 19, 21)),
    5: ("vest", 15, "upper", (2, 6, 7, 15, 0, 0, 10, 12)),
    6: ("sling", 15, "upper", (2, 6, 7, 15, 0, 0, 10, 12)),
    7: ("shorts", 10, "lower", (0, 0, 0, 0, 1, 3, 5, 9)),
    8: ("trousers", 14, "lower", (0, 0, 0, 0, 1, 3, 6, 12)),
    9: ("skirt", 8, "lower", (0, 0, 0, 0, 1, 3, 5, 7)),
    10: ("short sleeve dress", 29, "full", (2, 6, 9, 27, 0, 0, 17, 19)),
    11: ("long sleeve dress", 37, "full", (2, 6, 11, 33, 0, 0, 21, 23)),
    12: ("vest dress", 19, "full", (2, 6, 7, 19, 0, 0, 12, 14)),
    13: ("sling dress", 19, "full", (2, 6, 7, 19, 0, 0, 12, 14)),
}

# Where the landmarks of each category start in the 294 of the dataset's own COCO conversion.
DEEPFASHION2_OFFSETS = (0, 25, 58, 89, 128, 143, 158, 168, 182, 190, 219, 256, 275, 294)

_TOP = {
    0: "neckline_left",
    1: "neckline_right",
    2: "cuff_left_out",
    3: "cuff_right_out",
    6: "top_hem_left",
    7: "top_hem_right",
}
FASHIONAI_WANTED = {
    "blouse": ("upper", _TOP),
    "outwear": ("upper", _TOP),
    "dress": (
        "full",
        {
            0: "neckline_left",
            1: "neckline_right",
            2: "cuff_left_out",
            3: "cuff_right_out",
            4: "waistline_left",
            5: "waistline_right",
            6: "hemline_left",
            7: "hemline_right",
        },
    ),
    "skirt": ("lower", {4: "waistband_left", 5: "waistband_right", 6: "hemline_left", 7: "hemline_right"}),
    "trousers": ("lower", {4: "waistband_left", 5: "waistband_right", 6: "bottom_left_out", 7: "bottom_right_out"}),
}

# What each category has, in the order of the columns.
FASHIONAI_COLUMNS_WANTED = {
    "blouse": "neckline_left neckline_right center_front shoulder_left shoulder_right armpit_left armpit_right "
    "cuff_left_in cuff_left_out cuff_right_in cuff_right_out top_hem_left top_hem_right",
    "outwear": "neckline_left neckline_right shoulder_left shoulder_right armpit_left armpit_right waistline_left "
    "waistline_right cuff_left_in cuff_left_out cuff_right_in cuff_right_out top_hem_left top_hem_right",
    "dress": "neckline_left neckline_right center_front shoulder_left shoulder_right armpit_left armpit_right "
    "waistline_left waistline_right cuff_left_in cuff_left_out cuff_right_in cuff_right_out hemline_left hemline_right",
    "skirt": "waistband_left waistband_right hemline_left hemline_right",
    "trousers": "waistband_left waistband_right crotch bottom_left_in bottom_left_out bottom_right_in bottom_right_out",
}

# A file's header line, without the first two columns.
FASHIONAI_HEADER = (
    "neckline_left,neckline_right,center_front,shoulder_left,shoulder_right,armpit_left,armpit_right,waistline_left,"
    "waistline_right,cuff_left_in,cuff_left_out,cuff_right_in,cuff_right_out,top_hem_left,top_hem_right,"
    "waistband_left,waistband_right,hemline_left,hemline_right,crotch,bottom_left_in,bottom_left_out,bottom_right_in,"
    "bottom_right_out"
)

TYPES = {"upper": GarmentType.UPPER_BODY, "lower": GarmentType.LOWER_BODY, "full": GarmentType.FULL_BODY}


def test_deepfashion2_has_thirteen_categories():
    assert sorted(DEEPFASHION2) == sorted(DEEPFASHION2_WANTED)


@pytest.mark.parametrize("category_id", DEEPFASHION2_WANTED)
def test_deepfashion2_category_is_as_in_the_datasets_picture(category_id):
    category = DEEPFASHION2[category_id]
    name, num_landmarks, garment_type, landmarks = DEEPFASHION2_WANTED[category_id]
    assert (category.name, category.num_landmarks, category.garment_type) == (name, num_landmarks, TYPES[garment_type])
    assert category.landmark_of_slot == {slot: landmark for slot, landmark in enumerate(landmarks) if landmark}


def test_deepfashion2_landmarks_are_294_at_the_offsets_of_its_coco_conversion():
    offsets = [sum(DEEPFASHION2[category_id].num_landmarks for category_id in range(1, n)) for n in range(1, 15)]
    assert tuple(offsets) == DEEPFASHION2_OFFSETS


def test_fashionai_columns_are_those_of_its_header():
    assert ",".join(FASHIONAI_COLUMNS) == FASHIONAI_HEADER


def test_fashionai_has_five_categories():
    assert sorted(FASHIONAI) == sorted(FASHIONAI_WANTED)


@pytest.mark.parametrize("name", FASHIONAI_WANTED)
def test_fashionai_category_is_as_the_dataset_describes_it(name):
    category = FASHIONAI[name]
    garment_type, column_of_slot = FASHIONAI_WANTED[name]
    assert category.garment_type == TYPES[garment_type]
    assert category.column_of_slot == column_of_slot
    assert [column for column in FASHIONAI_COLUMNS if column in category.columns] == (
        FASHIONAI_COLUMNS_WANTED[name].split()
    )
    assert len(category.columns) == len(FASHIONAI_COLUMNS_WANTED[name].split())
