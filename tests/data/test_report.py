import json
from pathlib import Path

import numpy as np
from PIL import Image

from cspn_tf.data.doctor import Finding
from cspn_tf.data.report import describe_rejected, describe_report, describe_splits, make_report, write_report
from cspn_tf.data.samples import Rejected
from tests.data.made import BOTH, make_dataset, make_samples

ABOUT = {"source": "test", "variant": "made by hand", "splits_from": "source"}


def _report(tmp_path, findings=(), duplicates=(), rejected=()):
    _, photos, _ = make_dataset(tmp_path, make_samples(tmp_path, garments=BOTH))
    return make_report(photos, list(rejected), list(findings), list(duplicates), about=ABOUT, notes={"a note": 4})


def test_findings_are_counted_with_examples_and_no_more_than_twenty(tmp_path):
    finding = Finding("collars reversed", "a.jpg", "train", "/data/list.txt:3", "left_collar x 9, right_collar x 2")
    report = _report(tmp_path, findings=[finding] * 25)
    found = report["findings"]["collars reversed"]
    assert (found["count"], len(found["examples"])) == (25, 20)
    text = describe_report(report, [])
    assert "  collars reversed                      25   left keypoint to the right of the right one" in text
    assert "for example list.txt:3" in text
    assert "note: a note: 4" in text


def test_duplicates_across_splits_are_named(tmp_path):
    def group(kind, *photos):
        across_splits = len({split for split, _ in photos}) > 1
        photos = [{"split": split, "photo": photo} for split, photo in photos]
        return {"kind": kind, "across_splits": across_splits, "photos": photos}

    within = group("same file", ("train", "a"), ("train", "b"))
    across = group("same picture", ("train", "c"), ("test", "d"))
    report = _report(tmp_path, duplicates=[within, across])
    assert report["duplicates"] == {"num_groups": 2, "num_groups_across_splits": 1, "examples": [across, within]}
    text = describe_report(report, [])
    assert "  same picture: train c, test d" in text
    assert "train a" not in text


def test_rejected_rows_are_counted_by_kind_and_the_first_are_named():
    rejected = [Rejected("a", f"list.txt:{n}", "is odd") for n in range(12)]
    rejected.append(Rejected("b", "list.txt:20", "is gone", "missing photo"))
    title, *lines = describe_rejected(rejected)
    assert title.endswith("13   12 malformed row, 1 missing photo")
    assert lines[0] == "  list.txt:0: is odd"
    assert (len(lines), lines[-1]) == (11, "  and 3 more")


def test_where_splits_come_from_is_told():
    assert describe_splits("source") == "the dataset's own"
    assert describe_splits({"fractions": [0.5, 0.5, 0], "seed": 3}) == "random, 0.5 / 0.5 / 0 of the photos, seed 3"


def test_rejected_photos_are_shown_where_they_can_be(tmp_path):
    out, photos, _ = make_dataset(tmp_path)
    good = photos[0].sample
    rejected = [
        Rejected("0.jpg", "list.txt:3", "is odd"),  # there, below the root
        Rejected("gone.jpg", "list.txt:4", "is odd"),
        Rejected("../../../etc/hosts", "list.txt:5", "is odd"),
        Rejected("a.jpg", "list.txt:6", "lies outside", "label outside the photo", good),
    ]
    summary = write_report(out, photos, rejected, root=tmp_path, about=ABOUT, notes={}, seed=0)
    with Image.open(out / "rejected.jpg") as sheet:
        assert 2 * 320 < sheet.width < 3 * 320  # two tiles
        assert np.asarray(sheet).std() > 10
    lines = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert [line["where"] for line in lines] == [f"list.txt:{n}" for n in (3, 4, 5, 6)]
    assert lines[3] == {
        "photo": "a.jpg",
        "where": "list.txt:6",
        "reason": "lies outside",
        "kind": "label outside the photo",
    }
    assert summary in (out / "report.md").read_text()


def test_photos_that_have_gone_or_broken_meanwhile_are_left_out(tmp_path):
    out, photos, _ = make_dataset(tmp_path)
    gone, broken, *others = [Path(photo.sample.path) for photo in photos]
    gone.unlink()
    broken.write_bytes(broken.read_bytes()[:100])
    for path in others[2:]:
        path.unlink()
    write_report(out, photos, [], root=tmp_path, about=ABOUT, notes={}, seed=0)
    with Image.open(out / "contact_sheet.jpg") as sheet:
        assert 2 * 320 < sheet.width < 3 * 320  # two tiles
    for path in others[:2]:
        path.unlink()
    (out / "contact_sheet.jpg").unlink()
    write_report(out, photos, [], root=tmp_path, about=ABOUT, notes={}, seed=0)
    assert not (out / "contact_sheet.jpg").exists()
