"""Train the keypoint network, with validation after every epoch."""

import functools
import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from cspn_tf.data import pipeline
from cspn_tf.drawing import draw_garments
from cspn_tf.evaluation.keypoint_metrics import score
from cspn_tf.evaluation.matching import match_given_boxes
from cspn_tf.garment_set import Garments
from cspn_tf.garments import Visibility
from cspn_tf.inference.photo_outputs import keypoints_on_canvases, keypoints_on_photos
from cspn_tf.methods import method_of
from cspn_tf.methods.base import GARMENT_TYPE
from cspn_tf.train import fitting
from cspn_tf.train.task import Task

# Number of validation crops drawn as overlays.
_NUM_OVERLAYS = 8


def train(run) -> None:
    """Train the keypoint network of a `cspn_tf.train.fitting.Run`."""
    if "visibility" in method_of(run.config.keypoints).prediction_outputs and nothing_is_visible(run.data_dir):
        print("no training keypoint is labelled as visible: the network will predict none as visible", flush=True)
    fitting.fit(run, KeypointTask())


def nothing_is_visible(data_dir) -> bool:
    """Check whether the training split has labelled keypoints but no visible ones, by the report of `prepare`."""
    try:
        report = json.loads(Path(data_dir, "report.json").read_text(encoding="utf-8"))
        counts = report["splits"]["train"]["visibility"]
    except (OSError, ValueError, KeyError, TypeError):  # no or a damaged report, or no dataset, which training reports
        return False
    return counts["occluded"] > 0 and not counts["visible"]


class KeypointTask(Task):
    """The keypoint network's training, with the losses of the config's method."""

    network = "keypoints"
    unit = "garments"
    monitor = "ne_bbox"
    validation_batch = 32

    def build(self, config, *, pretrained):
        return method_of(config.keypoints).build(pretrained=pretrained)

    def losses(self, run):
        method = method_of(run.config.keypoints)
        read_labels = functools.partial(pipeline.label_configurations, run.data_dir, "train", run.config)
        losses = method.losses(method.label_statistics(read_labels, run.seed))
        return {
            "loss": {name: loss for name, (loss, _) in losses.items()},
            "loss_weights": {name: weight for name, (_, weight) in losses.items()},
        }

    def dataset(self, *args, **options):
        return pipeline.keypoint_dataset(*args, **options)

    def batches(self, run, model, first_epoch=0):
        return super().batches(run, model, first_epoch).map(functools.partial(to_fit, names=list(model.output)))

    def validator(self, model, dataset, config):
        return KeypointValidator(method_of(config.keypoints).prediction_network(model), dataset, config)


def to_fit(batch, names):
    """Convert a batch of `pipeline.keypoint_dataset` to inputs and targets for `model.fit`.

    Args:
        batch: dict with ``crops``, ``targets``, ``visibility`` and ``garment_types``.
        names: names of the network's outputs.

    Returns:
        crops, and name to targets: `(B, 8, 4)`, see `cspn_tf.losses`; for the output `GARMENT_TYPE` int32 `(B,)`, the
        type counted from 0.
    """
    visibility = tf.cast(batch["visibility"], tf.float32)[..., tf.newaxis]
    targets = dict.fromkeys(names, tf.concat([batch["targets"], visibility], axis=-1))
    if GARMENT_TYPE in targets:
        targets[GARMENT_TYPE] = batch["garment_types"] - 1
    return batch["crops"], targets


class KeypointValidator:
    """Evaluates a network on a dataset of `pipeline.keypoint_dataset`, with ground-truth boxes, in photo pixels.

    `predict` returns for a batch the keypoints in the crops, their scores, the keypoints on the photos as an exported
    model would serve them for the same boxes, and the garment types, or None if the network does not predict them.

    Args:
        network: as returned by `KeypointMethod.prediction_network`.
        dataset: the validation data.
        config: a `Config`.
    """

    def __init__(self, network, dataset, config):
        method = method_of(config.keypoints)

        def predict(batch):
            outputs = network(batch["crops"], training=False)
            keypoints_xy_crop, scores = method.decode(outputs)
            types = tf.argmax(outputs[GARMENT_TYPE], axis=-1) + 1 if GARMENT_TYPE in outputs else None
            on_canvas = keypoints_on_canvases(keypoints_xy_crop, batch["windows"], config)
            of_photo = (batch[name] for name in ("transforms", "image_sizes", "garment_types"))
            return keypoints_xy_crop, scores, keypoints_on_photos(on_canvas, scores, *of_photo)[0], types

        self._dataset = dataset
        # The function reads the model's variables, so it is traced once and always uses the current weights.
        self.predict = tf.function(predict, reduce_retracing=True, autograph=False)
        self._shown, self._has_said = [], False

    def measure(self) -> dict:
        """Return `ne_bbox`, `pck_02`, `epe` and, if the network predicts it, `type_accuracy`: None if it is undefined.

        If no keypoint is labelled as visible, `ne_bbox` is computed over occluded ones, so that a best epoch can be
        chosen.
        """
        truths, predicted, right_types = [], [], []
        self._shown = []
        for batch in self._dataset:
            keypoints_xy_crop, scores, keypoints_xy_photo, types = self.predict(batch)
            truths.append(Garments.from_example(batch))
            predicted.append(keypoints_xy_photo.numpy())
            if types is not None:
                right_types.extend(types.numpy() == batch["garment_types"].numpy())
            missing = _NUM_OVERLAYS - len(self._shown)
            rows = (batch["crops"], batch["garment_types"], keypoints_xy_crop, scores)
            self._shown += list(zip(*(row[:missing].numpy() for row in rows), strict=True))
        if not any(truth.visible.any() for truth in truths):
            if not self._has_said:
                text = "no keypoint is labelled as visible: ne_bbox is computed over occluded keypoints"
                print(f"  validation: {text}", flush=True)
            self._has_said = True
            truths = [
                truth.replace(visibility=np.where(truth.labelled, Visibility.VISIBLE, truth.visibility))
                for truth in truths
            ]
        # Treat each batch as one photo: only confidence intervals depend on which photo a garment is in.
        matched = match_given_boxes(truths, predicted)
        measured = {name: score(name, matched)["value"] for name in ("ne_bbox", "pck_02", "epe")}
        if right_types:
            measured["type_accuracy"] = float(np.mean(right_types))
        return measured

    def overlays(self):
        """Return the first validation crops, drawn with the keypoints of the last `measure`."""
        pictures = []
        for crop, garment_type, keypoints_xy, scores in self._shown:
            whole = [0, 0, crop.shape[1] - 1, crop.shape[0] - 1]
            # Above 0, so that all keypoints of the garment type are drawn.
            scores = scores.clip(1e-3, 1.0)
            garment = Garments([garment_type], [whole], [keypoints_xy], scores=[1.0], keypoint_scores=[scores])
            photo = Image.fromarray(crop.clip(0, 255).astype("uint8"))
            pictures.append(np.asarray(draw_garments(photo, garment, scale=2.0)))
        return np.stack(pictures)
