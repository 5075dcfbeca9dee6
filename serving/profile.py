"""Where a fused graph's time goes: each part by itself, and what the two networks make of the machine.

Every part is measured as it is served, with weights as constants, in turns within one run; the parts of a network are
the differences between the network cut off before and after them. What is left of the whole is the parts' joints:
reading and writing the outputs, and moving boxes between frames.
"""

import functools
import sys

from cspn_tf.console import Parser, UserError, positive_int, run
from cspn_tf.machine import describe_machine, num_cores, set_threads
from cspn_tf.models.checkpoints import write_json

BATCH_SIZES = (1, 8)
# A convolution large enough that nothing but multiplying and adding counts: side, channels in and out, kernel.
_LARGE_SIDE, _LARGE_CHANNELS, _LARGE_KERNEL = 64, 256, 3
_WARMUP_RUNS = 3


def main(argv=None):
    args = _parse(argv)
    from cspn_tf.inference.pipeline import load_pipeline
    from serving.benchmark import read_photos

    set_threads(args.intra_threads, args.inter_threads)
    photo = read_photos([args.photo] if args.photo else [])[0]
    pipeline = load_pipeline(args.detector, args.keypoints, args.precision)
    machine = describe_machine()
    report = {
        "machine": {**machine, "intra_threads": args.intra_threads, "inter_threads": args.inter_threads},
        "precision": args.precision,
        "repeats": args.repeats,
        "profiles": [profile(pipeline, photo, batch_size, args.repeats) for batch_size in BATCH_SIZES],
    }
    print(
        f"{machine['cpu']}, {machine['cores']} cores; {args.intra_threads} intra-op and {args.inter_threads} inter-op "
        f"threads; {args.precision}; medians of {args.repeats} runs in turns, milliseconds a photo"
    )
    for found in report["profiles"]:
        print("\n" + format_profile(found))
    if args.json:
        write_json(args.json, report)


