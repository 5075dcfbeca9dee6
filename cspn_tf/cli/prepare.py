"""Convert a dataset's annotation files and photos to TFRecords, and report its defects.

    cspn-tf prepare --source fld --root DIR --out DIR

Writes into --out: the shards and their manifest `dataset.json` (see `cspn_tf.data.tfrecords`), and the report of
`cspn_tf.data.report`: `report.json` and `report.md` with the printed counts, `rejected.jsonl` with the unusable rows,
`findings.jsonl` with suspicious but usable ones, and contact sheets of random and of rejected photos. The train split
is shuffled before it is written.

An interrupted run resumes after the last finished shard when the same command is given again.
"""

import argparse
import json
import re
from pathlib import Path

from cspn_tf.console import CallError, Parser, UserError, non_negative_int, positive_int, termination_as_interrupt
from cspn_tf.data.coco import split_path, write_coco
from cspn_tf.data.labelled_sizes import check_labelled_sizes
from cspn_tf.data.report import describe_rejected, write_report
from cspn_tf.data.samples import SPLITS
from cspn_tf.data.sources import SOURCES, read_source
from cspn_tf.data.splits import DEFAULT_FRACTIONS, make_splits, own_splits, shuffle_train
from cspn_tf.files import check_replaceable, staged_directory, write_json
from cspn_tf.garments import TYPE_OF_NAME, Variation
from cspn_tf.machine import num_cores
from cspn_tf.progress import Progress

SYNTHETIC_COUNTS = {"num_train": 2000, "num_val": 250, "num_test": 250}
# File in a synthetic dataset's folder with the options it was rendered with.
DRAWN_WITH = "synthetic.json"
_VARIATIONS = {v.name.lower().replace("_", "-"): v for v in Variation if v != Variation.UNKNOWN}


def main(argv=None) -> int:
    """Prepare a dataset, see --help."""
    args = _parse(argv)
    with termination_as_interrupt():
        _prepare(args)
    return 0


# The call ------------------------------------------------------------------------------------------------------------


