"""Photo bytes in, garments with keypoints out: the one pipeline used for evaluation, export and conversion.

::

    file -> photo -> canvas -> boxes -> windows -> crops -> heatmaps -> keypoints -> keypoints
                                                                        on the crop  on the photo
         1        2         3        4          5        6            7            8

    1  decode                      decoding.py
    2  letterbox                   resampling.py; the transform is from geometry.py
    3  detector                    models/faster_rcnn.py
    4  crop windows of the boxes   geometry.py
    5  crop                        resampling.py (`CanvasPyramid`)
    6  keypoint network            methods/, such as methods/cspn.py
    7  decode heatmaps             heatmaps.py, called by the method; the type of the garment by models/type_scores.py
    8  crop to canvas to photo     inference/photo_outputs.py; the maps are from geometry.py

Of the served signatures, `serve` runs steps 1 to 8, and `pixels`, which takes decoded photos, steps 2 to 8.
`garments_on_canvas`, which TensorFlow Lite files contain, runs steps 3 to 8 with results in canvas pixels.

The networks are frozen, see `inference/frozen.py`. TensorFlow Lite needs static shapes, so there the keypoint network
processes the garments of the photo one at a time; elsewhere it processes all garments of a batch at once.

Letters in shapes: B photos, N `max_garments` rows per photo, M garments found in the whole batch, G given boxes,
S canvas side, D side of the detector input, C crop side.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from cspn_tf import geometry, resampling
from cspn_tf.config import Config
from cspn_tf.console import UserError
from cspn_tf.contract import BYTES_INPUT, MAX_PHOTOS, MAX_PIXELS_FACTOR, PIXELS_INPUT, TOO_MANY_PIXELS
from cspn_tf.garments import NUM_GARMENT_TYPES, NUM_KEYPOINTS
from cspn_tf.inference.frozen import freeze
from cspn_tf.inference.photo_outputs import (
    keypoints_on_canvases,
    keypoints_on_photos,
    mask_absent,
    outputs_on_photos,
)
from cspn_tf.methods import method_of
from cspn_tf.methods.base import GARMENT_TYPE
from cspn_tf.models import checkpoints, type_scores
from cspn_tf.resampling import CanvasPyramid

# Larger networks keep their weights as variables: every graph holds its own copy of a constant, and the time saved is
# small beside a large network's arithmetic.
_MOST_CONSTANT_BYTES = 64_000_000
_EXAMPLES_AT_ONCE = 8

# Precision → Keras dtype policy of the networks' layers.
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def load_pipeline(
    detector_dir, keypoints_dir, precision="float32", *, max_photos=MAX_PHOTOS, max_pixels=None
) -> "GarmentPipeline":
    """Return the pipeline for two trained networks.

    Args:
        detector_dir, keypoints_dir: directories of finished trainings.
        precision: compute precision of the networks, one of `PRECISIONS`, independent of the training precision.
            bfloat16 needs CPU support (AVX-512 BF16 or AMX), and is then about 1.5 times as fast; boxes, scores and
            heatmaps stay float32.
        max_photos: maximum number of photos in a request.
        max_pixels: maximum number of pixels of a photo; None for that of the config.

    Raises:
        UserError: if a directory is not a finished training, or the two networks are incompatible.
        ValueError: if the precision is unknown.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; received {precision!r}")
    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(PRECISIONS[precision])
    try:
        detector_config, detector = checkpoints.load_detector(detector_dir)
        keypoint_config, keypoint_network = checkpoints.load_keypoints(keypoints_dir)
    finally:
        keras.mixed_precision.set_global_policy(policy)
    config = checkpoints.joint_config(detector_config, keypoint_config)
    if max_pixels is not None:
        config = dataclasses.replace(config, max_pixels=max_pixels)
    return GarmentPipeline(config, detector, keypoint_network, precision, max_photos=max_photos)


