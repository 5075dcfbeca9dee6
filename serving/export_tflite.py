"""Writes the fused pipeline as one TensorFlow Lite file of builtin operations, for one photo at a time.

    python -m serving.export_tflite --detector DIR --keypoints DIR --out DIR
    python -m serving.export_tflite ... --precision int8 --photos some/of/yours/*.jpg

::

    DIR/cspn.tflite   input `image`, uint8 (1, S, S, 3): the photo letterboxed to the canvas, grey around it;
                      outputs as served, without status and image_size, in canvas pixels
    DIR/cspn.json     the config, and the contract in words
"""

import sys
import tempfile
from pathlib import Path

from cspn_tf import contract
from cspn_tf.console import Parser, UserError, run
from cspn_tf.files import replaced_file
from cspn_tf.quiet import quiet_native_output

FILE_NAME = "cspn.tflite"
MOST_PHOTOS = 128


def main(argv=None):
    """Export as the arguments say, and print where to."""
    parser = Parser(description="Export a detector and a keypoint network as one TensorFlow Lite file.")
    parser.add_argument("--detector", required=True, metavar="DIR", help="a run of training.train_detector")
    parser.add_argument("--keypoints", required=True, metavar="DIR", help="a run of training.train_keypoints")
    parser.add_argument("--out", required=True, metavar="DIR", help=f"where {FILE_NAME} goes")
    parser.add_argument(
        "--precision",
        choices=("float32", "int8"),
        default="float32",
        help="what the convolutions compute in; int8 makes a smaller, faster file, and wants --photos",
    )
    parser.add_argument(
        "--photos",
        nargs="+",
        default=[],
        metavar="FILE",
        help=f"for int8: photos with garments such as the phone will see, to measure which values occur; the first "
        f"{MOST_PHOTOS} are read",
    )
    arguments = parser.parse_args(argv)
    if (arguments.precision == "int8") != bool(arguments.photos):
        raise UserError("--precision int8 and --photos go together")
    from cspn_tf.inference.pipeline import load_pipeline
    from serving.benchmark import read_photos

    photos = read_photos(arguments.photos[:MOST_PHOTOS]) if arguments.photos else []
    pipeline = load_pipeline(arguments.detector, arguments.keypoints)
    print(export(pipeline.quantized(photos) if photos else pipeline, arguments.out))


def export(pipeline, out_dir) -> Path:
    """Convert a pipeline and write it, by rename.

    Args:
        pipeline: a `GarmentPipeline`.
        out_dir: where the file and its description go.

    Returns:
        The file.

    Raises:
        UserError: if the directory cannot be made.
    """
    from serving.export_saved_model import write_description

    out_dir = Path(out_dir)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out_dir}: cannot be made: {error.strerror}") from error
    content = convert(pipeline)
    path = out_dir / FILE_NAME
    with replaced_file(path) as temporary:
        temporary.write_bytes(content)
    write_description(out_dir / "cspn.json", pipeline.config, contract.CANVAS_OUTPUTS, pipeline.precision)
    return path


def convert(pipeline) -> bytes:
    """Return the pipeline as a TensorFlow Lite file; only builtin operations are admitted.

    Args:
        pipeline: a `GarmentPipeline`.
    """
    import tensorflow as tf

    from serving.export_saved_model import servable

    size = pipeline.config.canvas_size
    function = tf.function(
        pipeline.garments_on_canvas,
        input_signature=[tf.TensorSpec([1, size, size, 3], tf.uint8, name=contract.CANVAS_INPUT)],
    )
    # By way of a SavedModel, which is what keeps the names of the outputs.
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(servable(pipeline), folder, signatures={contract.BYTES_SIGNATURE: function})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[contract.BYTES_SIGNATURE])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if pipeline.precision == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        with quiet_native_output():
            return converter.convert()


if __name__ == "__main__":
    sys.exit(run(main))
