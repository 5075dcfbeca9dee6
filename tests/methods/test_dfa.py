"""The cascaded regression: outputs, which stage corrects and teaches which, and what it exports to."""

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.methods.dfa import NUM_PSEUDO_LABELS, Method, pseudo_label_centres
from tests.methods import checks

CONFIG = checks.tiny_config("dfa")


@pytest.fixture(scope="module")
def trained():
    random = np.random.default_rng(2)
    centres = pseudo_label_centres(random.uniform(0, 1, (100, 8, 2)), np.ones((100, 8)), NUM_PSEUDO_LABELS, seed=1)
    return checks.train(CONFIG, centres)


def test_gives_each_stages_positions_and_pseudo_labels(trained):
    shapes = {name: tuple(value.shape) for name, value in trained.model.output.items()}
    assert shapes == {
        "stage_1": (None, 8, 2),
        "stage_1_pseudo_labels": (None, 20),
        "stage_2": (None, 8, 2),
        "stage_2_pseudo_labels": (None, 20 + 16),
        "stage_3_easy": (None, 8, 4),
        "stage_3_easy_pseudo_labels": (None, 20 + 16),
        "stage_3_hard": (None, 8, 4),
        "stage_3_hard_pseudo_labels": (None, 20 + 16),
        "visibility": (None, 8),
    }
    assert Method(CONFIG).prediction_outputs == ("stage_3_easy", "stage_3_hard", "visibility")


def test_points_at_the_crops_centre_before_training(trained):
    keypoints, scores = Method(CONFIG).decode(trained.untrained_outputs)
    np.testing.assert_allclose(keypoints, np.full((4, 8, 2), 31.5), atol=1.5)
    np.testing.assert_allclose(scores, np.full((4, 8), 0.5), atol=0.05)


def test_decodes_the_mean_of_the_branches_by_hand():
    easy, hard = np.zeros((1, 8, 4), np.float32), np.zeros((1, 8, 4), np.float32)
    easy[0, 1], hard[0, 1] = [0.25, 0.5, 9, 9], [0.75, 1.0, 9, 9]
    outputs = {"stage_3_easy": tf.constant(easy), "stage_3_hard": tf.constant(hard), "visibility": tf.zeros((1, 8))}
    keypoints, scores = Method(CONFIG).decode(outputs)
    # (0.25 + 0.75) / 2 and (0.5 + 1) / 2 of 64 pixels; what stands behind the positions is for the loss.
    np.testing.assert_allclose(keypoints[0, :2], [[-0.5, -0.5], [31.5, 47.5]], atol=1e-5)
    np.testing.assert_allclose(scores, np.full((1, 8), 0.5))


def test_outputs_carry_the_positions_that_the_stage_corrects(trained):
    outputs = trained.model(checks.crops_and_targets()[0])
    flat = {name: np.reshape(value, (4, -1)) for name, value in outputs.items()}
    np.testing.assert_array_equal(flat["stage_2_pseudo_labels"][:, 20:], flat["stage_1"])
    for branch in ("easy", "hard"):
        np.testing.assert_array_equal(outputs[f"stage_3_{branch}"][..., 2:], outputs["stage_2"])
        np.testing.assert_array_equal(flat[f"stage_3_{branch}_pseudo_labels"][:, 20:], flat["stage_2"])


def reached_layers(model, name):
    """Return the first words of the names of the layers with fully connected weights that an output teaches."""
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(tf.square(model(checks.crops_and_targets()[0], training=True)[name]))
    weights = model.trainable_weights
    gradients = tape.gradient(value, weights)
    reached = {w.name.split("/")[0] for w, g in zip(weights, gradients, strict=True) if g is not None}
    own = {layer.name for layer in model.layers}
    stages = {name[: name.index("_", 6)] for name in reached if name in own and name.startswith("stage_")}
    return stages, bool(reached - own)


@pytest.mark.parametrize(
    "name, stages",
    [
        ("stage_1", {"stage_1"}),
        ("stage_1_pseudo_labels", {"stage_1"}),
        ("stage_2", {"stage_2"}),
        ("stage_2_pseudo_labels", {"stage_2"}),
        ("stage_3_easy", {"stage_3"}),
        ("stage_3_hard_pseudo_labels", {"stage_3"}),
    ],
)
def test_a_stage_teaches_itself_and_the_backbone_alone(trained, name, stages):
    reached, reaches_backbone = reached_layers(trained.model, name)
    # "stage_3" stands for the stage's own layers and for its branches.
    assert {stage[:7] for stage in reached} == stages
    assert reaches_backbone


def test_a_stage_reads_the_positions_and_pseudo_labels_before_it(trained):
    assert trained.model.get_layer("stage_2_before").output_shape == (None, 16 + 20)
    assert trained.model.get_layer("stage_3_before").output_shape == (None, 16 + 20)
    assert trained.model.get_layer("stage_2_before_hidden").units == 2 * CONFIG.width


class TestDfa(checks.Checks):
    pass
