import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cspn_tf.cli import prepare
from cspn_tf.console import run
from cspn_tf.data import shards
from cspn_tf.data.tfrecords import parse_example, read_manifest, shard_paths, verify
from tests.data.deepfashion_files import FILES, FLD, HEADERS, KEYPOINTS, PARTITION
from tests.data.made import photo_bytes

REPOSITORY = Path(__file__).parents[2]
BOXES, LANDMARKS = FILES[FLD]
LANDMARK_ROWS = (
    "1 1 0 144 156 0 221 159 0 086 218 0 250 238 1 111 408 2 000 000",
    "2 4 0 60 40 0 120 41 0 20 390 0 150 380",
)


@pytest.fixture(scope="module")
def photos():
    """Photos that differ, by number."""
    return [photo_bytes(number, 300, 450) for number in range(12)]


@pytest.fixture
def root(tmp_path, photos):
    """An FLD dataset of 12 photos: 8 train, 2 val, 2 test; odd ones are lower-body."""
    root = tmp_path / "fld"
    names = [f"img/img_{number:08d}.jpg" for number in range(len(photos))]
    splits = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    rows = {
        BOXES: ["053 130 289 440"] * len(photos),
        LANDMARKS: [LANDMARK_ROWS[number % 2] for number in range(len(photos))],
        PARTITION: splits,
    }
    for (file, values), header in zip(rows.items(), HEADERS[FLD], strict=True):
        lines = [f"{name}  {value}" for name, value in zip(names, values, strict=True)]
        header += f" {' '.join(KEYPOINTS[:3])}" if file == LANDMARKS else ""
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("\n".join([str(len(lines)), header, *lines]) + "\n")
    (root / "img").mkdir()
    for name, photo in zip(names, photos, strict=True):
        (root / name).write_bytes(photo)
    return root


def _change(root, file, line, old, new):
    lines = (root / file).read_text().split("\n")
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    (root / file).write_text("\n".join(lines))


def _prepare(root, *options, source="fld"):
    """Run the command; returns its exit code, also where argparse ends it."""
    out = root.parent / "out"
    try:
        arguments = ["--source", source, "--root", root, "--out", out, "--workers", 2, *options]
        return run(prepare.main, [str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code


def _names_and_bytes(out, split):
    examples = [parse_example(record) for record in tf.data.TFRecordDataset(shard_paths(out, split))]
    return {example["photo_name"].numpy().decode(): example["photo_bytes"].numpy() for example in examples}


# A run that ends well ------------------------------------------------------------------------------------------------


def test_fld_becomes_a_dataset_of_the_same_photos(root, photos, tmp_path, capsys):
    assert _prepare(root) == 0
    out = tmp_path / "out"
    verify(out)
    train = _names_and_bytes(out, "train")
    assert train == {f"img/img_{number:08d}.jpg": photos[number] for number in range(8)}
    assert list(train) != sorted(train)  # shuffled
    assert list(_names_and_bytes(out, "val")) == ["img/img_00000008.jpg", "img/img_00000009.jpg"]
    assert read_manifest(out)["source"] == "fld"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fld", "out"]
    assert (out / "rejected.jsonl").read_text() == ""
    assert capsys.readouterr().err == ""


def test_the_report_counts_photos_garments_and_keypoints(root, tmp_path, capsys):
    assert _prepare(root) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["source"], report["variant"], report["splits_from"]) == ("fld", "DeepFashion FLD", "source")
    assert report["num_rejected"] == 0
    assert report["splits"]["val"] == {
        "num_photos": 2,
        "num_garments": 2,
        "garment_types": {"upper-body": 1, "lower-body": 1, "full-body": 0},
        "variations": {
            "unknown": 0,
            "normal pose": 1,
            "medium pose": 0,
            "large pose": 0,
            "medium zoom in": 1,
            "large zoom in": 0,
        },
        "visibility": {"visible": 8, "occluded": 1, "absent": 6, "cut off": 1},
    }
    assert report["splits"]["all"]["num_photos"] == 12
    printed = capsys.readouterr().out
    for row in (
        r"photos +8 +2 +2 +12",
        r"garments +8 +2 +2 +12",
        r"  upper-body +4 +1 +1 +6",
        r"  medium zoom in +4 +1 +1 +6",
        r"  occluded +4 +1 +1 +6",
        r"rejected rows +0",
    ):
        assert re.search(rf"^{row}$", printed, re.MULTILINE), row
        assert re.search(rf"^{row}$", (tmp_path / "out" / "report.md").read_text(), re.MULTILINE), row
    assert "full-body" not in printed  # there is none


def test_the_seed_decides_the_order_of_the_train_split(root, tmp_path):
    orders = []
    for seed in (1, 1, 2):
        assert _prepare(root, "--seed", seed, "--overwrite") == 0
        orders.append(list(_names_and_bytes(tmp_path / "out", "train")))
    assert orders[0] == orders[1] != orders[2]


def test_progress_is_printed_about_every_tenth_when_piped(root, capsys):
    assert _prepare(root) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "photos/s" in line]
    assert len(lines) == 10
    assert re.fullmatch(r"2 of 12 photos checked and written, [\d.]+ photos/s, 0:0\d left", lines[0])
    assert re.fullmatch(r"12 of 12 photos checked and written, [\d.]+ photos/s", lines[-1])


