"""A model with the served contract whose answers can be computed by hand, and photos for it."""

import io
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from cspn_tf.contract import CANVAS_OUTPUTS
from cspn_tf.garment_set import Garments
from cspn_tf.garments import KEYPOINTS_OF_TYPE
from cspn_tf.result import Result, results_of_outputs

NUM_ROWS = 2
NUM_KEYPOINTS = 8
MAX_PIXELS = 1_000_000
CANVAS_SIZE = 40


class FakeModel(tf.Module):
    """Answers with `expected_outputs` of each photo, in core ops only.

    Args:
        shift: added to every keypoint's x, pixels, so that versions can be told apart.
    """

    def __init__(self, shift=0.0):
        super().__init__()
        self._shift = tf.Variable(shift, trainable=False)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def answer_bytes(self, image_bytes):
        return tf.map_fn(self._answer_file, image_bytes, fn_output_signature=_output_spec())

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")])
    def answer_pixels(self, images):
        return tf.map_fn(self._answer_photo, images, fn_output_signature=_output_spec())

    def _answer_file(self, image_bytes):
        is_jpeg = tf.strings.substr(image_bytes, 0, 2) == b"\xff\xd8"
        is_png = tf.strings.substr(image_bytes, 0, 4) == b"\x89PNG"

        def decode():
            photo = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
            photo.set_shape([None, None, 3])
            return self._answer_photo(photo)

        return tf.cond(is_jpeg | is_png, decode, lambda: _empty_answer(1))

    def _answer_photo(self, photo):
        shape = tf.shape(photo)
        return tf.cond(
            shape[0] * shape[1] > MAX_PIXELS,
            lambda: _empty_answer(2),
            lambda: self._answer_good_photo(photo, shape[0], shape[1]),
        )

    def _answer_good_photo(self, photo, height, width):
        num = width % (NUM_ROWS + 1)
        rows = tf.range(NUM_ROWS)
        real = tf.cast(rows < num, tf.float32)
        classes = (1 + (height + rows) % 3) * tf.cast(real, tf.int32)
        height_width = tf.cast([height, width], tf.float32)
        brightness = tf.reduce_mean(tf.cast(photo, tf.float32)) / 255.0
        scores = real * (0.5 + 0.5 * brightness) / tf.cast(rows + 1, tf.float32)
        has = tf.gather(tf.constant(KEYPOINTS_OF_TYPE), classes)
        step = tf.range(1.0, NUM_KEYPOINTS + 1) / 10.0
        points = tf.stack([step * height_width[1] + self._shift, step * height_width[0]], axis=-1)
        corners = tf.stack([0.0, 0.0, height_width[1] - 1.0, height_width[0] - 1.0])
        return {
            "status": tf.constant(0),
            "image_size": tf.stack([height, width]),
            "num_garments": num,
            "boxes": real[:, tf.newaxis] * corners,
            "classes": classes,
            "scores": scores,
            "keypoints": has[..., tf.newaxis] * points,
            "keypoint_scores": has * scores[:, tf.newaxis],
        }


def expected_outputs(pixels, shift=0.0):
    """Return what the model answers for a photo uint8 `(H, W, 3)`, without the batch; the same sums in numpy."""
    height, width = pixels.shape[:2]
    num = width % (NUM_ROWS + 1)
    types = 1 + (height + np.arange(num)) % 3
    scores = (0.5 + 0.5 * pixels.mean() / 255.0) / np.arange(1, num + 1)
    has = np.array(KEYPOINTS_OF_TYPE)[types]
    points = np.arange(1, NUM_KEYPOINTS + 1)[:, np.newaxis] / 10 * [width, height] + [shift, 0]
    garments = Garments(
        types,
        np.tile([0, 0, width - 1, height - 1], (num, 1)),
        has[..., np.newaxis] * points,
        scores=scores,
        keypoint_scores=has * scores[:, np.newaxis],
    )
    return {
        "status": np.int32(0),
        "image_size": np.array([height, width], np.int32),
        **served_outputs(garments, NUM_ROWS),
    }


