"""Write the fused pipeline as one TensorFlow Lite file of builtin operations, for one photo at a time.

::

    DIR/cspn.tflite   input `image`, uint8 (1, S, S, 3): the photo letterboxed with grey to the canvas;
                      outputs of the served contract without status and image_size, in canvas pixels
    DIR/cspn.json     the config, and a description of the outputs
"""

import tempfile
from pathlib import Path

from cspn_tf import contract
from cspn_tf.files import plain_path, write_bytes
from cspn_tf.quiet import quiet_native_output

FILE_NAME = "cspn.tflite"


def export(pipeline, out_dir) -> Path:
    """Convert a pipeline and write it, by atomic rename.

    Args:
        pipeline: a `GarmentPipeline`.
        out_dir: directory for the file and its description.

    Returns:
        Path of the file.

    Raises:
        OSError: if the directory cannot be written.
    """
    from cspn_tf.export.saved_model import write_description

    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    content = convert(pipeline)
    path = out_dir / FILE_NAME
    write_bytes(path, content)
    write_description(out_dir / "cspn.json", pipeline.config, contract.CANVAS_OUTPUTS, pipeline.precision)
    return path


def convert(pipeline) -> bytes:
    """Return the pipeline as TensorFlow Lite file content, with builtin operations only.

    Args:
        pipeline: a `GarmentPipeline`.
    """
    import tensorflow as tf

    from cspn_tf.export.saved_model import servable

    size = pipeline.config.canvas_size
    function = tf.function(
        pipeline.garments_on_canvas,
        input_signature=[tf.TensorSpec([1, size, size, 3], tf.uint8, name=contract.CANVAS_INPUT)],
    )
    # Convert from a SavedModel, because that keeps the names of the outputs.
    with tempfile.TemporaryDirectory() as temporary, plain_path(temporary) as folder:
        tf.saved_model.save(servable(pipeline), folder, signatures={contract.BYTES_SIGNATURE: function})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[contract.BYTES_SIGNATURE])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if pipeline.precision == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        with quiet_native_output():
            return converter.convert()
