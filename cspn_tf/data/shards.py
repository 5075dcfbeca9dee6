"""Write labelled photos as the shards of a prepared dataset, in threads and resumable.

A shard is the unit of work. Photos are assigned to shards in advance from their file sizes. Each shard is written
under a temporary name and renamed when complete; a JSON record beside it lists its content. An interrupted run leaves
its finished shards, which the next run reuses if photos and labels are unchanged.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
from pathlib import Path

import tensorflow as tf

from cspn_tf.console import UserError
from cspn_tf.data.photo_checks import PhotoFacts, check_photo
from cspn_tf.data.samples import SPLITS, Rejected, Sample
from cspn_tf.data.spelling import with_other_spellings
from cspn_tf.data.tfrecords import FORMAT, FORMAT_VERSION, MANIFEST, encode_example
from cspn_tf.files import file_sha256, replaced_file, write_json, write_text
from cspn_tf.threads import map_in_order

SHARD_BYTES = 100_000_000

# Bytes of a record besides the photo's file: names, labels, framing.
_RECORD_OVERHEAD = 500


@dataclasses.dataclass(frozen=True)
class WrittenPhoto:
    """A photo that was written: its `Sample` and its `PhotoFacts`."""

    sample: Sample
    facts: PhotoFacts


@dataclasses.dataclass(frozen=True)
class _Shard:
    """A planned shard: file name, samples, and a fingerprint of photos and labels that a resumed run compares."""

    split: str
    name: str
    samples: tuple[Sample, ...]
    fingerprint: str


def write_dataset(folder, samples, *, about, num_threads=8, shard_bytes=SHARD_BYTES, progress=None, on_resume=None):
    """Write samples as shards with a manifest. Each photo is decoded once to check it.

    Only a few photos are in memory at a time; apart from the labels, memory use does not grow with the dataset.

    Args:
        folder: an empty folder, or one that an interrupted run of this function left; see
            `cspn_tf.files.staged_directory`.
        samples: list of `Sample` with splits; within a split they are written in this order.
        about: further entries of the manifest, a dict that JSON can hold, with at least `source`, a name.
        num_threads: threads that read and check photos.
        shard_bytes: approximate size of a shard.
        progress: called with (photos done, photos in total) after each photo, or None. Photos in shards that an
            earlier run finished are not counted.
        on_resume: called with the number of photos in shards that an earlier run finished, if there are any.

    Returns:
        photos: list of `WrittenPhoto`, in the order of the shards.
        rejected: list of `Rejected`: photos that are missing, broken, or have labels outside the photo.

    Raises:
        UserError: a shard cannot be written.
    """
    folder = Path(folder)
    shards = [shard for split in SPLITS for shard in _plan(split, samples, shard_bytes)]
    records = {shard.name: record for shard in shards if (record := _finished(folder, shard))}
    _tidy(folder, records)
    num_photos = sum(len(shard.samples) for shard in shards if shard.name not in records)
    if on_resume and records:
        on_resume(sum(len(shard.samples) for shard in shards if shard.name in records))
    num_done = 0

    def report_one():
        nonlocal num_done
        num_done += 1
        if progress:
            progress(num_done, num_photos)

    try:
        for shard in shards:
            if shard.name not in records:
                records[shard.name] = _write_shard(folder, shard, num_threads, report_one)
    except tf.errors.OpError as error:
        raise UserError(f"{folder}: cannot be written: {error.message}")

    photos, rejected, entries = [], [], {split: [] for split in SPLITS}
    for shard in shards:
        record = records[shard.name]
        for place, height, width, digest, look in record["photos"]:
            photos.append(WrittenPhoto(shard.samples[place], PhotoFacts((height, width), digest, look)))
        for place, reason, kind, size in record["rejected"]:
            sample = shard.samples[place]
            rejected.append(Rejected(sample.photo, sample.where, reason, kind, sample, size and tuple(size)))
        if record["photos"]:
            entries[shard.split].append(record["shard"])
        else:
            (folder / shard.name).unlink()
        _record_path(folder, shard.name).unlink()
    splits = {split: _manifest_of_split(split, photos, entries[split]) for split in SPLITS}
    write_json(folder / MANIFEST, {"format": FORMAT, "format_version": FORMAT_VERSION, **about, "splits": splits})
    return photos, with_other_spellings(rejected)


# Planning ------------------------------------------------------------------------------------------------------------


def _plan(split, samples, shard_bytes) -> list[_Shard]:
    """Divide a split into shards by file size; a missing photo counts as 0 bytes."""
    parts, num_bytes = [], shard_bytes
    for sample in samples:
        if sample.split != split:
            continue
        size, changed = _size_and_time(sample.path)
        if num_bytes >= shard_bytes:
            parts.append(([], hashlib.blake2b(str(FORMAT_VERSION).encode(), digest_size=16)))
            num_bytes = 0
        part, digest = parts[-1]
        part.append(sample)
        digest.update(_description(sample, size, changed))
        num_bytes += size + _RECORD_OVERHEAD
    return [
        _Shard(split, f"{split}-{index:05d}-of-{len(parts):05d}.tfrecord", tuple(part), digest.hexdigest())
        for index, (part, digest) in enumerate(parts)
    ]


def _size_and_time(path):
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _description(sample, size, changed) -> bytes:
    """Serialize everything that determines the record of a sample, for the shard's fingerprint."""
    labels = [values.tolist() for values in sample.garments.to_example().values()]
    return repr((sample.photo, sample.path, sample.where, size, changed, labels)).encode("utf-8", "surrogateescape")


