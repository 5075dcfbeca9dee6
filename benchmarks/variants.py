"""Measure TFLite files in LiteRT: size, milliseconds by threads, memory, and the time outside of XNNPACK.

A run is from the canvas, uint8, to the outputs; decoding and letterboxing the photo are not included. Each file runs in
a process of its own, and the processes take turns. The peak memory is that of the process, Python included. What LiteRT
does not give to XNNPACK is computed by its interpreter, and listed by type of operation.
"""

import contextlib
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.commands import add_json, write_figures
from benchmarks.comparison.turns import order_of_round
from benchmarks.photos import read_photos
from benchmarks.workers.process import WorkerProcess
from cspn_tf.console import Parser, positive_int, run
from cspn_tf.machine import describe_machine

_SCRIPT = Path(__file__).parent / "workers" / "litert.py"
_NUM_NAMED = 3


def main(argv=None):
    description, epilog = __doc__.split("\n\n")
    parser = Parser(any_names=("files",), description=description, epilog=epilog)
    parser.add_argument("files", nargs="+", metavar="FILE", help="TFLite files of `cspn-tf export-tflite`")
    parser.add_argument("--photo", metavar="FILE", help="photo to use (default: a synthesised one, without garments)")
    parser.add_argument("--threads", type=positive_int, nargs="+", default=[1, 2], help="numbers of threads")
    parser.add_argument("--rounds", type=positive_int, default=5, help="turns of each file")
    parser.add_argument("--repeats", type=positive_int, default=20, help="timed runs in a turn")
    add_json(parser)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        photo.write_bytes(read_photos([args.photo] if args.photo else [])[0])
        figures = measure(args.files, photo, args.threads, args.rounds, args.repeats)
    machine = describe_machine()
    print(format_figures(figures, machine))
    write_figures(args, {"machine": machine, "files": figures})


def measure(files, photo, threads, rounds, repeats) -> dict:
    """Measure TFLite files.

    Args:
        files: paths.
        photo: path of a photo file.
        threads: numbers of threads.
        rounds: turns of each file with each number of threads.
        repeats: timed runs in a turn.

    Returns:
        For each path a JSON-ready dict: mb, 10^6 bytes; ms, the median by number of threads; peak_mb, of the process
        with the first number of threads; by_type, milliseconds of a run on one thread by type of operation.

    Raises:
        UserError: if a file cannot be run.
    """
    timing = {"photo": str(photo), "repeats": repeats}
    with contextlib.ExitStack() as stack:

        def start(file, num, **options):
            name = f"{file}, {num} threads"
            worker = stack.enter_context(WorkerProcess(name, sys.executable, _SCRIPT, folder=Path.cwd()))
            worker.ask("load", tflite=str(file), threads=num, **timing, **options)
            worker.pause()
            return worker

        def answer(worker, request):
            worker.resume()
            found = worker.ask(request)
            worker.pause()
            return found

        workers = {(file, num): start(file, num) for file in files for num in threads}
        times = {name: [] for name in workers}
        for number in range(rounds):
            for name in order_of_round(list(workers), number):
                times[name] += answer(workers[name], "turn")["ms"]
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)

        return {
            str(file): {
                "mb": Path(file).stat().st_size / 1e6,
                "ms": {num: statistics.median(times[file, num]) for num in threads},
                "peak_mb": answer(workers[file, threads[0]], "memory")["peak_rss_mb"],
                "by_type": answer(start(file, 1, profiled=True), "turn"),
            }
            for file in files
        }


def format_figures(figures, machine) -> str:
    """Return the figures of `measure` as a Markdown table, ratios to the first file."""
    first = next(iter(figures.values()))
    heads = [
        "file",
        "MB",
        *(f"ms, {num} thread{'s' * (num > 1)}" for num in first["ms"]),
        "peak MB",
        "outside of XNNPACK",
    ]
    lines = [f"{machine['cpu']}, {machine['cores']} cores", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for file, row in figures.items():
        total = sum(row["by_type"].values())
        outside = sorted((-ms, name) for name, ms in row["by_type"].items() if name != "XNNPACK")
        most = ", ".join(f"{name} {-ms / total:.1%}" for ms, name in outside[:_NUM_NAMED])
        share = f"{-sum(ms for ms, _ in outside) / total:.1%}" + (f": {most}" if most else "")
        times = [f"{ms:.1f} ({ms / first['ms'][num]:.2f})" for num, ms in row["ms"].items()]
        cells = [file, f"{row['mb']:.1f}", *times, f"{row['peak_mb']:.0f}", share]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run(main))
