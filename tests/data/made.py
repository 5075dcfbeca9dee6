"""Labelled photos made for tests of the data modules."""

import io

import numpy as np
from PIL import Image

from cspn_tf.data.samples import Sample
from cspn_tf.data.shards import write_dataset
from cspn_tf.files import staged_directory
from cspn_tf.garment_set import Garments
from cspn_tf.garments import GarmentType, Variation


def photo_bytes(seed=0, width=60, height=80, kind="JPEG", **options):
    """A photo of noise as a file's bytes."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def damaged(content):
    """A file with one bit changed in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


UPPER = Garments.label(
    GarmentType.UPPER_BODY,
    (1.5, 2.0, 40.0, 50.25),
    np.array([[1, 2], [3, 4], [5, 6], [7, 8], [0, 0], [0, 0], [9.5, 10], [0, 0]], np.float32),
    np.array([2, 1, 2, 2, 0, 0, 2, -1], np.int32),
    Variation.LARGE_POSE,
)
LOWER = Garments.label(
    GarmentType.LOWER_BODY,
    (10.0, 40.0, 55.0, 79.0),
    np.array([[0, 0]] * 4 + [[11, 41], [51, 42], [12, 70], [52, 71]], np.float32),
    np.array([0, 0, 0, 0, 2, 2, 1, 2], np.int32),
)
BOTH = Garments.concatenate([UPPER, LOWER])


def make_samples(folder, splits=("train", "train", "train", "val", "test"), garments=UPPER):
    """Photos 0.jpg, 1.jpg, ... in a folder, one a split given, with the same labels."""
    samples = []
    for index, split in enumerate(splits):
        path = folder / f"{index}.jpg"
        path.write_bytes(photo_bytes(index))
        samples.append(Sample(f"img/{index}.jpg", split, garments, f"list.txt:{index + 3}", str(path)))
    return samples


def make_dataset(folder, samples=None, **options):
    """Write a prepared dataset into folder/out; returns its path, what was written and what was rejected."""
    out = folder / "out"
    with staged_directory(out) as staging:
        photos, rejected = write_dataset(staging, samples or make_samples(folder), about={"source": "test"}, **options)
    return out, photos, rejected
