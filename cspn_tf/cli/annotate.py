"""Annotate a catalogue of any size with Ray, and write a Parquet dataset with one row per photo.

    cspn-tf annotate photos/ --out annotated
    cspn-tf annotate s3://shop/photos.parquet --id-column sku --out s3://shop/annotated --address auto

INPUT is a folder, a glob pattern, a .txt or .csv list of paths or URIs, a Parquet dataset with a column of paths or of
files as bytes, or TFRecords that `training.prepare` wrote; all on this machine or on any store that fsspec opens.

To resume a run after any interruption, run the same command again; each photo is in the output exactly once.
"""

import math
import os
import sys

from cspn_tf.console import (
    CallError,
    Parser,
    UserError,
    positive_float,
    positive_int,
    require_extra,
    termination_as_interrupt,
)
from cspn_tf.progress import Progress, duration

# Scaling efficiency: fraction of a core's rate that remains when all cores of a machine work, from the measurements of
# one node against a plain loop in docs/bulk.md.
_EFFICIENCY = 0.9


def main(argv=None) -> int:
    """Annotate, or print a plan, as the arguments say."""
    args = _parse(argv)
    if args.plan:
        _print_plan(args)
        return 0
    require_extra("bulk")
    with termination_as_interrupt():
        return _annotate(args)


def _parse(argv):
    parts = __doc__.split("\n\n")
    parser = Parser(description=parts[0], epilog=" ".join(parts[2:]))
    parser.add_argument("input", nargs="?", metavar="INPUT", help="catalogue of photos")
    parser.add_argument("--out", metavar="DIR", help="output folder, a path or URI that all workers can write")
    parser.add_argument("--model", metavar="PATH", help="as in `predict`, or a URI (default: the model in the package)")
    parser.add_argument("--address", metavar="auto|ray://HOST:PORT", help="Ray cluster (default: this machine's cores)")
    parser.add_argument("--workers", type=positive_int, metavar="N", help="cores to use (default: all)")
    parser.add_argument("--resume", action="store_true", help="fail if --out has no run to resume")
    parser.add_argument("--id-column", metavar="NAME", help="column of unique ids (default: the path is the id)")
    parser.add_argument("--path-column", metavar="NAME", help="column of paths or URIs (default: path, uri, url, …)")
    parser.add_argument(
        "--bytes-column", metavar="NAME", help="column with the photo files as bytes (default: the only binary column)"
    )
    parser.add_argument("--batch-size", type=positive_int, default=8, help="photos per pass through the networks")
    plan = parser.add_argument_group("costs")
    plan.add_argument("--core-price", type=positive_float, default=0.04, metavar="USD", help="price of a core per hour")
    plan.add_argument(
        "--plan",
        type=positive_int,
        metavar="PHOTOS",
        help="do not annotate: print the machines and hours needed for this number of photos",
    )
    plan.add_argument("--rate", type=positive_float, metavar="R", help="with --plan: measured photos/s of one core")
    plan.add_argument(
        "--photo-kb", type=positive_float, default=200.0, metavar="KB", help="with --plan: mean file size"
    )
    plan.add_argument("--hours", type=positive_float, default=8.0, metavar="H", help="with --plan: deadline in hours")
    plan.add_argument("--cores", type=positive_int, default=16, metavar="N", help="with --plan: cores per machine")
    plan.add_argument(
        "--gbit", type=positive_float, default=5.0, metavar="G", help="with --plan: bandwidth per machine, Gbit/s"
    )
    args = parser.parse_args(argv)
    if args.plan and not args.rate:
        parser.error("--plan needs --rate: run on a sample of the photos, which prints it")
    if not args.plan and not (args.input and args.out):
        parser.error("INPUT and --out are required")
    return args


