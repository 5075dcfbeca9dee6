"""Write the fused pipeline, or its two parts, as TensorFlow Lite files of builtin operations, for one photo at a time.

::

    DIR/cspn.tflite        `image`, uint8 (1, S, S, 3), the photo letterboxed with grey to the canvas, to the outputs of
                           the served contract without status and image_size, in canvas pixels
    DIR/detector.tflite    the same input, to num_garments, boxes, classes and scores, as the detector alone sees them
    DIR/keypoints.tflite   `image`, `box` float32 (1, 4) in canvas pixels and `garment_type` int32 (1,), to keypoints
                           float32 (1, 8, 2) in canvas pixels and keypoint_scores float32 (1, 8)
    DIR/*.json             for each, the config and a description of inputs and outputs; the same is in the file

Coordinates are float32 at every precision: only weights and activations of the convolutions are rounded.
"""

import dataclasses
import re
import sys
import tempfile
from pathlib import Path

from cspn_tf import contract
from cspn_tf.console import UserError
from cspn_tf.export.saved_model import description, servable
from cspn_tf.export.tflite_metadata import with_metadata
from cspn_tf.files import plain_path, write_bytes, write_json
from cspn_tf.quiet import quiet_native_output

PIPELINE = "cspn"
# float16 and dynamic round the weights, to 16 and 8 bits; int8 also the activations, see `GarmentPipeline.quantized`.
PRECISIONS = ("float32", "float16", "dynamic", "int8")
_OF_KEYPOINTS = ("keypoints", "keypoint_scores")
# Files above this get a warning: an app carries them, and a phone holds them in memory.
LARGE_BYTES = 100_000_000


def _parts(pipeline) -> dict:
    """Return the function of the pipeline, its inputs and its outputs, dicts of name to `contract.Output`, by file."""
    image = {contract.CANVAS_INPUT: contract.Output("uint8", ("B", "S", "S", 3), "the letterboxed photo, RGB")}
    box = {
        "box": contract.Output("float32", ("B", 4), "x_min, y_min, x_max, y_max, canvas pixels"),
        "garment_type": contract.Output("int32", ("B",), "1 upper-body, 2 lower-body, 3 full-body"),
    }
    of_garment = {
        name: dataclasses.replace(output, shape=tuple(size for size in output.shape if size != "N"))
        for name, output in contract.CANVAS_OUTPUTS.items()
        if name in _OF_KEYPOINTS
    }
    of_detector = {name: output for name, output in contract.CANVAS_OUTPUTS.items() if name not in _OF_KEYPOINTS}
    parts = {
        PIPELINE: (pipeline.garments_on_canvas, image, contract.CANVAS_OUTPUTS),
        "detector": (pipeline.boxes_on_canvas, image, of_detector),
        "keypoints": (pipeline.keypoints_in_canvas_box, {**image, **box}, of_garment),
    }
    return {
        name: (function, _sized(inputs, pipeline.config), _sized(outputs, pipeline.config))
        for name, (function, inputs, outputs) in parts.items()
    }


def _sized(tensors, config):
    """Return descriptions of tensors with numbers for letters: one photo, N rows, a canvas of side S."""
    sizes = {"B": 1, "N": config.detector.max_garments, "S": config.canvas_size}
    return {
        name: dataclasses.replace(
            tensor,
            shape=tuple(sizes.get(size, size) for size in tensor.shape),
            meaning=tensor.meaning.replace("pixels of the photo", "canvas pixels"),
        )
        for name, tensor in tensors.items()
    }