def test_a_few_rejected_rows_are_reported_when_allowed(root, tmp_path, capsys):
    _change(root, LANDMARKS, 7, "144", "x")
    (root / "img/img_00000009.jpg").unlink()
    assert _prepare(root, "--max-rejected", 0.2) == 0
    rejected = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert rejected == [
        {
            "photo": "img/img_00000004.jpg",
            "where": f"{root / LANDMARKS}:7",
            "reason": "x of left_collar is 'x', required a number",
            "kind": "malformed row",
        },
        {
            "photo": "img/img_00000009.jpg",
            "where": f"{root / LANDMARKS}:12",
            "reason": f"photo 'img/img_00000009.jpg' is missing: no file {root}/img/img_00000009.jpg",
            "kind": "missing photo",
        },
    ]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["num_rejected"] == 2
    assert report["rejected"] == {
        "malformed row": 1,
        "missing photo": 1,
        "unreadable photo": 0,
        "label outside the photo": 0,
    }
    assert {name: split["num_photos"] for name, split in report["splits"].items()} == {
        "train": 7,
        "val": 1,
        "test": 2,
        "all": 10,
    }
    assert "list_landmarks.txt:7: x of left_collar is 'x', required a number" in capsys.readouterr().out


def test_findings_are_counted_shown_and_listed(root, photos, tmp_path, capsys):
    _change(root, LANDMARKS, 3, "144 156 0 221 159", "221 159 0 144 156")  # reversed collars
    _change(root, BOXES, 4, "053 130 289 440", "053 130 320 440")  # of a photo 300 wide
    (root / "img/img_00000010.jpg").write_bytes(photos[0])  # a photo of train in test too
    assert _prepare(root) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    counts = {kind: found["count"] for kind, found in report["findings"].items() if found["count"]}
    assert counts == {
        "collars reversed": 1,
        "box reaches outside the photo": 1,
        "keypoint far outside its box": 3 * 6,  # three of each pair of trousers
    }
    (example,) = report["findings"]["collars reversed"]["examples"]
    assert (example["photo"], example["split"]) == ("img/img_00000000.jpg", "train")
    assert example["where"] == f"{root / LANDMARKS}:3"
    assert report["duplicates"]["num_groups"] == report["duplicates"]["num_groups_across_splits"] == 1
    (group,) = report["duplicates"]["examples"]
    assert {photo["photo"] for photo in group["photos"]} == {"img/img_00000000.jpg", "img/img_00000010.jpg"}
    lines = [json.loads(line) for line in (tmp_path / "out" / "findings.jsonl").read_text().splitlines()]
    kinds = [line["kind"] for line in lines]
    assert len(kinds) == 1 + 1 + 18 + 1
    assert {"box reaches outside the photo", "collars reversed", "same file"} < set(kinds)
    printed = capsys.readouterr().out
    assert re.search(r"^  collars reversed +1   left keypoint to the right of the right one", printed, re.MULTILINE)
    assert "duplicates: 1 groups of photos that are the same, 1 across splits" in printed


def test_a_contact_sheet_shows_random_photos(root, tmp_path):
    assert _prepare(root) == 0
    out = tmp_path / "out"
    assert not (out / "rejected.jpg").exists()
    with Image.open(out / "contact_sheet.jpg") as sheet:
        assert sheet.width > 5 * 320  # six tiles in a row
        assert np.asarray(sheet).std() > 20


def test_splits_are_made_when_asked_for_and_recorded(root, tmp_path, capsys):
    (root / PARTITION).unlink()
    assert _prepare(root) == 1
    capsys.readouterr()
    assert _prepare(root, "--splits", "0.5,0.25,0.25", "--seed", 3) == 0
    manifest = read_manifest(tmp_path / "out")
    assert manifest["splits_from"] == {"fractions": [0.5, 0.25, 0.25], "seed": 3}
    assert [manifest["splits"][split]["num_photos"] for split in ("train", "val", "test")] == [6, 3, 3]
    assert "splits: random, 0.5 / 0.25 / 0.25 of the photos, seed 3" in capsys.readouterr().out


