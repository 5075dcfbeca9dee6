"""Measure how the time of a call scales with batch size, number of garments and photo size.

All points are measured in turns within one run. Time should be linear in the number of photos and of garments, and
photo size should add little but decoding time. The plot shows the measured times with a straight line through them.
"""

import sys
from pathlib import Path

from benchmarks.commands import pair_parser
from benchmarks.photos import read_photos, resized
from cspn_tf.console import run
from cspn_tf.files import write_json
from cspn_tf.machine import describe_machine, set_threads
from cspn_tf.plots import saved_plot
from cspn_tf.timing import measure_in_turns

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
NUM_GARMENTS = (1, 2, 3, 4, 5, 6, 7, 8)
# Long sides of 3:4 photos, pixels; the last is 12 megapixels.
SIDES = (256, 512, 1024, 2048, 4000)


def main(argv=None):
    parser = pair_parser(__doc__, repeats=15)
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder of the figures and the plot")
    args = parser.parse_args(argv)
    from cspn_tf.inference.pipeline import load_pipeline

    set_threads(args.intra_threads, args.inter_threads)
    photo = read_photos([args.photo] if args.photo else [])[0]
    pipeline = load_pipeline(args.detector, args.keypoints)
    timings = measure_in_turns(make_functions(pipeline, photo), args.repeats, num_warmup=2)
    curves = summarise({point: timing.median for point, timing in timings.items()})
    setting = {**describe_machine(), "intra_threads": args.intra_threads, "inter_threads": args.inter_threads}
    print(format_curves(curves, setting, args.repeats))
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "scaling.json", {"machine": setting, "repeats": args.repeats, "curves": curves})
    draw(curves, out / "scaling.png")
    print(f"written to {out}: scaling.json, scaling.png")


def make_functions(pipeline, photo: bytes) -> dict:
    """Return the functions to time, without arguments, by point `(curve, x)`."""
    import tensorflow as tf

    from cspn_tf.inference.photo_outputs import outputs_on_photos
    from cspn_tf.resampling import CanvasPyramid

    size = pipeline.config.canvas_size

    def serve_boxes(photos, boxes):
        """Run `serve` with given boxes in place of the detected ones; the detector still runs, to be timed."""
        canvases, *frames = pipeline.read_photos(photos)
        pyramid = CanvasPyramid.of(canvases)
        found, _ = pipeline.detect_on_canvas(pyramid)
        boxes = boxes + 0.0 * found[:, :1]
        garments = pipeline.keypoints_on_canvas(pyramid, boxes, tf.ones_like(boxes[..., :3]))
        return outputs_on_photos(garments, *frames)

    def wait(function, *arguments):
        return lambda: function(*arguments)["keypoints"].numpy()

    box = [0.2 * size, 0.1 * size, 0.8 * size, 0.9 * size]
    functions = {}
    given = {
        num: tf.function(serve_boxes, input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None, num, 4])])
        for num in NUM_GARMENTS
    }
    for batch_size in BATCH_SIZES:
        boxes = tf.constant([[box]] * batch_size, tf.float32)
        functions["photos in a batch", batch_size] = wait(given[1], tf.constant([photo] * batch_size), boxes)
    for num in NUM_GARMENTS:
        functions["garments on a photo", num] = wait(
            given[num], tf.constant([photo]), tf.constant([[box] * num], tf.float32)
        )
    for side in SIDES:
        one = tf.constant([resized(photo, side * 3 // 4, side)])
        functions["longest side of the photo", side] = wait(given[1], one, tf.constant([[box]], tf.float32))
    return functions


def summarise(found: dict) -> dict:
    """Fit a straight line to each curve.

    Args:
        found: `(curve, x)` to the median milliseconds of a call.

    Returns:
        A dict by curve: points, a list of x and ms; fixed_ms and ms_each, intercept and slope by least squares.
    """
    import numpy as np

    curves = {}
    for (curve, x), ms in found.items():
        curves.setdefault(curve, {"points": []})["points"].append({"x": x, "ms": ms})
    for curve in curves.values():
        slope, fixed = np.polyfit([p["x"] for p in curve["points"]], [p["ms"] for p in curve["points"]], 1)
        curve.update(fixed_ms=float(fixed), ms_each=float(slope))
    return curves


def format_curves(curves, setting, repeats) -> str:
    """Return the curves as text."""
    rows = [
        f"{setting['cpu']}, {setting['cores']} cores; {setting['intra_threads']} intra-op and "
        f"{setting['inter_threads']} inter-op threads; medians of {repeats} runs in turns"
    ]
    for name, curve in curves.items():
        rows += ["", f"{name}: {curve['fixed_ms']:.2f} ms + {curve['ms_each']:.3g} ms each"]
        rows += [f"  {point['x']:>6} {point['ms']:8.2f} ms" for point in curve["points"]]
    return "\n".join(rows)


def draw(curves, path) -> None:
    """Plot the curves side by side, each with its fitted line."""
    size = (4.2 * len(curves), 3.6)
    with saved_plot(path, 1, len(curves), size=size) as panels:
        for panel, (name, curve) in zip(panels, curves.items(), strict=True):
            xs, ms = ([point[key] for point in curve["points"]] for key in ("x", "ms"))
            panel.plot(xs, [curve["fixed_ms"] + curve["ms_each"] * x for x in xs], color="0.75", label="straight line")
            panel.plot(xs, ms, "o-", label="measured")
            panel.set_ylim(bottom=0)
            panel.set_xlabel(name)
            panel.set_ylabel("milliseconds per call")
            panel.grid(alpha=0.3)
            panel.legend()


if __name__ == "__main__":
    sys.exit(run(main))
