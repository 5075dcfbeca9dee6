"""Photo bytes in, garments with keypoints out: the one implementation that evaluates, is exported and is converted.

::

    bytes -> photo -> canvas -> detector -> boxes -> windows -> crops -> CSPN -> heatmaps -> keypoints
             `serve`, `pixels`  |----------------- `garments_on_canvas` -----------------------------|

The networks run as constants, see `cspn_tf.inference.frozen`. TensorFlow Lite, which wants every shape static, gets the
garments of its one photo one after another; elsewhere those of all photos go through the keypoint network together.

Letters in shapes: B photos, N `max_garments` rows a photo, M garments found in the whole batch, S side of the canvas,
D of the detector's input, C of a crop.
"""

import keras
import numpy as np
import tensorflow as tf

from cspn_tf import geometry, resampling
from cspn_tf.config import Config
from cspn_tf.console import UserError
from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.inference.frozen import freeze
from cspn_tf.inference.photo_outputs import (
    keypoints_on_canvases,
    keypoints_on_photos,
    mask_absent,
    outputs_on_photos,
)
from cspn_tf.methods import method_of
from cspn_tf.models import checkpoints
from cspn_tf.resampling import CanvasPyramid

# A network with more weights keeps them as variables: each graph that is made of a constant holds it once more, and
# what a large network saves by constants is little beside its multiplications.
_MOST_CONSTANT_BYTES = 64_000_000
_EXAMPLES_AT_ONCE = 8

