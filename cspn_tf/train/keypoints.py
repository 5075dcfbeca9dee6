"""Trains the keypoint network, and measures it while it trains."""

import functools
import json
from pathlib import Path

import numpy as np

from cspn_tf.garment_set import Garments
from cspn_tf.garments import Visibility

# Validation crops in the overlays, and how many a batch of validation has.
_NUM_OVERLAYS = 8
_VALIDATION_BATCH = 32


def train(run) -> None:
    """Train the keypoint network of a `cspn_tf.train.fitting.Run`."""
    from cspn_tf.data import pipeline
    from cspn_tf.models.keypoint_networks import prediction_network
    from cspn_tf.train import fitting

    config = run.config.keypoints
    fitting.verify_data(run)
    if config.visibility_head and nothing_is_visible(run.data_dir):
        print("not one keypoint to train on is labelled as visible: the network learns that nothing is", flush=True)
    steps = steps_of(run)
    validation = pipeline.keypoint_dataset(
        run.data_dir, "val", run.config, _VALIDATION_BATCH, training=False, seed=run.seed
    )
    model, make_dataset = prepare(run, steps)
    validator = KeypointValidator(prediction_network(model, config), validation, run.config)
    fitting.fit(run, model, make_dataset, steps, validator.measure, "ne_bbox", validator.overlays)


def nothing_is_visible(data_dir) -> bool:
    """Return whether `prepare` counted labelled keypoints in the training split, and no visible ones."""
    try:
        report = json.loads(Path(data_dir, "report.json").read_text(encoding="utf-8"))
    except FileNotFoundError:  # a dataset that was written by other means
        return False
    counts = report["splits"]["train"]["visibility"]
    return counts["occluded"] > 0 and not counts["visible"]


def steps_of(run) -> int:
    """Return how many batches an epoch of a run has."""
    from cspn_tf.data import pipeline

    return pipeline.steps_per_epoch(run.data_dir, "train", run.training.batch_size, what="garments")


def prepare(run, steps):
    """Return a run's compiled model, and the function of the first epoch's number that gives its batches.

    Args:
        run: a `cspn_tf.train.fitting.Run`.
        steps: batches an epoch.
    """
    from cspn_tf.data import pipeline
    from cspn_tf.losses import keypoint_losses
    from cspn_tf.models import checkpoints
    from cspn_tf.models.keypoint_networks import build_keypoint_network
    from cspn_tf.train import fitting

    config = run.config.keypoints
    with fitting.scope(run):
        model = build_keypoint_network(config, pretrained=not run.init)
        if run.init:
            checkpoints.load_weights(model, run.init, checkpoints.KEYPOINTS)
        losses, weights = keypoint_losses(config, centres=pseudo_labels_of(run))
        model.compile(fitting.build_optimizer(run.training, steps), loss=losses, loss_weights=weights)

    def make_dataset(first_epoch):
        batches = fitting.training_batches(run, pipeline.keypoint_dataset, first_epoch)
        return batches.map(functools.partial(to_fit, names=list(losses)))

    return model, make_dataset


def pseudo_labels_of(run):
    """Return the cluster centres that the method's losses need, found in the training split's labels, or None."""
    if run.config.keypoints.method != "dfa":
        return None
    from cspn_tf.data import pipeline
    from cspn_tf.losses import pseudo_label_centres
    from cspn_tf.models.dfa import NUM_PSEUDO_LABELS

    labels = pipeline.label_configurations(run.data_dir, "train", run.config)
    return pseudo_label_centres(*labels, NUM_PSEUDO_LABELS, seed=run.seed)


def to_fit(batch, names):
    """Turn a batch of `pipeline.keypoint_dataset` into what `model.fit` takes: every output learns the same targets.

    Args:
        batch: dict with ``crops``, ``targets`` and ``visibility``.
        names: of the network's outputs.

    Returns:
        crops, and name to targets `(B, 8, 4)`, see `cspn_tf.losses`.
    """
    import tensorflow as tf

    visibility = tf.cast(batch["visibility"], tf.float32)[..., tf.newaxis]
    return batch["crops"], dict.fromkeys(names, tf.concat([batch["targets"], visibility], axis=-1))