def test_what_was_accepted_comes_out_as_coco_and_goes_in_again(root, tmp_path):
    (root / "img/img_00000009.jpg").unlink()
    assert _prepare(root, "--coco", root / "labels.json", "--max-rejected", 0.1) == 0
    written = [json.loads((root / f"labels.{split}.json").read_text()) for split in ("train", "val", "test")]
    assert [len(coco["images"]) for coco in written] == [8, 1, 2]
    assert [category["name"] for category in written[0]["categories"]] == ["upper-body", "lower-body", "full-body"]
    first = _names_and_bytes(tmp_path / "out", "train")
    arguments = ["--annotations", *(root / f"labels.{split}.json" for split in ("train", "val", "test"))]
    assert _prepare(root, *arguments, "--overwrite", source="coco") == 0
    assert _names_and_bytes(tmp_path / "out", "train").keys() == first.keys()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["splits"]["train"]["garment_types"] == {"upper-body": 4, "lower-body": 4, "full-body": 0}
    assert report["splits"]["train"]["variations"]["medium zoom in"] == 4


def test_labels_without_a_visible_keypoint_are_found(root, tmp_path, capsys):
    text = (root / LANDMARKS).read_text()
    # The code before each keypoint's coordinates: none is 0, visible, any more.
    (root / LANDMARKS).write_text(re.sub(r" 0 (?=\d{2,3} \d{2,3})", " 1 ", text))
    assert _prepare(root) == 0
    found = json.loads((tmp_path / "out" / "report.json").read_text())["findings"]["no keypoint is visible"]
    (example,) = found["examples"]
    assert (example["split"], example["detail"]) == ("all", "all of 54 labelled keypoints are occluded")
    printed = capsys.readouterr().out
    assert "  no keypoint is visible (all): all of 54 labelled keypoints are occluded: NE, which counts" in printed
    lines = [json.loads(line) for line in (tmp_path / "out" / "findings.jsonl").read_text().splitlines()]
    assert lines[0] == example


# A run that fails ----------------------------------------------------------------------------------------------------


def test_a_malformed_number_is_named_with_its_line_and_nothing_is_left(root, tmp_path, capsys):
    _change(root, LANDMARKS, 7, "144", "14four")
    assert _prepare(root) == 1
    printed = capsys.readouterr()
    assert printed.err == (
        f"error: {root}/Anno/list_landmarks.txt:7: x of left_collar is '14four', required a number; "
        "1 of 12 rows rejected, --max-rejected 0.01 allows 0\n"
    )
    assert "list_landmarks.txt:7: x of left_collar is '14four'" in printed.out
    assert [path.name for path in tmp_path.iterdir()] == ["fld"]


def test_missing_photos_are_found_and_at_most_ten_rows_listed(root, tmp_path, capsys):
    for path in (root / "img").iterdir():
        path.unlink()
    assert _prepare(root, "--max-rejected", 0.5) == 1
    printed = capsys.readouterr()
    assert printed.out.count("is missing") == 10
    assert printed.err.count("\n") == 1
    assert "list_landmarks.txt:3: photo 'img/img_00000000.jpg' is missing" in printed.err
    assert "12 of 12 rows rejected, --max-rejected 0.5 allows 6" in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["fld"]


@pytest.fixture
def coco(root, tmp_path):
    """The same dataset as COCO, every photo with its size: the files by split."""
    assert _prepare(root, "--coco", root / "labels.json") == 0
    return {split: root / f"labels.{split}.json" for split in ("train", "val", "test")}


def _change_sizes(coco, splits, change):
    for split in splits:
        content = json.loads(coco[split].read_text())
        for image in content["images"]:
            image["width"], image["height"] = change(image["width"], image["height"])
        coco[split].write_text(json.dumps(content))


def _prepare_coco(root, coco, *options):
    return _prepare(root, "--annotations", *coco.values(), "--overwrite", *options, source="coco")


def test_the_cause_is_named_before_what_comes_of_it(root, coco, capsys):
    content = json.loads(coco["train"].read_text())
    for image in content["images"]:
        del image["id"]
    coco["train"].write_text(json.dumps(content))
    assert _prepare_coco(root, coco) == 1
    assert capsys.readouterr().err.startswith(f"error: {coco['train']}: images[0]: the image has no 'id'; ")


