import json

import numpy as np
import pytest
from PIL import Image

from cspn_tf.cli import prepare
from cspn_tf.console import run
from training import blank_pictures


def test_pictures_are_background_photos_to_prepare(tmp_path):
    out = tmp_path / "photos" / "blank"
    assert run(blank_pictures.main, ["--out", str(out), "--num", "10", "--seed", "3"]) == 0
    labels = out / "labels.train.json"
    names = [f"blank/{index:04}.png" for index in range(10)]
    content = json.loads(labels.read_text())
    assert [image["file_name"] for image in content["images"]] == names and content["annotations"] == []
    for image in content["images"]:
        with Image.open(out.parent / image["file_name"]) as picture:
            assert (picture.width, picture.height) == (image["width"], image["height"])
            assert 300 <= min(picture.size) <= max(picture.size) < 900
    arguments = ["--source", "coco", "--root", out.parent, "--annotations", labels, "--out", tmp_path / "data"]
    assert prepare.main([str(argument) for argument in arguments]) == 0
    splits = json.loads((tmp_path / "data" / "dataset.json").read_text())["splits"]
    assert (splits["train"]["num_photos"], splits["train"]["num_garments"]) == (10, 0)


def test_pictures_of_a_killed_run_do_not_stay(tmp_path):
    (tmp_path / ".blank.partial").mkdir()
    (tmp_path / ".blank.partial" / "0099.png").touch()
    assert run(blank_pictures.main, ["--out", str(tmp_path / "blank"), "--num", "2"]) == 0
    assert sorted(path.name for path in (tmp_path / "blank").iterdir()) == ["0000.png", "0001.png", "labels.train.json"]


@pytest.mark.parametrize("kind", range(len(blank_pictures.KINDS)))
def test_each_kind_follows_its_seed(kind):
    first, same, other = (blank_pictures.draw(np.random.default_rng(seed), kind) for seed in (1, 1, 2))
    assert first.mode == "RGB" and first.tobytes() == same.tobytes() != other.tobytes()
    num_colours = len(np.unique(np.asarray(first).reshape(-1, 3), axis=0))
    assert num_colours == 1 if blank_pictures.KINDS[kind] is blank_pictures._plain else num_colours > 1