class KeypointValidator:
    """Measures a network on a dataset of `pipeline.keypoint_dataset`, with labelled boxes, in photo pixels.

    `predict` gives for a batch the keypoints in the crops, their scores, and the keypoints on the photos as an export
    would serve them for the same boxes.

    Args:
        network: what `prediction_network` gives.
        dataset: the validation data.
        config: a `Config`.
    """

    def __init__(self, network, dataset, config):
        import tensorflow as tf

        from cspn_tf.inference.photo_outputs import keypoints_on_canvases, keypoints_on_photos
        from cspn_tf.models.keypoint_networks import decode_prediction

        def predict(batch):
            keypoints_xy_crop, scores = decode_prediction(network(batch["crops"], training=False), config.keypoints)
            on_canvas = keypoints_on_canvases(keypoints_xy_crop, batch["windows"], config)
            of_photo = (batch[name] for name in ("transforms", "image_sizes", "garment_types"))
            return keypoints_xy_crop, scores, keypoints_on_photos(on_canvas, scores, *of_photo)[0]

        self._dataset = dataset
        # Weights stay variables, so the one traced function follows the training.
        self.predict = tf.function(predict, reduce_retracing=True, autograph=False)
        self._shown, self._has_said = [], False

    def measure(self) -> dict:
        """Return `ne_bbox`, `pck_02` and `epe`: name to number, or to None where there is nothing to measure.

        Where not one keypoint is labelled as visible, `ne_bbox` is of the occluded ones, so that there is a best epoch.
        """
        from cspn_tf.evaluation.keypoint_metrics import KEYPOINT_METRICS
        from cspn_tf.evaluation.matching import match_given_boxes

        truths, predicted = [], []
        self._shown = []
        for batch in self._dataset:
            keypoints_xy_crop, scores, keypoints_xy_photo = self.predict(batch)
            truths.append(Garments.from_example(batch))
            predicted.append(keypoints_xy_photo.numpy())
            missing = _NUM_OVERLAYS - len(self._shown)
            rows = (batch["crops"], batch["garment_types"], keypoints_xy_crop, scores)
            self._shown += list(zip(*(row[:missing].numpy() for row in rows), strict=True))
        if not any(truth.visible.any() for truth in truths):
            self._say_once("not one keypoint is labelled as visible: ne_bbox is of the occluded ones")
            truths = [
                truth.replace(visibility=np.where(truth.labelled, Visibility.VISIBLE, truth.visibility))
                for truth in truths
            ]
        # A batch of garments stands for a photo, which only intervals would tell apart.
        matched = match_given_boxes(truths, predicted)
        return {name: KEYPOINT_METRICS[name](matched).value for name in ("ne_bbox", "pck_02", "epe")}

    def _say_once(self, text):
        if not self._has_said:
            print(f"  validation: {text}", flush=True)
        self._has_said = True

    def overlays(self):
        """Return the first validation crops with the keypoints found when they were last measured."""
        from PIL import Image

        from cspn_tf.drawing import draw_garments

        pictures = []
        for crop, garment_type, keypoints_xy, scores in self._shown:
            whole = [0, 0, crop.shape[1] - 1, crop.shape[0] - 1]
            # All keypoints of the type, however unsure.
            scores = scores.clip(1e-3, 1.0)
            garment = Garments([garment_type], [whole], [keypoints_xy], scores=[1.0], keypoint_scores=[scores])
            photo = Image.fromarray(crop.clip(0, 255).astype("uint8"))
            pictures.append(np.asarray(draw_garments(photo, garment, scale=2.0)))
        return np.stack(pictures)
