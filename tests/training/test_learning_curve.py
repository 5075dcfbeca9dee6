"""The learning curve's photos, its commands, and its table and picture."""

import argparse
import json
from pathlib import Path

import pytest
from PIL import Image

from cspn_tf.console import UserError
from training import learning_curve

LABELS = {
    "images": [{"id": k, "file_name": f"{k}.jpg"} for k in range(20)],
    "annotations": [{"id": k, "image_id": k % 20} for k in range(40)],
    "categories": [{"id": 1}],
}


def splits_of(folder):
    return [json.loads((folder / f"labels.{split}.json").read_text()) for split in ("train", "val")]


def test_a_fifth_of_the_photos_validates_and_fewer_are_among_more(tmp_path):
    for num in (5, 10):
        learning_curve.write_splits(LABELS, num, 3, tmp_path / f"{num}")
    names = {}
    for num in (5, 10):
        train, val = splits_of(tmp_path / f"{num}")
        assert (len(train["images"]), len(val["images"])) == (num - num // 5, num // 5)
        assert train["categories"] == val["categories"] == LABELS["categories"]
        for part in (train, val):
            ids = {image["id"] for image in part["images"]}
            assert sorted(label["image_id"] for label in part["annotations"]) == sorted([*ids, *ids])
        names[num] = {image["id"] for part in (train, val) for image in part["images"]}
        assert len(names[num]) == num
    assert names[5] < names[10]


def test_an_id_is_a_number_or_its_digits(tmp_path):
    labels = {**LABELS, "annotations": [{"id": k, "image_id": f"{k % 20}"} for k in range(40)]}
    learning_curve.write_splits(labels, 20, 3, tmp_path)
    assert [len(part["annotations"]) for part in splits_of(tmp_path)] == [32, 8]


@pytest.fixture
def arguments(tmp_path):
    return argparse.Namespace(
        photos=Path("p"), out=tmp_path, start=["shipped", "imagenet", "runs/old"], num_photos=[20], seed=4
    )


def test_each_start_is_evaluated_without_and_with_training(arguments):
    assert [name for _, _, name in learning_curve.points(arguments)] == [
        *("0-shipped", "0-old", "20/shipped", "20/imagenet", "20/old")
    ]
    jobs = {job.title: [str(argument) for argument in job.command] for job in learning_curve.make_jobs(arguments)}
    assert list(jobs)[:2] == ["test/data", "20/data"]
    for network in ("detector", "keypoints"):
        inits = [jobs[f"20/{start}/{network}"] for start in ("shipped", "imagenet", "old")]
        assert inits[0][inits[0].index("--init") + 1] == "shipped"
        assert "--init" not in inits[1]
        assert inits[2][inits[2].index("--init") + 1] == str(Path("runs/old", network))
        # Two batches an epoch of the 16 photos that train.
        assert [called[called.index("--batch-size") + 1] for called in inits] == ["8"] * 3
        # Random heads learn faster than trained ones are let.
        rates = [float(called[called.index("--learning-rate") + 1]) for called in inits]
        assert rates[0] == rates[2] < rates[1]
    assert jobs["0-shipped/report"][jobs["0-shipped/report"].index("--detector") + 1] == "shipped"
    assert jobs["0-old/report"][jobs["0-old/report"].index("--keypoints") + 1] == "runs/old/keypoints"
    out = str(arguments.out / "20/imagenet/detector")
    assert jobs["20/imagenet/report"][jobs["20/imagenet/report"].index("--detector") + 1] == out


def test_rows_have_the_photos_of_the_training_and_the_measures_of_the_test(arguments):
    names = [name for _, _, name in learning_curve.points(arguments)]
    for index, name in enumerate(names):
        (arguments.out / name / "report").mkdir(parents=True)
        metrics = {"num_photos": 105, **{key: {"value": index} for key in learning_curve.MEASURES}}
        (arguments.out / name / "report" / "metrics.json").write_text(json.dumps(metrics))
    rows = learning_curve.read_rows(arguments)
    assert [(row["start"], row["num_photos"]) for row in rows] == [
        *(("shipped", 0), ("old", 0), ("shipped", 20), ("imagenet", 20), ("old", 20))
    ]
    assert [row["pck_02_found"]["value"] for row in rows] == [0, 1, 2, 3, 4]


def row(start, num, value):
    score = {"value": value, "interval": None if value is None else [value - 0.1, value + 0.05]}
    return {"start": start, "num_photos": num, **dict.fromkeys(learning_curve.MEASURES, score)}


def test_the_table_and_the_picture_show_every_point(tmp_path):
    rows = [row("shipped", 0, 0.5), row("shipped", 20, 0.75), row("imagenet", 20, None)]
    table = learning_curve.make_table(rows).splitlines()
    assert len(table) == 5
    assert table[3].count("0.750 (0.650 to 0.800)") == 3 and table[3].startswith("| shipped | 20 |")
    assert table[4].count("| - ") == 3
    learning_curve.draw_curve(rows, tmp_path / "curve.png")
    assert Image.open(tmp_path / "curve.png").size[0] > 800


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--num-photos", "21"], r"--num-photos: .*labels\.json has 20 photos"),
        (["--test", "none.json"], "none.json: cannot be read: No such file or directory"),
        (["--start", "a/pair", "imagenet", "b/pair"], "--start: a/pair and b/pair have the same folder name"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(tmp_path, wrong, message):
    (tmp_path / "labels.json").write_text(json.dumps(LABELS))
    call = ["--photos", "p", "--out", str(tmp_path / "out")]
    for option in ("--labels", "--test"):
        call += [option, str(tmp_path / "labels.json")]
    with pytest.raises(UserError, match=message):
        learning_curve.main([*call, *wrong])
    assert not (tmp_path / "out").exists()


def test_curves_of_other_labels_or_another_seed_are_not_continued(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(learning_curve, "run_jobs", stop)
    (tmp_path / "labels.json").write_text(json.dumps(LABELS))
    (tmp_path / "test.json").write_text(json.dumps({**LABELS, "images": LABELS["images"][:5]}))
    call = ["--photos", "p", "--out", str(tmp_path / "out"), "--num-photos", "10", "--labels"]
    labels, test = (str(tmp_path / name) for name in ("labels.json", "test.json"))
    with pytest.raises(KeyboardInterrupt):
        learning_curve.main([*call, labels, "--test", test])
    with pytest.raises(KeyboardInterrupt):
        learning_curve.main([*call, labels, "--test", test])
    for other in ([labels, "--test", labels], [test, "--test", test], [labels, "--test", test, "--seed", "2"]):
        with pytest.raises(
            UserError, match=r"out has curves of other labels, weights or another seed: choose another --out$"
        ):
            learning_curve.main([*call, *other, "--num-photos", "5"])
    # Another starting point is drawn beside the others, but not in place of one of the same name.
    same = [*call, labels, "--test", test, "--start"]
    for start in ("a/pair", "shipped", "a/seed"):
        with pytest.raises(KeyboardInterrupt):
            learning_curve.main([*same, start])
    with pytest.raises(UserError, match=r"out has curves of other labels, weights or another seed"):
        learning_curve.main([*same, "b/pair"])
    with pytest.raises(UserError, match=r"out has curves of other labels, weights or another seed"):
        learning_curve.main([*same, "a/shipped"])