class GarmentPipeline(tf.Module):
    """Detector and keypoint network with all pre- and post-processing.

    Args:
        config: a `Config`.
        detector: a trained `build_detector(config.detector)`; training it further does not change the pipeline.
        keypoint_network: a trained `method_of(config.keypoints).build()`; likewise.
        precision: the precision the two were built with, one of `PRECISIONS`, or int8; recorded in exports.
        examples: for int8, the calibration inputs of the networks, `detector` and `keypoints`, as collected by
            `quantized`; empty otherwise.
        max_photos: maximum number of photos in a request to `serve` or `pixels`.
    """

    def __init__(
        self, config: Config, detector, keypoint_network, precision="float32", examples=(), max_photos=MAX_PHOTOS
    ):
        super().__init__(name="garment_pipeline")
        self.config, self.precision, self.max_photos = config, precision, max_photos
        self._detector = detector
        self._trained_keypoint_network = keypoint_network
        self._method = method_of(config.keypoints)
        self._keypoint_network = self._method.prediction_network(keypoint_network)
        self._examples = dict(examples)
        self._frozen = {}
        # Built here instead of by decorators, so that the signatures of the served contract are explicit. There is no
        # Python control flow over tensors; AutoGraph would take most of the time until the first answer.
        self.serve = tf.function(
            self._serve, input_signature=[tf.TensorSpec([None], tf.string, name=BYTES_INPUT)], autograph=False
        )
        self.pixels = tf.function(
            self._pixels,
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name=PIXELS_INPUT)],
            autograph=False,
        )
        self.keypoints_in_boxes = tf.function(
            self._keypoints_in_boxes,
            input_signature=[
                tf.TensorSpec([], tf.string, name="photo_bytes"),
                tf.TensorSpec([None, 4], tf.float32, name="boxes_xyxy_photo"),
                tf.TensorSpec([None], tf.int32, name="garment_types"),
            ],
            autograph=False,
        )

    def quantized(self, image_bytes) -> "GarmentPipeline":
        """Return this pipeline with the convolutions of both networks quantized to 8 bits.

        TensorFlow itself only simulates the quantization, at no gain in speed; TensorFlow Lite's converter turns it
        into int8 operations.

        Args:
            image_bytes: calibration photos, a list of files as bytes: photos with garments, typical of later use. The
                activation ranges are measured on them; about a hundred are enough.

        Raises:
            UserError: if no garment is found in them.
        """
        images, crops = [], []
        for first in range(0, len(image_bytes), _EXAMPLES_AT_ONCE):
            canvases = self.read_photos(tf.constant(image_bytes[first : first + _EXAMPLES_AT_ONCE]))[0]
            pyramid = CanvasPyramid.of(canvases)
            images.append(pyramid.detector_input(self.config.detector.input_size))
            boxes, scores = self.detect_on_canvas(pyramid)
            rows = tf.cast(tf.where(_is_found(scores)), tf.int32)
            windows = geometry.keypoint_windows(tf.gather_nd(boxes, rows), self.config)
            crops.append(pyramid.crops(windows, self.config.keypoints.crop_size, rows[:, 0]))
        examples = {"detector": np.concatenate(images), "keypoints": np.concatenate(crops)}
        if not len(examples["keypoints"]):
            raise UserError(f"no garment was found in the {len(image_bytes)} calibration photos")
        return GarmentPipeline(
            self.config, self._detector, self._trained_keypoint_network, "int8", examples, self.max_photos
        )

    @property
    def network_variables(self):
        """The variables used in inference: those of networks too large to be frozen, in a fixed order."""
        return [
            variable
            for network in (self._detector, self._keypoint_network)
            if not self._is_made_constant(network)
            for variable in network.variables
        ]

    def detect(self, images):
        """Run the detector alone.

        Args:
            images: float32 `(B, D, D, 3)`, 0 to 255.

        Returns:
            boxes and the scores of each type, see `GarmentDetector.detect_types`.
        """
        return self._run("detector", self._detector, self._detector.detect_types, images)

    def predict(self, crops):
        """Run the keypoint network alone.

        Args:
            crops: float32 `(M, C, C, 3)`, 0 to 255.

        Returns:
            The network's outputs, the input of `KeypointMethod.decode`.
        """
        network = self._keypoint_network
        return self._run("keypoints", network, lambda crops: network(crops, training=False), crops)

    def _is_made_constant(self, network):
        num_bytes = 4 * sum(variable.shape.num_elements() for variable in network.variables)
        return bool(self._examples) or num_bytes <= _MOST_CONSTANT_BYTES

    def _run(self, name, network, function, images):
        """Run a function of a network; unless the network is too large, freeze it once per static input shape."""
        if not self._is_made_constant(network):
            return function(images)
        key = (name, *images.shape)
        if key not in self._frozen:
            with tf.init_scope():  # outside of any graph under construction
                self._frozen[key] = freeze(
                    function, tf.TensorSpec(images.shape, images.dtype), self._examples.get(name)
                )
        return self._frozen[key](images)

    # The served signatures ---------------------------------------------------------------------------------------

    def _serve(self, image_bytes):
        """Signature `serving_default`: JPEG or PNG files, string `(B,)`, to the outputs of the served contract."""
        canvases, *frames = self.read_photos(self._checked(image_bytes, BYTES_INPUT))
        return outputs_on_photos(self.garments_on_canvas(canvases), *frames)

    def _pixels(self, images):
        """Signature `pixels`: photos of equal size, uint8 `(B, H, W, 3)`, to the outputs of the served contract."""
        size, max_pixels = self.config.canvas_size, self.config.max_pixels
        batch, height, width, _ = tf.unstack(tf.shape(images, tf.int64))
        checks = [
            tf.debugging.assert_positive(height * width, message=f"{PIXELS_INPUT} must have at least one pixel"),
            tf.debugging.assert_less_equal(
                height * width,
                tf.constant(max_pixels, tf.int64),
                f"{TOO_MANY_PIXELS} {max_pixels} pixels",
            ),
            tf.debugging.assert_less_equal(
                batch * height * width,
                tf.constant(MAX_PIXELS_FACTOR * max_pixels, tf.int64),
                f"{PIXELS_INPUT} must have at most {MAX_PIXELS_FACTOR * max_pixels} pixels in a request",
            ),
        ]
        with tf.control_dependencies(checks):
            images = self._checked(images, PIXELS_INPUT)
        canvases, *frames = _map_photos(lambda photo: resampling.take_photo(photo, size), images, size)
        return outputs_on_photos(self.garments_on_canvas(canvases), *frames)

    def _checked(self, photos, name):
        """Return the photos of a request; it fails if there are none, on which convolutions fail, or too many."""
        num = tf.shape(photos)[0]
        checks = [
            tf.debugging.assert_positive(num, message=f"{name} is empty: send at least one photo"),
            tf.debugging.assert_less_equal(
                num, self.max_photos, message=f"{name} must be at most {self.max_photos} photos per request"
            ),
        ]
        with tf.control_dependencies(checks):
            return tf.identity(photos)

    def _keypoints_in_boxes(self, photo_bytes, boxes_xyxy_photo, garment_types):
        """Predict keypoints in given boxes.

        Args:
            photo_bytes: scalar string, a decodable file.
            boxes_xyxy_photo: float32 `(G, 4)`, G at least 1.
            garment_types: int32 `(G,)`, `GarmentType` ids.

        Returns:
            keypoints_xy_photo: float32 `(G, 8, 2)`; zeros for keypoints the type does not have.
            keypoint_scores: float32 `(G, 8)`, in [0, 1]; 0 for keypoints the type does not have.
        """
        canvas, transform, image_size, _ = self._read_photo(photo_bytes)
        corners = geometry.photo_to_canvas(geometry.boxes_to_corners(boxes_xyxy_photo), transform)
        boxes_xyxy_canvas = geometry.corners_to_boxes(corners)
        photo_of_box = tf.zeros([tf.shape(boxes_xyxy_photo)[0]], tf.int32)
        keypoints_xy, scores, _ = self._keypoints_of_rows(
            CanvasPyramid.of(canvas[tf.newaxis]), photo_of_box, boxes_xyxy_canvas
        )
        return keypoints_on_photos(keypoints_xy, scores, transform, image_size, garment_types)

    # From a photo to its canvas ----------------------------------------------------------------------------------

    def read_photos(self, image_bytes):
        """Decode photo files, string `(B,)`, and letterbox them to canvases.

        Returns:
            canvases: uint8 `(B, S, S, 3)`.
            transforms: float32 `(B, 3)`, photo to canvas.
            image_sizes: int32 `(B, 2)`, height and width.
            statuses: int32 `(B,)`, see `cspn_tf.contract`.
        """
        return _map_photos(self._read_photo, image_bytes, self.config.canvas_size)

    def _read_photo(self, photo_bytes):
        return resampling.read_photo(photo_bytes, self.config.canvas_size, self.config.max_pixels)

    # From canvases to garments -----------------------------------------------------------------------------------

    def garments_on_canvas(self, canvases):
        """Find garments and their keypoints on canvases.

        Args:
            canvases: uint8 `(B, S, S, 3)`. If B is static, it must be 1; all shapes are then static and all
                operations have a TensorFlow Lite builtin.

        Returns:
            A dict, in canvas pixels, with zeros in padding rows:
            num_garments int32 `(B,)`, boxes float32 `(B, N, 4)`, classes int32 `(B, N)`, scores float32 `(B, N)`,
            keypoints float32 `(B, N, 8, 2)`, keypoint_scores float32 `(B, N, 8)`.

        Raises:
            ValueError: if B is static and not 1.
        """
        pyramid = CanvasPyramid.of(canvases)
        return self.keypoints_on_canvas(pyramid, *self.detect_on_canvas(pyramid))

    def detect_on_canvas(self, pyramid):
        """Find garments on canvases.

        Args:
            pyramid: `CanvasPyramid` of B canvases.

        Returns:
            boxes: float32 `(B, N, 4)`, canvas pixels; undefined in padding rows.
            scores: float32 `(B, N, 3)`, the detector's score of each type; zeros in padding rows.
        """
        size, input_size = self.config.canvas_size, self.config.detector.input_size
        boxes, scores = self.detect(pyramid.detector_input(input_size))
        corners = geometry.crop_to_canvas(geometry.boxes_to_corners(boxes), geometry.whole_window(size), input_size)
        boxes = geometry.clip_boxes(geometry.corners_to_boxes(corners), size, size)
        rows = [pyramid.canvases.shape[0], self.config.detector.max_garments]
        return tf.ensure_shape(boxes, [*rows, 4]), tf.ensure_shape(scores, [*rows, NUM_GARMENT_TYPES])

    def keypoints_on_canvas(self, pyramid, boxes, scores):
        """Predict the keypoints of garments found by `detect_on_canvas`; returns the same as `garments_on_canvas`."""
        num_photos = pyramid.canvases.shape[0]
        if num_photos not in (None, 1):
            raise ValueError(f"a static batch must be 1 canvas, received {num_photos}; leave the batch dimension None")
        num_rows = boxes.shape[1]
        real = _is_found(scores)
        flat_boxes = tf.reshape(boxes, [-1, 4])
        num_flat = tf.shape(flat_boxes)[0]
        if num_photos is None:
            rows = tf.cast(tf.where(tf.reshape(real, [-1]))[:, 0], tf.int32)
            # The network cannot run on an empty batch: if no garment was found, it gets one padding row.
            rows = tf.cond(tf.size(rows) > 0, lambda: rows, lambda: tf.zeros([1], tf.int32))
            found = self._keypoints_of_rows(pyramid, rows // num_rows, tf.gather(flat_boxes, rows))
            found = [tf.scatter_nd(rows[:, tf.newaxis], of_row, [num_flat, *of_row.shape[1:]]) for of_row in found]
        else:
            num_found = tf.reduce_sum(tf.cast(real, tf.int32))
            found = self._keypoints_one_by_one(pyramid, flat_boxes, num_found)
        keypoints, keypoint_scores, type_logits = (tf.reshape(rows, [-1, num_rows, *rows.shape[1:]]) for rows in found)
        if GARMENT_TYPE in self._method.prediction_outputs:
            scores = type_scores.corrected(scores, type_logits, self.config.detector.score_threshold)
            scores, boxes, keypoints, keypoint_scores = type_scores.in_order(scores, boxes, keypoints, keypoint_scores)
        detections = _detections(boxes, scores)
        keypoints, keypoint_scores = mask_absent(keypoints, keypoint_scores, detections["classes"])
        return {**detections, "keypoints": keypoints, "keypoint_scores": keypoint_scores}

    # Parts of `garments_on_canvas`, for apps that run them apart ---------------------------------------------------

    def boxes_on_canvas(self, canvases):
        """Find garments without their keypoints; as `garments_on_canvas`, without the keypoint outputs."""
        return _detections(*self.detect_on_canvas(CanvasPyramid.of(canvases)))

    def keypoints_in_canvas_box(self, canvas, box, garment_type):
        """Predict the keypoints of one garment in a given box, with static shapes.

        Args:
            canvas: uint8 `(1, S, S, 3)`.
            box: float32 `(1, 4)`, canvas pixels.
            garment_type: int32 `(1,)`, a `GarmentType` id.

        Returns:
            A dict: keypoints float32 `(1, 8, 2)`, canvas pixels, and keypoint_scores float32 `(1, 8)`; zeros for
            keypoints the type does not have.
        """
        pyramid = CanvasPyramid.of(canvas)
        *found, _ = self._keypoints_in_window(pyramid, geometry.keypoint_windows(box, self.config)[0])
        return dict(zip(("keypoints", "keypoint_scores"), mask_absent(*found, garment_type), strict=True))

    def _keypoints_of_rows(self, pyramid, photo_of_row, boxes_xyxy_canvas):
        """Predict the keypoints of all garments in one batch.

        Args:
            pyramid: `CanvasPyramid` of the canvases.
            photo_of_row: int32 `(M,)`, index of the canvas of each garment.
            boxes_xyxy_canvas: float32 `(M, 4)`.

        Returns:
            keypoints_xy_canvas: float32 `(M, 8, 2)`.
            keypoint_scores: float32 `(M, 8)`.
            type_logits: float32 `(M, 3)`; zeros if the network does not predict the type.
        """
        windows = geometry.keypoint_windows(boxes_xyxy_canvas, self.config)
        crops = pyramid.crops(windows, self.config.keypoints.crop_size, photo_of_row)
        return self._keypoints_of_crops(crops, windows)

    def _keypoints_one_by_one(self, pyramid, boxes_xyxy_canvas, num_found):
        """Predict the keypoints of one photo's first garments in a loop, with static shapes.

        Args:
            pyramid: `CanvasPyramid` of one canvas.
            boxes_xyxy_canvas: float32 `(N, 4)`.
            num_found: int32 scalar, number of leading boxes to process.

        Returns:
            keypoints_xy_canvas: float32 `(N, 8, 2)`, zeros for the other boxes.
            keypoint_scores: float32 `(N, 8)`, likewise.
            type_logits: float32 `(N, 3)`, likewise.
        """
        num_rows = boxes_xyxy_canvas.shape[0]
        windows = geometry.keypoint_windows(boxes_xyxy_canvas, self.config)
        # Outside the loop, so that it is done once per photo.
        pyramid = pyramid._replace(canvases=tf.cast(pyramid.canvases, tf.float32))

        def find_next(row, keypoints, scores, logits):
            found, found_scores, found_logits = self._keypoints_in_window(pyramid, tf.gather(windows, row))
            here = tf.one_hot(row, num_rows)[:, tf.newaxis]
            keypoints += here[..., tf.newaxis] * found
            return row + 1, keypoints, scores + here * found_scores, logits + here * found_logits

        sizes = [NUM_KEYPOINTS, 2], [NUM_KEYPOINTS], [NUM_GARMENT_TYPES]
        first = (0, *(tf.zeros([num_rows, *size]) for size in sizes))
        return tf.while_loop(lambda row, *_: row < num_found, find_next, first)[1:]

    def _keypoints_in_window(self, pyramid, window):
        """Predict what `_keypoints_of_rows` does in one window of one canvas, in TensorFlow Lite's builtins; M is 1."""
        crop = pyramid.crop_with_builtins(window, self.config.keypoints.crop_size)
        return self._keypoints_of_crops(crop[tf.newaxis], window[tf.newaxis])

    def _keypoints_of_crops(self, crops, windows):
        outputs = self.predict(crops)
        keypoints_xy_crop, scores = self._method.decode(outputs)
        logits = outputs[GARMENT_TYPE] if GARMENT_TYPE in outputs else tf.zeros_like(scores[:, :NUM_GARMENT_TYPES])
        return keypoints_on_canvases(keypoints_xy_crop, windows, self.config), scores, logits


def _is_found(scores):
    """Return which rows of the scores of `detect_on_canvas` are garments, bool `(B, N)`."""
    return tf.reduce_max(scores, axis=-1) > 0.0


def _detections(boxes, scores):
    """Return the outputs of `detect_on_canvas` as those of the served contract, with zeros in padding rows."""
    classes, best_scores = type_scores.best(scores)
    real = classes > 0
    return {
        "num_garments": tf.reduce_sum(tf.cast(real, tf.int32), axis=-1),
        "boxes": tf.where(real[..., tf.newaxis], boxes, 0.0),
        "classes": classes,
        "scores": best_scores,
    }


def _map_photos(read, photos, canvas_size):
    """Apply `read` to each photo of a batch."""
    outputs = (
        tf.TensorSpec([canvas_size, canvas_size, 3], tf.uint8),
        tf.TensorSpec([3], tf.float32),
        tf.TensorSpec([2], tf.int32),
        tf.TensorSpec([], tf.int32),
    )
    return tf.map_fn(read, photos, fn_output_signature=outputs)
