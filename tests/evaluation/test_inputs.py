"""Labels and results of files, matched; photos of prepared datasets are in `test_evaluate`."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from cspn_tf.contract import STATUS_OK
from cspn_tf.decoding import decode_photo
from cspn_tf.evaluation.inputs import LabelledPhoto, read_coco_files
from cspn_tf.garment_set import Garments

NAMES = {"collar": 2, "sleeve": 2, "waistline": 2, "hem": 2}
PARTS = {"upper": ("collar", "sleeve", "hem"), "lower": ("waistline", "hem"), "full": tuple(NAMES)}


def mmpose_file(path, part, image_id):
    """Write one image in the form in which MMPose has FLD: a category of its own keypoints, with the id 1."""
    names = [f"{side} {part_name}" for part_name in PARTS[part] for side in ("left", "right")]
    keypoints = [value for k in range(len(names)) for value in (10 * k + 1, 10 * k + 2, 1 + k % 2)]
    annotation = {"id": 1, "image_id": image_id, "category_id": 1, "bbox": [0, 0, 99.9, 80], "keypoints": keypoints}
    labels = {
        "images": [{"id": image_id, "file_name": f"img_{image_id:08d}.jpg"}],
        "categories": [{"id": 1, "name": "fashion", "keypoints": names}],
        "annotations": [annotation],
    }
    path.write_text(json.dumps(labels))
    return path


def test_mmposes_files_are_scored_together(tmp_path):
    files = [mmpose_file(tmp_path / f"fld_{part}_test.json", part, 10 + n) for n, part in enumerate(PARTS)]
    results = [
        {"image_id": 11, "category_id": 2, "score": score, "keypoints": [3.0, 4.0, 0.5] * 8} for score in (0.4, 0.8)
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    matched, notes = read_coco_files(files, tmp_path / "results.json")
    truths, results = matched.truths, matched.results

    assert [result.name for result in results] == ["img_00000010.jpg", "img_00000011.jpg", "img_00000012.jpg"]
    assert [truth.types.tolist() for truth in truths] == [[1], [2], [3]]
    assert truths[0].visibility.tolist() == [[1, 2, 1, 2, 0, 0, 1, 2]]
    assert truths[1].visibility.tolist() == [[0, 0, 0, 0, 1, 2, 1, 2]]
    np.testing.assert_array_equal(truths[1].keypoints_xy[0, 4:], [[1, 2], [11, 12], [21, 22], [31, 32]])
    assert truths[0].boxes_xyxy[0, 2] == np.float32(99.9)
    assert [len(result.garments) for result in results] == [0, 2, 0]
    assert results[1].garments.scores.tolist() == [0.4, 0.8] and results[1].garments.types.tolist() == [2, 2]
    # A box that is the extent of keypoints all in one place finds nothing.
    assert matched.found.tolist() == [False] * 3
    assert notes == {"num_boxes_from_keypoints": 2, "num_repeated_annotations": 0, "num_photos_without_results": 2}


@pytest.mark.parametrize("num_turns", [1, 2, 3])
def test_turned_labels_are_where_the_turned_photo_shows_them(num_turns):
    pixels = np.zeros((7, 4, 3), np.uint8)
    pixels[2, 1] = 255
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    labels = Garments.label(3, [1, 2, 3, 5], np.tile([[1, 2]], (8, 1)), np.full(8, 2))
    turned = LabelledPhoto("a", content.getvalue(), labels).turned(num_turns)

    shown = np.asarray(Image.open(io.BytesIO(turned.photo_bytes)))
    assert shown.shape[:2] == ((7, 4) if num_turns == 2 else (4, 7))
    ((y, x),) = np.argwhere(shown[..., 0] == 255)
    np.testing.assert_array_equal(turned.garments.keypoints_xy, np.tile([[x, y]], (1, 8, 1)))
    # By hand: x and y change places, and one of them is counted from the other end.
    boxes = {1: [2, 0, 5, 2], 2: [0, 1, 2, 4], 3: [1, 1, 4, 3]}
    np.testing.assert_array_equal(turned.garments.boxes_xyxy, [boxes[num_turns]])
    assert turned.garments.visibility.tolist() == labels.visibility.tolist() and turned.name == "a"


def test_a_turned_photo_is_accepted_like_the_photo_itself(monkeypatch):
    monkeypatch.setattr("cspn_tf.config.Config.max_pixels", 100)
    content = io.BytesIO()
    Image.new("RGB", (12, 8), (10, 200, 90)).save(content, "JPEG", quality=100)
    photo = LabelledPhoto("a", content.getvalue(), Garments.label(3, [1, 2, 3, 5], np.zeros((8, 2)), np.zeros(8)))
    turned, size, status = decode_photo(photo.turned(1).photo_bytes, 100)
    assert (status, size.numpy().tolist()) == (STATUS_OK, [12, 8])
    assert np.abs(turned.numpy().astype(int) - (10, 200, 90)).max() < 6


def test_a_photo_that_cannot_be_decoded_is_not_turned():
    photo = LabelledPhoto("a", b"no photo", Garments.label(3, [1, 2, 3, 5], np.tile([[1, 2]], (8, 1)), np.full(8, 2)))
    assert photo.turned(1) is photo
