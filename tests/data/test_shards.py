import hashlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.console import UserError
from cspn_tf.data.tfrecords import encode_example, parse_example, read_manifest, shard_paths
from cspn_tf.garment_set import Garments
from cspn_tf.garments import GarmentType
from tests.data.made import BOTH, LOWER, UPPER, damaged, make_dataset, make_samples, photo_bytes


def _read(out, split):
    return [parse_example(record) for record in tf.data.TFRecordDataset(shard_paths(out, split))]


# Writing -------------------------------------------------------------------------------------------------------------


def test_photos_are_written_byte_for_byte_in_order(tmp_path):
    out, _, rejected = make_dataset(tmp_path)
    assert rejected == []
    examples = _read(out, "train")
    assert [example["photo_name"].numpy().decode() for example in examples] == [f"img/{n}.jpg" for n in range(3)]
    assert [example["photo_bytes"].numpy() for example in examples] == [photo_bytes(n) for n in range(3)]
    np.testing.assert_array_equal(examples[0]["photo_size"], [80, 60])
    assert len(_read(out, "val")) == len(_read(out, "test")) == 1


def test_the_manifest_says_what_is_in_every_shard(tmp_path):
    out, _, _ = make_dataset(tmp_path, make_samples(tmp_path, garments=BOTH))
    manifest = read_manifest(out)
    assert (manifest["format"], manifest["format_version"], manifest["source"]) == ("cspn-tf dataset", 1, "test")
    train = manifest["splits"]["train"]
    assert (train["num_photos"], train["num_garments"]) == (3, 6)
    (shard,) = train["shards"]
    content = (out / "train-00000-of-00001.tfrecord").read_bytes()
    assert shard == {
        "file": "train-00000-of-00001.tfrecord",
        "num_records": 3,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert sorted(path.name for path in out.iterdir()) == [
        "dataset.json",
        *(f"{split}-00000-of-00001.tfrecord" for split in ("test", "train", "val")),
    ]


def test_a_full_shard_is_followed_by_another(tmp_path):
    out, _, _ = make_dataset(tmp_path, make_samples(tmp_path, ["train"] * 5), shard_bytes=2 * len(photo_bytes()))
    names = [Path(path).name for path in shard_paths(out, "train")]
    assert names == [f"train-0000{n}-of-00003.tfrecord" for n in range(3)]
    assert [shard["num_records"] for shard in read_manifest(out)["splits"]["train"]["shards"]] == [2, 2, 1]
    assert [e["photo_name"].numpy() for e in _read(out, "train")] == [b"img/%d.jpg" % n for n in range(5)]


def test_a_shard_that_ends_full_is_not_followed_by_an_empty_one(tmp_path):
    out, _, _ = make_dataset(tmp_path, make_samples(tmp_path, ["train"] * 2), shard_bytes=1)
    assert [shard["num_records"] for shard in read_manifest(out)["splits"]["train"]["shards"]] == [1, 1]


@pytest.mark.parametrize("num_threads", [1, 8])
def test_the_bytes_written_do_not_depend_on_the_threads(tmp_path, num_threads):
    samples = make_samples(tmp_path, ["train"] * 30)
    out, _, _ = make_dataset(tmp_path, samples, num_threads=num_threads)
    records = [encode_example(sample, Path(sample.path).read_bytes(), (80, 60)) for sample in samples]
    with tf.io.TFRecordWriter(str(tmp_path / "wanted")) as writer:
        for record in records:
            writer.write(record)
    assert (out / "train-00000-of-00001.tfrecord").read_bytes() == (tmp_path / "wanted").read_bytes()


def test_a_bad_photo_is_rejected_and_its_neighbours_written(tmp_path):
    samples = make_samples(tmp_path, ["train"] * 3)
    Path(samples[1].path).write_bytes(damaged(photo_bytes(kind="PNG")))
    out, _, (rejected,) = make_dataset(tmp_path, samples)
    assert (rejected.photo, rejected.where) == ("img/1.jpg", "list.txt:4")
    assert rejected.reason.startswith("photo 'img/1.jpg' cannot be decoded: ")
    assert [example["photo_name"].numpy() for example in _read(out, "train")] == [b"img/0.jpg", b"img/2.jpg"]
    assert read_manifest(out)["splits"]["train"]["num_garments"] == 2


def test_a_missing_photo_is_named_where_it_is_there_under_another_spelling(tmp_path):
    samples = make_samples(tmp_path, ["train"] * 3)
    Path(samples[1].path).rename(tmp_path / "1.JPG")
    _, _, (rejected,) = make_dataset(tmp_path, samples)
    assert rejected.reason == (f"photo 'img/1.jpg' is missing: no file {tmp_path}/1.jpg, but '{tmp_path}/1.JPG' exists")


def test_png_photos_and_broken_exif_are_written_as_they_are(tmp_path):
    samples = make_samples(tmp_path, ["train"] * 2)
    photos = [photo_bytes(kind="PNG"), photo_bytes(exif=b"Exif\x00\x00not exif")]
    for sample, photo in zip(samples, photos, strict=True):
        Path(sample.path).write_bytes(photo)
    out, _, rejected = make_dataset(tmp_path, samples)
    assert rejected == []
    assert [example["photo_bytes"].numpy() for example in _read(out, "train")] == photos


def test_progress_counts_over_all_splits(tmp_path):
    calls = []
    make_dataset(tmp_path, progress=lambda *counts: calls.append(counts))
    assert calls == [(n, 5) for n in range(1, 6)]


def test_a_writer_that_fails_ends_in_one_line(tmp_path, monkeypatch):
    class FullDisk(tf.io.TFRecordWriter):
        def write(self, record):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.io, "TFRecordWriter", FullDisk)
    with pytest.raises(UserError, match=r"cannot be written: No space left on device$"):
        make_dataset(tmp_path)
    assert not (tmp_path / "out").exists()