def export(pipeline, out_dir, precision=None, with_parts=False) -> list:
    """Convert a pipeline and write it, each file by atomic rename; parts of an earlier export are removed or replaced.

    Args:
        pipeline: a `GarmentPipeline`.
        out_dir: directory for the files and their descriptions.
        precision: one of `PRECISIONS`; int8 needs a `quantized` pipeline, for which it is the default.
        with_parts: whether to write the detector and the keypoint network as files of their own, too.

    Returns:
        Paths of the `.tflite` files, the pipeline's first.

    Raises:
        OSError: if the directory cannot be written.
        UserError: if an operation has no builtin of TensorFlow Lite.
    """
    precision = precision or pipeline.precision
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    parts, files = _parts(pipeline), {}
    for name, (_, inputs, outputs) in parts.items():
        if name != PIPELINE and not with_parts:
            continue
        about = description(pipeline.config, outputs, precision, inputs=inputs)
        files[name] = with_metadata(convert(pipeline, name, precision), name, about), about
    for name in parts:
        for suffix in (".tflite", ".json"):
            if name not in files:
                (out_dir / f"{name}{suffix}").unlink(missing_ok=True)
    for name, (content, about) in files.items():
        if len(content) > LARGE_BYTES:
            print(
                f"warning: {name}.tflite has {len(content) / 1e6:.0f} MB, more than most apps carry; float16 halves"
                " it, dynamic takes a third, and the preset mobile has 28 MB in float32",
                file=sys.stderr,
            )
        write_bytes(out_dir / f"{name}.tflite", content)
        write_json(out_dir / f"{name}.json", about)
    return [out_dir / f"{name}.tflite" for name in files]


def convert(pipeline, name, precision) -> bytes:
    """Return the pipeline, or a part, as TensorFlow Lite file content without metadata, of builtin operations only.

    Args:
        pipeline: a `GarmentPipeline`.
        name: `cspn`, `detector` or `keypoints`.
        precision: one of `PRECISIONS`, as in `export`.

    Raises:
        UserError: if an operation has no builtin of TensorFlow Lite.
    """
    import tensorflow as tf

    function, inputs, _ = _parts(pipeline)[name]
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, key) for key, tensor in inputs.items()]
    function = tf.function(function, input_signature=specs, autograph=False)
    # Convert from a SavedModel, because that keeps the names of the outputs.
    with tempfile.TemporaryDirectory() as temporary, plain_path(temporary) as folder:
        tf.saved_model.save(servable(pipeline), folder, signatures={contract.BYTES_SIGNATURE: function})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[contract.BYTES_SIGNATURE])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        try:
            with quiet_native_output():
                content = converter.convert()
        except Exception as error:  # ConverterError is not public
            raise UserError(f"{name}.tflite cannot be converted: {_first_fault(error)}") from error
    return _depthwise_in_float32(content) if precision == "dynamic" else content


def _depthwise_in_float32(content) -> bytes:
    """Return a TensorFlow Lite file whose depthwise convolutions have float32 weights in place of 8-bit ones.

    XNNPACK has no depthwise convolution of 8-bit weights with float32 input: the interpreter's takes most of the time
    of such a file, while these weights are a twentieth of its size.
    """
    import numpy as np
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(content)
    is_depthwise = [
        schema.BuiltinOperator.DEPTHWISE_CONV_2D in (code.builtinCode, code.deprecatedBuiltinCode)
        for code in model.operatorCodes
    ]
    operators = [(graph, operator) for graph in model.subgraphs for operator in graph.operators]
    for weights in [graph.tensors[one.inputs[1]] for graph, one in operators if is_depthwise[one.opcodeIndex]]:
        if weights.type != schema.TensorType.INT8:
            continue
        rounded = np.frombuffer(bytes(model.buffers[weights.buffer].data), np.int8).reshape(weights.shape)
        # One scale, or one for each channel, which is the last axis.
        values = rounded * np.asarray(weights.quantization.scale, "<f4")
        # Not in place of the old ones: tensors of equal content share a buffer.
        model.buffers.append(schema.BufferT())
        model.buffers[-1].data = np.frombuffer(values.tobytes(), np.uint8)
        weights.type, weights.quantization = schema.TensorType.FLOAT32, None
        weights.buffer = len(model.buffers) - 1
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata or ()}
    for number, buffer in enumerate(model.buffers):
        if number not in used:
            buffer.data = None
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _first_fault(error):
    """Return a converter's error as one line: the first operation without a builtin and the layer it belongs to."""
    text = str(error)
    fault = re.search(r"^.*'(tf\.\w+)' op is neither a custom op nor a flex op", text, re.MULTILINE)
    if fault is None:
        return text.strip().splitlines()[0] if text.strip() else type(error).__name__
    # The location is nested, innermost first: fused["Conv2D:", "model/layer/Conv2D@function"].
    layer = re.search(r'fused\["\w+:", "([^"@]+)', fault[0])
    return f"TensorFlow Lite has no builtin for {fault[1]}" + (f" in {layer[1]}" if layer else "")
