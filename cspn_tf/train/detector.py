"""Train the garment detector, with validation after every epoch."""

import numpy as np
import tensorflow as tf
from PIL import Image

from cspn_tf.contract import STATUS_OK
from cspn_tf.data import pipeline
from cspn_tf.drawing import draw_garments
from cspn_tf.evaluation.average_precision import box_precision
from cspn_tf.evaluation.matching import match_photos
from cspn_tf.evaluation.measures import measure_rates
from cspn_tf.garment_set import Garments
from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.models.faster_rcnn import build_detector
from cspn_tf.result import Result
from cspn_tf.train import fitting
from cspn_tf.train.task import Task

# Number of validation photos drawn as overlays.
_NUM_OVERLAYS = 8


def train(run) -> None:
    """Train the detector of a `cspn_tf.train.fitting.Run`."""
    fitting.fit(run, DetectorTask())


class DetectorTask(Task):
    """The detector's training; the losses are built into the model."""

    network = "detector"
    unit = "photos"
    monitor = "ap_50"
    validation_batch = 16

    def build(self, config, *, pretrained):
        return build_detector(config.detector, pretrained=pretrained)

    def dataset(self, *args, **options):
        return pipeline.detector_dataset(*args, **options)

    def validator(self, model, dataset, config):
        return DetectorValidator(model, dataset)


class DetectorValidator:
    """Evaluates a detector on a dataset of `pipeline.detector_dataset`, in pixels of its input."""

    def __init__(self, model, dataset):
        self._dataset = dataset
        # The function reads the model's variables, so it is traced once and always uses the current weights.
        self._detect = tf.function(model.detect, reduce_retracing=True, autograph=False)
        self._shown = []

    def measure(self) -> dict:
        """Return average precision, recall and precision: name to value, None if it is undefined."""
        truths, results = [], []
        self._shown = []
        for images, labels in self._dataset:
            outputs = [part.numpy() for part in self._detect(images)]
            for index in range(len(images)):
                truth = _garments(labels["boxes_xyxy"][index].numpy(), labels["garment_types"][index].numpy())
                truths.append(truth.replace(visibility=np.zeros((len(truth), NUM_KEYPOINTS))))
                results.append(Result(STATUS_OK, garments=_garments(*(part[index] for part in outputs))))
                if len(self._shown) < _NUM_OVERLAYS:
                    self._shown.append((images[index].numpy(), results[-1].garments))
        matched = match_photos(truths, results)
        precision, rates = box_precision(matched), measure_rates(matched)
        return {
            "ap": precision["ap"],
            "ap_50": precision["ap_50"],
            "recall_50": rates["detection_recall_50"]["value"],
            "precision_50": rates["precision_50"]["value"],
        }

    def overlays(self):
        """Return the first validation photos, drawn with the detections of the last `measure`."""
        photos = [(Image.fromarray(pixels.clip(0, 255).astype("uint8")), found) for pixels, found in self._shown]
        return np.stack([np.asarray(draw_garments(photo, found)) for photo, found in photos])


def _garments(boxes_xyxy, garment_types, scores=None):
    """Return boxes as `Garments` without keypoints and without padding; with scores, they are detections."""
    real = garment_types > 0
    num = int(real.sum())
    detected = {} if scores is None else {"scores": scores[real], "keypoint_scores": np.zeros((num, NUM_KEYPOINTS))}
    return Garments(garment_types[real], boxes_xyxy[real], np.zeros((num, NUM_KEYPOINTS, 2)), **detected)
