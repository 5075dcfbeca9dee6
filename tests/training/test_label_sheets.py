import numpy as np
import pytest
from PIL import Image

from cspn_tf.console import run
from cspn_tf.evaluation.inputs import LabelledPhoto
from cspn_tf.garment_set import Garments
from cspn_tf.garments import GarmentType, Variation
from training import label_sheets


def test_a_photo_is_sorted_by_its_own_type_and_variation(tiny_data):
    photos = label_sheets.choose(tiny_data, "train", 2)
    assert {garment_type for garment_type, _ in photos} == set(GarmentType)
    for (garment_type, variation), examples in photos.items():
        assert 1 <= len(examples) <= 2
        for example in examples:
            assert example.garments.types.tolist() == [garment_type]
            assert example.garments.variations.tolist() == [variation]


def test_a_photo_without_garments_is_left_out(monkeypatch):
    one = Garments.label(GarmentType.LOWER_BODY, (0, 0, 9, 9), np.zeros((8, 2)), [0] * 8, Variation.LARGE_POSE)
    photos = [LabelledPhoto("empty.jpg", b"", Garments([], [], [])), LabelledPhoto("a.jpg", b"", one)]
    monkeypatch.setattr(label_sheets, "Photos", lambda *_: photos)
    assert label_sheets.choose("data", "train", 2) == {(GarmentType.LOWER_BODY, Variation.LARGE_POSE): photos[1:]}


def test_a_picture_a_garment_type_is_written(tiny_data, tmp_path, capsys):
    assert run(label_sheets.main, ["--data", str(tiny_data), "--out", str(tmp_path), "--columns", "2"]) == 0
    names = ["labels-full-body.jpg", "labels-lower-body.jpg", "labels-upper-body.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert len(capsys.readouterr().out.splitlines()) == 3
    rows = len({variation for kind, variation in label_sheets.choose(tiny_data, "train", 2) if kind == 1})
    with Image.open(tmp_path / "labels-upper-body.jpg") as sheet:
        assert rows * 200 < sheet.height < rows * 260
        assert np.asarray(sheet).std() > 20


@pytest.mark.parametrize(("name", "message"), [("gone", "is not a prepared dataset"), (".", "is not a prepared")])
def test_what_is_no_dataset_is_named(tmp_path, capsys, name, message):
    assert run(label_sheets.main, ["--data", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
