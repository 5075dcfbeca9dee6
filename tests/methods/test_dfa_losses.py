"""DFA's losses: centres that are found again, pseudo-labels by hand, and garments sent where they belong."""

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.config import KeypointConfig
from cspn_tf.losses.regression import CoordinateLoss
from cspn_tf.losses.visibility import VisibilityLoss
from cspn_tf.methods.dfa import (
    Method,
    PseudoLabelLoss,
    RoutedCoordinateLoss,
    masked_distances,
    masked_k_means,
    pseudo_label_centres,
    routing,
    soft_assignments,
    unit_patterns,
)

CROP = 64
ALL = np.ones((1, 8), np.float32)
FIRST_TWO = np.array([[1, 1, 0, 0, 0, 0, 0, 0]], np.float32)


def at(x, y):
    """Return a configuration with all keypoints at one place, `(8, 2)`."""
    return np.tile(np.array([x, y], np.float32), (8, 1))


def targets(*rows):
    """Return targets of configurations and weights, shares of the crop, float32 `(B, 8, 4)`."""
    points = np.stack([geometry.unit_to_crop(configuration, CROP) for configuration, _ in rows])
    weights = np.stack([np.broadcast_to(weights, 8) for _, weights in rows])[..., None]
    return np.concatenate([points, weights, 2 * weights], axis=-1).astype(np.float32)


# Centres -------------------------------------------------------------------------------------------------------------


def two_groups(num=30):
    """Return configurations around two places, every other of the second without its last four keypoints."""
    random = np.random.default_rng(0)
    first = at(0.2, 0.3) + random.normal(0, 0.01, (num, 8, 2))
    second = at(0.7, 0.6) + random.normal(0, 0.01, (num, 8, 2))
    weights = np.ones((2 * num, 8))
    weights[num::2, 4:] = 0
    return np.concatenate([first, second]), weights


