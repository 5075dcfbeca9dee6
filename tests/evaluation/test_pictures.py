"""Which photos are shown, and how scores are drawn."""

import io

import numpy as np
from PIL import Image

from cspn_tf import drawing
from cspn_tf.evaluation.calibration import measure_calibration
from cspn_tf.evaluation.inputs import LabelledPhoto
from cspn_tf.evaluation.matching import match_photos
from cspn_tf.evaluation.pictures import SHEET_TILE_SIZE, draw_reliability, draw_sheets, worst_photos
from cspn_tf.garment_set import Garments
from cspn_tf.result import Result

BOX = [0.0, 0.0, 100.0, 100.0]


def photo(offset_x, visibility=2, found=True):
    """Return the labels of a photo with one garment, and a prediction that is off by `offset_x`."""
    keypoints = np.full((1, 8, 2), 50.0)
    truth = Garments([3], [BOX], keypoints, visibility=np.full((1, 8), visibility), variations=[1])
    detection = Garments([3], [BOX], keypoints + [offset_x, 0], scores=[0.9], keypoint_scores=np.ones((1, 8)))
    return truth, Result(0, (100, 100), detection[: int(found)])


def test_the_worst_photos_come_first():
    photos = [photo(9), photo(1), photo(16), photo(0, found=False), photo(30, visibility=0), photo(0)]
    matched = match_photos(*zip(*photos, strict=True))
    assert worst_photos(matched, 3) == [3, 2, 0]
    # A photo without labelled keypoints is none of them.
    assert worst_photos(matched, 10) == [3, 2, 0, 1, 5]


def test_sheets_show_photos_with_their_labels_and_black_where_one_cannot_be_read():
    content = io.BytesIO()
    Image.new("RGB", (120, 120), (127, 127, 127)).save(content, "PNG")
    (truth, result), (missed, nothing) = photo(9), photo(0, found=False)
    photos = [LabelledPhoto("a.png", content.getvalue(), truth), LabelledPhoto("b.png", b"no photo", missed)]
    sheets = draw_sheets(photos, match_photos([truth, missed], [result, nothing]), 2, seed=0)
    assert list(sheets) == ["worst.jpg", "random.jpg"]
    first, second = (gap + SHEET_TILE_SIZE // 4 for gap in (16, 2 * 16 + SHEET_TILE_SIZE))
    # The one that was missed is the worst.
    assert [sheets["worst.jpg"].getpixel((x, first)) for x in (first, second)] == [(0, 0, 0), (127, 127, 127)]
    assert [sheets["random.jpg"].getpixel((x, first)) for x in (first, second)] == [(127, 127, 127), (0, 0, 0)]
    assert draw_sheets(photos, match_photos([truth, missed], [result, nothing]), 0, seed=0) == {}


def test_captions_count_correct_keypoints_and_tell_photos_of_different_folders_apart(monkeypatch):
    captions = []

    def contact_sheet(images, columns, tile_size, texts):
        captions.extend(texts)

    monkeypatch.setattr(drawing, "contact_sheet", contact_sheet)
    content = io.BytesIO()
    Image.new("RGB", (120, 120)).save(content, "PNG")
    (truth, result), (missed, nothing) = photo(9), photo(0, found=False)
    names = ("a/1.png", "b/1.png", "img/Striped_Linen_Summer_Blouse/img_00000001.jpg", "a/2.png")
    files = (content.getvalue(), content.getvalue(), content.getvalue(), b"no photo")
    photos = [LabelledPhoto(*of_photo) for of_photo in zip(names, files, [truth, missed, truth, truth], strict=True)]
    draw_sheets(photos, match_photos([p.garments for p in photos], [result, nothing, result, result]), 4, seed=0)
    assert captions[4:] == [
        "8/8  a/1.png",
        "0/8  b/1.png",
        "8/8  …mmer_Blouse/img_00000001.jpg",
        "unreadable  a/2.png",
    ]


def test_reliability_is_a_picture_also_of_nothing():
    measured = {"scores": measure_calibration([0.1, 0.9], [False, True]), "nothing": measure_calibration([], [])}
    content = io.BytesIO()
    draw_reliability(measured, content)
    with Image.open(content) as picture:
        assert picture.format == "PNG"
