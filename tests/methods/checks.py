"""What the tests of the methods share: a small network of each, and its training."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.config import preset
from cspn_tf.losses.heatmap import HeatmapLoss
from cspn_tf.methods import method_of
from cspn_tf.train.task import create_training_variables

TINY = dataclasses.replace(preset("tiny").keypoints, crop_size=64, width=8, type_head=False)


def tiny_config(method, **changes):
    return dataclasses.replace(TINY, method=method, **changes)


def crops_and_targets():
    """Return 4 fixed crops of noise, and their targets, as `cspn_tf.losses` describes them, two without a label."""
    random = np.random.default_rng(0)
    crops = random.uniform(0, 255, (4, 64, 64, 3)).astype("float32")
    points = random.uniform(4, 60, (4, 8, 2))
    targets = np.concatenate([points, np.ones((4, 8, 1)), np.full((4, 8, 1), 2.0)], axis=-1).astype("float32")
    targets[0, 4:6] = 0.0
    return crops, targets


@dataclasses.dataclass
class Trained:
    """A network before and after some dozen steps on the 4 crops."""

    model: keras.Model
    config: object
    untrained_outputs: dict  # in inference, name to array
    loss_functions: dict  # what the method's `losses` returns
    losses: list  # of every step
    unreached: list  # names of weights that no gradient reached after the training


def train(config, label_statistics=None, steps=30):
    """Build the network of a config's method and train it.

    Args:
        config: the config.
        label_statistics: what the method's losses take.
        steps: how many.
    """
    keras.utils.set_random_seed(1)
    method = method_of(config)
    model, losses = method.build(), method.losses(label_statistics)
    crops, targets = crops_and_targets()
    untrained = {name: value.numpy() for name, value in model(crops).items()}
    model.compile(
        keras.optimizers.Adam(3e-3),
        loss={name: loss for name, (loss, _) in losses.items()},
        loss_weights={name: weight for name, (_, weight) in losses.items()},
    )
    create_training_variables(model)
    values = [
        model.train_on_batch(crops, dict.fromkeys(losses, targets), return_dict=True)["loss"] for _ in range(steps)
    ]
    with tf.GradientTape() as tape:
        outputs = model(crops, training=True)
        total = sum(weight * loss(targets, outputs[name]) for name, (loss, weight) in losses.items())
    gradients = tape.gradient(total, model.trainable_weights)
    unreached = [
        weight.name
        for weight, gradient in zip(model.trainable_weights, gradients, strict=True)
        if gradient is None or not np.isfinite(gradient).all() or not np.abs(gradient).max() > 0
    ]
    return Trained(model, config, untrained, losses, values, unreached)


def network_in_mixed_precision(config):
    """Build a fresh network that computes in bfloat16; its weights are float32."""
    keras.utils.set_random_seed(4)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        return method_of(config).build()
    finally:
        keras.mixed_precision.set_global_policy("float32")


def check_interface(method, model, losses):
    """Check a network's name, losses and decoding against what `KeypointMethod` promises."""
    assert model.name == method.name and set(losses) == set(model.output)
    assert all(isinstance(loss, keras.losses.Loss) and weight > 0 for loss, weight in losses.values())
    prediction = method.prediction_network(model)
    assert set(prediction.output) == set(method.prediction_outputs) <= set(model.output)
    keypoints_xy, scores = method.decode(prediction(crops_and_targets()[0]))
    assert keypoints_xy.shape == (4, 8, 2) and scores.shape == (4, 8)
    assert (scores >= 0).numpy().all() and (scores <= 1).numpy().all()


def check_weights_survive_a_file(model, other, path):
    """Save a network's weights, load them into a fresh one, and compare the two."""
    model.save_weights(path)
    before = other.get_weights()
    other.load_weights(path)
    after = other.get_weights()
    for loaded, saved in zip(after, model.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, saved)
    assert any(np.abs(loaded - random).max() > 1e-3 for loaded, random in zip(after, before, strict=True))


def predict(trained):
    """Return a function of crops that gives keypoints and scores, through what inference reads alone."""
    method = method_of(trained.config)
    network = method.prediction_network(trained.model)
    return lambda crops: method.decode(network(crops, training=False))


def check_tflite_agrees(trained, run_tflite):
    """Compare a network and its decoding with what TensorFlow Lite's builtin ops make of them."""
    crop = crops_and_targets()[0][:1]
    function = predict(trained)
    converted = {value.shape: value for value in run_tflite(function, crop)}
    for value in function(crop):
        # Half a hundredth of a pixel, and of a score.
        np.testing.assert_allclose(converted[tuple(value.shape)], value, atol=5e-3)


class Checks:
    """Tests that each method's own class inherits; it needs the fixture `trained` of its file.

    Attributes:
        falls_to: the loss that learning 4 crops by heart must reach, over the first one.
    """

    falls_to = 0.1

    def test_is_what_training_and_inference_expect_of_a_method(self, trained):
        check_interface(method_of(trained.config), trained.model, trained.loss_functions)

    def test_learns_four_crops_by_heart(self, trained):
        assert trained.losses[-1] < self.falls_to * trained.losses[0]

    def test_gradient_reaches_every_weight(self, trained):
        assert trained.unreached == []

    @pytest.fixture(scope="class")
    def narrow(self, trained):
        return network_in_mixed_precision(trained.config)

    def test_outputs_stay_float32_in_mixed_precision(self, narrow):
        assert "bfloat16" in {layer.compute_dtype for layer in narrow.layers}
        assert {value.dtype for value in narrow(crops_and_targets()[0]).values()} == {tf.float32}

    def test_weights_survive_a_file(self, trained, narrow, tmp_path):
        check_weights_survive_a_file(trained.model, narrow, tmp_path / "a.weights.h5")

    def test_tflite_gives_the_same_keypoints(self, trained, run_tflite):
        check_tflite_agrees(trained, run_tflite)


class HeatmapChecks(Checks):
    """The same for a `RefinedHeatmaps`."""

    falls_to = 0.4

    def test_each_heatmap_is_compared_with_the_codecs(self, trained):
        changes = {"crop_size": 96, "heatmap_sigma": 2.0, "sigma_factors": (1.0,) * 7 + (1.5,)}
        losses = method_of(dataclasses.replace(trained.config, **changes)).losses()
        assert set(losses) == set(trained.model.output)
        for loss, weight in losses.values():
            assert isinstance(loss, HeatmapLoss) and weight == 1.0
            assert (loss.crop_size, loss.stride, loss.num_hard) == (96, 4, None)
            assert tuple(loss.sigma) == (2.0,) * 7 + (3.0,)

    def test_decodes_a_heatmap_by_hand(self, trained):
        maps = np.zeros((1, 16, 16, 8), np.float32)
        maps[0, 3, 5, 2], maps[0, 3, 6, 2] = 0.75, 0.5
        none = dataclasses.replace(trained.config, subpixel="none")
        keypoints, scores = method_of(none).decode({"heatmaps": tf.constant(maps)})
        # Column 5 and row 3 at stride 4: (5 + 0.5) * 4 - 0.5 and (3 + 0.5) * 4 - 0.5.
        np.testing.assert_allclose(keypoints[0, 2], [21.5, 13.5], atol=1e-5)
        np.testing.assert_allclose(scores[0], [0, 0, 0.75, 0, 0, 0, 0, 0])
        refined, _ = method_of(trained.config).decode({"heatmaps": tf.constant(maps)})
        assert refined[0, 2, 0] > 22