def test_labels_for_another_size_of_most_photos_fail(root, coco, capsys):
    _change_sizes(coco, ["train"], lambda width, height: (900, 600))
    capsys.readouterr()
    assert _prepare_coco(root, coco) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {coco['train']}: ") and error.count("\n") == 1
    assert "labelled at 900 x 600, photo 300 x 450: turned, and 0.5 times as large; of 12 photos" in error


def test_labels_for_another_size_of_few_photos_are_found(root, coco, tmp_path):
    _change_sizes(coco, ["val"], lambda width, height: (width * 2, height * 2))
    assert _prepare_coco(root, coco) == 0
    findings = json.loads((tmp_path / "out" / "report.json").read_text())["findings"]
    assert findings["labelled size scaled"]["count"] == 2
    assert findings["labelled size scaled"]["examples"][0]["detail"].endswith("photo 300 x 450: 0.5 times as large")


def test_photos_that_are_smaller_than_those_labelled_are_named_so(root, coco, capsys):
    for path in (root / "img").iterdir():
        with Image.open(path) as image:
            image.resize((100, 150)).save(path)
    assert _prepare_coco(root, coco) == 1  # every photo has labels outside
    assert "labelled at 300 x 450, photo 100 x 150: 0.333 times as large; of 12 photos" in capsys.readouterr().err


def test_a_dataset_without_one_good_photo_fails_whatever_is_allowed(root, tmp_path, capsys):
    for path in (root / "img").iterdir():
        path.write_bytes(b"no photo")
    assert _prepare(root, "--max-rejected", 1) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {root}: none of the photos can be used: {root}") and error.count("\n") == 1
    assert error.endswith("is not a JPEG, PNG or WebP\n")
    assert [path.name for path in tmp_path.iterdir()] == ["fld"]


def test_a_missing_file_is_named(root, tmp_path, capsys):
    (root / BOXES).unlink()
    assert _prepare(root) == 1
    assert capsys.readouterr().err == f"error: {root / BOXES}: No such file or directory\n"
    assert [path.name for path in tmp_path.iterdir()] == ["fld"]


def test_an_output_that_cannot_be_written_is_named(root, capsys):
    (root.parent / "file").touch()
    assert _prepare(root, "--out", root.parent / "file" / "out") == 1
    assert re.fullmatch(r"error: \S+/file/\S+: Not a directory\n", capsys.readouterr().err)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_goes_on_with_the_same_command(root, photos, tmp_path, capsys, monkeypatch, stop):
    encode_example = shards.encode_example
    # Once, though there are threads: a second signal may come when nothing catches it any more.
    signals = iter([stop])

    def stopped(sample, *args):
        if sample.split == "val" and (number := next(signals, None)) is not None:
            os.kill(os.getpid(), number)
        return encode_example(sample, *args)

    monkeypatch.setattr(shards, "encode_example", stopped)
    before = signal.getsignal(signal.SIGTERM)
    # A process in the background of a shell is started with Ctrl-C switched off.
    background = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert _prepare(root) == 130
    finally:
        signal.signal(signal.SIGINT, background)
    assert capsys.readouterr().err == "interrupted\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.partial", "fld"]
    assert signal.getsignal(signal.SIGTERM) == before
    monkeypatch.undo()
    assert _prepare(root) == 0
    assert "8 photos were written by a run that was interrupted" in capsys.readouterr().out
    verify(tmp_path / "out")
    assert len(_names_and_bytes(tmp_path / "out", "train")) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fld", "out"]


# A wrong call --------------------------------------------------------------------------------------------------------


