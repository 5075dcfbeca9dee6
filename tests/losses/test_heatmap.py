"""Losses against their formulas: how much, over which keypoints, and no gradient for the others."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cspn_tf import heatmaps
from cspn_tf.losses.heatmap import HeatmapLoss, mean_over_hardest, mean_over_labelled

CROP, STRIDE, SIGMA, SIZE = 32, 4, 1.5, 8
ALL = np.ones((1, 8), np.float32)


def targets(weights=ALL, seed=1):
    """Return keypoints inside the crop with weights, float32 `(B, 8, 3)`."""
    weights = np.asarray(weights, np.float32)
    points = np.random.default_rng(seed).uniform(2, CROP - 2, (*weights.shape, 2))
    return np.concatenate([points, weights[..., None]], axis=-1).astype(np.float32)


def drawn(y_true):
    """Return the heatmaps of targets, as the codec draws them."""
    return heatmaps.encode(tf.constant(y_true[..., :2]), CROP, STRIDE, SIGMA).numpy()


def off_by(y_true, *offsets):
    """Return the right heatmaps, each raised by so much: a squared error of offset**2 at every pixel."""
    return drawn(y_true) + np.asarray(offsets, np.float32)


def loss_of(num_hard=None):
    return HeatmapLoss(CROP, STRIDE, SIGMA, num_hard=num_hard)


# Errors of keypoints -------------------------------------------------------------------------------------------------


def test_mean_over_labelled_by_hand():
    errors = tf.constant([[1.0, 2.0, 6.0, 100.0], [4.0, 4.0, 4.0, 4.0], [9.0, 9.0, 9.0, 9.0]])
    weights = tf.constant([[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    # (1 + 2 + 6) / 3, 4 / 1, and no labels.
    np.testing.assert_allclose(mean_over_labelled(errors, weights), [3.0, 4.0, 0.0])


@pytest.mark.parametrize("num_hard, mean", [(1, 8.0), (2, 7.0), (3, 5.0), (4, 4.0)])
def test_mean_over_hardest_by_hand(num_hard, mean):
    errors = tf.constant([[1.0, 8.0, 100.0, 1.0, 6.0]])
    weights = tf.constant([[1.0, 1.0, 0.0, 1.0, 1.0]])
    # 8, (8 + 6) / 2, (8 + 6 + 1) / 3, (8 + 6 + 1 + 1) / 4; the 100 is nobody's label.
    np.testing.assert_allclose(mean_over_hardest(errors, weights, num_hard), [mean])


def test_mean_over_hardest_of_fewer_labels_is_over_those():
    errors = tf.constant([[5.0, 3.0, 100.0, 100.0], [2.0, 100.0, 100.0, 100.0], [7.0, 7.0, 7.0, 7.0]])
    weights = tf.constant([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    # (5 + 3) / 2 although three are asked for, 2 / 1, and no labels.
    np.testing.assert_allclose(mean_over_hardest(errors, weights, 3), [4.0, 2.0, 0.0])


def test_mean_over_hardest_counts_labelled_keypoints_without_error():
    # The two labelled ones, 0 and 6, are kept before the one without a label, wherever it stands.
    errors, weights = tf.constant([[9.0, 0.0, 6.0], [0.0, 9.0, 6.0]]), tf.constant([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])
    np.testing.assert_allclose(mean_over_hardest(errors, weights, 2), [3.0, 3.0])


def test_hardest_of_all_is_the_mean_over_labelled():
    random = np.random.default_rng(1)
    errors = tf.constant(random.uniform(0, 1, (20, 8)), tf.float32)
    weights = tf.constant(random.integers(0, 2, (20, 8)), tf.float32)
    np.testing.assert_allclose(mean_over_hardest(errors, weights, 8), mean_over_labelled(errors, weights), rtol=1e-6)


# The loss of a stage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_hard", [None, 4])
def test_loss_is_zero_at_perfect(num_hard):
    y_true = targets(np.ones((3, 8)))
    assert float(loss_of(num_hard)(y_true, drawn(y_true))) == 0.0


def test_loss_is_that_of_the_codecs_heatmaps():
    y_true = targets(np.ones((2, 8)))
    pred = np.random.default_rng(2).uniform(0, 1, (2, SIZE, SIZE, 8)).astype(np.float32)
    expected = np.mean((drawn(y_true) - pred) ** 2)
    assert float(loss_of()(y_true, pred)) == pytest.approx(expected, rel=1e-5)


def test_equation_1_is_the_mean_over_all_labelled_keypoints():
    y_true = targets([[1, 1, 1, 1, 0, 0, 1, 1]])
    pred = off_by(y_true, 1, 2, 3, 4, 50, 50, 5, 6)
    # (1 + 4 + 9 + 16 + 25 + 36) / 6
    assert float(loss_of()(y_true, pred)) == pytest.approx(91 / 6, rel=1e-5)


def test_equation_2_is_the_mean_over_the_4_worst():
    y_true = targets([[1, 1, 1, 1, 0, 0, 1, 1]])
    pred = off_by(y_true, 1, 2, 3, 4, 50, 50, 5, 6)
    # (9 + 16 + 25 + 36) / 4
    assert float(loss_of(4)(y_true, pred)) == pytest.approx(86 / 4, rel=1e-5)


def test_the_worst_are_chosen_in_each_garment_apart():
    y_true = targets(np.ones((2, 8)))
    offsets = np.array([[1, 1, 1, 1, 1, 1, 1, 9], [2, 2, 2, 2, 0, 0, 0, 0]], np.float32)
    pred = drawn(y_true) + offsets[:, None, None, :]
    # ((81 + 1 + 1 + 1) / 4 + (4 + 4 + 4 + 4) / 4) / 2
    assert float(loss_of(4)(y_true, pred)) == pytest.approx((21 + 4) / 2, rel=1e-5)


def test_occluded_keypoints_count_as_visible_ones_do():
    # Both have a label, so both have a weight of 1: nothing else is known of them here.
    y_true = targets([[1, 1, 0, 0, 0, 0, 0, 0]])
    for offsets in [(2, 0, 9, 9, 9, 9, 9, 9), (0, 2, 9, 9, 9, 9, 9, 9)]:
        assert float(loss_of()(y_true, off_by(y_true, *offsets))) == pytest.approx(4 / 2, rel=1e-5)


@pytest.mark.parametrize("num_hard", [None, 4])
def test_garments_without_labels_count_in_the_batch_with_zero(num_hard):
    y_true = targets([[1] * 8, [0] * 8])
    pred = drawn(y_true) + 3
    # (9 + 0) / 2: the denominator is B.
    assert float(loss_of(num_hard)(y_true, pred)) == pytest.approx(4.5, rel=1e-5)
    assert float(loss_of(num_hard)(y_true[1:], pred[1:])) == 0.0


@pytest.mark.parametrize("num_hard", [None, 4])
def test_where_an_unlabelled_keypoint_lies_does_not_matter(num_hard):
    y_true = targets([[1, 1, 1, 1, 1, 1, 0, 0]])
    pred = np.random.default_rng(2).uniform(0, 1, (1, SIZE, SIZE, 8)).astype(np.float32)
    moved = y_true.copy()
    moved[0, 6:, :2] = [[-1000, 5000], [0, 0]]
    assert float(loss_of(num_hard)(moved, pred)) == float(loss_of(num_hard)(y_true, pred))


def gradient_reach(num_hard, weights, offsets):
    """Return for each keypoint whether its heatmap receives any gradient, and whether all of it is a number."""
    y_true = targets([weights])
    pred = tf.Variable(off_by(y_true, *offsets))
    with tf.GradientTape() as tape:
        value = loss_of(num_hard)(y_true, pred)
    gradient = tape.gradient(value, pred).numpy()
    assert np.isfinite(gradient).all()
    return np.abs(gradient).max(axis=(0, 1, 2)) > 0


def test_equation_1_gives_no_gradient_where_masked():
    reached = gradient_reach(None, [1, 0, 1, 1, 0, 0, 1, 1], range(1, 9))
    np.testing.assert_array_equal(reached, [True, False, True, True, False, False, True, True])


def test_equation_2_gives_gradient_to_the_4_worst_labelled_alone():
    # The worst labelled are those off by 8, 7, 5 and 4; 6 has no label.
    reached = gradient_reach(4, [1, 1, 1, 1, 1, 0, 1, 1], [1, 2, 3, 4, 5, 6, 7, 8])
    np.testing.assert_array_equal(reached, [False, False, False, True, True, False, True, True])


@pytest.mark.parametrize("num_hard", [None, 4])
def test_no_labels_give_no_gradient(num_hard):
    assert not gradient_reach(num_hard, [0] * 8, range(1, 9)).any()


def test_gradient_by_hand():
    y_true = targets([[1, 1, 0, 0, 0, 0, 0, 0]])
    pred = tf.Variable(off_by(y_true, 3, -1, 5, 5, 5, 5, 5, 5))
    with tf.GradientTape() as tape:
        value = loss_of()(y_true, pred)
    # d/dp of (p - t)^2 / (H * H) / 2 labels: 2 * 3 / 64 / 2 and 2 * -1 / 64 / 2.
    np.testing.assert_allclose(tape.gradient(value, pred)[0, 3, 4, :3], [3 / 64, -1 / 64, 0], rtol=1e-4)


def test_half_precision_heatmaps_are_compared_in_full():
    y_true = targets()
    pred = tf.cast(off_by(y_true, *[0.5] * 8), tf.float16)
    value = loss_of()(y_true, pred)
    assert value.dtype == tf.float32
    assert float(value) == pytest.approx(0.25, rel=2e-3)


# Keras ---------------------------------------------------------------------------------------------------------------


def test_losses_are_the_same_in_fit():
    by_stage = {"stage_1": loss_of(), "stage_2": loss_of(3), "stage_3": loss_of(3)}
    y_true = targets(np.random.default_rng(3).integers(0, 2, (6, 8)))
    pred = np.random.default_rng(4).uniform(0, 1, (6, SIZE, SIZE, 8)).astype(np.float32)
    maps = keras.Input((SIZE, SIZE, 8))
    factors = {"stage_1": 1.0, "stage_2": 2.0, "stage_3": -1.0}
    outputs = {name: keras.layers.Rescaling(factor, name=name)(maps) for name, factor in factors.items()}
    model = keras.Model(maps, outputs)
    model.compile("sgd", loss=by_stage)
    dataset = tf.data.Dataset.from_tensor_slices((pred, dict.fromkeys(by_stage, y_true))).batch(3)
    history = model.fit(dataset, epochs=1, verbose=0).history
    eager = {name: float(loss(y_true, factors[name] * pred)) for name, loss in by_stage.items()}
    for name, value in eager.items():
        assert history[f"{name}_loss"][0] == pytest.approx(value, rel=1e-5)
    assert history["loss"][0] == pytest.approx(sum(eager.values()), rel=1e-5)


def test_each_keypoint_may_have_a_gaussian_of_its_own():
    y_true = targets()
    sigmas = tuple(np.linspace(0.8, 2.0, 8))
    loss = HeatmapLoss(CROP, STRIDE, sigmas)
    maps = heatmaps.encode(tf.constant(y_true[..., :2]), CROP, STRIDE, sigmas)
    assert float(loss(y_true, maps)) == 0.0
    for slot, sigma in enumerate(sigmas):
        alone = heatmaps.encode(tf.constant(y_true[..., :2]), CROP, STRIDE, sigma)
        np.testing.assert_allclose(maps[..., slot], alone[..., slot], rtol=1e-6)
