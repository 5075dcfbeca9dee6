import json

import pytest

from benchmarks import scaling
from cspn_tf.console import run


def test_straight_line_through_the_points_by_hand():
    found = {("photos in a batch", 1): 5.0, ("photos in a batch", 2): 8.0, ("photos in a batch", 4): 14.0}
    curve = scaling.summarise(found)["photos in a batch"]
    assert curve["points"] == [{"x": 1, "ms": 5.0}, {"x": 2, "ms": 8.0}, {"x": 4, "ms": 14.0}]
    assert curve["fixed_ms"] == pytest.approx(2.0) and curve["ms_each"] == pytest.approx(3.0)


@pytest.mark.slow
def test_command_measures_the_three_curves_and_draws_them(tiny_detector, tiny_keypoints, tmp_path, monkeypatch, capsys):
    from PIL import Image

    monkeypatch.setattr(scaling, "set_threads", lambda *_: None)
    monkeypatch.setattr(scaling, "BATCH_SIZES", (1, 2))
    monkeypatch.setattr(scaling, "NUM_GARMENTS", (1, 3))
    monkeypatch.setattr(scaling, "SIDES", (64, 300))
    args = ["--detector", tiny_detector, "--keypoints", tiny_keypoints, "--repeats", "1", "--out", tmp_path / "out"]
    assert run(scaling.main, [str(arg) for arg in args]) == 0
    curves = json.loads((tmp_path / "out" / "scaling.json").read_text())["curves"]
    assert {name: [point["x"] for point in curve["points"]] for name, curve in curves.items()} == {
        "photos in a batch": [1, 2],
        "garments on a photo": [1, 3],
        "longest side of the photo": [64, 300],
    }
    assert "garments on a photo: " in capsys.readouterr().out
    with Image.open(tmp_path / "out" / "scaling.png") as picture:
        assert picture.width > 3 * picture.height // 2
