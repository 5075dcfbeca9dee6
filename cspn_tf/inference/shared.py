"""Several keypoint networks behind one detector, for comparing them: decoding and detection run once per photo.

The stages are those of `GarmentPipeline`, in the same order, so results equal those of each pipeline on its own.

Letters in shapes: B photos, N output rows per photo, G garments in a photo, S canvas side.
"""

import numpy as np
import tensorflow as tf

from cspn_tf.contract import OUTPUTS
from cspn_tf.inference.photo_outputs import outputs_on_photos
from cspn_tf.inference.pipeline import GarmentPipeline
from cspn_tf.models import checkpoints
from cspn_tf.resampling import CanvasPyramid


class SharedDetector:
    """One detector with several keypoint networks.

    Args:
        detector_dir: directory of a finished detector training.
        keypoints_dirs: directories of finished keypoint-network trainings, with the same canvas.

    Raises:
        UserError: as `cspn_tf.inference.pipeline.load_pipeline`.
    """

    def __init__(self, detector_dir, keypoints_dirs):
        detector_config, detector = checkpoints.load_detector(detector_dir)
        self._networks = []
        for directory in keypoints_dirs:
            keypoint_config, network = checkpoints.load_keypoints(directory)
            config = checkpoints.joint_config(detector_config, keypoint_config)
            self._networks.append(_Network(GarmentPipeline(config, detector, network)))

    def detect(self, photos):
        """Decode B photo files and run the detector; pass the return value to `keypoints` and `keypoints_in_boxes`."""
        return self._networks[0].detect(tf.constant(photos, tf.string))

    def keypoints(self, index, detected) -> dict:
        """Run keypoint network number `index`; return the served contract's outputs as a dict of arrays."""
        outputs = self._networks[index].finish(*detected)
        return {name: outputs[name].numpy() for name in OUTPUTS}

    def keypoints_in_boxes(self, index, detected, boxes_xyxy, garment_types) -> list:
        """Predict keypoints in given boxes.

        Args:
            index: number of the keypoint network.
            detected: return value of `detect`.
            boxes_xyxy: float `(G, 4)` for each photo, photo pixels.
            garment_types: int `(G,)` for each photo.

        Returns:
            float `(G, 8, 2)` for each photo, photo pixels; None for a photo that could not be read.
        """
        (*_, statuses), _ = detected
        nums = [len(types) for types in garment_types]
        found = np.zeros((0, 8, 2), np.float32)
        if sum(nums):
            photo_of_box = np.repeat(np.arange(len(nums), dtype=np.int32), nums)
            boxes = tf.constant(np.concatenate(boxes_xyxy), tf.float32)
            types = tf.constant(np.concatenate(garment_types), tf.int32)
            found = self._networks[index].in_boxes(*detected[0][:3], photo_of_box, boxes, types)[0].numpy()
        parts = np.split(found, np.cumsum(nums)[:-1])
        return [None if status else part for status, part in zip(statuses.numpy(), parts, strict=True)]


class _Network:
    """The stages of one pipeline as traced functions for any batch size."""

    def __init__(self, pipeline):
        size, rows = pipeline.config.canvas_size, pipeline.config.detector.max_garments
        pyramid = CanvasPyramid(
            tf.TensorSpec([None, size, size, 3], tf.uint8), tf.TensorSpec([None, size // 2, size // 2, 3], tf.float32)
        )
        transforms, image_sizes = tf.TensorSpec([None, 3], tf.float32), tf.TensorSpec([None, 2], tf.int32)
        per_photo = (pyramid, transforms, image_sizes, tf.TensorSpec([None], tf.int32))
        found = (
            tf.TensorSpec([None, rows, 4], tf.float32),
            tf.TensorSpec([None, rows], tf.int32),
            tf.TensorSpec([None, rows], tf.float32),
        )

        def detect(image_bytes):
            canvases, *frames = pipeline.read_photos(image_bytes)
            pyramid = CanvasPyramid.of(canvases)
            return (pyramid, *frames), pipeline.detect_on_canvas(pyramid)

        def finish(frames, detections):
            pyramid, *rest = frames
            return outputs_on_photos(pipeline.keypoints_on_canvas(pyramid, *detections), *rest)

        boxes = (tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, 4], tf.float32), tf.TensorSpec([None], tf.int32))
        self.detect = tf.function(detect, input_signature=[tf.TensorSpec([None], tf.string)])
        self.finish = tf.function(finish, input_signature=[per_photo, found])
        self.in_boxes = tf.function(
            pipeline.keypoints_in_photo_boxes, input_signature=[pyramid, transforms, image_sizes, *boxes]
        )
