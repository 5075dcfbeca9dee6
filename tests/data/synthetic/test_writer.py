import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cspn_tf.console import UserError
from cspn_tf.data.coco import read_coco
from cspn_tf.data.deepfashion import read_deepfashion
from cspn_tf.data.synthetic import write_synthetic_dataset
from cspn_tf.data.synthetic.photo import render
from cspn_tf.garments import KEYPOINT_SLOTS, Visibility

COUNTS = {"num_train": 9, "num_val": 3, "num_test": 2}
FLD_CODE = {Visibility.VISIBLE: 0, Visibility.OCCLUDED: 1, Visibility.CUT_OFF: 2}


def write(root, **changes):
    write_synthetic_dataset(root, **{**COUNTS, "seed": 21, "size": 160, "workers": 1, **changes})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("fld") / "data"
    write(root)
    return root


def rows(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert int(lines[0]) == len(lines) - 2 == 14
    return lines[1].split(), [re.split(r" +", line) for line in lines[2:]]


def photos():
    for split, count in (("train", 9), ("val", 3), ("test", 2)):
        for index in range(count):
            yield split, index


def test_the_layout_is_that_of_fld(dataset):
    files = sorted(str(path.relative_to(dataset)) for path in dataset.rglob("*") if path.is_file())
    images = [f"img/img_{k:08d}.jpg" for k in range(1, 15)]
    lists = ["Anno/list_bbox.txt", "Anno/list_joints.txt", "Anno/list_landmarks.txt", "Eval/list_eval_partition.txt"]
    assert files == lists + images
    assert [path.name for path in dataset.parent.iterdir()] == ["data"]


def test_boxes_and_landmarks_read_back_as_rendered(dataset):
    box_header, boxes = rows(dataset / "Anno/list_bbox.txt")
    landmark_header, landmarks = rows(dataset / "Anno/list_landmarks.txt")
    assert box_header == ["image_name", "x_1", "y_1", "x_2", "y_2"]
    assert landmark_header[:4] == ["image_name", "clothes_type", "variation_type", "landmark_visibility_1"]
    assert len(landmark_header) == 3 + 3 * 8
    for (split, index), box, row in zip(photos(), boxes, landmarks, strict=True):
        garment = render(21, index, size=160, split=split).garments[0]
        assert box[0] == row[0]
        assert [int(v) for v in box[1:]] == [int(v) for v in garment.boxes_xyxy[0]]
        assert (int(row[1]), int(row[2])) == (garment.types, garment.variations)
        slots = KEYPOINT_SLOTS[garment.types[0]]
        values = np.array(row[3:], int).reshape(-1, 3)
        assert len(values) == len(slots)
        for slot, (code, x, y) in zip(slots, values, strict=True):
            assert code == FLD_CODE[Visibility(garment.visibility[0, slot])]
            if code == 2:
                assert (x, y) == (0, 0)
            else:
                np.testing.assert_allclose((x, y), garment.keypoints_xy[0, slot], atol=0.5001)


def test_partition_follows_the_counts(dataset):
    header, partition = rows(dataset / "Eval/list_eval_partition.txt")
    assert header == ["image_name", "evaluation_status"]
    assert [row[1] for row in partition] == ["train"] * 9 + ["val"] * 3 + ["test"] * 2


def test_joints_are_the_figures_or_all_cut_off(dataset):
    header, joints = rows(dataset / "Anno/list_joints.txt")
    assert len(header) == 3 + 3 * 14
    people = 0
    for (split, index), row in zip(photos(), joints, strict=True):
        values = np.array(row[3:], int).reshape(14, 3)
        assert (values[values[:, 0] == 2][:, 1:] == 0).all()
        expected = render(21, index, size=160, split=split).plan.joints_xy
        if expected is None:
            assert (values[:, 0] == 2).all()
            continue
        people += 1
        seen = values[:, 0] == 0
        np.testing.assert_allclose(values[seen, 1:], expected[seen], atol=0.5001)
    assert people > 0


def test_images_are_the_rendered_photos_as_jpeg(dataset):
    for number, (split, index) in enumerate(photos(), start=1):
        with Image.open(dataset / f"img/img_{number:08d}.jpg") as image:
            assert image.format == "JPEG"
            saved = np.asarray(image, float)
        expected = render(21, index, size=160, split=split).image
        assert saved.shape == expected.shape
        assert np.abs(saved - expected).mean() < 8


def test_bytes_do_not_depend_on_the_number_of_workers(dataset, tmp_path):
    calls = []
    write(tmp_path / "two", workers=2, progress=lambda done, total: calls.append((done, total)))
    for path in dataset.rglob("*"):
        if path.is_file():
            assert (tmp_path / "two" / path.relative_to(dataset)).read_bytes() == path.read_bytes(), path
    assert calls == [(k, 14) for k in range(1, 15)]


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=re.escape(str(tmp_path))):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(UserError, match="not an empty folder"):
        write(tmp_path / "data")


