"""Measure how fast `training.prepare` goes through photos, beside a plain copy of the same files.

    python -m training.benchmark_prepare --root DIR --source fld

Both read the same files, which the first, unmeasured turn has brought into memory, and write to the same disk. What is
measured is the work on photos: every photo is decoded, compared with its labels and written into a shard; annotation
files have been read before. Turns alternate, and medians are printed.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from cspn_tf.console import Parser, UserError, positive_int, run
from cspn_tf.data.sources import SOURCES
from cspn_tf.machine import describe_machine


def main(argv=None) -> int:
    """Measure and print."""
    parser = Parser(description="Measure photos a second of training.prepare, beside a copy of the same files.")
    parser.add_argument("--source", choices=SOURCES, default="fld", help="format of the dataset")
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="folder of the dataset")
    parser.add_argument("--photos", type=positive_int, default=4000, help="photos to go through, at most")
    parser.add_argument("--workers", type=positive_int, default=os.cpu_count() or 1, help="photos worked on at a time")
    parser.add_argument("--repeats", type=positive_int, default=5, help="turns of each")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where to write (default: the system's own)")
    args = parser.parse_args(argv)

    from cspn_tf.data.sources import read_source

    samples = [sample for sample in read_source(args.source, args.root).samples if Path(sample.path).is_file()]
    samples = samples[: args.photos]
    if not samples:
        raise UserError(f"{args.root}: no photos to measure with")
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        seconds = measure(samples, Path(scratch), args.workers, args.repeats)
    print(describe(samples, seconds, args.workers))
    return 0


def measure(samples, scratch, workers, repeats) -> dict[str, list[float]]:
    """Copy and prepare photos in turns.

    Args:
        samples: list of `Sample` whose photos exist.
        scratch: an empty folder to write into.
        workers: threads of the preparing.
        repeats: turns that count; one more goes before them.

    Returns:
        Seconds of each turn, for "copy" and for "prepare".
    """
    seconds = {"copy": [], "prepare": []}
    for turn in range(repeats + 1):
        for name, work in (("copy", _copy), ("prepare", _prepare)):
            folder = scratch / name
            folder.mkdir()
            start = time.perf_counter()
            work(samples, folder, workers)
            if turn:
                seconds[name].append(time.perf_counter() - start)
            shutil.rmtree(folder)
    return seconds


def _copy(samples, folder, _):
    for number, sample in enumerate(samples):
        shutil.copyfile(sample.path, folder / str(number))


def _prepare(samples, folder, workers):
    from cspn_tf.data.shards import write_dataset
    from cspn_tf.data.splits import DEFAULT_FRACTIONS, make_splits

    write_dataset(
        folder, make_splits(samples, DEFAULT_FRACTIONS, 0), about={"source": "benchmark"}, num_threads=workers
    )


def describe(samples, seconds, workers) -> str:
    """Lay the measured times out as a table."""
    megabytes = sum(os.path.getsize(sample.path) for sample in samples) / 1e6
    copy = statistics.median(seconds["copy"])
    machine = describe_machine()
    lines = [
        f"{len(samples)} photos, {1000 * megabytes / len(samples):.0f} kB each, {workers} workers, "
        f"{machine['cpu']}, {machine['cores']} cores, medians of {len(seconds['copy'])} turns",
        f"{'':<10}{'photos/s':>10}{'MB/s':>8}{'of copy':>9}",
    ]
    for name, turns in seconds.items():
        median = statistics.median(turns)
        lines.append(f"{name:<10}{len(samples) / median:>10.0f}{megabytes / median:>8.0f}{copy / median:>9.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run(main))