def sorted_by_x(centres):
    return centres[np.argsort(centres[:, 0, 0])]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_k_means_finds_two_groups_as_the_means_of_their_labelled_keypoints(seed):
    values, weights = two_groups()
    centres = sorted_by_x(masked_k_means(values * weights[..., None], weights, 2, seed))
    np.testing.assert_allclose(centres[0], values[:30].mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(centres[1, :4], values[30:, :4].mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(centres[1, 4:], values[31::2, 4:].mean(axis=0), atol=1e-9)


def test_keypoints_that_a_group_has_not_are_at_the_mean_of_all():
    values, weights = two_groups()
    weights[30:, 4:] = 0
    weights[:, 7] = 0
    centres = sorted_by_x(masked_k_means(values * weights[..., None], weights, 2, 0))
    np.testing.assert_allclose(centres[1, 4:7], values[:30, 4:7].mean(axis=0), atol=1e-9)
    # And where nobody has it.
    np.testing.assert_array_equal(centres[:, 7], np.zeros((2, 2)))


def test_fewer_garments_than_centres_give_some_centres_twice():
    values = np.stack([at(0.2, 0.2), at(0.8, 0.8)]).astype(float)
    centres = masked_k_means(values, np.ones((2, 8)), 5, 0)
    assert centres.shape == (5, 8, 2)
    assert {tuple(centre[0]) for centre in np.round(centres, 6)} == {(0.2, 0.2), (0.8, 0.8)}


def test_centres_are_the_same_again_and_others_with_another_seed():
    random = np.random.default_rng(1)
    values, weights = random.uniform(0, 1, (200, 8, 2)), random.integers(0, 2, (200, 8))
    centres = pseudo_label_centres(values, weights, 6, seed=1)
    assert centres.shape == (2, 6, 8, 2) and centres.dtype == np.float32
    np.testing.assert_array_equal(centres, pseudo_label_centres(values, weights, 6, seed=1))
    assert np.abs(centres - pseudo_label_centres(values, weights, 6, seed=2)).max() > 1e-3


def test_centres_do_not_know_what_is_not_labelled():
    random = np.random.default_rng(1)
    values, weights = random.uniform(0, 1, (50, 8, 2)), random.integers(0, 2, (50, 8))
    weights[7] = 0
    wild = np.where(weights[..., None] > 0, values, random.choice([1e9, np.nan], (50, 8, 2)))
    kept = weights.sum(axis=1) > 0
    expected = pseudo_label_centres(values[kept], weights[kept], 4, seed=3)
    np.testing.assert_array_equal(pseudo_label_centres(wild, weights, 4, seed=3), expected)


def test_patterns_are_what_the_nearest_configuration_leaves():
    # Around each of two configurations, garments lie to either side: of one by 0.1, of the other by 0.02.
    sides = [at(0.2 - 0.1, 0.5), at(0.2 + 0.1, 0.5), at(0.8 - 0.02, 0.5), at(0.8 + 0.02, 0.5)]
    configurations, patterns = pseudo_label_centres(np.stack(sides * 5), np.ones((20, 8)), 2, seed=0)
    np.testing.assert_allclose(sorted_by_x(configurations), np.stack([at(0.2, 0.5), at(0.8, 0.5)]), atol=1e-6)
    # Left and right, whatever the distance.
    np.testing.assert_allclose(sorted_by_x(patterns), np.stack([at(-1, 0), at(1, 0)]), atol=1e-5)


def test_there_are_no_patterns_where_configurations_fit_exactly():
    configurations = np.stack([at(0.2, 0.5), at(0.8, 0.5)] * 5)
    np.testing.assert_array_equal(pseudo_label_centres(configurations, np.ones((10, 8)), 2, seed=0)[1], 0)


def test_centres_want_a_label():
    with pytest.raises(ValueError, match="received 3 garments without labels"):
        pseudo_label_centres(np.zeros((3, 8, 2)), np.zeros((3, 8)), 2, seed=0)


# Pseudo-labels -------------------------------------------------------------------------------------------------------


def test_distance_by_hand():
    values = np.stack([at(0, 0)])
    values[0, :2] = [[0.3, 0.4], [0.0, 0.1]]
    # Root of (0.25 + 0.01) / 2 over the two that are labelled; the others lie anywhere.
    values[0, 2:] = 77.0
    distances = masked_distances(tf.constant(values), tf.constant(FIRST_TWO), tf.constant(np.stack([at(0, 0)])))
    np.testing.assert_allclose(distances, [[0.13**0.5]], rtol=1e-5)
    none = masked_distances(tf.constant(values), tf.zeros((1, 8)), tf.constant(np.stack([at(0, 0)])))
    np.testing.assert_array_equal(none, [[0.0]])


def test_pseudo_label_by_hand():
    centres = tf.constant(np.stack([at(0.5, 0.5), at(0.5, 0.6), at(0.8, 0.5)]))
    shares = soft_assignments(tf.constant(at(0.5, 0.5)[None]), tf.constant(ALL), centres, 0.1)
    # Distances 0, 0.1 and 0.3 at a temperature of 0.1: 1 : e^-1 : e^-3.
    expected = np.exp([0, -1, -3]) / np.exp([0, -1, -3]).sum()
    np.testing.assert_allclose(shares, [expected], rtol=1e-4)


def test_pattern_by_hand():
    offsets = np.zeros((3, 8, 2), np.float32)
    offsets[0, :2] = [[0.03, 0.0], [0.0, -0.01]]
    offsets[0, 2:] = 55.0
    offsets[1] = 1e-6
    offsets[2, :2] = [[0.3, 0.0], [0.0, -0.1]]
    patterns = unit_patterns(tf.constant(offsets), tf.constant(np.repeat(FIRST_TWO, 3, axis=0))).numpy()
    # The root of (0.0009 + 0.0001) / 2 is the unit. Ten times as far is the same pattern, next to nothing is none.
    np.testing.assert_allclose(patterns[0, :2], np.array([[3, 0], [0, -1]]) / 5**0.5, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(patterns[2], patterns[0], atol=1e-5)
    assert np.abs(patterns[0, 2:]).max() == 0 and np.abs(patterns[1]).max() == 0


CENTRES = np.stack([at(0.5, 0.5), at(0.5, 0.53), at(0.8, 0.5)])


def test_pseudo_label_loss_is_the_divergence_by_hand():
    y_true = targets((at(0.5, 0.5), 1.0))
    distances = np.array([0, 0.03, 0.3])
    true = np.exp(-distances / 0.03) / np.exp(-distances / 0.03).sum()
    predicted = np.array([0.5, 0.25, 0.25])
    expected = np.sum(true * np.log(true / predicted))
    logits = tf.constant(np.log(predicted)[None] + 7.0, tf.float32)
    assert float(PseudoLabelLoss(CROP, CENTRES)(y_true, logits)) == pytest.approx(expected, rel=1e-3)


def test_pseudo_label_loss_is_zero_at_perfect():
    random = np.random.default_rng(2)
    y_true = targets(*[(random.uniform(0, 1, (8, 2)), [1, 1, 0, 1, 1, 1, 1, 1]) for _ in range(3)])
    values = tf.constant(geometry.crop_to_unit(y_true[..., :2], CROP))
    true = soft_assignments(values, tf.constant(y_true[..., 2]), tf.constant(CENTRES), 0.03)
    assert float(PseudoLabelLoss(CROP, CENTRES)(y_true, tf.math.log(true))) == pytest.approx(0, abs=1e-5)


def test_pseudo_labels_of_garments_without_labels_cost_nothing():
    y_true = targets((at(0.5, 0.5), 1.0), (at(0.5, 0.5), 0.0))
    logits = tf.Variable(np.ones((2, 3), np.float32))
    with tf.GradientTape() as tape:
        each = PseudoLabelLoss(CROP, CENTRES).call(y_true, logits)
    assert float(each[0]) > 0 and float(each[1]) == 0
    assert np.abs(tape.gradient(each, logits).numpy()).max(axis=1).tolist() == pytest.approx(
        [np.abs(1 / 3 - np.exp([0, -1, -10]) / np.exp([0, -1, -10]).sum()).max(), 0.0], rel=1e-3
    )


PATTERNS = np.stack([at(1, 0), at(0, 1), at(-1, 0)])


def corrections(logits, corrected):
    """Return what a correcting stage's output of pseudo-labels holds, `(B, K + 16)`."""
    return tf.concat([tf.constant(logits, tf.float32), tf.reshape(tf.constant(corrected), [-1, 16])], axis=-1)


@pytest.mark.parametrize("reach", [0.2, 0.01])
def test_later_pseudo_labels_are_of_what_is_left_whatever_its_size(reach):
    y_true = targets((at(0.5, 0.5), 1.0))
    # The keypoints are right of where the stage before put them: pattern (1, 0).
    corrected = np.stack([at(0.5 - reach, 0.5)])
    true = np.exp(-np.array([0, 2**0.5, 2]) / 0.2)
    perfect = np.log(true / true.sum())[None]
    loss = PseudoLabelLoss(CROP, PATTERNS, corrects=True)
    assert float(loss(y_true, corrections(perfect, corrected))) == pytest.approx(0, abs=1e-3)
    assert float(loss(y_true, corrections(perfect[:, ::-1], corrected))) > 5


def test_pseudo_labels_do_not_teach_the_positions_they_are_told():
    y_true, corrected = targets((at(0.5, 0.5), 1.0)), np.stack([at(0.4, 0.5)])
    output = tf.Variable(corrections([[0.0, 0.0, 0.0]], corrected))
    with tf.GradientTape() as tape:
        value = PseudoLabelLoss(CROP, PATTERNS, corrects=True)(y_true, output)
    gradient = tape.gradient(value, output).numpy()
    assert np.abs(gradient[0, :3]).min() > 0 and np.abs(gradient[0, 3:]).max() == 0


# Routing -------------------------------------------------------------------------------------------------------------

# Where stage 2 puts four garments that lie at (0.5, 0.5), off by 0.1, 0.02, 0.4 and 0.04, and one without labels.
BEFORE = np.stack([at(0.6, 0.5), at(0.5, 0.52), at(0.5, 0.9), at(0.46, 0.5), at(0.0, 0.0)])
ROUTED = targets(*[(at(0.5, 0.5), weight) for weight in (1.0, 1.0, 1.0, 1.0, 0.0)])


def test_garments_further_off_than_the_mean_are_hard():
    # The mean is (0.1 + 0.02 + 0.4 + 0.04) / 4 = 0.14.
    routes = routing(ROUTED, tf.constant(BEFORE), CROP)
    np.testing.assert_array_equal(routes["hard"], [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(routes["easy"], [1, 1, 0, 1, 0])


def test_only_labelled_keypoints_tell_how_hard_a_garment_is():
    before, y_true = BEFORE.copy(), ROUTED.copy()
    y_true[1, 4:, 2] = 0
    before[1, 4:] = 99.0
    np.testing.assert_array_equal(routing(y_true, tf.constant(before), CROP)["hard"], [0, 0, 1, 0, 0])


def test_a_garment_alone_is_easy_and_one_without_labels_is_nobodys():
    assert float(routing(ROUTED[:1], tf.constant(BEFORE[:1]), CROP)["easy"][0]) == 1
    alone = routing(ROUTED[4:], tf.constant(BEFORE[4:]), CROP)
    assert float(alone["easy"][0]) == float(alone["hard"][0]) == 0


@pytest.mark.parametrize("branch, taught", [("easy", [1, 1, 0, 1, 0]), ("hard", [0, 0, 1, 0, 0])])
def test_a_branch_learns_its_own_garments_alone(branch, taught):
    positions = np.full((5, 8, 2), 0.7, np.float32)
    output = tf.Variable(np.concatenate([positions, BEFORE], axis=-1))
    with tf.GradientTape() as tape:
        each = RoutedCoordinateLoss(CROP, branch).call(ROUTED, output)
    # 0.2 off in both directions: 0.04 + 0.04.
    np.testing.assert_allclose(each, np.where(taught, 0.08, 0.0), rtol=1e-4)
    gradient = np.abs(tape.gradient(each, output).numpy())
    np.testing.assert_array_equal(gradient[..., :2].max(axis=(1, 2)) > 0, taught)
    assert gradient[..., 2:].max() == 0
    assert float(RoutedCoordinateLoss(CROP, branch)(ROUTED, output)) == pytest.approx(0.08 * sum(taught) / 5, rel=1e-4)


@pytest.mark.parametrize("branch", ["easy", "hard"])
def test_a_branchs_pseudo_labels_are_routed_as_its_positions(branch):
    output = corrections(np.zeros((5, 3)), BEFORE)
    every = PseudoLabelLoss(CROP, PATTERNS, corrects=True).call(ROUTED, output).numpy()
    routed = PseudoLabelLoss(CROP, PATTERNS, corrects=True, branch=branch).call(ROUTED, output).numpy()
    assert (every[:4] > 0).all()
    np.testing.assert_allclose(routed, every * routing(ROUTED, tf.constant(BEFORE), CROP)[branch], rtol=1e-6)


def test_each_output_has_its_loss():
    random = np.random.default_rng(0)
    centres = random.uniform(0, 1, (2, 5, 8, 2)).astype(np.float32)
    losses = Method(KeypointConfig(method="dfa", crop_size=CROP)).losses(centres)
    assert {name: type(loss) for name, (loss, _) in losses.items()} == {
        "stage_1": CoordinateLoss,
        "stage_1_pseudo_labels": PseudoLabelLoss,
        "stage_2": CoordinateLoss,
        "stage_2_pseudo_labels": PseudoLabelLoss,
        "stage_3_easy": RoutedCoordinateLoss,
        "stage_3_easy_pseudo_labels": PseudoLabelLoss,
        "stage_3_hard": RoutedCoordinateLoss,
        "stage_3_hard_pseudo_labels": PseudoLabelLoss,
        "visibility": VisibilityLoss,
    }
    np.testing.assert_array_equal(losses["stage_1_pseudo_labels"][0].centres, centres[0])
    for name in ("stage_2", "stage_3_easy", "stage_3_hard"):
        loss = losses[f"{name}_pseudo_labels"][0]
        np.testing.assert_array_equal(loss.centres, centres[1])
        assert loss.corrects and loss.branch == (name[8:] or None)
    assert [losses[f"stage_3_{branch}"][0].branch for branch in ("easy", "hard")] == ["easy", "hard"]


def test_losses_want_centres():
    with pytest.raises(ValueError, match=r"must be the centres of .*; received None"):
        Method(KeypointConfig(method="dfa")).losses()