# What the layers of the networks can compute in: the Keras policy of each.
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def load_pipeline(detector_dir, keypoints_dir, precision="float32") -> "GarmentPipeline":
    """Return the pipeline of two trained networks.

    Args:
        detector_dir, keypoints_dir: directories of finished trainings.
        precision: what the networks compute in, one of `PRECISIONS`, whatever they were trained in. bfloat16 needs a
            CPU that has it (AVX-512 BF16 or AMX), where it is about half again as fast; boxes, scores and heatmaps
            stay float32.

    Raises:
        UserError: if one is not such a directory, or the two do not go together.
        ValueError: if there is no such precision.
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
    return GarmentPipeline(config, detector, keypoint_network, precision)


class GarmentPipeline(tf.Module):
    """The detector and the keypoint network with everything before, between and after them.

    Args:
        config: a `Config`.
        detector: what `build_detector(config.detector)` gives, trained; later training does not reach the pipeline.
        keypoint_network: what `method_of(config.keypoints).build()` gives, trained; likewise.
        precision: what the two were built to compute in, one of `PRECISIONS`, or int8, for the record.
        examples: for 8 bits, the inputs to round the networks' activations by, `detector` and `keypoints`, as
            `quantized` collects them; empty for networks that are not rounded.
    """

    def __init__(self, config: Config, detector, keypoint_network, precision="float32", examples=()):
        super().__init__(name="garment_pipeline")
        self.config, self.precision = config, precision
        self._detector = detector
        self._trained_keypoint_network = keypoint_network
        self._method = method_of(config.keypoints)
        self._keypoint_network = self._method.prediction_network(keypoint_network)
        self._examples = dict(examples)
        self._frozen = {}
        # Spelled out here and not as decorators, because they belong to the served contract.
        self.serve = tf.function(self._serve, input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
        self.pixels = tf.function(
            self._pixels, input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")]
        )
        self.keypoints_in_boxes = tf.function(
            self._keypoints_in_boxes,
            input_signature=[
                tf.TensorSpec([], tf.string, name="photo_bytes"),
                tf.TensorSpec([None, 4], tf.float32, name="boxes_xyxy_photo"),
                tf.TensorSpec([None], tf.int32, name="garment_types"),
            ],
        )

    def quantized(self, image_bytes) -> "GarmentPipeline":
        """Return this pipeline with the convolutions of both networks rounded to 8 bits.

        TensorFlow only computes as if, no faster; TensorFlow Lite's converter makes int8 operations of it.

        Args:
            image_bytes: photo files with garments, such as the pipeline will see, a list of bytes. Their activations
                decide over the ranges that 8 bits cover; about a hundred are enough.

        Raises:
            UserError: if no garment is found on them.
        """
        images, crops = [], []
        for first in range(0, len(image_bytes), _EXAMPLES_AT_ONCE):
            canvases = self.read_photos(tf.constant(image_bytes[first : first + _EXAMPLES_AT_ONCE]))[0]
            pyramid = CanvasPyramid.of(canvases)
            images.append(pyramid.detector_input(self.config.detector.input_size))
            boxes, classes, _ = self.detect_on_canvas(pyramid)
            rows = tf.cast(tf.where(classes > 0), tf.int32)
            windows = geometry.keypoint_windows(tf.gather_nd(boxes, rows), self.config)
            crops.append(pyramid.crops(windows, self.config.keypoints.crop_size, rows[:, 0]))
        examples = {"detector": np.concatenate(images), "keypoints": np.concatenate(crops)}
        if not len(examples["keypoints"]):
            raise UserError(f"no garment was found on the {len(image_bytes)} photos whose values 8 bits are to cover")
        return GarmentPipeline(self.config, self._detector, self._trained_keypoint_network, "int8", examples)

    @property
    def network_variables(self):
        """The variables that inference reads: those of networks too large to be constants, in a fixed order."""
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
            boxes, types and scores, as `GarmentDetector.detect`.
        """
        return self._run("detector", self._detector, self._detector.detect, images)

    def predict(self, crops):
        """Run the keypoint network alone.

        Args:
            crops: float32 `(M, C, C, 3)`, 0 to 255.

        Returns:
            What `KeypointMethod.decode` reads.
        """
        network = self._keypoint_network
        return self._run("keypoints", network, lambda crops: network(crops, training=False), crops)

    def _is_made_constant(self, network):
        num_bytes = 4 * sum(variable.shape.num_elements() for variable in network.variables)
        return bool(self._examples) or num_bytes <= _MOST_CONSTANT_BYTES

    def _run(self, name, network, function, images):
        """Run a function of a network, with its weights as constants, made so once for each static shape."""
        if not self._is_made_constant(network):
            return function(images)
        key = (name, *images.shape)
        if key not in self._frozen:
            with tf.init_scope():  # outside of whatever graph is being built
                self._frozen[key] = freeze(
                    function, tf.TensorSpec(images.shape, images.dtype), self._examples.get(name)
                )
        return self._frozen[key](images)

    # The served signatures ---------------------------------------------------------------------------------------

    def _serve(self, image_bytes):
        """Signature `serving_default`: JPEG or PNG files, string `(B,)`, to the served contract's outputs."""
        canvases, *frames = self.read_photos(image_bytes)
        return outputs_on_photos(self.garments_on_canvas(canvases), *frames)

    def _pixels(self, images):
        """Signature `pixels`: photos of one size, uint8 `(B, H, W, 3)`, to the served contract's outputs."""
        canvases, *frames = _map_photos(self._take_photo, images, "images", self.config.canvas_size)
        return outputs_on_photos(self.garments_on_canvas(canvases), *frames)

    def _keypoints_in_boxes(self, photo_bytes, boxes_xyxy_photo, garment_types):
        """Find keypoints in boxes that are known.

        Args:
            photo_bytes: scalar string, a file that decodes.
            boxes_xyxy_photo: float32 `(G, 4)`, G at least 1.
            garment_types: int32 `(G,)`, `GarmentType` ids.

        Returns:
            keypoints_xy_photo: float32 `(G, 8, 2)`; zeros for keypoints the type does not have.
            keypoint_scores: float32 `(G, 8)`, in [0, 1]; 0 for keypoints the type does not have.
        """
        canvas, transform, image_size, _ = self._read_photo(photo_bytes)
        photo_of_box = tf.zeros([tf.shape(boxes_xyxy_photo)[0]], tf.int32)
        frames = (CanvasPyramid.of(canvas[tf.newaxis]), transform[tf.newaxis], image_size[tf.newaxis])
        return self.keypoints_in_photo_boxes(*frames, photo_of_box, boxes_xyxy_photo, garment_types)

    def keypoints_in_photo_boxes(self, pyramid, transforms, image_sizes, photo_of_box, boxes_xyxy_photo, garment_types):
        """Find keypoints in boxes that are known, of photos that `read_photos` has read.

        Args:
            pyramid: `CanvasPyramid` of the canvases.
            transforms, image_sizes: of `read_photos`.
            photo_of_box: int32 `(G,)`, the photo of each box, G at least 1.
            boxes_xyxy_photo, garment_types: as in `_keypoints_in_boxes`.

        Returns:
            As `_keypoints_in_boxes`.
        """
        transforms = tf.gather(transforms, photo_of_box)
        corners = geometry.photo_to_canvas(geometry.boxes_to_corners(boxes_xyxy_photo[:, tf.newaxis]), transforms)
        boxes_xyxy_canvas = geometry.corners_to_boxes(corners)[:, 0]
        keypoints_xy, scores = self._keypoints_of_rows(pyramid, photo_of_box, boxes_xyxy_canvas)
        return keypoints_on_photos(
            keypoints_xy, scores, transforms, tf.gather(image_sizes, photo_of_box), garment_types
        )

    # From a photo to its canvas ----------------------------------------------------------------------------------

    def read_photos(self, image_bytes):
        """Read photo files, string `(B,)`.

        Returns:
            canvases: uint8 `(B, S, S, 3)`.
            transforms: float32 `(B, 3)`, photo to canvas.
            image_sizes: int32 `(B, 2)`, height and width.
            statuses: int32 `(B,)`, of `cspn_tf.decoding`.
        """
        return _map_photos(self._read_photo, image_bytes, "image_bytes", self.config.canvas_size)

    def _read_photo(self, photo_bytes):
        return resampling.read_photo(photo_bytes, self.config.canvas_size, self.config.max_pixels)

    def _take_photo(self, photo):
        return resampling.take_photo(photo, self.config.canvas_size)

    # From canvases to garments -----------------------------------------------------------------------------------

    def garments_on_canvas(self, canvases):
        """Find garments and their keypoints on canvases.

        Args:
            canvases: uint8 `(B, S, S, 3)`. With a static B, which must be 1, all shapes are static and all operations
                are ones that TensorFlow Lite has.

        Returns:
            A dict, in canvas pixels, all zeros where a row is padding:
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
            boxes: float32 `(B, N, 4)`, canvas pixels; anything where a row is padding.
            classes: int32 `(B, N)`, 0 where a row is padding.
            scores: float32 `(B, N)`.
        """
        size, input_size = self.config.canvas_size, self.config.detector.input_size
        boxes, classes, scores = self.detect(pyramid.detector_input(input_size))
        corners = geometry.crop_to_canvas(geometry.boxes_to_corners(boxes), geometry.whole_window(size), input_size)
        boxes = geometry.clip_boxes(geometry.corners_to_boxes(corners), size, size)
        rows = [pyramid.canvases.shape[0], self.config.detector.max_garments]
        return tf.ensure_shape(boxes, [*rows, 4]), tf.ensure_shape(classes, rows), tf.ensure_shape(scores, rows)

    def keypoints_on_canvas(self, pyramid, boxes, classes, scores):
        """Find the keypoints of garments that `detect_on_canvas` found; returns what `garments_on_canvas` does."""
        num_photos = pyramid.canvases.shape[0]
        if num_photos not in (None, 1):
            raise ValueError(f"a static batch must be 1 canvas, received {num_photos}; leave the size open: None")
        num_rows = boxes.shape[1]
        real = classes > 0
        flat_boxes = tf.reshape(boxes, [-1, 4])
        num_flat = tf.shape(flat_boxes)[0]
        if num_photos is None:
            rows = tf.cast(tf.where(tf.reshape(real, [-1]))[:, 0], tf.int32)
            # A network cannot run on no crops at all; where there is no garment it looks at one row of padding.
            rows = tf.cond(tf.size(rows) > 0, lambda: rows, lambda: tf.zeros([1], tf.int32))
            keypoints, keypoint_scores = self._keypoints_of_rows(pyramid, rows // num_rows, tf.gather(flat_boxes, rows))
            keypoints = tf.scatter_nd(rows[:, tf.newaxis], keypoints, [num_flat, NUM_KEYPOINTS, 2])
            keypoint_scores = tf.scatter_nd(rows[:, tf.newaxis], keypoint_scores, [num_flat, NUM_KEYPOINTS])
        else:
            num_found = tf.reduce_sum(tf.cast(real, tf.int32))
            keypoints, keypoint_scores = self._keypoints_one_by_one(pyramid, flat_boxes, num_found)
        keypoints, keypoint_scores = mask_absent(
            tf.reshape(keypoints, [-1, num_rows, NUM_KEYPOINTS, 2]),
            tf.reshape(keypoint_scores, [-1, num_rows, NUM_KEYPOINTS]),
            classes,
        )
        return {
            "num_garments": tf.reduce_sum(tf.cast(real, tf.int32), axis=-1),
            "boxes": tf.where(real[..., tf.newaxis], boxes, 0.0),
            "classes": classes,
            "scores": scores,
            "keypoints": keypoints,
            "keypoint_scores": keypoint_scores,
        }

    def _keypoints_of_rows(self, pyramid, photo_of_row, boxes_xyxy_canvas):
        """Find the keypoints of garments, all at once.

        Args:
            pyramid: `CanvasPyramid` of the canvases.
            photo_of_row: int32 `(M,)`, the canvas of each garment.
            boxes_xyxy_canvas: float32 `(M, 4)`.

        Returns:
            keypoints_xy_canvas: float32 `(M, 8, 2)`.
            keypoint_scores: float32 `(M, 8)`.
        """
        windows = geometry.keypoint_windows(boxes_xyxy_canvas, self.config)
        crops = pyramid.crops(windows, self.config.keypoints.crop_size, photo_of_row)
        return self._keypoints_of_crops(crops, windows)

    def _keypoints_one_by_one(self, pyramid, boxes_xyxy_canvas, num_found):
        """Find the keypoints of the first garments of one photo, one after another, in static shapes.

        Args:
            pyramid: `CanvasPyramid` of one canvas.
            boxes_xyxy_canvas: float32 `(N, 4)`.
            num_found: int32 scalar, how many of them to look at.

        Returns:
            keypoints_xy_canvas: float32 `(N, 8, 2)`, zeros where not looked at.
            keypoint_scores: float32 `(N, 8)`, likewise.
        """
        num_rows = boxes_xyxy_canvas.shape[0]
        windows = geometry.keypoint_windows(boxes_xyxy_canvas, self.config)
        # Cast outside the loop, and so once a photo.
        pyramid = pyramid._replace(canvases=tf.cast(pyramid.canvases, tf.float32))

        def find_next(row, keypoints, scores):
            window = tf.gather(windows, row)
            cut = pyramid.crop_with_builtins(window, self.config.keypoints.crop_size)
            found, found_scores = self._keypoints_of_crops(cut[tf.newaxis], window[tf.newaxis])
            here = tf.one_hot(row, num_rows)[:, tf.newaxis]
            return row + 1, keypoints + here[..., tf.newaxis] * found, scores + here * found_scores

        first = (0, tf.zeros([num_rows, NUM_KEYPOINTS, 2]), tf.zeros([num_rows, NUM_KEYPOINTS]))
        return tf.while_loop(lambda row, *_: row < num_found, find_next, first)[1:]

    def _keypoints_of_crops(self, crops, windows):
        keypoints_xy_crop, scores = self._method.decode(self.predict(crops))
        return keypoints_on_canvases(keypoints_xy_crop, windows, self.config), scores


def _map_photos(read, photos, name, canvas_size):
    """Read each photo of a batch on its own; an empty batch is refused, as convolutions fail on it."""
    not_empty = tf.debugging.assert_positive(tf.shape(photos)[0], message=f"{name} is empty: send at least one photo")
    with tf.control_dependencies([not_empty]):
        photos = tf.identity(photos)
    outputs = (
        tf.TensorSpec([canvas_size, canvas_size, 3], tf.uint8),
        tf.TensorSpec([3], tf.float32),
        tf.TensorSpec([2], tf.int32),
        tf.TensorSpec([], tf.int32),
    )
    return tf.map_fn(read, photos, fn_output_signature=outputs)
