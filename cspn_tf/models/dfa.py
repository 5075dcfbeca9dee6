"""Deep Fashion Alignment (DFA): regression in three stages, each of which corrects the one before it.

::

    C5 -+-> stage 1 --------------------------------------------> positions, pseudo-labels
        |      | positions, pseudo-labels
        +-> stage 2 -> offsets -> + positions of stage 1 -------> positions, pseudo-labels
        |      | positions, pseudo-labels
        +-> stage 3, easy -> offsets -> + positions of stage 2 -> positions, pseudo-labels --+
        +-> stage 3, hard -> offsets -> + positions of stage 2 -> positions, pseudo-labels --+-> mean: the prediction

A stage reads C5 through fully connected layers of its own, and what the stage before it said through one more. Its
pseudo-labels say which of K typical configurations (stage 1) or patterns of offsets (stages 2 and 3) the garment is
like; they are learnt beside the positions, see `cspn_tf.losses.dfa`. In training a garment goes to the easy or to the
hard branch, as stage 2 did well or badly by it; in use, nobody knows, and the two are averaged, as the authors'
released cascade does.

Source: Fashion Landmark Detection in the Wild (Liu et al., ECCV 2016); the offsets' scale, the width of the layer that
reads the stage before and the averaging are those of the authors' released networks, and K that of their full-body one.

What is simpler here: the original has a VGG16 for each stage and branch, trained one after the other on the finished
predictions of the last, and such a cascade for each garment type. Here one backbone serves all, and all is trained at
once, on all types: a single `model.fit`, as for every method it is compared with. No stage's loss reaches the layers
of a stage before it, as in a cascade; the backbone learns from all. The branches of stage 3 share their first layer.
Visibility is predicted once, by stage 3, as seen or not. The layers are as wide as FashionNet's, and normalised as
they are, see `cspn_tf.models.regression`.

Letters in shapes: B crops, C side of a crop, 8 keypoint slots, K pseudo-labels.
"""

import keras
import tensorflow as tf

from cspn_tf.config import KeypointConfig
from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.models.backbones import build_backbone_of
from cspn_tf.models.regression import as_points, decode_points, flattened, hidden_units, normalised_dense, small_dense

# K: how many cluster centres `cspn_tf.losses.dfa.pseudo_label_centres` is to find.
NUM_PSEUDO_LABELS = 20

# The later stages' layers give offsets in this unit, shares of the crop's side: offsets are small numbers.
OFFSET_UNIT = 0.2

BRANCHES = ("easy", "hard")


def build_dfa(config: KeypointConfig, *, pretrained: bool = False) -> keras.Model:
    """Build the network.

    Args:
        config: its `KeypointConfig`.
        pretrained: as `cspn_tf.models.cspn.build_cspn` takes it.

    Returns:
        keras.Model: float32 `(B, C, C, 3)`, 0 to 255, to a dict, all float32:
            stage_1, stage_2: `(B, 8, 2)`, shares of the crop's side.
            stage_3_easy, stage_3_hard: `(B, 8, 4)`, the branch's positions and then those of stage 2, which say to
                the loss whose garment this is.
            stage_1_pseudo_labels: `(B, K)` logits.
            stage_2_pseudo_labels, stage_3_easy_pseudo_labels, stage_3_hard_pseudo_labels: `(B, K + 16)`, logits and
                then the positions that the stage corrects.
            visibility: `(B, 8)` logits.
    """
    # ---- Inputs ----
    crops = keras.Input((config.crop_size, config.crop_size, 3), name="crops")
    features = build_backbone_of(config, config.crop_size, (5,), pretrained=pretrained)(crops)

    # ---- Body ----
    image, units = flattened(features["P5"], "c5"), hidden_units(config)
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

    # ---- Named outputs ----
    outputs = {
        "stage_1": as_points(positions_1, "stage_1"),
        "stage_1_pseudo_labels": _named(labels_1, "stage_1_pseudo_labels"),
        "stage_2": as_points(positions_2, "stage_2"),
        "stage_2_pseudo_labels": _joined([labels_2, tf.stop_gradient(positions_1)], "stage_2_pseudo_labels"),
    }
    corrected = before[0]
    for name, (positions, labels, _) in branches.items():
        points = [as_points(positions, f"stage_3_{name}_points"), as_points(corrected, f"stage_3_{name}_corrected")]
        outputs[f"stage_3_{name}"] = _joined(points, f"stage_3_{name}")
        outputs[f"stage_3_{name}_pseudo_labels"] = _joined([labels, corrected], f"stage_3_{name}_pseudo_labels")
    outputs["visibility"] = keras.layers.Average(dtype="float32", name="visibility")(seen)
    return keras.Model(crops, outputs, name="dfa")


def prediction_names(config: KeypointConfig) -> tuple[str, ...]:
    """Return the names of the outputs that inference reads; the others only train."""
    return (*(f"stage_3_{name}" for name in BRANCHES), "visibility")


def decode_outputs(outputs: dict, config: KeypointConfig):
    """Turn the outputs that `prediction_names` names into keypoints.

    Returns:
        keypoints_xy_crop: float32 `(B, 8, 2)`, crop pixels.
        scores: float32 `(B, 8)`, in [0, 1].
    """
    branches = [outputs[f"stage_3_{name}"][..., :2] for name in BRANCHES]
    return decode_points(sum(branches) / len(branches), outputs["visibility"], config)


def _frozen(positions, logits):
    """Return what a stage hands to the next one: positions `(B, 16)` and pseudo-labels `(B, K)`, without gradient."""
    return tf.stop_gradient(positions), tf.stop_gradient(tf.nn.softmax(logits))


def _stage_input(image, before, config, name):
    """Return one stage's view of the image beside what the stage before it said."""
    seen = normalised_dense(image, hidden_units(config), f"{name}_hidden_1")
    said = keras.layers.Concatenate(name=f"{name}_before")(list(before))
    said = normalised_dense(said, 2 * config.width, f"{name}_before_hidden")
    return keras.layers.Concatenate(name=f"{name}_input")([seen, said])


def _corrections(x, before, config, name):
    """Return corrected positions `(B, 16)`, pseudo-labels' logits `(B, K)` and the hidden layer they come from."""
    x = normalised_dense(x, hidden_units(config), f"{name}_hidden_2")
    offsets = small_dense(x, 2 * NUM_KEYPOINTS, f"{name}_regression")
    return before[0] + OFFSET_UNIT * offsets, small_dense(x, NUM_PSEUDO_LABELS, f"{name}_logits"), x


def _named(x, name):
    return keras.layers.Activation("linear", dtype="float32", name=name)(x)


def _joined(parts, name):
    return keras.layers.Concatenate(dtype="float32", name=name)(parts)