def _parse(argv):
    parser = Parser(description="Convert annotation files and photos to TFRecords, and report their defects.")
    parser.add_argument("--source", required=True, choices=SOURCES, help="format of the dataset")
    for flag, text in (("--root", "folder of the dataset"), ("--out", "folder to write; it must be new or empty")):
        parser.add_argument(flag, required=True, type=Path, metavar="DIR", help=text)
    parser.add_argument(
        "--splits",
        type=_fractions,
        metavar="TRAIN,VAL,TEST",
        help="split the photos at random by these fractions (default: the dataset's own splits, or "
        "0.8,0.1,0.1 if it has none)",
    )
    text = "seed for random splits, for the order of the train split, and for synthetic photos"
    parser.add_argument("--seed", type=non_negative_int, default=0, help=text)
    parser.add_argument("--workers", type=positive_int, default=num_cores(), help="photos processed in parallel")
    parser.add_argument(
        "--max-rejected",
        type=_fraction,
        default=0.01,
        metavar="FRACTION",
        help="fail if more than this fraction of the annotation rows is unusable",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it is not empty")
    parser.add_argument(
        "--coco",
        type=Path,
        metavar="FILE",
        help="also write the accepted labels as COCO keypoints: FILE.train.json, FILE.val.json, FILE.test.json",
    )
    of_coco = parser.add_argument_group("for --source coco")
    of_coco.add_argument(
        "--annotations", type=Path, nargs="+", metavar="FILE", help="the JSON files (default: all in --root)"
    )
    of_coco.add_argument(
        "--category",
        type=_category,
        action="append",
        metavar="NAME=TYPE",
        help=f"garment type of a category that is not known by name: {', '.join(TYPE_OF_NAME)}",
    )
    of_synthetic = parser.add_argument_group("for --source synthetic, which is rendered into --root unless it exists")
    for name, count in SYNTHETIC_COUNTS.items():
        text = f"photos in the {name.removeprefix('num_')} split (default: {count})"
        of_synthetic.add_argument(_flag(name), type=non_negative_int, metavar="N", help=text)
    of_synthetic.add_argument(
        "--max-garments",
        type=positive_int,
        metavar="N",
        help="label 1 to N garments per photo, in COCO format (default: one, in FLD format)",
    )
    of_synthetic.add_argument(
        "--variations",
        type=_shares,
        metavar="NAME=SHARE,...",
        help=f"relative frequencies of the variations to render: {', '.join(_VARIATIONS)} (default: all)",
    )
    args = parser.parse_args(argv)
    _check_options(parser, args)
    return args


def _check_options(parser, args):
    if args.max_garments:
        from cspn_tf.data.synthetic.layout import MAX_GARMENTS

        if args.max_garments > MAX_GARMENTS:
            parser.error(f"--max-garments must be at most {MAX_GARMENTS}, received {args.max_garments}")
    for source, names in (
        ("coco", ("annotations", "category")),
        ("synthetic", (*SYNTHETIC_COUNTS, "max_garments", "variations")),
    ):
        given = [name for name in names if getattr(args, name) is not None]
        if given and args.source != source:
            parser.error(f"{_flag(given[0])} is for --source {source}")
    if args.root.resolve().is_relative_to(args.out.resolve()):
        parser.error(f"--out {args.out} must not contain --root {args.root}, which it would replace")
    if args.coco and args.coco.resolve().is_relative_to(args.out.resolve()):
        parser.error(f"--coco {args.coco} must not be inside --out, which is written as a whole")
    if args.coco and not args.coco.resolve().parent.is_dir():
        parser.error(f"--coco {args.coco}: no folder {args.coco.resolve().parent}")


# The work ------------------------------------------------------------------------------------------------------------


def _prepare(args):
    from cspn_tf.data.shards import write_dataset

    check_replaceable(args.out, args.overwrite, "give --overwrite to replace it")
    if args.source == "synthetic":
        _ensure_synthetic(args)
    result, splits_from = _read(args)
    num_rows = len(result.samples) + len(result.rejected)
    _check_rejected(_in_order(result.rejected), num_rows, args.max_rejected)
    about = {"source": args.source, "variant": result.variant, "splits_from": splits_from}

    with staged_directory(args.out, overwrite=args.overwrite) as folder:
        samples = shuffle_train(result.samples, args.seed)
        with Progress("checked and written") as progress:
            photos, faults = write_dataset(
                folder,
                samples,
                about=about,
                num_threads=args.workers,
                progress=progress,
                on_resume=lambda num: print(f"{num} photos were written by a run that was interrupted"),
            )
        # First, because labels for photos of another size would explain many of the faults.
        sizes = [(photo.sample, photo.facts.size) for photo in photos]
        check_labelled_sizes(sizes + [(fault.sample, fault.size) for fault in faults if fault.size])
        rejected = _in_order([*result.rejected, *faults])
        _check_rejected(rejected, num_rows, args.max_rejected)
        if not photos:
            first = f": {rejected[0].where}: {rejected[0].reason}" if rejected else ""
            raise UserError(f"{args.root}: none of the photos can be used{first}")
        summary = write_report(
            folder, photos, rejected, root=args.root, about=about, notes=result.notes, seed=args.seed
        )
        if args.coco:
            _write_coco(args.coco, photos)
    print(summary)
    print(f"written to {args.out}: check contact_sheet.jpg and report.md in it")


def _read(args):
    """Read the source and assign splits; return the `ReadResult` and the origin of the splits."""
    result = read_source(
        args.source,
        args.root,
        own_splits=args.splits is None,
        annotation_files=args.annotations,
        categories=dict(args.category or ()),
    )
    if not result.samples or (args.splits is None and own_splits(result.samples)):
        return result, "source"
    fractions = args.splits or DEFAULT_FRACTIONS
    result.samples[:] = make_splits(result.samples, fractions, args.seed)
    return result, {"fractions": list(fractions), "seed": args.seed}


def _write_coco(path, photos):
    for split in SPLITS:
        in_split = [photo for photo in photos if photo.sample.split == split]
        write_coco(split_path(path, split), ((photo.sample, *photo.facts.size) for photo in in_split))


def _in_order(rejected):
    """Sort rejected rows by file and line, image or annotation; rows without a number keep their order."""

    def key(fault):
        number = re.search(r"\d+$", fault.where)
        return fault.where.rpartition(":")[0] or fault.where, int(number[0]) if number else 0

    return sorted(rejected, key=key)


def _check_rejected(rejected, num_rows, max_fraction):
    """Fail if too many rows were rejected."""
    if len(rejected) <= max_fraction * num_rows:
        return
    print("\n".join(describe_rejected(rejected)))
    first = rejected[0]
    raise UserError(
        f"{first.where}: {first.reason}; {len(rejected)} of {num_rows} rows rejected, "
        f"--max-rejected {max_fraction:g} allows {int(max_fraction * num_rows)}"
    )


# The synthetic source ------------------------------------------------------------------------------------------------


def _ensure_synthetic(args):
    """Render the synthetic dataset, unless it already exists in --root."""
    asked = {name: getattr(args, name) for name in (*SYNTHETIC_COUNTS, "max_garments", "variations")}
    if args.root.is_dir() and any(args.root.iterdir()):
        _check_drawn_with(args.root, {**asked, "seed": args.seed})
        print(f"{args.root} already exists and is used as is")
        return
    from cspn_tf.data.synthetic import write_synthetic_dataset

    counts = {name: count if asked[name] is None else asked[name] for name, count in SYNTHETIC_COUNTS.items()}
    shares = asked["variations"] and {_VARIATIONS[name]: share for name, share in asked["variations"].items()}
    with Progress("rendered") as progress:
        write_synthetic_dataset(
            args.root,
            **counts,
            seed=args.seed,
            max_garments=asked["max_garments"] or 1,
            workers=args.workers,
            progress=progress,
            variation_shares=shares,
        )
    write_json(args.root / DRAWN_WITH, {**asked, **counts, "seed": args.seed})


def _check_drawn_with(root, asked):
    """Fail if the existing dataset was rendered with other options than requested."""
    path = root / DRAWN_WITH
    try:
        drawn_with = json.loads(path.read_text())
    except (OSError, ValueError):
        raise UserError(f"{root} is not empty and is not a synthetic dataset: {path} is missing")
    for name, wanted in asked.items():
        if wanted is not None and drawn_with.get(name) != wanted:
            raise CallError(f"{root} already exists, rendered with {_flag(name)} {drawn_with.get(name)}, not {wanted}")


# Types of arguments --------------------------------------------------------------------------------------------------


def _flag(name) -> str:
    return "--" + name.replace("_", "-")


def _fraction(text) -> float:
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, received {text}")
    return value


def _fractions(text) -> tuple[float, float, float]:
    try:
        fractions = tuple(float(part) for part in text.split(","))
    except ValueError:
        fractions = ()
    if len(fractions) != 3 or not all(0 <= f <= 1 for f in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(f"must be three fractions that sum to 1, received {text!r}")
    return fractions


def _category(text):
    name, _, type_name = text.rpartition("=")
    if not name or type_name not in TYPE_OF_NAME:
        raise argparse.ArgumentTypeError(
            f"must be NAME=TYPE with TYPE one of {', '.join(TYPE_OF_NAME)}, received {text!r}"
        )
    return name, TYPE_OF_NAME[type_name]


def _shares(text) -> dict[str, float]:
    try:
        shares = {name: float(share) for name, share in (part.split("=") for part in text.split(","))}
    except ValueError:
        shares = {}
    if not (
        shares.keys() <= _VARIATIONS.keys() and all(0 <= s < 1e9 for s in shares.values()) and any(shares.values())
    ):
        names = ", ".join(_VARIATIONS)
        raise argparse.ArgumentTypeError(f"must be NAME=SHARE,... with NAME of {names}, received {text!r}")
    return shares