# Going on after an interruption --------------------------------------------------------------------------------------


ONE_PHOTO_A_SHARD = {"shard_bytes": 1}


def _interrupt_after(num_photos):
    def progress(num_done, _):
        if num_done == num_photos:
            raise KeyboardInterrupt

    return progress


def _interrupted(folder, samples, num_photos, **options):
    with pytest.raises(KeyboardInterrupt):
        make_dataset(folder, samples, progress=_interrupt_after(num_photos), **options)


def test_an_interrupt_before_the_first_shard_is_finished_leaves_nothing(tmp_path):
    (tmp_path / "photos").mkdir()
    _interrupted(tmp_path, make_samples(tmp_path / "photos", ["train"] * 20), 7)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_an_interrupted_run_goes_on_after_its_last_finished_shard(tmp_path, monkeypatch):
    samples = make_samples(tmp_path, ["train"] * 4 + ["val"] * 2)
    Path(samples[1].path).write_bytes(b"no photo")
    _interrupted(tmp_path, samples, 4, **ONE_PHOTO_A_SHARD)  # in the fourth shard: three are finished
    calls, resumed = [], []
    options = {"progress": lambda *counts: calls.append(counts), "on_resume": resumed.append}
    out, photos, rejected = make_dataset(tmp_path, samples, **ONE_PHOTO_A_SHARD, **options)
    assert (calls, resumed) == ([(1, 3), (2, 3), (3, 3)], [3])
    (tmp_path / "afresh").mkdir()
    wanted_out, wanted_photos, wanted_rejected = make_dataset(tmp_path / "afresh", samples, **ONE_PHOTO_A_SHARD)
    assert read_manifest(out) == read_manifest(wanted_out)
    assert [photo.facts for photo in photos] == [photo.facts for photo in wanted_photos]
    assert [photo.sample.photo for photo in photos] == [f"img/{n}.jpg" for n in (0, 2, 3, 4, 5)]
    assert [fault.as_dict() for fault in rejected] == [fault.as_dict() for fault in wanted_rejected]
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in wanted_out.iterdir())


@pytest.mark.parametrize("change", ["photo", "label", "shard size"])
def test_what_has_changed_since_the_interruption_is_written_anew(tmp_path, change):
    samples = make_samples(tmp_path, ["train"] * 3)
    _interrupted(tmp_path, samples, 3, **ONE_PHOTO_A_SHARD)
    options = dict(ONE_PHOTO_A_SHARD)
    if change == "photo":
        Path(samples[0].path).write_bytes(photo_bytes(7))
    elif change == "label":
        samples[0] = make_samples(tmp_path, ["train"], LOWER)[0]
    else:
        options["shard_bytes"] = 10**9
    resumed = []
    out, _, _ = make_dataset(tmp_path, samples, **options, on_resume=resumed.append)
    assert resumed == ([] if change == "shard size" else [1])
    first = _read(out, "train")[0]
    assert first["photo_bytes"].numpy() == Path(samples[0].path).read_bytes()
    np.testing.assert_array_equal(first["garment_types"], [2 if change == "label" else 1])


def test_a_finished_shard_that_was_cut_short_is_written_anew(tmp_path):
    samples = make_samples(tmp_path, ["train"] * 3)
    _interrupted(tmp_path, samples, 3, **ONE_PHOTO_A_SHARD)
    shard = tmp_path / ".out.partial" / "train-00000-of-00003.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    out, _, _ = make_dataset(tmp_path, samples, **ONE_PHOTO_A_SHARD)
    assert len(_read(out, "train")) == 3


def test_a_shard_of_which_no_photo_can_be_used_is_left_out(tmp_path):
    samples = make_samples(tmp_path, ["train"] * 2)
    Path(samples[0].path).unlink()
    out, photos, rejected = make_dataset(tmp_path, samples, **ONE_PHOTO_A_SHARD)
    assert (len(photos), [fault.kind for fault in rejected]) == (1, ["missing photo"])
    assert [shard["num_records"] for shard in read_manifest(out)["splits"]["train"]["shards"]] == [1]
    assert len(list(out.glob("train-*"))) == 1


def test_garments_with_a_labelled_keypoint_are_counted(tmp_path):
    unlabelled = Garments.label(
        GarmentType.LOWER_BODY, (1, 1, 30, 30), np.zeros((8, 2), np.float32), np.array([0] * 7 + [-1], np.int32)
    )
    out, _, _ = make_dataset(tmp_path, make_samples(tmp_path, ["train"] * 2, Garments.concatenate([UPPER, unlabelled])))
    train = read_manifest(out)["splits"]["train"]
    assert (train["num_garments"], train["num_keypoint_garments"]) == (4, 2)
