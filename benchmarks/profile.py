"""Profile the fused graph: time of each step of the pipeline, and FLOP rate of its networks.

Everything is measured as served, with weights as constants, in turns within one run. The networks are also measured
alone on noise, with one crop for each garment found. Time of the whole graph beyond the sum of its steps is listed as
`unattributed`. It may be 0, as TensorFlow shares work in the whole graph that the single steps repeat.
"""

import functools
import sys

from benchmarks.commands import add_json, pair_parser, write_figures
from benchmarks.networks import load_network
from benchmarks.photos import read_photos
from cspn_tf.console import run
from cspn_tf.machine import describe_machine, set_threads
from cspn_tf.models.checkpoints import DETECTOR, KEYPOINTS
from cspn_tf.timing import measure_in_turns

BATCH_SIZES = (1, 8)
# The steps of `GarmentPipeline.serve`, in order.
STEPS = ("read photos", "canvas pyramid", "find garments", "find keypoints", "write outputs")
# A reference convolution, large enough to be bound by arithmetic: side, channels in and out, kernel.
_LARGE_SIDE, _LARGE_CHANNELS, _LARGE_KERNEL = 64, 256, 3
_LARGE_FLOPS = 2 * _LARGE_SIDE**2 * _LARGE_KERNEL**2 * _LARGE_CHANNELS**2
_WARMUP_RUNS = 4


def main(argv=None):
    args = _parse(argv)
    from cspn_tf.inference.pipeline import load_pipeline

    set_threads(args.intra_threads, args.inter_threads)
    photo = read_photos([args.photo] if args.photo else [])[0]
    pipeline = load_pipeline(args.detector, args.keypoints, args.precision)
    flops = {kind: load_network(kind, getattr(args, kind)).flops for kind in (DETECTOR, KEYPOINTS)}
    machine = describe_machine()
    report = {
        "machine": {**machine, "intra_threads": args.intra_threads, "inter_threads": args.inter_threads},
        "precision": args.precision,
        "repeats": args.repeats,
        "profiles": [profile(pipeline, photo, batch_size, args.repeats, flops) for batch_size in BATCH_SIZES],
    }
    print(
        f"{machine['cpu']}, {machine['cores']} cores; {args.intra_threads} intra-op and {args.inter_threads} inter-op "
        f"threads; {args.precision}; medians of {args.repeats} runs in turns, milliseconds per photo"
    )
    for found in report["profiles"]:
        print("\n" + format_profile(found))
    write_figures(args, report)


def _parse(argv):
    parser = pair_parser(__doc__, repeats=30)
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32", help="precision of the networks"
    )
    add_json(parser)
    return parser.parse_args(argv)


def profile(pipeline, photo: bytes, batch_size: int, repeats: int, flops: dict) -> dict:
    """Measure the steps of a pipeline, its two networks alone, and the whole graph.

    Args:
        pipeline: a `GarmentPipeline`.
        photo: bytes of a JPEG or PNG file; a batch repeats it.
        batch_size: photos per call.
        repeats: timed calls of each.
        flops: FLOP for one image, by network: `DETECTOR` and `KEYPOINTS`.

    Returns:
        A JSON-ready dict, times in milliseconds per photo: batch_size; crops_per_photo, the garments found, or one crop
        of padding in all if there are none; parts, a list of part and ms; networks, by name ms, flops,
        gflops_per_second and share_of_large_convolution; whole_ms, networks_ms; overhead, whole over networks, minus 1;
        large_convolution_gflops_per_second.
    """
    functions, num_crops = make_functions(pipeline, photo, batch_size)
    timings = measure_in_turns(functions, repeats, num_warmup=_WARMUP_RUNS)
    crops = num_crops / batch_size
    ms = {name: timing.median / batch_size for name, timing in timings.items()}
    return summarise(ms, {**flops, KEYPOINTS: flops[KEYPOINTS] * crops}, batch_size, crops)


