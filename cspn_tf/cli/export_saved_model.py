"""Export the fused pipeline as one SavedModel: a version directory that TF Serving loads.

    cspn-tf export --detector DIR --keypoints DIR --out models/cspn

Content of the version directory: see `cspn_tf.export.saved_model`.
"""

from cspn_tf.cli.training_arguments import add_pair
from cspn_tf.console import Parser, positive_int
from cspn_tf.contract import MAX_PHOTOS, STATUS_TOO_LARGE
from cspn_tf.files import check_writable


def main(argv=None):
    """Export as the arguments say, and print the path."""
    parser = Parser(description="Export a detector and a keypoint network as one SavedModel.")
    add_pair(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="model directory; a version is added to it")
    parser.add_argument("--version", type=positive_int, help="version number (default: last one plus 1)")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="compute precision of the networks; bfloat16 is faster if the serving CPU has it (AVX-512 BF16, AMX), "
        "and much slower otherwise",
    )
    parser.add_argument(
        "--max-photos", type=positive_int, default=MAX_PHOTOS, help="photos in a request above which it is rejected"
    )
    parser.add_argument(
        "--max-pixels",
        type=positive_int,
        help=f"pixels of a photo above which it gets status {STATUS_TOO_LARGE}; of a PNG half as many (default: "
        "those of the config)",
    )
    arguments = parser.parse_args(argv)
    # TensorFlow counts photos in 32 bits, and the pixels of a request in 64.
    for name, bound in (("max_photos", 2**31), ("max_pixels", 2**60)):
        if (getattr(arguments, name) or 0) >= bound:
            parser.error(f"--{name.replace('_', '-')} must be below {bound}, received {getattr(arguments, name)}")
    check_writable(arguments.out)
    from cspn_tf.export.saved_model import export
    from cspn_tf.inference.pipeline import load_pipeline

    limits = {"max_photos": arguments.max_photos, "max_pixels": arguments.max_pixels}
    pipeline = load_pipeline(arguments.detector, arguments.keypoints, arguments.precision, **limits)
    print(export(pipeline, arguments.out, arguments.version))
