import json

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.console import UserError
from cspn_tf.data import tfrecords
from cspn_tf.data.samples import Sample
from cspn_tf.data.tfrecords import encode_example, parse_example, read_manifest, shard_paths, verify
from tests.data.made import BOTH, damaged, make_dataset, make_samples

KEYS = {
    "photo_bytes": (tf.string, []),
    "photo_name": (tf.string, []),
    "photo_size": (tf.int32, [2]),
    "garment_types": (tf.int32, [None]),
    "variations": (tf.int32, [None]),
    "boxes_xyxy_photo": (tf.float32, [None, 4]),
    "keypoints_xy_photo": (tf.float32, [None, 8, 2]),
    "visibility": (tf.int32, [None, 8]),
}


# Records -------------------------------------------------------------------------------------------------------------


def test_an_example_comes_back_by_value():
    sample = Sample("img/grün.jpg", "train", BOTH, "list.txt:3", "unused")
    example = parse_example(encode_example(sample, b"\x00\xffbytes", (80, 60)))
    assert example["photo_bytes"].numpy() == b"\x00\xffbytes"
    assert example["photo_name"].numpy().decode() == "img/grün.jpg"
    np.testing.assert_array_equal(example["photo_size"], [80, 60])
    np.testing.assert_array_equal(example["garment_types"], [1, 2])
    np.testing.assert_array_equal(example["variations"], [3, 0])
    np.testing.assert_array_equal(example["boxes_xyxy_photo"], [[1.5, 2, 40, 50.25], [10, 40, 55, 79]])
    np.testing.assert_array_equal(example["keypoints_xy_photo"], BOTH.keypoints_xy)
    np.testing.assert_array_equal(example["visibility"], BOTH.visibility)


def test_an_example_of_no_garments_has_empty_rows():
    example = parse_example(encode_example(Sample("a", "train", BOTH[:0], "list.txt:3", "unused"), b"", (1, 1)))
    assert example["boxes_xyxy_photo"].shape == (0, 4)
    assert example["keypoints_xy_photo"].shape == (0, 8, 2)
    assert example["visibility"].shape == (0, 8)


def test_a_mapped_dataset_has_the_keys_shapes_and_values_of_an_eager_call():
    record = encode_example(Sample("a", "train", BOTH, "list.txt:3", "unused"), b"photo", (80, 60))
    dataset = tf.data.Dataset.from_tensors(record).map(parse_example)
    assert {key: (spec.dtype, spec.shape.as_list()) for key, spec in dataset.element_spec.items()} == KEYS
    (mapped,) = dataset
    eager = parse_example(record)
    for key in KEYS:
        np.testing.assert_array_equal(mapped[key], eager[key])


# Reading -------------------------------------------------------------------------------------------------------------


def test_a_whole_dataset_verifies(tmp_path):
    out, _, _ = make_dataset(tmp_path)
    verify(out)


def test_a_missing_shard_is_named(tmp_path):
    out, _, _ = make_dataset(tmp_path)
    (out / "train-00000-of-00001.tfrecord").unlink()
    for check in (lambda: shard_paths(out, "train"), lambda: verify(out)):
        with pytest.raises(UserError, match=r"train-00000-of-00001.tfrecord is missing"):
            check()
    assert len(shard_paths(out, "val")) == 1


def test_a_shard_of_another_size_is_named(tmp_path):
    out, _, _ = make_dataset(tmp_path)
    shard = out / "train-00000-of-00001.tfrecord"
    num_bytes = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UserError, match=rf"tfrecord has {num_bytes - 1} bytes, written with {num_bytes}"):
        shard_paths(out, "train")


def test_a_changed_byte_is_found_by_the_full_check(tmp_path):
    out, _, _ = make_dataset(tmp_path)
    shard = out / "train-00000-of-00001.tfrecord"
    shard.write_bytes(damaged(shard.read_bytes()))
    assert len(shard_paths(out, "train")) == 1
    with pytest.raises(UserError, match=r"train-00000-of-00001.tfrecord has sha256 "):
        verify(out)


def test_only_the_splits_asked_for_are_checked(tmp_path):
    out, _, _ = make_dataset(tmp_path)
    (out / "test-00000-of-00001.tfrecord").unlink()
    verify(out, ["train", "val"])
    with pytest.raises(UserError, match="test-00000"):
        verify(out, ["val", "test"])


def test_a_split_without_photos_is_named(tmp_path):
    out, _, _ = make_dataset(tmp_path, make_samples(tmp_path, ["train"]))
    for split in ("val", "nonsense"):
        with pytest.raises(UserError, match=f"has no photos in split '{split}'"):
            shard_paths(out, split)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "out is not a prepared dataset: .*dataset.json: No such file"),
        (b"{", "dataset.json is not valid JSON"),
        (b"\xff", "dataset.json is not valid JSON"),
        (b"[]", "dataset.json is not the manifest of a prepared dataset"),
        (b'{"format": "another"}', "dataset.json is not the manifest of a prepared dataset"),
        ({"format_version": 2}, "dataset.json has format version 2, required 1"),
        ({"splits": None}, "dataset.json is damaged: AttributeError"),
        ({"splits": {"train": {}}}, "dataset.json is damaged: KeyError: 'num_photos'"),
        (
            {
                "splits": {
                    "train": {
                        "num_photos": 1,
                        "num_garments": 1,
                        "shards": [{"file": "../a", "num_records": 1, "bytes": 1, "sha256": ""}],
                    }
                }
            },
            "is not a file name",
        ),
    ],
)
def test_a_folder_that_is_no_prepared_dataset_is_refused_in_one_line(tmp_path, content, message):
    out, _, _ = make_dataset(tmp_path)
    path = out / tfrecords.MANIFEST
    if content is None:
        path.unlink()
    elif isinstance(content, dict):
        path.write_text(json.dumps({**read_manifest(out), **content}))
    else:
        path.write_bytes(content)
    for read in (read_manifest, verify, lambda folder: shard_paths(folder, "train")):
        with pytest.raises(UserError, match=message) as error:
            read(out)
        assert "\n" not in str(error.value)