def _print_plan(args):
    """Print the machines and hours that a catalogue takes, from a measured rate."""
    by_cores = args.cores * args.rate * _EFFICIENCY
    by_network = args.gbit * 1e9 / 8 / (args.photo_kb * 1e3)
    rate = min(by_cores, by_network)
    machines = math.ceil(args.plan / (rate * 3600 * args.hours))
    hours = args.plan / (rate * machines) / 3600
    print(f"{args.plan} photos of {args.photo_kb:g} kB, {args.plan * args.photo_kb / 1e9:.2f} TB")
    print(
        f"a machine of {args.cores} cores: {rate:.0f} photos/s, limited by its "
        f"{'cores' if by_cores <= by_network else 'network'} (cores {by_cores:.0f} at {args.rate:g} per core and a "
        f"scaling efficiency of {_EFFICIENCY:g}, network {by_network:.0f} at {args.gbit:g} Gbit/s)"
    )
    print(
        f"{machines} machines, {hours:.1f} hours, {machines * args.cores * hours * args.core_price:.0f} USD "
        f"at {args.core_price:g} USD per core and hour"
    )
    print(f"the store must deliver {machines * rate * args.photo_kb / 1e6:.2f} GB/s in all")


def _annotate(args):
    from cspn_tf.bulk.blocks import read_blocks
    from cspn_tf.bulk.stores import open_store, uri_of
    from cspn_tf.bulk.worker import find_model

    args.out = uri_of(*open_store(args.out))
    catalogue = uri_of(*open_store(args.input))
    files = find_model(args.model)
    about = {
        "catalogue": catalogue if "://" in catalogue else os.path.normpath(catalogue),
        "id column": args.id_column,
        "path column": args.path_column,
        "bytes column": args.bytes_column,
        "model": files.source,
        "model version": files.version,
        "model fingerprint": files.fingerprint,
        "batch size": args.batch_size,
    }
    blocks = read_blocks(args.out)
    if blocks is None and args.resume:
        raise CallError(f"--resume: there is no run in {args.out}")
    for name, value in about.items() if blocks else ():
        if (recorded := blocks.about.get(name)) != value:
            raise CallError(f"{args.out} was started with a different {name}: {recorded}, now {value}")
    if blocks:
        print(
            f"{args.out} has a run of {blocks.num_photos} photos, {blocks.num_done()} of them done: it is continued, "
            "and the catalogue is not listed again",
            flush=True,
        )
    from cspn_tf.bulk.cluster import annotate, connected

    with connected(args.address, args.workers) as num_cores:
        num_workers = min(args.workers or num_cores, num_cores)
        if blocks is None:
            blocks = _divide(args, about, num_workers)
        with Progress("annotated") as progress:
            try:
                done = annotate(blocks, files, num_workers=args.workers, batch_size=args.batch_size, progress=progress)
            except KeyboardInterrupt:
                print(
                    f"stopped: {blocks.num_done()} of {blocks.num_photos} photos are done; "
                    "run the same command to resume",
                    file=sys.stderr,
                )
                raise
    blocks.tidy()
    _print_summary(args, blocks, done, num_workers)
    return 0


def _divide(args, about, num_workers):
    from cspn_tf.bulk.blocks import divide
    from cspn_tf.bulk.catalogue import Columns, open_catalogue

    columns = Columns(args.id_column, args.path_column, args.bytes_column)
    blocks = divide(args.out, open_catalogue(args.input, columns), about, num_workers)
    repeated = f", {blocks.num_repeated} duplicate paths skipped" if blocks.num_repeated else ""
    print(f"{blocks.num_photos} photos in {blocks.num_blocks} blocks{repeated}", flush=True)
    return blocks


def _print_summary(args, blocks, done, num_workers):
    from cspn_tf.bulk.table import totals
    from cspn_tf.result import Result

    num_garments, statuses = totals(blocks.out)
    if sum(statuses.values()) != blocks.num_photos:
        raise UserError(f"{args.out} has {sum(statuses.values())} rows for {blocks.num_photos} photos")
    print(f"written to {args.out}: {blocks.num_photos} photos, {num_garments} garments")
    for status, count in sorted(statuses.items()):
        print(f"  status {status}, {Result(status).status_meaning}: {count} photos")
    if done.num_photos:
        rate = done.num_photos / done.core_seconds
        cost = 1e6 / rate / 3600 * args.core_price
        print(
            f"{done.num_photos} photos in {duration(done.seconds)} with {num_workers} workers, "
            f"{done.num_photos / done.seconds:.1f} photos/s including startup; {rate:.1f} photos/s per busy core, "
            f"{cost:.2f} USD per million photos at {args.core_price:g} USD per core and hour"
        )
