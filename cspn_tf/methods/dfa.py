"""Deep Fashion Alignment (DFA): regression in three stages, each of which corrects the previous one.

::

    C5 -+-> stage 1 --------------------------------------------> positions, pseudo-labels
        |      | positions, pseudo-labels
        +-> stage 2 -> offsets -> + positions of stage 1 -------> positions, pseudo-labels
        |      | positions, pseudo-labels
        +-> stage 3, easy -> offsets -> + positions of stage 2 -> positions, pseudo-labels --+
        +-> stage 3, hard -> offsets -> + positions of stage 2 -> positions, pseudo-labels --+-> mean: the prediction

A stage reads C5 through its own fully connected layers, and the previous stage's outputs through another one. Besides
positions, it predicts pseudo-labels: how similar the garment is to each of K typical configurations (stage 1) or
patterns of offsets (stages 2 and 3). In training a garment is routed to the easy or the hard branch. At inference the
routing is unknown and the two branches are averaged, as in the authors' released cascade.

Pseudo-labels
    Before training, the labels of the training split are clustered into K typical configurations. A garment's
    pseudo-label is its similarity to each cluster centre, normalised to sum to 1: a coarse target besides the exact
    coordinates. Stages 2 and 3, which correct positions, use typical patterns of correction instead: the difference
    between each configuration and its nearest centre, scaled to unit size. The size of the corrections changes during
    training; the direction in which keypoints move together does not. So the patterns can be computed before training,
    and are the same when training is resumed.

Routing
    A garment is hard if stage 2's error on it is above the mean of its batch, else easy. It trains only its branch of
    stage 3.

Source: Fashion Landmark Detection in the Wild (Liu et al., ECCV 2016). The offsets' scale, the averaging and the width
of the layer that reads the previous stage are those of the authors' released networks, K that of their full-body one.

Simplified here: the original has one VGG16 for each stage and branch, trained one after the other on the final
predictions of the previous one, and one such cascade for each garment type. Here all share one backbone and are trained
together, on all types, in a single `model.fit`, as for every other method. As in a cascade, a stage's loss does not
reach the layers of earlier stages; the backbone learns from all losses. The branches of stage 3 share their first
layer. Visibility is predicted once, by stage 3, as visible or not. The layers have FashionNet's width and
normalisation, see `cspn_tf.models.regression`. Stage 3 has the same kind of pseudo-label as stage 2, the weight of the
pseudo-label losses is constant, and easy and hard are separated by the batch's mean error instead of the whole training
split's after stage 2 is trained.

Letters in shapes: B crops or garments of a batch, C side of a crop, N garments of a split, 8 keypoint slots, K
pseudo-labels.
"""

import keras
import numpy as np
import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.losses.heatmap import mean_over_labelled
from cspn_tf.losses.regression import COORDINATE_WEIGHT, VISIBILITY_WEIGHT, CoordinateLoss, coordinate_errors
from cspn_tf.losses.visibility import VisibilityLoss
from cspn_tf.methods.base import KeypointMethod
from cspn_tf.models.blocks import named_output
from cspn_tf.models.regression import as_points, decode_points, flattened, hidden_units, normalised_dense, small_dense

# K, the number of cluster centres.
NUM_PSEUDO_LABELS = 20

# Unit of the offsets that stages 2 and 3 output, as a fraction of the crop's side, because offsets are small.
OFFSET_UNIT = 0.2

BRANCHES = ("easy", "hard")

# As visibility's weight: coordinates, weighted by 10, should dominate.
PSEUDO_LABEL_WEIGHT = 0.1

# A centre that is farther by this distance gets 1/e of the similarity. A fraction of the distance between neighbouring
# centres: for configurations in fractions of the crop's side, for patterns in their unit size.
_CONFIGURATION_TEMPERATURE = 0.03
_PATTERN_TEMPERATURE = 0.2

# Corrections smaller than this fraction of the crop's side have no pattern: scaling them would only amplify noise.
_MIN_CORRECTION = 1e-4

