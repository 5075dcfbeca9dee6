"""The format of a prepared dataset: TFRecords and their manifest.

A prepared dataset is a folder with shards, `train-00000-of-00003.tfrecord` and so on, and a manifest, `dataset.json`,
that lists their content. A record is one photo: the unchanged bytes of its file, of a WebP those of a PNG, and its
labels.

Letters in shapes: G garments of one photo.
"""

import json
from pathlib import Path

import tensorflow as tf

from cspn_tf.console import UserError
from cspn_tf.data.samples import SPLITS
from cspn_tf.files import file_sha256
from cspn_tf.garments import NUM_KEYPOINTS

MANIFEST = "dataset.json"
FORMAT = "cspn-tf dataset"
FORMAT_VERSION = 1

# Garment features: key in a parsed example → name and dtype in the record, shape for one garment.
_GARMENT_FEATURES = {
    "garment_types": ("garments/type", tf.int64, []),
    "variations": ("garments/variation", tf.int64, []),
    "boxes_xyxy_photo": ("garments/box_xyxy", tf.float32, [4]),
    "keypoints_xy_photo": ("garments/keypoints_xy", tf.float32, [NUM_KEYPOINTS, 2]),
    "visibility": ("garments/visibility", tf.int64, [NUM_KEYPOINTS]),
}
GARMENT_KEYS = tuple(_GARMENT_FEATURES)
_FEATURES = {
    "photo/bytes": tf.io.FixedLenFeature([], tf.string),
    "photo/name": tf.io.FixedLenFeature([], tf.string),
    "photo/height": tf.io.FixedLenFeature([], tf.int64),
    "photo/width": tf.io.FixedLenFeature([], tf.int64),
    **{
        name: tf.io.FixedLenSequenceFeature(shape, dtype, allow_missing=True)
        for name, dtype, shape in _GARMENT_FEATURES.values()
    },
}


# One record ----------------------------------------------------------------------------------------------------------


def encode_example(sample, photo_bytes, size) -> bytes:
    """Serialize one labelled photo.

    Args:
        sample: `Sample`.
        photo_bytes: content of its file.
        size: height and width in pixels, as displayed.

    Returns:
        A serialized `tf.train.Example` for `parse_example`.
    """
    feature = {
        "photo/bytes": _feature(tf.string, [photo_bytes]),
        "photo/name": _feature(tf.string, [sample.photo.encode()]),
        "photo/height": _feature(tf.int64, [size[0]]),
        "photo/width": _feature(tf.int64, [size[1]]),
    }
    for key, values in sample.garments.to_example().items():
        name, dtype, _ = _GARMENT_FEATURES[key]
        feature[name] = _feature(dtype, values.ravel().tolist())
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _feature(dtype, values):
    if dtype == tf.string:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if dtype == tf.int64:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def parse_example(serialized) -> dict:
    """Read one record; the inverse of `encode_example`.

    Args:
        serialized: () string.

    Returns:
        photo_bytes: () string, a JPEG or PNG file.
        photo_name: () string, the photo's path in the source dataset.
        photo_size: int32 `(2,)`, height and width as displayed, pixels.
        garment_types: int32 `(G,)`, `GarmentType`.
        variations: int32 `(G,)`, `Variation`; 0 if the source has none.
        boxes_xyxy_photo: float32 `(G, 4)`, x_min, y_min, x_max, y_max.
        keypoints_xy_photo: float32 `(G, 8, 2)`; zeros where there are no coordinates.
        visibility: int32 `(G, 8)`, `Visibility`.
    """
    features = tf.io.parse_single_example(serialized, _FEATURES)
    garments = {key: features[name] for key, (name, _, _) in _GARMENT_FEATURES.items()}
    return {
        "photo_bytes": features["photo/bytes"],
        "photo_name": features["photo/name"],
        "photo_size": tf.cast(tf.stack([features["photo/height"], features["photo/width"]]), tf.int32),
        **{key: tf.cast(v, tf.int32) if v.dtype == tf.int64 else v for key, v in garments.items()},
    }


# The manifest --------------------------------------------------------------------------------------------------------


def read_manifest(data_dir) -> dict:
    """Read and check the manifest of a prepared dataset.

    Args:
        data_dir: a folder that `prepare` wrote.

    Returns:
        A dict with
        source: name of the source dataset.
        splits: split name → num_photos, num_garments, num_keypoint_garments (those with a labelled keypoint; missing
            in older manifests), and shards, a list of dicts with file (name in the folder), num_records, bytes (file
            size) and sha256 (of the file, as hexadecimal).
        format, format_version: identify the file format.

    Raises:
        UserError: the folder is not a prepared dataset, or has another format version.
    """
    path = Path(data_dir) / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{data_dir} is not a prepared dataset: {path}: {error.strerror or error}")
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{path} is not the manifest of a prepared dataset")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{path} has format version {manifest.get('format_version')!r}, required {FORMAT_VERSION}")
    try:
        _check_splits(manifest["splits"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {type(error).__name__}: {error}")
    return manifest


def shard_paths(data_dir, split) -> list[str]:
    """Return the paths of a split's shards, after checking that each exists and has the size in the manifest.

    Args:
        data_dir: a prepared dataset.
        split: one of `SPLITS`.

    Returns:
        Paths, at least one.

    Raises:
        UserError: as `read_manifest`; or the split has no photos, or a shard is missing or of another size.
    """
    entry = read_manifest(data_dir)["splits"].get(split)
    if not entry or not entry["num_photos"]:
        raise UserError(f"{data_dir} has no photos in split {split!r}")
    return [str(_checked_shard(data_dir, shard)) for shard in entry["shards"]]


def verify(data_dir, splits=SPLITS) -> None:
    """Check every byte of a prepared dataset against its manifest.

    Args:
        data_dir: a prepared dataset.
        splits: names of the splits to check.

    Raises:
        UserError: as `read_manifest`; or a shard is missing or has changed.
    """
    in_splits = read_manifest(data_dir)["splits"]
    for split in splits:
        for shard in in_splits.get(split, {"shards": []})["shards"]:
            path = _checked_shard(data_dir, shard)
            digest = file_sha256(path)
            if digest != shard["sha256"]:
                raise UserError(f"{path} has sha256 {digest}, written as {shard['sha256']}")


def _check_splits(splits):
    for entry in splits.values():
        int(entry["num_photos"]), int(entry["num_garments"])
        for shard in entry["shards"]:
            int(shard["num_records"]), int(shard["bytes"]), str(shard["sha256"])
            if Path(shard["file"]).name != shard["file"]:
                raise ValueError(f"shard {shard['file']!r} is not a file name")


def _checked_shard(data_dir, shard):
    path = Path(data_dir) / shard["file"]
    if not path.is_file():
        raise UserError(f"{path} is missing: prepare the dataset again")
    num_bytes = path.stat().st_size
    if num_bytes != shard["bytes"]:
        raise UserError(f"{path} has {num_bytes} bytes, written with {shard['bytes']}: prepare the dataset again")
    return path