def served_outputs(garments, num_rows) -> dict:
    """Return one photo's garments as the contract has them, padded, without status, image size and batch."""
    columns = {
        "boxes": garments.boxes_xyxy,
        "classes": garments.types,
        "scores": garments.scores,
        "keypoints": garments.keypoints_xy,
        "keypoint_scores": garments.keypoint_scores,
    }
    outputs = {"num_garments": np.int32(len(garments))}
    for name, values in columns.items():
        outputs[name] = np.zeros((num_rows, *CANVAS_OUTPUTS[name].shape[2:]), CANVAS_OUTPUTS[name].dtype)
        outputs[name][: len(garments)] = values
    return outputs


def expected_result(pixels, name="") -> Result:
    """Return the result of a photo uint8 `(H, W, 3)`."""
    return results_of_outputs({key: array[None] for key, array in expected_outputs(pixels).items()}, names=[name])[0]


def export_fake_model(model_dir, version=1, shift=0.0) -> Path:
    """Write `<model_dir>/<version>/`, first under a name that is not a number, as an export does."""
    model = FakeModel(shift)
    temporary, version_dir = Path(model_dir) / f"tmp-{version}", Path(model_dir) / str(version)
    signatures = {"serving_default": model.answer_bytes, "pixels": model.answer_pixels}
    tf.saved_model.save(model, str(temporary), signatures=signatures)
    return temporary.rename(version_dir)


def make_pixels(height, width, seed=0):
    """Return a photo's pixels, uint8 `(H, W, 3)`: a gradient with grain."""
    ramp = np.linspace(20, 200, width)[None, :, None] + np.zeros((height, 1, 3))
    return (ramp + np.random.default_rng(seed).integers(0, 40, (height, width, 3))).astype(np.uint8)


def encode(pixels, format="PNG", **options):
    """Return pixels as an image file's bytes; PNG keeps them exactly."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


def _output_spec():
    return {
        "status": tf.TensorSpec([], tf.int32),
        "image_size": tf.TensorSpec([2], tf.int32),
        "num_garments": tf.TensorSpec([], tf.int32),
        "boxes": tf.TensorSpec([NUM_ROWS, 4], tf.float32),
        "classes": tf.TensorSpec([NUM_ROWS], tf.int32),
        "scores": tf.TensorSpec([NUM_ROWS], tf.float32),
        "keypoints": tf.TensorSpec([NUM_ROWS, NUM_KEYPOINTS, 2], tf.float32),
        "keypoint_scores": tf.TensorSpec([NUM_ROWS, NUM_KEYPOINTS], tf.float32),
    }


def _empty_answer(status):
    answer = {name: tf.zeros(spec.shape, spec.dtype) for name, spec in _output_spec().items()}
    return answer | {"status": tf.constant(status)}


def export_fake_tflite(path) -> None:
    """Write a TFLite file that finds, on every canvas, one upper garment with a collar at 10, 20, and a padding row."""

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, CANVAS_SIZE, CANVAS_SIZE, 3], tf.uint8, name="image")])
        def serve(self, image):
            zero = tf.cast(image[0, 0, 0, 0], tf.float32) * 0.0
            sizes = {"B": 1, "N": NUM_ROWS}
            outputs = {}
            for name, output in CANVAS_OUTPUTS.items():
                answer = np.zeros([sizes.get(size, size) for size in output.shape], output.dtype)
                answer[:1] = {"num_garments": 1}.get(name, 0)
                if name in ("classes", "scores", "keypoint_scores"):
                    answer[0, 0] = 1
                if name == "boxes":
                    answer[0, 0] = 0, 0, 30, 30
                if name == "keypoints":
                    answer[0, 0] = 10, 20
                outputs[name] = tf.constant(answer) + tf.cast(zero, answer.dtype)
            return outputs

    model = Model()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([model.serve.get_concrete_function()], model)
    Path(path).write_bytes(converter.convert())