_MAX_ROUNDS = 50


class Method(KeypointMethod):
    """DFA."""

    name = "dfa"
    levels = (5,)
    prediction_outputs = (*(f"stage_3_{name}" for name in BRANCHES), "visibility")
    visibility_layers = tuple(f"visibility_{name}" for name in BRANCHES)

    def outputs(self, features: dict) -> dict:
        """Compute the network's outputs, see `KeypointMethod.outputs`.

        Returns:
            A dict of:
                stage_1, stage_2: `(B, 8, 2)`, fractions of the crop's side.
                stage_3_easy, stage_3_hard: `(B, 8, 4)`, the branch's positions, then stage 2's, by which the loss
                    routes the garment.
                stage_1_pseudo_labels: `(B, K)` logits.
                stage_2_pseudo_labels, stage_3_easy_pseudo_labels, stage_3_hard_pseudo_labels: `(B, K + 16)`, logits,
                    then the positions that the stage corrects.
                visibility: `(B, 8)` logits.
        """
        config = self.config
        image, units = flattened(features["P5"]), hidden_units(config)
        x = normalised_dense(normalised_dense(image, units, "stage_1_hidden_1"), units, "stage_1_hidden_2")
        positions_1 = small_dense(x, 2 * NUM_KEYPOINTS, "stage_1_regression", start=0.5)
        labels_1 = small_dense(x, NUM_PSEUDO_LABELS, "stage_1_logits")

        before = _frozen(positions_1, labels_1)
        x = _stage_input(image, before, config, "stage_2")
        positions_2, labels_2, _ = _corrections(x, before, config, "stage_2")

        before = _frozen(positions_2, labels_2)
        x = _stage_input(image, before, config, "stage_3")
        branches = {name: _corrections(x, before, config, f"stage_3_{name}") for name in BRANCHES}
        seen = [small_dense(hidden, NUM_KEYPOINTS, f"visibility_{name}") for name, (_, _, hidden) in branches.items()]

        outputs = {
            "stage_1": as_points(positions_1, "stage_1"),
            "stage_1_pseudo_labels": named_output(labels_1, "stage_1_pseudo_labels"),
            "stage_2": as_points(positions_2, "stage_2"),
            "stage_2_pseudo_labels": _joined([labels_2, tf.stop_gradient(positions_1)], "stage_2_pseudo_labels"),
        }
        corrected = before[0]
        for name, (positions, labels, _) in branches.items():
            points = [as_points(positions, f"stage_3_{name}_points"), as_points(corrected, f"stage_3_{name}_corrected")]
            outputs[f"stage_3_{name}"] = _joined(points, f"stage_3_{name}")
            outputs[f"stage_3_{name}_pseudo_labels"] = _joined([labels, corrected], f"stage_3_{name}_pseudo_labels")
        outputs["visibility"] = keras.layers.Average(dtype="float32", name="visibility")(seen)
        return outputs

    def label_statistics(self, read_labels, seed: int):
        """Compute the cluster centres of the pseudo-labels, `(2, K, 8, 2)`, see `pseudo_label_centres`."""
        points, weights, _ = read_labels()
        return pseudo_label_centres(points, weights, NUM_PSEUDO_LABELS, seed=seed)

    def losses(self, label_statistics=None) -> dict:
        """Return the losses of each stage's positions and pseudo-labels, and of visibility.

        Raises:
            ValueError: `label_statistics` is None.
        """
        if label_statistics is None:
            raise ValueError("label_statistics must be the centres of pseudo_label_centres; received None")
        size, (configurations, patterns) = self.config.crop_size, label_statistics
        losses = {
            "stage_1": (CoordinateLoss(size), COORDINATE_WEIGHT),
            "stage_1_pseudo_labels": (PseudoLabelLoss(size, configurations), PSEUDO_LABEL_WEIGHT),
            "stage_2": (CoordinateLoss(size), COORDINATE_WEIGHT),
            "stage_2_pseudo_labels": (PseudoLabelLoss(size, patterns, corrects=True), PSEUDO_LABEL_WEIGHT),
        }
        for branch in BRANCHES:
            labels = PseudoLabelLoss(size, patterns, corrects=True, branch=branch)
            losses[f"stage_3_{branch}"] = (RoutedCoordinateLoss(size, branch), COORDINATE_WEIGHT)
            losses[f"stage_3_{branch}_pseudo_labels"] = (labels, PSEUDO_LABEL_WEIGHT)
        return {**losses, "visibility": (VisibilityLoss(), VISIBILITY_WEIGHT)}

    def decode(self, outputs: dict):
        """Return the mean of the branches' positions, with the visibility as scores."""
        branches = [outputs[f"stage_3_{name}"][..., :2] for name in BRANCHES]
        return decode_points(sum(branches) / len(branches), outputs["visibility"], self.config)


