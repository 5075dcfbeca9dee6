"""Measure a served model: latency of one photo and throughput of a batch, each way of running it beside the others.

All ways take turns within one run, so that whatever else the machine does falls on all of them; warm-up runs are not
counted. Photos are JPEG files, decoded by the model; a TFLite model gets its canvas ready made.
"""

import dataclasses
import io
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from cspn_tf.console import Parser, UserError, positive_int, run
from cspn_tf.contract import BYTES_INPUT, BYTES_SIGNATURE, DEFAULT_MODEL_NAME
from cspn_tf.files import plain_path
from cspn_tf.inference.versions import latest_version
from cspn_tf.machine import describe_machine, set_threads
from cspn_tf.models.checkpoints import write_json
from cspn_tf.quiet import quiet_native_output
from cspn_tf.serve.client import Client
from cspn_tf.serve.local_server import running_server

BATCH_SIZE = 8
NUM_WARMUP = 3
SYNTHETIC_SIZE = 512


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one way of running took for batches of one size."""

    runner: str
    batch_size: int
    milliseconds: tuple  # one a run

    @property
    def median_ms(self) -> float:
        return float(np.median(self.milliseconds))

    @property
    def p95_ms(self) -> float:
        return float(np.percentile(self.milliseconds, 95))

    @property
    def photos_per_second(self) -> float:
        return 1000.0 * self.batch_size / self.median_ms


def main(argv=None):
    args = _parse(argv)
    version, version_dir = latest_version(args.model)
    tflite = _read(args.tflite) if args.tflite else None
    set_threads(args.threads, args.threads)  # before anything of TensorFlow runs, such as its decoder
    photos = read_photos(args.photo)
    with (
        running_server(args.model, DEFAULT_MODEL_NAME, args.threads, args.threads) as address,
        Client(address) as client,
    ):
        client.wait_until_ready()
        runners = {
            ("SavedModel, in process", size): run_batch
            for size, run_batch in _in_process_runners(version_dir, photos, args.batch_size).items()
        }
        for size in sorted({1, args.batch_size}):
            runners["gRPC, local server", size] = _over(photos, size, client.predict)
        if tflite is not None:
            runners |= {(name, 1): run_one for name, run_one in tflite_runners(tflite, photos, args.threads).items()}
        measurements = measure(runners, args.repeats)
    # Kilobytes on Linux, bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    machine = {**describe_machine(), "threads": args.threads, "peak_mb": peak}
    sizes = [f"{width}x{height}" for width, height in photo_sizes(photos)]
    setting = {"model": str(args.model), "version": version, "photo_sizes": sizes, "repeats": args.repeats}
    print(format_table(measurements, machine, setting))
    if args.json:
        _write_json(Path(args.json), measurements, machine, setting)


def _parse(argv):
    parser = Parser(any_names=("photo",), description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n")[1])
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="model directory, with one directory a version in it"
    )
    parser.add_argument(
        "--photo",
        nargs="+",
        default=[],
        metavar="FILE",
        help="photos to use (default: a synthesised one)",
    )
    parser.add_argument("--repeats", type=positive_int, default=30, help="timed runs of each kind")
    parser.add_argument("--batch-size", type=positive_int, default=BATCH_SIZE, help="photos a batch; 1 for no batches")
    parser.add_argument(
        "--threads", type=positive_int, default=os.cpu_count() or 1, help="threads of each way of running"
    )
    parser.add_argument("--tflite", metavar="FILE", help="also measure this TFLite model (default: none)")
    parser.add_argument("--json", metavar="FILE", help="also write the figures here (default: nowhere)")
    return parser.parse_args(argv)


def measure(runners, repeats) -> list:
    """Time functions in turns.

    Args:
        runners: dict of `(name, batch_size)` to a function without arguments that runs one batch.
        repeats: timed runs of each.

    Returns:
        list of `Measurement`, in the order of `runners`.
    """
    for run_batch in runners.values():
        for _ in range(NUM_WARMUP):
            run_batch()
    milliseconds = {key: [] for key in runners}
    for _ in range(repeats):
        for key, run_batch in runners.items():
            start = time.perf_counter()
            run_batch()
            milliseconds[key].append(1000.0 * (time.perf_counter() - start))
    return [Measurement(name, size, tuple(times)) for (name, size), times in milliseconds.items()]


def format_table(measurements, machine, setting) -> str:
    """Return the measurements as text: latency of one photo, photos a second in batches, ratios to the first row."""
    one = {m.runner: m for m in measurements if m.batch_size == 1}
    batch = {m.runner: m for m in measurements if m.batch_size > 1}
    first_one, first_batch = next(iter(one.values())), next(iter(batch.values()), None)
    width = max(len(name) for name in one)
    last = f"{f'batch of {next(iter(batch.values())).batch_size}':>16} {'ratio':>6}" if batch else ""
    rows = [
        f"{setting['model']} version {setting['version']}, photos {', '.join(setting['photo_sizes'])}, "
        f"{setting['repeats']} runs in turns",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads; "
        f"peak memory of this process {machine['peak_mb']:.0f} MB, the server's not counted",
        "",
        f"{'':{width}}  {'1 photo: median':>16} {'p95':>10} {'ratio':>6}   {last}".rstrip(),
    ]
    for name, m in one.items():
        row = f"{name:{width}}  {m.median_ms:>13.1f} ms {m.p95_ms:>7.1f} ms {m.median_ms / first_one.median_ms:>6.2f}"
        if name in batch:
            rate = batch[name].photos_per_second
            row += f"   {rate:>7.1f} photos/s {rate / first_batch.photos_per_second:>6.2f}"
        rows.append(row)
    rows.append("")
    rows.append(
        "ratio: to the first row; of times (lower is faster) for one photo, of rates (higher is faster) in batches"
    )
    return "\n".join(rows)


# Ways of running -----------------------------------------------------------------------------------------------------


def _over(photos, batch_size, function):
    """Return a function that calls `function` with one batch of the photos, repeated as often as it takes."""
    batch = [photos[i % len(photos)] for i in range(batch_size)]
    return lambda: function(batch)


def _in_process_runners(version_dir, photos, batch_size):
    import tensorflow as tf

    with plain_path(version_dir) as folder:
        saved_model = tf.saved_model.load(folder)

    def predict(batch):
        outputs = saved_model.signatures[BYTES_SIGNATURE](**{BYTES_INPUT: tf.constant(batch, tf.string)})
        return {name: output.numpy() for name, output in outputs.items()}

    return {size: _over(photos, size, predict) for size in sorted({1, batch_size})}


def tflite_runners(content, photos, num_threads) -> dict:
    """Return a function a runtime that runs a TFLite model on the first photo's canvas.

    Args:
        content: the model file's bytes.
        photos: list of bytes, JPEG or PNG files; the first is letterboxed beforehand.
        num_threads: threads of the interpreter.

    Returns:
        dict of the runtime's name to a function without arguments, as `measure` takes.

    Raises:
        UserError: a runtime cannot load the model.
    """
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    makers = {"TFLite, tf.lite": tf.lite.Interpreter, "TFLite, ai-edge-litert": Interpreter}
    return {name: _tflite_runner(maker, content, photos[0], num_threads) for name, maker in makers.items()}


def _tflite_runner(make_interpreter, content, photo, num_threads):
    try:
        with quiet_native_output():
            interpreter = make_interpreter(model_content=content, num_threads=num_threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise UserError(f"the TFLite model cannot be run: {error}") from error
    (detail,) = interpreter.get_input_details()
    canvas = _make_canvas(photo, int(detail["shape"][1]))

    def run_one():
        interpreter.set_tensor(detail["index"], canvas)
        interpreter.invoke()
        return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]

    return run_one


def _make_canvas(photo, canvas_size):
    from cspn_tf.config import Config
    from cspn_tf.resampling import read_photo

    canvas, *_ = read_photo(photo, canvas_size, Config.max_pixels)
    return canvas.numpy()[np.newaxis]


# Photos, machine, report ---------------------------------------------------------------------------------------------


def read_photos(paths) -> list[bytes]:
    """Return photo files' bytes; without any, one synthesised photo's.

    Raises:
        UserError: if one cannot be read, or a model cannot use it.
    """
    from cspn_tf.decoding import read_photo_files

    return read_photo_files(paths) if paths else [synthesise_photo(SYNTHETIC_SIZE)]


def photo_sizes(photos) -> list[tuple]:
    """Return width and height in pixels, as displayed, of photo files' bytes; each size once, sorted."""
    from cspn_tf.decoding import pixels_as_displayed

    return sorted({pixels_as_displayed(photo).shape[1::-1] for photo in photos})


def synthesise_photo(size, seed=0) -> bytes:
    """Return a square JPEG with smooth areas, edges and grain, whose file is about as large as a photo's."""
    from PIL import Image

    y, x = np.mgrid[:size, :size] / size
    pixels = np.stack([200 * x, 200 * y, 200 * (1 - x)], axis=-1)
    garment = (abs(x - 0.5) < 0.25) & (abs(y - 0.5) < 0.35)
    pixels[garment] = (60, 90, 160)
    pixels += np.random.default_rng(seed).normal(0, 12, pixels.shape)
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _read(path):
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def _write_json(path, measurements, machine, setting):
    rows = [
        {
            "runner": m.runner,
            "batch_size": m.batch_size,
            "median_ms": m.median_ms,
            "p95_ms": m.p95_ms,
            "photos_per_second": m.photos_per_second,
        }
        for m in measurements
    ]
    try:
        write_json(path, {"machine": machine, **setting, "results": rows})
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


if __name__ == "__main__":
    sys.exit(run(main))
