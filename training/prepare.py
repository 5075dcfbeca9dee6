"""Turn a dataset's annotation files and photos into TFRecords.

    python -m training.prepare --source fld --root DIR --out DIR

Writes into --out: the shards and their manifest `dataset.json` (see `cspn_tf.data.tfrecords`), `report.json` with the
counts that are printed, and `rejected.jsonl` with the annotation rows that cannot be used, one JSON object a line.
The photos of the train split are shuffled on the way, so that a training run reads them in no particular order.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import signal
import sys
import warnings
from pathlib import Path

from cspn_tf.console import CallError, Parser, UserError, positive_int, run
from training.progress import Progress

SOURCES = ("fld", "synthetic")
SYNTHETIC_COUNTS = {"num_train": 2000, "num_val": 250, "num_test": 250}
MAX_LISTED = 10  # rejected rows named on the console


def main(argv=None) -> int:
    """Prepare a dataset; see the module's docstring and --help."""
    args = _parse(argv)
    with _termination_as_interrupt(), warnings.catch_warnings():
        # Pillow warns of photos with very many pixels; they are rejected with a reason of their own.
        warnings.filterwarnings("ignore", message=".*decompression bomb")
        try:
            _prepare(args)
        except OSError as error:
            raise UserError(f"{error.filename}: {error.strerror}" if error.filename else error)
    return 0