def _frozen(positions, logits):
    """Return a stage's outputs as inputs of the next: positions `(B, 16)`, pseudo-labels `(B, K)`, without gradient."""
    return tf.stop_gradient(positions), tf.stop_gradient(tf.nn.softmax(logits))


def _stage_input(image, before, config, name):
    """Concatenate one stage's image features with the features of the previous stage's outputs."""
    seen = normalised_dense(image, hidden_units(config), f"{name}_hidden_1")
    said = keras.layers.Concatenate(name=f"{name}_before")(list(before))
    said = normalised_dense(said, 2 * config.width, f"{name}_before_hidden")
    return keras.layers.Concatenate(name=f"{name}_input")([seen, said])


def _corrections(x, before, config, name):
    """Return corrected positions `(B, 16)`, pseudo-label logits `(B, K)` and the hidden layer that both read."""
    x = normalised_dense(x, hidden_units(config), f"{name}_hidden_2")
    offsets = small_dense(x, 2 * NUM_KEYPOINTS, f"{name}_regression")
    return before[0] + OFFSET_UNIT * offsets, small_dense(x, NUM_PSEUDO_LABELS, f"{name}_logits"), x


def _joined(parts, name):
    return keras.layers.Concatenate(dtype="float32", name=name)(parts)


# Centres -------------------------------------------------------------------------------------------------------------


def pseudo_label_centres(configurations, weights, num_centres, seed):
    """Cluster the labels into typical configurations, and their differences to the nearest one into typical patterns.

    Args:
        configurations: `(N, 8, 2)`, keypoints as fractions of the crop's side, arbitrary where the weight is 0.
        weights: `(N, 8)`, 1 labelled, 0 not.
        num_centres: K.
        seed: seed of the initial centres; the same labels and seed give the same centres.

    Returns:
        float32 `(2, K, 8, 2)`: the configurations and the patterns.

    Raises:
        ValueError: no keypoint is labelled.
    """
    configurations, weights = np.asarray(configurations, np.float64), np.asarray(weights, np.float64)
    labelled = weights.sum(axis=1) > 0
    if not labelled.any():
        raise ValueError(f"weights must be 1 for some keypoint; received {len(weights)} garments without labels")
    configurations = np.where(weights[..., None] > 0, configurations, 0.0)[labelled]
    weights = weights[labelled]
    centres = masked_k_means(configurations, weights, num_centres, seed)
    left = configurations - centres[_distances(configurations, weights, centres).argmin(axis=1)]
    patterns = unit_patterns(left.astype(np.float32), weights.astype(np.float32)).numpy()
    return np.stack([centres, masked_k_means(patterns, weights, num_centres, seed)]).astype(np.float32)