def _parse(argv):
    parser = Parser(any_names=("photo",), description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n")[1])
    parser.add_argument("--detector", required=True, metavar="DIR", help="a run of training.train_detector")
    parser.add_argument("--keypoints", required=True, metavar="DIR", help="a run of training.train_keypoints")
    parser.add_argument("--photo", metavar="FILE", help="photo to use (default: a synthesised one)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="of the networks")
    parser.add_argument("--repeats", type=positive_int, default=30, help="timed runs of each part")
    parser.add_argument("--intra-threads", type=positive_int, default=num_cores(), help="threads within an operation")
    parser.add_argument("--inter-threads", type=positive_int, default=num_cores(), help="operations side by side")
    parser.add_argument("--json", metavar="FILE", help="also write the figures here (default: nowhere)")
    return parser.parse_args(argv)


def profile(pipeline, photo: bytes, batch_size: int, repeats: int) -> dict:
    """Measure the parts of a pipeline, its two networks alone, and the whole.

    Args:
        pipeline: a `GarmentPipeline`.
        photo: a JPEG or PNG file; a batch is the same photo over and over.
        batch_size: photos a call.
        repeats: timed calls of each part.

    Returns:
        A JSON-ready dict: batch_size; crops_per_photo, the garments found; parts, a list of name and milliseconds
        a photo; networks, name to milliseconds a photo, flops and gflops_per_second; whole_ms, networks_ms; overhead,
        the whole over the networks, less 1; large_convolution_gflops_per_second.

    Raises:
        UserError: if the photo cannot be read.
    """
    from cspn_tf.timing import measure_in_turns

    functions, flops, num_crops = _functions(pipeline, photo, batch_size)
    for _ in range(_WARMUP_RUNS):
        for function in functions.values():
            function()
    ms = {name: found.median / batch_size for name, found in measure_in_turns(functions, repeats).items()}
    return summarise(ms, flops, batch_size, num_crops / batch_size)


def summarise(ms: dict, flops: dict, batch_size: int, crops_per_photo: float) -> dict:
    """Turn the medians of what `profile` measures into the parts' shares; returns what `profile` does.

    Args:
        ms: milliseconds a photo: call (of a function that does nothing), decode, read, inputs, crops, peaks, whole,
            large, and what begins with `detector/` and `keypoints/`, prefixes in their order.
        flops: of one photo, with all its crops: detector, keypoints, and of one call: large.
        batch_size: photos a call.
        crops_per_photo: garments that the keypoint network looks at.
    """

    def after_call(name):
        return max(ms[name] - ms["call"], 0.0)

    parts = [("decode", after_call("decode")), ("canvas", max(ms["read"] - ms["decode"], 0.0) + after_call("inputs"))]
    parts += _differences(ms, "detector", ms["call"])
    parts.append(("crop", after_call("crops")))
    parts += _differences(ms, "keypoints", ms["call"])
    parts.append(("heatmap decode", after_call("peaks")))
    parts.append(("joints", max(ms["whole"] - ms["call"] - sum(part for _, part in parts), 0.0)))
    # The detector's raw answer; suppressing its duplicates is what a pipeline does with it.
    alone = {"detector": ms["detector/head"], "keypoints": ms["keypoints/stages"]}
    large = flops["large"] / (1e6 * batch_size * after_call("large"))
    networks = {}
    for name, network_ms in alone.items():
        rate = flops[name] / (1e6 * (network_ms - ms["call"]))
        networks[name] = {
            "ms": network_ms,
            "flops": flops[name],
            "gflops_per_second": rate,
            "share_of_large_convolution": rate / large,
        }
    networks_ms = sum(alone.values()) - ms["call"]
    return {
        "batch_size": batch_size,
        "crops_per_photo": crops_per_photo,
        "parts": [{"part": name, "ms": part} for name, part in parts],
        "networks": networks,
        "whole_ms": ms["whole"],
        "networks_ms": networks_ms,
        "overhead": ms["whole"] / networks_ms - 1.0,
        "large_convolution_gflops_per_second": large,
    }


def _differences(ms, network, start):
    parts, before = [], start
    for name, value in ms.items():
        if name.startswith(network + "/"):
            parts.append((f"{network} {name.removeprefix(network + '/')}", max(value - before, 0.0)))
            before = max(before, value)
    return parts


def format_profile(found: dict) -> str:
    """Return one profile as text."""
    total = sum(part["ms"] for part in found["parts"])
    rows = [
        f"batch of {found['batch_size']}, {found['crops_per_photo']:.1f} garments a photo",
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


def _functions(pipeline, photo, batch_size):
    """Return what `summarise` wants measured, name to function without arguments, its flops, and how many crops."""
    import tensorflow as tf

    from cspn_tf import decoding, geometry
    from cspn_tf.inference.frozen import freeze
    from cspn_tf.models.keypoint_networks import decode_prediction
    from cspn_tf.reproduction.costs import num_flops_of
    from cspn_tf.resampling import CanvasPyramid

    config = pipeline.config
    photos = tf.constant([photo] * batch_size)
    canvases, _, _, statuses = pipeline.read_photos(photos)
    if int(statuses[0]) != decoding.STATUS_OK:
        raise UserError(f"the photo cannot be read: status {int(statuses[0])} (see cspn_tf.decoding)")
    pyramid = CanvasPyramid.of(canvases)
    images = pyramid.detector_input(config.detector.input_size)
    size = config.canvas_size
    boxes, classes, _ = pipeline.detect_on_canvas(pyramid)
    # What `serve` will look at: the garments found, or one row of padding where there is none.
    rows = tf.where(classes > 0)
    rows = rows if len(rows) else tf.zeros([1, 2], tf.int64)
    windows = geometry.keypoint_windows(tf.gather_nd(boxes, rows), config)
    photo_of_crop = tf.cast(rows[:, 0], tf.int32)
    crop_size = config.keypoints.crop_size
    crops = pyramid.crops(windows, crop_size, photo_of_crop)
    predictions = pipeline.predict(crops)

    def decode(photos):
        # Photos of different sizes do not fit into one tensor; their heights do.
        return tf.map_fn(
            lambda one: tf.shape(decoding.decode_photo(one, config.max_pixels, size)[0])[0], photos, tf.int32
        )

    def inputs(canvases):
        pyramid = CanvasPyramid.of(canvases)
        return pyramid.halves, pyramid.detector_input(config.detector.input_size)

    of_batch = {
        "call": (lambda photos: tf.strings.length(photos), (photos,)),
        "decode": (decode, (photos,)),
        "read": (pipeline.read_photos, (photos,)),
        "inputs": (inputs, (canvases,)),
        "crops": (
            lambda pyramid, windows: pyramid.crops(windows, crop_size, photo_of_crop),
            (pyramid, windows),
        ),
        "peaks": (lambda predictions: decode_prediction(predictions, config.keypoints), (predictions,)),
        "whole": (pipeline.serve, (photos,)),
    }
    networks = {
        "detector": (pipeline.detector_prefixes(), images),
        "keypoints": (pipeline.keypoint_prefixes(), crops),
    }
    flops = {}
    for network, (prefixes, example) in networks.items():
        for name, prefix in prefixes.items():
            spec = tf.TensorSpec([None, *example.shape[1:]], example.dtype)
            of_batch[f"{network}/{name}"] = (freeze(prefix, spec), (example,))
        name = "head" if network == "detector" else "stages"
        flops[network] = num_flops_of(prefixes[name], [1, *example.shape[1:]]) * len(example) // batch_size
    large = tf.random.normal([1, _LARGE_SIDE, _LARGE_SIDE, _LARGE_CHANNELS])
    kernel = tf.random.normal([_LARGE_KERNEL, _LARGE_KERNEL, _LARGE_CHANNELS, _LARGE_CHANNELS]).numpy()
    of_batch["large"] = (lambda maps: tf.nn.conv2d(maps, kernel, 1, "SAME"), (large,))
    flops["large"] = 2 * _LARGE_SIDE**2 * _LARGE_KERNEL**2 * _LARGE_CHANNELS**2
    return (
        {name: functools.partial(_traced(function), *of) for name, (function, of) in of_batch.items()},
        flops,
        len(crops),
    )


def _traced(function):
    """Return a function that runs another as one graph and waits for it."""
    import tensorflow as tf

    traced = tf.function(function, reduce_retracing=False, autograph=False)

    def run_and_wait(*of):
        return [value.numpy() for value in tf.nest.flatten(traced(*of))[:1]]

    return run_and_wait


if __name__ == "__main__":
    sys.exit(run(main))
