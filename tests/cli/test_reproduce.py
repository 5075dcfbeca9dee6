"""The whole reproduction on a few small photos, its commands run in this process."""

import importlib
import json
import shutil

import pytest

from cspn_tf.cli import reproduce
from cspn_tf.console import UserError

# As small as the preset `tiny`.
SMALL = (
    *("canvas_size=256", "detector.backbone=mobilenet_v3_small", "detector.weights=none", "detector.input_size=128"),
    *("detector.pyramid_width=16", "detector.head_width=32", "detector.score_threshold=0.0"),
    *("keypoints.backbone=mobilenet_v3_small", "keypoints.weights=none", "keypoints.crop_size=64"),
    "keypoints.width=8",
)


@pytest.fixture
def commands(monkeypatch):
    """Run the jobs one after the other here, where TensorFlow is loaded; return what was run."""
    called = []

    def run_jobs(jobs, num_parallel, progress):
        for job in jobs:
            if not job.is_done():
                called.append(job.title)
                module, *arguments = map(str, job.command)
                assert importlib.import_module(module).main(arguments) == 0
                assert job.is_done(), job.title
                progress.finished(job, 1.0)

    monkeypatch.setattr(reproduce, "run_jobs", run_jobs)
    return called


def call(data, out, *arguments):
    settings = [part for text in SMALL for part in ("--set", text)]
    wanted = ["--epochs", "1", "--seeds", "1", "--jobs", "1", *settings, *arguments]
    return reproduce.main(["--data", str(data), "--out", str(out), *wanted])


@pytest.mark.slow
def test_everything_is_trained_once_and_reported(tiny_data, tmp_path, commands, capsys):
    out = tmp_path / "out"
    only = ("--only", "cspn", "stages-1", "subpixel-none")
    assert call(tiny_data, out, "--beyond", *only) == 0
    assert commands == [
        "trained the detector",
        "trained CSPN, seed 1",
        "trained 1 stages, seed 1",
        "evaluated CSPN, seed 1",
        "evaluated 1 stages, seed 1",
        "evaluated sub-pixel decoding: none, seed 1",
    ]
    assert f"written to {out}" in capsys.readouterr().out
    found = json.loads((out / "report.json").read_text())
    assert [row["name"] for row in found["table_1"]] == ["cspn"]
    assert [row["num_stages"] for row in found["stages"]] == [1, 4]
    assert found["stages"][0]["parameters"] < found["stages"][1]["parameters"]
    assert found["stages"][0]["flops"] < found["stages"][1]["flops"]
    assert found["data"]["splits"]["test"]["num_photos"] == 8
    for name in ("report.md", "figure_6.png", "costs.json", "plan.json"):
        assert (out / name).stat().st_size > 0
    # The derived experiment is the CSPN with another way of decoding, on the same test photos.
    rows = {row["name"]: row for row in found["beyond"]}
    assert (
        rows["subpixel-none"]["detected_boxes"]["epe"]["count"] == found["table_1"][0]["detected_boxes"]["epe"]["count"]
    )

    commands.clear()
    (out / "report.json").unlink()
    assert call(tiny_data, out, "--beyond", *only) == 0
    assert commands == [] and (out / "report.json").exists()


def test_data_that_are_not_there_are_named(tmp_path):
    with pytest.raises(UserError, match="not a prepared dataset"):
        call(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_garments_is_named(tiny_data, tmp_path, split):
    data = shutil.copytree(tiny_data, tmp_path / "data")
    manifest = json.loads((data / "dataset.json").read_text())
    manifest["splits"][split]["num_garments"] = 0
    (data / "dataset.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=f"^{data} has no garments in its split '{split}'$"):
        call(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