def masked_k_means(values, weights, num_centres, seed):
    """Cluster rows with missing keypoints by k-means (Lloyd's method with k-means++ initialisation).

    Args:
        values: `(N, 8, 2)`, 0 where the weight is 0.
        weights: `(N, 8)`, at least one 1 in each row.
        num_centres: K; if there are fewer distinct rows, some centres are equal.
        seed: seed of the initial centres.

    Returns:
        float64 `(K, 8, 2)`. A keypoint that no row of a cluster has labelled gets its mean over all rows, or 0 if none
        has it.
    """
    values, random = np.asarray(values, np.float64), np.random.default_rng(seed)
    mean = _masked_means(values, weights, np.zeros(len(values), int), np.zeros((1, *values.shape[1:])))[0]
    filled = np.where(weights[..., None] > 0, values, mean)
    centres = filled[[random.integers(len(values))]]
    while len(centres) < num_centres:
        squared = _distances(values, weights, centres).min(axis=1) ** 2
        shares = squared / squared.sum() if squared.sum() > 0 else None
        centres = np.concatenate([centres, filled[[random.choice(len(values), p=shares)]]])
    groups = None
    for _ in range(_MAX_ROUNDS):
        nearest = _distances(values, weights, centres).argmin(axis=1)
        if groups is not None and (nearest == groups).all():
            break
        groups = nearest
        fallback = np.broadcast_to(mean, centres.shape).copy()
        empty = np.bincount(groups, minlength=len(centres)) == 0
        fallback[empty] = centres[empty]
        centres = _masked_means(values, weights, groups, fallback)
    return centres


def _masked_means(values, weights, groups, fallback):
    """Return each group's mean over the rows with the keypoint labelled, or the fallback if none, `(K, 8, 2)`."""
    sums, counts = np.zeros(fallback.shape), np.zeros(fallback.shape[:2])
    np.add.at(sums, groups, values * weights[..., None])
    np.add.at(counts, groups, weights)
    return np.where(counts[..., None] > 0, sums / np.maximum(counts, 1.0)[..., None], fallback)


def _distances(values, weights, centres):
    return masked_distances(*(tf.constant(array, tf.float32) for array in (values, weights, centres))).numpy()


# Pseudo-labels -------------------------------------------------------------------------------------------------------


def masked_distances(values, weights, centres):
    """Return the distance of each garment from each centre, over its labelled keypoints.

    Args:
        values: float32 `(B, 8, 2)`.
        weights: float32 `(B, 8)`, 1 labelled, 0 not.
        centres: float32 `(K, 8, 2)`.

    Returns:
        float32 `(B, K)`: root of the mean squared distance over labelled keypoints; 0 for garments without any.
    """
    squared = tf.reduce_sum(tf.math.squared_difference(values[:, tf.newaxis], centres), axis=-1)
    return tf.sqrt(mean_over_labelled(squared, weights[:, tf.newaxis]))


def unit_patterns(offsets, weights):
    """Scale offsets to unit size, so that only their directions and relative sizes remain.

    Args:
        offsets: float32 `(B, 8, 2)`.
        weights: float32 `(B, 8)`, 1 labelled, 0 not.

    Returns:
        float32 `(B, 8, 2)`: divided by their root mean square over labelled keypoints; 0 where unlabelled, and for
        garments whose root mean square is at most `_MIN_CORRECTION`.
    """
    offsets = tf.where(weights[..., tf.newaxis] > 0, offsets, 0.0)
    size = tf.sqrt(mean_over_labelled(tf.reduce_sum(tf.square(offsets), axis=-1), weights))
    scale = tf.where(size > _MIN_CORRECTION, 1.0 / tf.maximum(size, _MIN_CORRECTION), 0.0)
    return offsets * scale[:, tf.newaxis, tf.newaxis]


def soft_assignments(values, weights, centres, temperature):
    """Return each garment's similarity to each centre, float32 `(B, K)`, rows sum to 1; see `masked_distances`."""
    return tf.nn.softmax(-masked_distances(values, weights, centres) / temperature)


