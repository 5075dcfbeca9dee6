"""Writes the fused pipeline as one SavedModel: a version directory that TF Serving loads.

    cspn-tf export --detector DIR --keypoints DIR --out models/cspn

What is in the version directory: `cspn_tf.export.saved_model`.
"""

import sys

from cspn_tf.cli.training_arguments import add_pair
from cspn_tf.console import Parser, positive_int, run


def main(argv=None):
    """Export as the arguments say, and print where to."""
    parser = Parser(description="Export a detector and a keypoint network as one SavedModel.")
    add_pair(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="the model's directory; a version is added to it")
    parser.add_argument("--version", type=positive_int, help="number of the version (default: one more than the last)")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="what the networks compute in; bfloat16 is faster where the CPU that serves has it (AVX-512 BF16, AMX), "
        "and much slower elsewhere",
    )
    arguments = parser.parse_args(argv)
    from cspn_tf.export.saved_model import export
    from cspn_tf.inference.pipeline import load_pipeline

    pipeline = load_pipeline(arguments.detector, arguments.keypoints, arguments.precision)
    print(export(pipeline, arguments.out, arguments.version))


if __name__ == "__main__":
    sys.exit(run(main))