def _parse(argv):
    parser = Parser(description="Turn annotation files and photos into TFRecords.")
    parser.add_argument("--source", required=True, choices=SOURCES, help="format of the dataset")
    for flag, text in (("--root", "folder of the dataset"), ("--out", "folder to write; it must be new or empty")):
        parser.add_argument(flag, required=True, type=Path, metavar="DIR", help=text)
    for name, count in SYNTHETIC_COUNTS.items():
        split = name.removeprefix("num_")
        text = f"photos of the {split} split, if --source synthetic has to draw them (default: {count})"
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=_count, metavar="N", help=text)
    parser.add_argument("--seed", type=_count, default=0, help="of the drawn photos, and of the train split's order")
    parser.add_argument("--workers", type=positive_int, default=os.cpu_count() or 1, help="photos worked on at a time")
    parser.add_argument(
        "--max-rejected",
        type=_fraction,
        default=0.01,
        metavar="FRACTION",
        help="fail if a larger part of the annotation rows than this cannot be used",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace --out if there is something in it")
    args = parser.parse_args(argv)

    counts = {name: getattr(args, name) for name in SYNTHETIC_COUNTS if getattr(args, name) is not None}
    if counts and args.source != "synthetic":
        parser.error(f"--{next(iter(counts)).replace('_', '-')} is for --source synthetic")
    if args.root.resolve().is_relative_to(args.out.resolve()):
        parser.error(f"--out {args.out} must not hold --root {args.root}, which it would replace")
    args.counts = counts
    return args


def _prepare(args):
    from cspn_tf.data.deepfashion import read_deepfashion
    from cspn_tf.data.tfrecords import check_replaceable, staged_directory, write_dataset

    check_replaceable(args.out, args.overwrite)
    if args.source == "synthetic":
        _ensure_synthetic(args)
    result = read_deepfashion(args.root, check_photos=False)  # they are, when they are written
    num_rows = len(result.samples) + len(result.rejected)
    _check_rejected(sorted(result.rejected, key=_file_and_line), num_rows, args.max_rejected)

    with staged_directory(args.out, overwrite=args.overwrite) as folder:
        samples = _shuffle_train(result.samples, args.seed)
        with Progress("checked and written") as progress:
            _, faults = write_dataset(folder, samples, source=args.source, num_threads=args.workers, progress=progress)
        rejected = sorted([*result.rejected, *faults], key=_file_and_line)
        _check_rejected(rejected, num_rows, args.max_rejected)
        unusable = {fault.where for fault in faults}
        samples = [sample for sample in samples if sample.where not in unusable]
        if not samples:
            raise UserError(f"{args.root}: not one photo can be used")
        report = make_report(args.source, samples, rejected)
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        lines = [json.dumps(vars(fault)) + "\n" for fault in rejected]
        (folder / "rejected.jsonl").write_text("".join(lines))
    print(describe_report(report, rejected))
    print(f"written to {args.out}")


def _ensure_synthetic(args):
    """Draw the synthetic dataset, unless it stands in --root already."""
    counts = {**SYNTHETIC_COUNTS, **args.counts}
    if args.root.is_dir() and any(args.root.iterdir()):
        _check_counts(args.root, args.counts)
        print(f"{args.root} is there already and is used as it is")
        return
    from cspn_tf.data.synthetic import write_fld_dataset

    with Progress("drawn") as progress:
        write_fld_dataset(args.root, **counts, seed=args.seed, workers=args.workers, progress=progress)


def _check_counts(root, counts):
    """Refuse to use a dataset that is there already in place of one that was asked for with other counts."""
    from cspn_tf.data.deepfashion import read_deepfashion

    result = read_deepfashion(root, check_photos=False)
    for name, count in counts.items():
        split = name.removeprefix("num_")
        found = sum(sample.split == split for sample in result.samples)
        if found != count:
            flag = "--" + name.replace("_", "-")
            raise CallError(f"{root} is there already with {found} photos in split {split}, not {flag} {count}")


def _shuffle_train(samples, seed):
    train = [sample for sample in samples if sample.split == "train"]
    random.Random(seed).shuffle(train)
    return train + [sample for sample in samples if sample.split != "train"]


def _file_and_line(fault):
    path, _, line = fault.where.rpartition(":")
    return path, int(line)


def _check_rejected(rejected, num_rows, max_fraction):
    if len(rejected) <= max_fraction * num_rows:
        return
    for fault in rejected[:MAX_LISTED]:
        print(f"{fault.where}: {fault.reason}")
    first = rejected[0]
    raise UserError(
        f"{first.where}: {first.reason}; {len(rejected)} of {num_rows} rows rejected, "
        f"--max-rejected {max_fraction:g} allows {int(max_fraction * num_rows)}"
    )


# Report --------------------------------------------------------------------------------------------------------------


def make_report(source, samples, rejected) -> dict:
    """Count what is in a dataset.

    Args:
        source: name of the dataset.
        samples: list of `Sample` that were written.
        rejected: list of `Rejected`.

    Returns:
        source; num_rejected; splits: by name of the split and for "all", num_photos, num_garments, and the number of
        garments by garment_types and variations and of keypoints by visibility, each by name.
    """
    from cspn_tf.data.samples import SPLITS

    splits = {split: [sample for sample in samples if sample.split == split] for split in SPLITS}
    splits["all"] = samples
    counts = {name: _count_samples(in_split) for name, in_split in splits.items()}
    return {"source": source, "num_rejected": len(rejected), "splits": counts}


def _count_samples(samples) -> dict:
    from cspn_tf.garments import GARMENT_TYPE_NAMES, GarmentType, Variation, Visibility

    garments = [garment for sample in samples for garment in sample.garments]
    types = collections.Counter(garment.garment_type for garment in garments)
    variations = collections.Counter(garment.variation for garment in garments)
    visibility = collections.Counter(code for garment in garments for code in garment.visibility.tolist())
    return {
        "num_photos": len(samples),
        "num_garments": len(garments),
        "garment_types": {GARMENT_TYPE_NAMES[t]: types[t] for t in GarmentType},
        "variations": {_words(v): variations[v] for v in Variation},
        "visibility": {_words(v): visibility[v] for v in sorted(Visibility, reverse=True)},
    }


def _words(code) -> str:
    return code.name.lower().replace("_", " ")


def describe_report(report, rejected) -> str:
    """Lay a report out as a table with a column for each split, and the first rejected rows below."""
    splits = report["splits"]
    rows = [("", splits)]
    rows += [(name, [counts[f"num_{name}"] for counts in splits.values()]) for name in ("photos", "garments")]
    for group in ("garment_types", "variations", "visibility"):
        title = {"visibility": "keypoints"}.get(group, group.replace("_", " "))
        rows.append((title, [""] * len(splits)))
        for name in splits["all"][group]:
            values = [counts[group][name] for counts in splits.values()]
            if any(values):
                rows.append((f"  {name}", values))
    lines = [f"{label:<18}" + "".join(f"{value:>10}" for value in values) for label, values in rows]
    lines.append(f"rejected rows     {len(rejected):>10}")
    lines += [f"  {fault.where}: {fault.reason}" for fault in rejected[:MAX_LISTED]]
    if len(rejected) > MAX_LISTED:
        lines.append(f"  and {len(rejected) - MAX_LISTED} more in rejected.jsonl")
    return "\n".join(line.rstrip() for line in lines)


# Signals -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _termination_as_interrupt():
    """Let a request to terminate clean up as Ctrl-C does."""

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _count(text) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, received {value}")
    return value


def _fraction(text) -> float:
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, received {text}")
    return value


if __name__ == "__main__":
    sys.exit(run(main))
