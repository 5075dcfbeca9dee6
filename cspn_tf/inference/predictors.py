"""One prediction interface for all kinds of model: training directories, a SavedModel or a TFLite file.

A `Predictor` takes photos and returns the served contract's outputs, so that evaluation, drawing and annotation use
exactly what is exported. `cspn_tf.inference.model.Model` converts the outputs to results.

Letters in shapes: B photos, G garments in a photo, S canvas side.
"""

import dataclasses
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cspn_tf.config import Config
from cspn_tf.console import UserError, has_tensorflow, require_tensorflow
from cspn_tf.contract import (
    BYTES_INPUT,
    BYTES_SIGNATURE,
    CANVAS_INPUT,
    CANVAS_OUTPUTS,
    MAX_PHOTOS,
    OUTPUTS,
    PIXELS_INPUT,
    PIXELS_SIGNATURE,
)
from cspn_tf.files import plain_path, read_json
from cspn_tf.inference.versions import DESCRIPTION_FILE, version_directory
from cspn_tf.machine import num_cores
from cspn_tf.quiet import quiet_native_output


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A loaded model as functions that find garments and their keypoints in photos.

    Attributes:
        source: where it was loaded from, as readable text.
        predict: function of a list of B photo files as bytes, B at least 1; it returns the served contract's outputs,
            `OUTPUTS`, as a dict of arrays, batch first, in photo pixels.
        predict_pixels: the same for B decoded, upright photos, uint8 `(B, H, W, 3)`.
        keypoints_in_boxes: function of one photo file as bytes, boxes float `(G, 4)` in photo pixels and garment types
            int `(G,)`; it returns keypoints float `(G, 8, 2)` in photo pixels and their scores `(G, 8)`. None if the
            model does not accept boxes.
        max_photos, max_pixels: what it accepts: photos in a call of `predict` or `predict_pixels`, and pixels of each
            decoded photo; all photos of a call of `predict_pixels` may have `MAX_PIXELS_FACTOR` times as many.
    """

    source: str
    predict: Callable
    predict_pixels: Callable
    keypoints_in_boxes: Callable | None = None
    max_photos: int = MAX_PHOTOS
    max_pixels: int = Config.max_pixels


def from_training(detector_dir, keypoints_dir) -> Predictor:
    """Return a predictor for two training directories.

    Raises:
        UserError: if one of them is not a finished training, or TensorFlow is not installed.
    """
    require_tensorflow()
    import tensorflow as tf

    from cspn_tf.inference.pipeline import load_pipeline

    pipeline = load_pipeline(detector_dir, keypoints_dir)

    def keypoints_in_boxes(photo, boxes_xyxy, garment_types):
        keypoints_xy, scores = pipeline.keypoints_in_boxes(
            tf.constant(photo), tf.constant(boxes_xyxy, tf.float32), tf.constant(garment_types, tf.int32)
        )
        return keypoints_xy.numpy(), scores.numpy()

    return Predictor(
        f"{detector_dir} and {keypoints_dir}",
        lambda photos: _as_arrays(pipeline.serve(tf.constant(photos, tf.string))),
        lambda images: _as_arrays(pipeline.pixels(tf.constant(images, tf.uint8))),
        keypoints_in_boxes,
        pipeline.max_photos,
        pipeline.config.max_pixels,
    )


def from_saved_model(directory) -> Predictor:
    """Return a predictor for an exported SavedModel.

    Args:
        directory: a version, or the parent directory of versions, of which the highest is loaded.

    Raises:
        UserError: if it is not a SavedModel with the served signatures, or TensorFlow is not installed.
    """
    directory = version_directory(directory)
    require_tensorflow()
    import tensorflow as tf

    try:
        with plain_path(directory) as folder:
            model = tf.saved_model.load(folder)
    except Exception as error:  # a damaged SavedModel raises OSError, ValueError, DecodeError and more
        raise UserError(f"{directory} cannot be loaded: {error}") from error

    def answering(name, input_name, dtype):
        signature = model.signatures.get(name)
        inputs = [] if signature is None else list(signature.structured_input_signature[1])
        if inputs != [input_name] or not set(OUTPUTS) <= set(signature.structured_outputs):
            raise UserError(f"{directory} must have a signature {name} from {input_name} to {', '.join(OUTPUTS)}")
        # By way of the model: a signature does not reference its model's variables, so this keeps the model alive.
        return lambda photos: _as_arrays(model.signatures[name](**{input_name: tf.constant(photos, dtype)}))

    about = directory / DESCRIPTION_FILE
    limits = read_json(about).get("limits", {}) if about.is_file() else {}
    return Predictor(
        str(directory),
        answering(BYTES_SIGNATURE, BYTES_INPUT, tf.string),
        answering(PIXELS_SIGNATURE, PIXELS_INPUT, tf.uint8),
        max_photos=limits.get("photos_per_request", MAX_PHOTOS),
        max_pixels=limits.get("pixels_per_jpeg", Config.max_pixels),
    )


def from_tflite(path, num_threads=None, make_interpreter=None) -> Predictor:
    """Return a predictor for an exported TFLite file, adding photo decoding and the mapping back to photo pixels.

    Args, Raises:
        As `tflite_function`.
    """
    from cspn_tf.inference.lite import outputs_on_photos

    find, canvas_size = tflite_function(path, num_threads, make_interpreter)

    def predict_by(read):
        def predict_one(photo):
            canvas, *frame = (np.asarray(value)[np.newaxis] for value in read(photo))
            return outputs_on_photos(find(canvas), *frame)

        def predict(photos):
            answers = [predict_one(photo) for photo in photos]
            return {name: np.concatenate([answer[name] for answer in answers]) for name in OUTPUTS}

        return predict

    return Predictor(str(path), *map(predict_by, _readers(canvas_size)))


def _readers(canvas_size):
    """Return functions of a photo file and of pixels to canvas and frame: graphs where TensorFlow is installed."""
    if has_tensorflow():
        from cspn_tf import resampling as steps
    else:
        from cspn_tf.inference import lite as steps

    def read_file(photo_bytes):
        return steps.read_photo(photo_bytes, canvas_size, Config.max_pixels)

    def read_pixels(photo):
        return steps.take_photo(photo, canvas_size)

    if not has_tensorflow():
        return read_file, read_pixels
    import tensorflow as tf

    file, pixels = tf.TensorSpec([], tf.string), tf.TensorSpec([None, None, 3], tf.uint8)
    return [
        tf.function(read, input_signature=[spec], autograph=False)
        for read, spec in ((read_file, file), (read_pixels, pixels))
    ]


def tflite_function(path, num_threads=None, make_interpreter=None):
    """Load an exported TFLite file as a function of one canvas, as a phone app would use it.

    Args:
        path: the file.
        num_threads: threads of the interpreter; None for one per core.
        make_interpreter: the interpreter class: that of `ai_edge_litert.interpreter` or `tf.lite.Interpreter`; None for
            the first of them that is installed. LiteRT takes a third of the time of TensorFlow Lite 2.15.

    Returns:
        A thread-safe function of a canvas, uint8 `(1, S, S, 3)`, that returns the contract's `CANVAS_OUTPUTS` as a dict
        of arrays; and S.

    Raises:
        UserError: if it is not a TFLite file with the contract's input and outputs.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} is not a file")
    make_interpreter = make_interpreter or _interpreter_class()
    try:
        with quiet_native_output():
            _check_whole(path)
            interpreter = make_interpreter(str(path), num_threads=num_threads or num_cores())
            runner = interpreter.get_signature_runner()
            canvas_size = int(runner.get_input_details()[CANVAS_INPUT]["shape"][1])
            # The first run prints a note about the CPU. Not `allocate_tensors`: when allocated again, TensorFlow Lite
            # 2.15 loses the float16 weights of networks in loops, and gives wrong keypoints without an error.
            first = runner(**{CANVAS_INPUT: np.zeros((1, canvas_size, canvas_size, 3), np.uint8)})
            is_known = set(first) >= set(CANVAS_OUTPUTS)
    except (ValueError, RuntimeError, KeyError, TypeError, struct.error):
        is_known = False
    if not is_known:
        raise UserError(f"{path} must be a TFLite file from {CANVAS_INPUT} to {', '.join(CANVAS_OUTPUTS)}")
    lock = threading.Lock()  # an interpreter is not thread-safe

    def find(canvas):
        with lock:
            return runner(**{CANVAS_INPUT: canvas})

    return find, canvas_size


def _check_whole(path) -> None:
    """Read all tables of a TFLite file; it fails if they are cut off, where TensorFlow Lite 2.15 ends the process."""
    if has_tensorflow():  # where it is not, LiteRT is a version that checks the file itself
        from tensorflow.lite.tools import flatbuffer_utils

        flatbuffer_utils.convert_bytearray_to_object(bytearray(path.read_bytes()))


def _interpreter_class():
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        return tf.lite.Interpreter
    return Interpreter


def _as_arrays(outputs):
    return {name: outputs[name].numpy() for name in OUTPUTS}
