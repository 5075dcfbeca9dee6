from pathlib import Path

import pytest
from PIL import Image

from benchmarks.comparison import report
from benchmarks.comparison.runners import KEYPOINT_RCNN, OURS, YOLO_640, Runner
from benchmarks.comparison.turns import Turns

SETTING = {
    "machine": {"cpu": "a processor", "cores": 2},
    "threads": 2,
    "load": 0.25,
    "photos": "8, 512x512",
    "rounds": 2,
    "repeats": 3,
    "seconds": 4.0,
    "garments": 1,
    "notes": ["A note."],
}
PEER = Path("peer.py")


def make_figures(accuracies=None, only_ours=False):
    ours = Runner("cspn", "SavedModel", OURS, {})
    bf16, fp32 = Runner(YOLO_640, "OpenVINO", PEER, {}), Runner(YOLO_640, "ORT", PEER, {})
    rcnn = Runner(KEYPOINT_RCNN, "PyTorch", PEER, {})
    turns = {
        ours.name: Turns([[20.0, 22.0, 90.0], [30.0, 30.0, 30.0]], [[100.0], [60.0, 80.0]], "one batch", 500.0, [1, 2]),
        bf16.name: Turns([[40.0], [20.0]], [[160.0], []], "2 streams", 200.0, [4]),
        fp32.name: Turns([[55.0], [15.0]], [[400.0], []], "one by one", 300.0, [4]),
        rcnn.name: Turns([[2200.0], [6000.0]], [[16000.0], []], "one by one", 900.0, [4]),
    }
    facts = {
        ours.name: {"precision": "fp32", "threads": "2 inter-op, 1 intra-op", "parameters": 3_210_000, "flops": 2.5e9},
        bf16.name: {"precision": "bf16", "threads": "2"},
        fp32.name: {"precision": "fp32", "threads": "2"},
        rcnn.name: {"precision": "fp32", "threads": "2", "note": "4 detections"},
    }
    runners = [ours] if only_ours else [ours, bf16, fp32, rcnn]
    return report.figures_of(runners, turns, facts, accuracies or {})


def test_figures_are_of_all_rounds():
    ours = make_figures({"cspn": 0.04})[0]
    assert (ours["median_ms"], ours["num_runs"], ours["round_medians_ms"]) == (30.0, 6, [22.0, 30.0])
    # Sorted 20 22 30 30 30 90: a quarter of the way from the fifth's 30 to the sixth's 90 is missing to 95 %.
    assert ours["p95_ms"] == pytest.approx(75.0)
    # The median batch took 80 ms.
    assert (ours["photos_per_second"], ours["num_batches"]) == (pytest.approx(100.0), 3)
    assert (ours["garments_per_photo"], ours["peak_rss_mb"]) == (1.5, 500.0)
    assert (ours["is_ours"], ours["ne_bbox"], ours["note"]) == (True, 0.04, None)


def test_ratios_are_to_the_fastest_of_the_same_round():
    ours, *_, rcnn = make_figures()
    # Rounds: 22 and 30 ms, against 40 and 15, the fastest of both YOLO runtimes.
    assert ours["ratios"][report.FASTEST_YOLO] == pytest.approx({"median": 1.275, "min": 0.55, "max": 2.0})
    # In fp32 there is one runtime, of 55 and 15 ms.
    assert ours["ratios"][report.FASTEST_YOLO_FP32] == pytest.approx({"median": 1.2, "min": 0.4, "max": 2.0})
    assert ours["ratios"][report.RCNN] == pytest.approx({"median": 0.0075, "min": 0.005, "max": 0.01})
    assert rcnn["ratios"][report.RCNN] == {"median": 1.0, "min": 1.0, "max": 1.0}


def test_without_peers_there_are_no_ratios():
    (ours,) = make_figures(only_ours=True)
    assert ours["ratios"] == {}
    text = report.to_markdown([ours], SETTING)
    assert "random weights" not in text
    assert "/ YOLO 640" not in text


def rows_of(text, header):
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {header} |"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_report_has_the_fastest_first_with_spread_and_baselines():
    text = report.to_markdown(make_figures({"cspn": 0.04}), SETTING)
    header, _, *rows = rows_of(text, "one photo")
    assert header[6:] == ["/ YOLO 640", "/ YOLO 640 fp32", "/ Keypoint R-CNN", "ne_bbox"]
    assert [row[0] for row in rows] == [
        "**cspn, SavedModel**",
        f"{YOLO_640}, OpenVINO",
        f"{YOLO_640}, ORT",
        f"{KEYPOINT_RCNN}, PyTorch",
    ]
    assert rows[0][1:] == [
        *("fp32", "30.0 ms", "75.0 ms", "22.0 to 30.0 ms", "6"),
        *("1.27 (0.55 to 2.00)", "1.20 (0.40 to 2.00)", "0.007 (0.005 to 0.010)", "0.0400"),
    ]
    assert rows[1][1] == "bf16"
    assert rows_of(text, "8 photos")[2] == ["**cspn, SavedModel**", "100.0", "one batch", "3"]
    assert rows_of(text, "runner")[2][1:] == ["2 inter-op, 1 intra-op", "500 MB", "3.21 M", "2.50", "1.5", ""]
    assert rows_of(text, "runner")[5][1:] == ["2", "900 MB", "", "", "4.0", "4 detections"]


def test_the_report_says_how_and_on_what_it_was_measured():
    text = report.to_markdown(make_figures(), SETTING)
    assert "a processor, 2 cores; 2 threads for each runner. Load average before the start: 0.25. Photos: 8" in text
    assert "2 rounds" in text and "up to 3 timed calls" in text and "ends after 4 s" in text
    assert "The peers have random weights" in text
    assert "\nA note.\n" in text
    assert "ne_bbox" not in text


@pytest.mark.parametrize("accuracies", [{}, {"cspn": 0.04}])
def test_the_picture_is_drawn_with_and_without_accuracy(tmp_path, accuracies):
    path = tmp_path / "latency.png"
    report.draw(make_figures(accuracies), path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(1_000_000)) > 10


def test_the_picture_shows_accuracy_where_one_is_known(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(report, "_draw_bars", lambda axes, figures: drawn.append("bars"))
    monkeypatch.setattr(report, "_draw_against_accuracy", lambda axes, figures: drawn.append("accuracy"))
    report.draw(make_figures(), tmp_path / "a.png")
    report.draw(make_figures({"cspn": 0.04}), tmp_path / "b.png")
    assert drawn == ["bars", "accuracy"]