# Shards and their records --------------------------------------------------------------------------------------------


def _write_shard(folder, shard, num_threads, report_one) -> dict:
    """Write one shard and its record.

    Returns:
        The record: fingerprint; photos, one `[index in the shard's samples, height, width, digest, look]` for each
        photo written; rejected, one `[index, reason, kind, size]` for each photo rejected; and shard, the shard's entry
        in the manifest.
    """
    record = {"fingerprint": shard.fingerprint, "photos": [], "rejected": []}
    path = folder / shard.name
    with (
        replaced_file(path) as unfinished,
        tf.io.TFRecordWriter(str(unfinished)) as writer,
        contextlib.closing(map_in_order(_load, shard.samples, num_threads)) as results,
    ):
        for place, result in enumerate(results):
            if isinstance(result, Rejected):
                record["rejected"].append([place, result.reason, result.kind, result.size])
            else:
                serialized, facts = result
                writer.write(serialized)
                record["photos"].append([place, *facts.size, facts.digest, facts.look])
            report_one()
    entry = {"file": shard.name, "num_records": len(record["photos"])}
    record["shard"] = {**entry, "bytes": path.stat().st_size, "sha256": file_sha256(path)}
    write_text(_record_path(folder, shard.name), json.dumps(record))
    return record


def _load(sample) -> tuple[bytes, PhotoFacts] | Rejected:
    """Read and check one photo and serialize it with its labels."""
    checked = check_photo(sample)
    if isinstance(checked, Rejected):
        return checked
    photo_bytes, facts = checked
    return encode_example(sample, photo_bytes, facts.size), facts


def _record_path(folder, name):
    return folder / f"{name}.json"


def _finished(folder, shard) -> dict | None:
    """Return the record of a shard that an earlier run finished from the same photos and labels, else None."""
    try:
        record = json.loads(_record_path(folder, shard.name).read_text())
        same = record["fingerprint"] == shard.fingerprint
        whole = (folder / shard.name).stat().st_size == record["shard"]["bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if same and whole else None


def _tidy(folder, finished_names):
    """Remove the files of an earlier run, except its finished shards."""
    kept = {path.name for name in finished_names for path in (folder / name, _record_path(folder, name))}
    for path in folder.iterdir():
        if ".tfrecord" in path.name and path.name not in kept:
            path.unlink()


def _manifest_of_split(split, photos, shards) -> dict:
    garments = [photo.sample.garments for photo in photos if photo.sample.split == split]
    return {
        "num_photos": len(garments),
        "num_garments": sum(map(len, garments)),
        "num_keypoint_garments": sum(int(of_photo.labelled.any(axis=1).sum()) for of_photo in garments),
        "shards": shards,
    }