def test_an_unknown_source_is_answered_with_those_there_are(root, capsys):
    assert _prepare(root, source="imagenet") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "'imagenet'" in error
    assert "'fld', 'deepfashion-c', 'in-shop', 'consumer-to-shop', 'deepfashion2', 'fashionai', 'coco'" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-train", "5"], "--num-train is for --source synthetic"),
        (["--max-rejected", "1.5"], "must be between 0 and 1"),
        (["--max-rejected", "nan"], "must be between 0 and 1"),
        (["--workers", "0"], "must be at least 1"),
        (["--seed", "-1"], "must not be negative"),
        (["--num-val", "x"], "argument --num-val: invalid"),
        (["--splits", "0.5,0.5"], "must be three fractions that sum to 1, received '0.5,0.5'"),
        (["--splits", "0.5,0.6,-0.1"], "must be three fractions that sum to 1"),
        (["--splits", "nan,1,0"], "must be three fractions that sum to 1"),
        (["--category", "top=shirt"], "TYPE one of upper-body, lower-body, full-body, received 'top=shirt'"),
        (["--category", "top=upper-body"], "--category is for --source coco"),
        (["--annotations", "a.json"], "--annotations is for --source coco"),
        (["--max-garments", "2"], "--max-garments is for --source synthetic"),
        (["--source", "synthetic", "--max-garments", "7"], "--max-garments must be at most 6, received 7"),
        (["--variations", "normal-pose=1"], "--variations is for --source synthetic"),
        (["--variations", "no-pose=1"], "NAME of normal-pose, medium-pose, large-pose, medium-zoom-in, large-zoom-in"),
        (["--variations", "normal-pose=0"], "must be NAME=SHARE"),
        (["--coco", "/nowhere/labels.json"], "--coco /nowhere/labels.json: no folder /nowhere"),
    ],
)
def test_a_wrong_argument_is_named(root, tmp_path, capsys, options, message):
    assert _prepare(root, *options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["fld"]


def test_an_output_with_something_in_it_is_kept_unless_told(root, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious").touch()
    assert _prepare(root) == 2
    assert capsys.readouterr().err == f"error: {out} is not empty: give --overwrite to replace it\n"
    assert [path.name for path in out.iterdir()] == ["precious"]
    assert _prepare(root, "--overwrite") == 0
    assert not (out / "precious").exists()
    verify(out)


@pytest.mark.parametrize("out", [".", ".."])
def test_an_output_that_holds_the_dataset_is_refused(root, capsys, out):
    assert _prepare(root, "--out", root / out, "--overwrite") == 2
    assert "must not contain --root" in capsys.readouterr().err
    assert (root / LANDMARKS).exists()


def test_help_and_import_are_quick_and_without_tensorflow():
    code = "import sys, training.prepare as p\ntry: p.main(['--help'])\nfinally: assert 'tensorflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--max-rejected FRACTION" in done.stdout


# The synthetic source ------------------------------------------------------------------------------------------------


def test_the_synthetic_dataset_is_drawn_once_and_read_like_any_other(tmp_path, capsys):
    root, out = tmp_path / "synthetic", tmp_path / "out"
    counts = ("--num-train", 2, "--num-val", 1, "--num-test", 0, "--workers", 1)
    assert _prepare(root, *counts, source="synthetic") == 0
    assert "3 of 3 photos rendered" in capsys.readouterr().out
    manifest = read_manifest(out)
    assert manifest["source"] == "synthetic"
    assert [manifest["splits"][split]["num_photos"] for split in ("train", "val", "test")] == [2, 1, 0]
    names = _names_and_bytes(out, "train")
    assert all((root / name).read_bytes() == content for name, content in names.items())

    assert _prepare(root, "--overwrite", source="synthetic") == 0
    printed = capsys.readouterr().out
    assert f"{root} already exists and is used as is" in printed
    assert "rendered" not in printed
    assert _names_and_bytes(out, "train") == names

    for option, value, had in (("--num-val", 4, 1), ("--seed", 5, 0), ("--max-garments", 3, None)):
        assert _prepare(root, "--overwrite", option, value, source="synthetic") == 2
        error = capsys.readouterr().err
        assert error == f"error: {root} already exists, rendered with {option} {had}, not {value}\n"
    assert _names_and_bytes(out, "train") == names


def test_several_garments_a_photo_are_drawn_on_request(tmp_path):
    root, out = tmp_path / "synthetic", tmp_path / "out"
    counts = ("--num-train", 6, "--num-val", 1, "--num-test", 1, "--workers", 1)
    assert _prepare(root, *counts, "--max-garments", 3, source="synthetic") == 0
    train = read_manifest(out)["splits"]["train"]
    assert train["num_photos"] == 6
    assert 6 < train["num_garments"] <= 18


def test_the_variations_that_are_drawn_can_be_chosen(tmp_path):
    root, out = tmp_path / "synthetic", tmp_path / "out"
    counts = ("--num-train", 5, "--num-val", 0, "--num-test", 0, "--workers", 1)
    assert _prepare(root, *counts, "--variations", "large-zoom-in=2,medium-pose=0", source="synthetic") == 0
    report = json.loads((out / "report.json").read_text())
    assert report["splits"]["train"]["variations"]["large zoom in"] == 5


def test_a_folder_that_is_no_dataset_is_not_taken_for_the_synthetic_one(tmp_path, capsys):
    (tmp_path / "notes.txt").touch()
    assert _prepare(tmp_path, "--out", tmp_path / "out", source="synthetic") == 1
    assert "is not empty and is not a synthetic dataset: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
