"""Measure the throughput of `training.prepare` against a plain copy of the same files.

    python -m benchmarks.prepare --root DIR --source fld

Both read the same files, which an untimed first turn brings into the page cache, and write to the same disk. Only the
work on photos is timed: every photo is decoded, checked against its labels and written to a shard. Annotation files are
read before. Turns alternate, and medians are printed.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from cspn_tf.console import Parser, UserError, positive_int, run
from cspn_tf.data.sources import SOURCES, read_source
from cspn_tf.machine import describe_machine, num_cores
from cspn_tf.timing import measure_in_turns


def main(argv=None) -> int:
    """Measure and print."""
    parser = Parser(description="Measure the throughput of training.prepare against a plain file copy.")
    parser.add_argument("--source", choices=SOURCES, default="fld", help="format of the dataset")
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="folder of the dataset")
    parser.add_argument("--photos", type=positive_int, default=4000, help="maximum number of photos")
    parser.add_argument("--workers", type=positive_int, default=num_cores(), help="photos processed in parallel")
    parser.add_argument("--repeats", type=positive_int, default=5, help="timed turns of each")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="folder for output (default: system temp folder)")
    args = parser.parse_args(argv)

    samples = [sample for sample in read_source(args.source, args.root).samples if Path(sample.path).is_file()]
    samples = samples[: args.photos]
    if not samples:
        raise UserError(f"{args.root}: no photos to measure with")
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        timings = measure(samples, Path(scratch), args.workers, args.repeats)
    print(describe(samples, timings, args.workers))
    return 0


def measure(samples, scratch, workers, repeats) -> dict:
    """Copy and prepare photos in turns.

    Args:
        samples: list of `Sample` whose photos exist.
        scratch: an empty folder to write into.
        workers: threads for preparing.
        repeats: timed turns, after one untimed turn.

    Returns:
        A dict of "copy" and "prepare" to their `Timing`.
    """
    folders = {"copy": scratch / "copy", "prepare": scratch / "prepare"}

    def empty(name):
        shutil.rmtree(folders[name], ignore_errors=True)
        folders[name].mkdir()

    functions = {
        "copy": lambda: _copy(samples, folders["copy"]),
        "prepare": lambda: _prepare(samples, folders["prepare"], workers),
    }
    return measure_in_turns(functions, repeats, before=empty)


def _copy(samples, folder):
    for number, sample in enumerate(samples):
        shutil.copyfile(sample.path, folder / str(number))


def _prepare(samples, folder, workers):
    from cspn_tf.data.shards import write_dataset
    from cspn_tf.data.splits import DEFAULT_FRACTIONS, make_splits

    write_dataset(
        folder, make_splits(samples, DEFAULT_FRACTIONS, 0), about={"source": "benchmark"}, num_threads=workers
    )


def describe(samples, timings, workers) -> str:
    """Return the timings as a text table."""
    megabytes = sum(os.path.getsize(sample.path) for sample in samples) / 1e6
    machine = describe_machine()
    lines = [
        f"{len(samples)} photos, {1000 * megabytes / len(samples):.0f} kB each, {workers} workers, "
        f"{machine['cpu']}, {machine['cores']} cores, medians of {len(timings['copy'].milliseconds)} turns",
        f"{'':<10}{'photos/s':>10}{'MB/s':>8}{'of copy':>9}",
    ]
    for name, timing in timings.items():
        seconds, of_copy = timing.median / 1000.0, timings["copy"].median / timing.median
        lines.append(f"{name:<10}{len(samples) / seconds:>10.0f}{megabytes / seconds:>8.0f}{of_copy:>9.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run(main))