def make_functions(pipeline, photo, batch_size):
    """Return the functions to time, without arguments, by the names that `summarise` expects; and number of crops."""
    import tensorflow as tf

    from cspn_tf.inference.photo_outputs import outputs_on_photos
    from cspn_tf.resampling import CanvasPyramid

    functions = {}

    def step(name, function, *arguments):
        """Trace a function for any batch size, add it to `functions`, and return its result."""
        specs = tf.nest.map_structure(lambda value: tf.TensorSpec([None, *value.shape[1:]], value.dtype), arguments)
        traced = tf.function(function, input_signature=specs, autograph=False)
        functions[name] = functools.partial(_wait, traced, arguments)
        return traced(*arguments)

    photos = tf.constant([photo] * batch_size)
    step("call", tf.strings.length, photos)
    canvases, *frames = step("read photos", pipeline.read_photos, photos)
    pyramid = step("canvas pyramid", CanvasPyramid.of, canvases)
    detections = step("find garments", pipeline.detect_on_canvas, pyramid)
    garments = step("find keypoints", pipeline.keypoints_on_canvas, pyramid, *detections)
    step("write outputs", outputs_on_photos, garments, *frames)
    step("whole", pipeline.serve, photos)
    # If no garment was found, the keypoint network still runs on one row of padding.
    num_crops = max(int(tf.reduce_sum(garments["num_garments"])), 1)
    config = pipeline.config
    noise = functools.partial(tf.random.stateless_uniform, seed=[1, 0], minval=0.0, maxval=255.0)
    step(DETECTOR, pipeline.detect, noise([batch_size, *2 * [config.detector.input_size], 3]))
    step(KEYPOINTS, pipeline.predict, noise([num_crops, *2 * [config.keypoints.crop_size], 3]))
    kernel = noise([_LARGE_KERNEL, _LARGE_KERNEL, _LARGE_CHANNELS, _LARGE_CHANNELS]).numpy()
    step("large", lambda maps: tf.nn.conv2d(maps, kernel, 1, "SAME"), noise([1, *2 * [_LARGE_SIDE], _LARGE_CHANNELS]))
    return functions, num_crops


def _wait(function, arguments):
    """Call a function and wait for it, by reading the first of its outputs."""
    import tensorflow as tf

    return tf.nest.flatten(function(*arguments))[0].numpy()


def summarise(ms: dict, flops: dict, batch_size: int, crops_per_photo: float) -> dict:
    """Compute the result of `profile` from the measured medians.

    Args:
        ms: milliseconds per photo, by name: `STEPS`, whole, `DETECTOR`, `KEYPOINTS`, large (the reference convolution),
            and call (an almost empty function, whose time is the call overhead).
        flops: FLOP for one photo, with all its crops, by `DETECTOR` and `KEYPOINTS`.
        batch_size: photos per call.
        crops_per_photo: crops that the keypoint network processes.
    """

    def after_call(name):
        return max(ms[name] - ms["call"], 0.0)

    parts = {name: after_call(name) for name in STEPS}
    parts["unattributed"] = max(after_call("whole") - sum(parts.values()), 0.0)
    large = _LARGE_FLOPS / (1e6 * batch_size * after_call("large"))
    networks = {}
    for name in (DETECTOR, KEYPOINTS):
        rate = flops[name] / (1e6 * after_call(name))
        networks[name] = {
            "ms": ms[name],
            "flops": flops[name],
            "gflops_per_second": rate,
            "share_of_large_convolution": rate / large,
        }
    networks_ms = ms[DETECTOR] + ms[KEYPOINTS] - ms["call"]
    return {
        "batch_size": batch_size,
        "crops_per_photo": crops_per_photo,
        "parts": [{"part": name, "ms": part} for name, part in parts.items()],
        "networks": networks,
        "whole_ms": ms["whole"],
        "networks_ms": networks_ms,
        "overhead": ms["whole"] / networks_ms - 1.0,
        "large_convolution_gflops_per_second": large,
    }


def format_profile(found: dict) -> str:
    """Return one profile as text."""
    total = sum(part["ms"] for part in found["parts"])
    rows = [
        f"batch of {found['batch_size']}, {found['crops_per_photo']:.1f} crops per photo",
        f"{'part':24} {'ms':>7} {'share':>7}",
    ]
    rows += [f"{part['part']:24} {part['ms']:7.2f} {part['ms'] / total:7.1%}" for part in found["parts"]]
    rows.append("")
    for name, network in found["networks"].items():
        rows.append(
            f"{name:24} {network['ms']:7.2f} ms alone, {network['flops'] / 1e9:.2f} GFLOP, "
            f"{network['gflops_per_second']:.0f} GFLOP/s: {network['share_of_large_convolution']:.0%} of a large "
            f"convolution's {found['large_convolution_gflops_per_second']:.0f}"
        )
    rows.append(
        f"{'whole':24} {found['whole_ms']:7.2f} ms, {found['overhead']:+.1%} on top of the two networks' "
        f"{found['networks_ms']:.2f} ms"
    )
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(run(main))