class PseudoLabelLoss(keras.losses.Loss):
    """Kullback-Leibler divergence of predicted from true soft assignments.

    Args:
        crop_size: side of the crop, pixels.
        centres: `(K, 8, 2)`, configurations, or patterns if `corrects`.
        corrects: whether the stage corrects positions; these then follow the logits.
        branch: "easy" or "hard" for a branch of stage 3, which learns only from garments routed to it, or None.

    Call with targets `(B, 8, 3 or more)` and logits `(B, K)`, or, if `corrects`, `(B, K + 16)`. Garments without labels
    and those not routed to the branch count as 0; the denominator over the batch is B.
    """

    def __init__(self, crop_size, centres, corrects=False, branch=None):
        super().__init__()
        self.crop_size, self.corrects, self.branch = crop_size, corrects, branch
        self.centres = np.asarray(centres, np.float32)

    def call(self, y_true, y_pred):
        weights, predicted = y_true[..., 2], tf.cast(y_pred, tf.float32)
        logits, corrected = predicted[:, : len(self.centres)], predicted[:, len(self.centres) :]
        values = geometry.crop_to_unit(y_true[..., :2], self.crop_size)
        counts = tf.cast(tf.reduce_max(weights, axis=-1) > 0, tf.float32)
        if self.corrects:
            corrected = tf.stop_gradient(tf.reshape(corrected, [-1, NUM_KEYPOINTS, 2]))
            values = unit_patterns(values - corrected, weights)
        if self.branch:
            counts *= routing(y_true, corrected, self.crop_size)[self.branch]
        temperature = _PATTERN_TEMPERATURE if self.corrects else _CONFIGURATION_TEMPERATURE
        true = soft_assignments(values, weights, tf.constant(self.centres), temperature)
        cross_entropy = tf.nn.softmax_cross_entropy_with_logits(labels=true, logits=logits)
        entropy = -tf.reduce_sum(tf.math.xlogy(true, true), axis=-1)
        return (cross_entropy - entropy) * counts


# Routing -------------------------------------------------------------------------------------------------------------


def routing(y_true, points_xy_unit, crop_size):
    """Split a batch's garments into easy and hard ones by the error of stage 2.

    Args:
        y_true: float32 `(B, 8, 3 or more)`, targets.
        points_xy_unit: float32 `(B, 8, 2)`, stage 2's positions, fractions of the crop's side.
        crop_size: side of the crop, pixels.

    Returns:
        dict of "easy" and "hard": float32 `(B,)`, 1 for the garments of that branch. A garment is hard if its mean
        distance over labelled keypoints is above the mean of the batch's labelled garments. Garments without labels are
        in neither branch.
    """
    weights = y_true[..., 2]
    distances = mean_over_labelled(tf.sqrt(coordinate_errors(y_true[..., :2], points_xy_unit, crop_size)), weights)
    labelled = tf.cast(tf.reduce_max(weights, axis=-1) > 0, tf.float32)
    mean = mean_over_labelled(distances, labelled)
    hard = tf.cast(distances > mean, tf.float32) * labelled
    return {"easy": labelled - hard, "hard": hard}


class RoutedCoordinateLoss(keras.losses.Loss):
    """`CoordinateLoss` over the garments routed to one branch of stage 3.

    Args:
        crop_size: side of the crop, pixels.
        branch: "easy" or "hard".

    Call with targets `(B, 8, 3 or more)` and `(B, 8, 4)`, the branch's positions, then stage 2's. The denominator is
    each garment's number of labelled keypoints, and over the batch B, which counts all garments, routed or not.
    """

    def __init__(self, crop_size, branch):
        super().__init__()
        self.crop_size, self.branch = crop_size, branch

    def call(self, y_true, y_pred):
        positions, before = tf.split(tf.cast(y_pred, tf.float32), 2, axis=-1)
        errors = coordinate_errors(y_true[..., :2], positions, self.crop_size)
        routed = routing(y_true, tf.stop_gradient(before), self.crop_size)[self.branch]
        return mean_over_labelled(errors, y_true[..., 2]) * routed
