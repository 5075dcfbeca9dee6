import json
import shutil

import pytest

from benchmarks import frontier
from cspn_tf.console import run


@pytest.fixture(autouse=True)
def threads_as_they_are(monkeypatch):
    monkeypatch.setattr(frontier, "set_threads", lambda *_: None)


def call(*args):
    return run(frontier.main, [str(arg) for arg in args])


def copy_with(directory, target, **values):
    """Copy a training directory, with other values in its last epoch."""
    shutil.copytree(directory, target)
    history = json.loads((target / "history.json").read_text())
    history[-1].update(values)
    (target / "history.json").write_text(json.dumps(history[-1:]))
    return target


def test_frontier_is_what_nothing_as_fast_beats():
    rows = [
        {"name": "slow and best", "milliseconds": 9.0, "value": 0.03},
        {"name": "fast", "milliseconds": 1.0, "value": 0.08},
        {"name": "middling and worse", "milliseconds": 5.0, "value": 0.09},
        {"name": "as fast, worse", "milliseconds": 1.0, "value": 0.10},
        {"name": "middling", "milliseconds": 4.0, "value": 0.05},
        {"name": "slower, as good", "milliseconds": 6.0, "value": 0.05},
    ]
    lower = {row["name"]: row["is_on_frontier"] for row in frontier.mark_frontier(rows, lower_is_better=True)}
    assert {name for name, is_on in lower.items() if is_on} == {"fast", "middling", "slow and best"}
    assert list(lower)[:2] == ["fast", "as fast, worse"]
    higher = frontier.mark_frontier(rows, lower_is_better=False)
    assert [row["name"] for row in higher if row["is_on_frontier"]] == ["as fast, worse"]


@pytest.mark.slow
def test_command_measures_and_writes_table_figures_and_picture(tiny_keypoints, tmp_path, capsys):
    good = copy_with(tiny_keypoints, tmp_path / "good", val_ne_bbox=0.125)
    bad = copy_with(tiny_keypoints, tmp_path / "bad", val_ne_bbox=0.5)
    out = tmp_path / "out"
    assert call("--runs", bad, good, "--repeats", 2, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "| good | 0.1250 | 2 |" in printed and "| bad | 0.5000 | 2 |" in printed
    found = json.loads((out / "frontier.json").read_text())
    assert found["kind"] == "keypoints" and found["machine"]["threads"] == 1
    rows = {row["name"]: row for row in found["rows"]}
    assert rows["good"]["is_on_frontier"] and rows["good"]["flops"] == rows["bad"]["flops"] > 1e6
    assert all(row["milliseconds"] > 0 for row in rows.values())
    assert (out / "frontier.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_detectors_are_judged_by_ap(tiny_detector, tmp_path):
    kind, runs = frontier.read_runs([copy_with(tiny_detector, tmp_path / "one", val_ap=0.75)])
    assert kind == "detector" and (runs[0]["value"], runs[0]["epoch"]) == (0.75, 2)
    (row,) = frontier.measure(kind, runs, 1)
    assert row["milliseconds"] > 0 and row["parameters"] > 10_000 and row["is_on_frontier"]


def test_what_is_wrong_is_one_line(tiny_detector, tiny_keypoints, tmp_path, capsys):
    empty = copy_with(tiny_keypoints, tmp_path / "empty", val_ne_bbox=None)
    for runs, message in (
        ([tmp_path], f"error: {tmp_path} is not a keypoints checkpoint: it has no network.json"),
        ([tiny_keypoints, tiny_detector], f"error: {tiny_detector} is detector of "),
        ([empty], f"error: {empty}: history.json has no val_ne_bbox"),
    ):
        assert call("--runs", *runs, "--out", tmp_path / "out") == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
