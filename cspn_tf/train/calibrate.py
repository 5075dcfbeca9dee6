"""Calibrate scores: on photos like those of the validation split, 8 of 10 predictions with a score of 0.8 are correct.

For each network, a scale and a shift of the logits behind its scores are fitted on the validation split and folded into
the last layer's weights, so that a calibrated network is built, exported and served like any other. The detector's
scores are fitted before the keypoint network corrects garment types; `evaluate` measures those that are served.

Source: Platt 1999, and Guo et al. 2017, On Calibration of Modern Neural Networks, with a shift besides the temperature.
"""

import numpy as np
import scipy.special
import tensorflow as tf

from cspn_tf.console import UserError
from cspn_tf.data import pipeline
from cspn_tf.evaluation.calibration import measure_calibration
from cspn_tf.evaluation.matching import match_detections
from cspn_tf.garments import Visibility
from cspn_tf.methods import method_of
from cspn_tf.models import checkpoints

# Detections below this score are ignored: they are never served, and would be the majority.
_LOWEST_SCORE = 0.05
_BATCH = 16


class LeftAsItIs(UserError):
    """A network that is calibrated already, or that these photos cannot calibrate; its weights are not touched."""


def calibrate_detector(directory, data_dir, split="val") -> dict:
    """Calibrate a trained detector in place.

    Args:
        directory: the training's checkpoint directory; its weights are replaced, by atomic rename.
        data_dir: directory that `prepare` wrote.
        split: the photos to fit on; not those that the detector was trained on.

    Returns:
        scale, shift, count (of detections), before and after (calibration errors).

    Raises:
        LeftAsItIs: the detector is calibrated already, its detections on these photos are all correct or all wrong, or
            the fit diverges.
        UserError: the detector has no weights yet.
    """
    _check_uncalibrated(directory, checkpoints.DETECTOR)
    config, model = checkpoints.load_detector(directory)
    search = tf.function(lambda images: model.search(images, _LOWEST_SCORE), autograph=False, reduce_retracing=True)
    logits, factors, correct = [], [], []
    for images, labels in pipeline.detector_dataset(data_dir, split, config, _BATCH, training=False, seed=0):
        boxes, class_scores, lowering, valid = (part.numpy() for part in search(images))
        types, scores = class_scores[..., :-1].argmax(axis=-1) + 1, class_scores[..., :-1].max(axis=-1) * lowering
        for row in range(len(images)):
            real, rows = labels["garment_types"][row].numpy() > 0, valid[row]
            truth_boxes, truth_types = (labels[name][row].numpy()[real] for name in ("boxes_xyxy", "garment_types"))
            found = boxes[row][rows], types[row][rows], scores[row][rows]
            matches = match_detections(truth_boxes, truth_types, *found)
            logits.append(np.log(np.maximum(class_scores[row][rows], 1e-12)))
            factors.append(lowering[row][rows])
            correct.append(np.isin(np.arange(rows.sum()), matches))
    logits, factors, correct = np.concatenate(logits), np.concatenate(factors), np.concatenate(correct)

    def scores_of(scale, shift):
        """Return the scores after scaling and shifting; Soft-NMS lowers each by the same factor as before."""
        shifted = scale * logits + np.append(np.zeros(logits.shape[1] - 1), shift)
        return scipy.special.softmax(shifted, axis=1)[:, :-1].max(axis=1) * factors

    fitted = _fit(scores_of, correct, directory)
    layer = model.rcnn_head.get_layer("class_scores")
    kernel, bias = layer.get_weights()
    bias = fitted["scale"] * bias
    bias[-1] += fitted["shift"]  # the last class is background
    layer.set_weights([fitted["scale"] * kernel, bias])
    _save(model, directory, checkpoints.DETECTOR, fitted)
    return fitted


def calibrate_keypoints(directory, data_dir, split="val") -> dict:
    """Calibrate a trained keypoint network's visibility in place, as `calibrate_detector` does for detections.

    Raises:
        LeftAsItIs, UserError: as in `calibrate_detector`; or the network predicts no visibility.
    """
    config = _check_uncalibrated(directory, checkpoints.KEYPOINTS)
    method = method_of(config.keypoints)
    if "visibility" not in method.prediction_outputs:
        raise UserError(f"{directory} predicts no visibility: there is nothing to calibrate")
    _, model = checkpoints.load_keypoints(directory)
    predict = tf.function(lambda crops: model(crops, training=False)["visibility"], autograph=False)
    logits, visible = [np.zeros(0)], [np.zeros(0, bool)]
    for batch in pipeline.keypoint_dataset(data_dir, split, config, _BATCH, training=False, seed=0):
        visibility = batch["visibility"].numpy()
        labelled = visibility > Visibility.ABSENT
        logits.append(predict(batch["crops"]).numpy()[labelled])
        visible.append(visibility[labelled] == Visibility.VISIBLE)
    logits, visible = np.concatenate(logits), np.concatenate(visible)
    fitted = _fit(
        lambda scale, shift: scipy.special.expit(scale * logits + shift),
        visible,
        directory,
        what=("visible keypoints", "hidden ones"),
    )
    for layer in map(model.get_layer, method.visibility_layers):
        kernel, bias = layer.get_weights()
        layer.set_weights([fitted["scale"] * kernel, fitted["scale"] * bias + fitted["shift"]])
    _save(model, directory, checkpoints.KEYPOINTS, fitted)
    return fitted


def _check_uncalibrated(directory, network):
    """Return a checkpoint's config, after checking that the network is not calibrated yet."""
    config, details = checkpoints.read_description(directory, network)
    if "calibration" in details:
        raise LeftAsItIs(f"{directory} is calibrated already")
    return config


def _fit(scores_of, positive, directory, what=("garments", "background")) -> dict:
    """Find the scale and shift with the least negative log-likelihood, by a grid search with a shrinking step."""
    if not positive.any() or positive.all():
        raise LeftAsItIs(
            f"{directory}: {len(positive)} scores, {int(positive.sum())} of {what[0]}: "
            f"calibration needs some of {what[0]} and of {what[1]}"
        )

    def loss(scale, shift):
        scores = np.clip(scores_of(scale, shift), 1e-7, 1 - 1e-7)
        return -np.where(positive, np.log(scores), np.log(1.0 - scores)).mean()

    log_scale, shift, reach = 0.0, 0.0, 2.0
    while reach > 1e-3:
        places = [
            (log_scale + reach * a, shift + reach * b) for a in (-1, -0.5, 0, 0.5, 1) for b in (-1, -0.5, 0, 0.5, 1)
        ]
        best = min(places, key=lambda place: loss(np.exp(place[0]), place[1]))
        # Refine the grid once its centre is its best point.
        reach *= 0.5 if best == (log_scale, shift) else 1.0
        log_scale, shift = best
        if abs(log_scale) > 5 or abs(shift) > 20:
            raise LeftAsItIs(
                f"{directory}: calibration diverges: {len(positive)} scores separate {what[0]} from {what[1]} "
                "perfectly or not at all"
            )
    scale = float(np.exp(log_scale))
    errors = [
        measure_calibration(scores, positive)["calibration_error"]
        for scores in (scores_of(1, 0), scores_of(scale, shift))
    ]
    return {"scale": scale, "shift": float(shift), "count": len(positive), "before": errors[0], "after": errors[1]}


def _save(model, directory, network, fitted):
    checkpoints.save_weights(model, directory)
    config, details = checkpoints.read_description(directory, network)
    checkpoints.write_description(directory, network, config, {**details, "calibration": fitted})
