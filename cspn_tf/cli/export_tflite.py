"""Export the fused pipeline as one TensorFlow Lite file of builtin operations, for one photo at a time.

    cspn-tf export-tflite --detector DIR --keypoints DIR --out DIR
    cspn-tf export-tflite ... --precision float16 --parts
    cspn-tf export-tflite ... --precision int8 --photos some/of/yours

Files written: see `cspn_tf.export.tflite`.
"""

from cspn_tf.cli.photo_paths import find_existing_photos
from cspn_tf.cli.training_arguments import add_pair
from cspn_tf.console import Parser
from cspn_tf.export.tflite import PRECISIONS, export
from cspn_tf.files import check_writable

MOST_PHOTOS = 128


def main(argv=None) -> int:
    """Export as the arguments say, and print the path."""
    parser = Parser(
        any_names=("photos",), description="Export a detector and a keypoint network as one TensorFlow Lite file."
    )
    add_pair(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="directory for the files")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="float16: half the size, weights of 16 bits; dynamic: a third, most weights of 8 bits; int8: 0.4, and "
        "faster, the convolutions in 8 bits, and needs --photos",
    )
    parser.add_argument(
        "--parts",
        action="store_true",
        help="also write detector.tflite and keypoints.tflite, for apps that run the networks apart",
    )
    parser.add_argument(
        "--photos",
        nargs="+",
        default=[],
        metavar="PHOTO_OR_FOLDER",
        help=f"for int8: calibration photos, with garments like those of later use; the first {MOST_PHOTOS} are read",
    )
    arguments = parser.parse_args(argv)
    if (arguments.precision == "int8") != bool(arguments.photos):
        parser.error("--precision int8 and --photos go together")
    check_writable(arguments.out)
    from cspn_tf.inference.pipeline import load_pipeline
    from cspn_tf.pillow_photos import read_photo_files

    photos, failed = find_existing_photos(arguments.photos)
    if failed:
        return 1
    photos = read_photo_files(photos[:MOST_PHOTOS])
    pipeline = load_pipeline(arguments.detector, arguments.keypoints)
    pipeline = pipeline.quantized(photos) if photos else pipeline
    for path in export(pipeline, arguments.out, arguments.precision, arguments.parts):
        print(path)
    return 0