def test_an_empty_folder_is_filled(tmp_path):
    root = tmp_path / "deep" / "data"
    root.mkdir(parents=True)
    write(root, num_train=1, num_val=0, num_test=0)
    assert (root / "img/img_00000001.jpg").is_file()


def test_an_interrupted_run_leaves_nothing(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "data", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


PARENT = """
import sys
from pathlib import Path
from cspn_tf.data.synthetic import write_synthetic_dataset

if __name__ == "__main__":
    write_synthetic_dataset(Path(sys.argv[1]), num_train=5000, num_val=0, num_test=0, seed=1, size=64, workers=2)
"""


def test_workers_end_with_a_killed_parent_and_the_next_run_starts_anew(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    root = tmp_path / "root"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", root], env=environment)
    staging = tmp_path / ".root.partial"

    def photos():
        return sorted(staging.rglob("*.jpg"))

    deadline = time.monotonic() + 60
    while len(photos()) < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    time.sleep(1.0)
    left = photos()
    time.sleep(1.0)
    assert len(left) >= 4 and photos() == left
    write_synthetic_dataset(root, num_train=1, num_val=0, num_test=0, seed=1, size=64, workers=1)
    assert len(list(root.rglob("*.jpg"))) == 1 and not staging.exists()


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        ({"num_train": -1}, "counts"),
        ({"seed": -2}, "seed"),
        ({"size": 10}, "size"),
        ({"workers": 0}, "workers"),
        ({"max_garments": 0}, "max_garments"),
        ({"max_garments": 7}, "max_garments"),
        ({"variation_shares": {}}, "variation_shares"),
    ],
)
def test_arguments_out_of_range_are_refused_before_anything_is_written(tmp_path, bad, name):
    with pytest.raises(ValueError, match=rf"{name}.*Received"):
        write(tmp_path / "data", **bad)
    assert list(tmp_path.iterdir()) == []


def test_the_reader_takes_every_photo(dataset):
    result = read_deepfashion(dataset)
    assert len(result.samples) == 14
    assert result.rejected == []
    sample = result.samples[0]
    garments = render(21, 0, size=160).garments
    assert sample.garments.types == garments.types
    np.testing.assert_array_equal(sample.garments.visibility, garments.visibility)


# COCO ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    root = tmp_path_factory.mktemp("coco") / "data"
    write(root, max_garments=3)
    return root


def test_coco_photos_and_annotations_lie_by_split(coco):
    files = sorted(str(path.relative_to(coco)) for path in coco.rglob("*") if path.is_file())
    images = [f"images/{split}/{index + 1:08d}.jpg" for split, index in photos()]
    assert files == sorted([f"annotations/{split}.json" for split in ("train", "val", "test")] + images)
    for split, count in (("train", 9), ("val", 3), ("test", 2)):
        document = json.loads((coco / f"annotations/{split}.json").read_text())
        names = [image["file_name"] for image in document["images"]]
        assert names == [f"images/{split}/{index + 1:08d}.jpg" for index in range(count)]


def test_coco_labels_are_those_of_each_rendered_garment(coco):
    document = json.loads((coco / "annotations/train.json").read_text())
    counts = []
    for index, image in enumerate(document["images"]):
        annotations = [a for a in document["annotations"] if a["image_id"] == image["id"]]
        photo = render(21, index, size=160, num_garments=len(annotations))
        assert (image["height"], image["width"]) == photo.image.shape[:2]
        for annotation, garment in zip(annotations, photo.garments, strict=True):
            x_min, y_min, x_max, y_max = garment.boxes_xyxy[0]
            np.testing.assert_allclose(annotation["bbox"], (x_min, y_min, x_max - x_min, y_max - y_min), atol=1e-3)
            # The category's own slots first, or all eight: whichever, visible points are 2 and occluded ones 1.
            codes = np.array(annotation["keypoints"][2::3])
            assert (codes == 2).sum() == garment.visible.sum()
            assert (codes == 1).sum() == (garment.visibility == Visibility.OCCLUDED).sum()
        counts.append(len(annotations))
    assert min(counts) >= 1 and max(counts) <= 3 and len(set(counts)) > 1


def test_coco_files_read_back(coco):
    result = read_coco(coco)
    assert result.rejected == []
    assert [sample.split for sample in result.samples].count("train") == 9 and len(result.samples) == 14
    assert all(Image.open(sample.path).format == "JPEG" for sample in result.samples)
