"""Measure latency of one photo and throughput of batches: SavedModel in process, gRPC through the local server, TFLite.

They take turns within one run, so that other load on the machine affects all of them; warm-up runs are not counted.
Photos are JPEG files, decoded by the model; for a TFLite model the canvas is prepared beforehand.
"""

import functools
import os
import sys

import numpy as np

from benchmarks.commands import add_json, write_figures
from benchmarks.photos import photo_sizes, read_photos
from benchmarks.workers.worker import peak_rss_mb
from cspn_tf.console import Parser, positive_int, run
from cspn_tf.inference.versions import latest_version
from cspn_tf.machine import describe_machine, num_cores, set_threads
from cspn_tf.serve.client import Client
from cspn_tf.serve.local_server import running_server
from cspn_tf.timing import measure_in_turns

BATCH_SIZE = 8
NUM_WARMUP = 3


def main(argv=None):
    args = _parse(argv)
    version, version_dir = latest_version(args.model)
    set_threads(args.threads, args.threads)  # must come before any TensorFlow op, such as decoding
    photos = read_photos(args.photo)
    tflite = tflite_runners(args.tflite, photos[0], args.threads) if args.tflite else {}
    with running_server(args.model, args.threads, args.threads) as address, Client(address) as client:
        from cspn_tf.inference.predictors import from_saved_model

        ways = {"SavedModel, in process": from_saved_model(version_dir).predict, "gRPC, local server": client.predict}
        runners = {
            (name, size): functools.partial(predict, [photos[i % len(photos)] for i in range(size)])
            for name, predict in ways.items()
            for size in sorted({1, args.batch_size})
        }
        runners |= {(name, 1): run_one for name, run_one in tflite.items()}
        timings = measure_in_turns(runners, args.repeats, num_warmup=NUM_WARMUP)
    results = summarise(timings)
    machine = {**describe_machine(), "threads": args.threads, "peak_mb": peak_rss_mb([os.getpid()])}
    sizes = [f"{width}x{height}" for width, height in photo_sizes(photos)]
    setting = {"model": str(args.model), "version": version, "photo_sizes": sizes, "repeats": args.repeats}
    print(format_table(results, machine, setting))
    write_figures(args, {"machine": machine, **setting, "results": results})


def _parse(argv):
    parser = Parser(any_names=("photo",), description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n")[1])
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="model directory with numbered version subdirectories"
    )
    parser.add_argument(
        "--photo",
        nargs="+",
        default=[],
        metavar="FILE",
        help="photos to use (default: a synthesised one)",
    )
    parser.add_argument("--repeats", type=positive_int, default=30, help="timed runs of each kind")
    parser.add_argument("--batch-size", type=positive_int, default=BATCH_SIZE, help="photos per batch; 1: no batches")
    parser.add_argument("--threads", type=positive_int, default=num_cores(), help="threads of each runner")
    parser.add_argument("--tflite", metavar="FILE", help="also measure this TFLite model (default: none)")
    add_json(parser)
    return parser.parse_args(argv)


def tflite_runners(path, photo, num_threads) -> dict:
    """Return, for each TFLite runtime, a function without arguments that runs a model on a photo's canvas.

    Args:
        path: the model file.
        photo: bytes of a JPEG or PNG file, letterboxed beforehand.
        num_threads: threads of the interpreter.

    Raises:
        UserError: the file is not a TFLite model that follows the contract.
    """
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    from cspn_tf.config import Config
    from cspn_tf.inference.predictors import tflite_function
    from cspn_tf.resampling import read_photo

    runners = {}
    for name, maker in {"TFLite, tf.lite": tf.lite.Interpreter, "TFLite, ai-edge-litert": Interpreter}.items():
        find, canvas_size = tflite_function(path, num_threads, maker)
        canvas = read_photo(photo, canvas_size, Config.max_pixels)[0].numpy()[np.newaxis]
        runners[name] = functools.partial(find, canvas)
    return runners


def summarise(timings) -> list[dict]:
    """Summarise the timings of each runner and batch size.

    Args:
        timings: `(runner, batch_size)` to `Timing`.

    Returns:
        JSON-ready list of dicts: runner, batch_size, median_ms and p95_ms of a call, photos_per_second by the median.
    """
    return [
        {
            "runner": runner,
            "batch_size": size,
            "median_ms": timing.median,
            "p95_ms": float(np.percentile(timing.milliseconds, 95)),
            "photos_per_second": 1000.0 * size / timing.median,
        }
        for (runner, size), timing in timings.items()
    ]


def format_table(results, machine, setting) -> str:
    """Return the results as text: latency of one photo, photos per second in batches, ratios to the first row."""
    one = {row["runner"]: row for row in results if row["batch_size"] == 1}
    batch = {row["runner"]: row for row in results if row["batch_size"] > 1}
    first_one, first_batch = next(iter(one.values())), next(iter(batch.values()), None)
    width = max(len(name) for name in one)
    last = f"{'batch of ' + str(first_batch['batch_size']):>16} {'ratio':>6}" if batch else ""
    rows = [
        f"{setting['model']} version {setting['version']}, photos {', '.join(setting['photo_sizes'])}, "
        f"{setting['repeats']} runs in turns",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads; "
        f"peak memory of this process {machine['peak_mb']:.0f} MB, without the server",
        "",
        f"{'':{width}}  {'1 photo: median':>16} {'p95':>10} {'ratio':>6}   {last}".rstrip(),
    ]
    for name, found in one.items():
        ratio = found["median_ms"] / first_one["median_ms"]
        row = f"{name:{width}}  {found['median_ms']:>13.1f} ms {found['p95_ms']:>7.1f} ms {ratio:>6.2f}"
        if name in batch:
            rate = batch[name]["photos_per_second"]
            row += f"   {rate:>7.1f} photos/s {rate / first_batch['photos_per_second']:>6.2f}"
        rows.append(row)
    rows.append("")
    rows.append(
        "ratio to the first row: of times for one photo (lower is faster), of rates in batches (higher is faster)"
    )
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(run(main))
