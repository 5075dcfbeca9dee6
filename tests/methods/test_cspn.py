"""The cascade: outputs, what each stage reads, and the network without training's heads."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.config import preset
from cspn_tf.losses.heatmap import HeatmapLoss
from cspn_tf.losses.offsets import OffsetLoss
from cspn_tf.losses.visibility import VisibilityLoss
from cspn_tf.methods.cspn import Method
from tests.methods import checks

TINY = checks.TINY


@pytest.fixture(scope="module")
def four_stages():
    keras.utils.set_random_seed(3)
    return Method(TINY).build()


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")


@pytest.fixture(scope="module")
def narrow():
    return checks.network_in_mixed_precision(TINY)


def inputs_of_stage(model, stage):
    """Return what a stage reads of what is not its own: names of layers, or "C<l>" for the backbone's levels."""
    (backbone,) = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    level_of_side = {map_.shape[1]: f"C{level[1:]}" for level, map_ in backbone.output.items()}
    found = set()
    for layer in model.layers:
        if not layer.name.startswith(f"stage_{stage}"):
            continue
        for tensor in tf.nest.flatten(layer.input):
            source = tensor.node.layer
            if source is backbone:
                found.add(level_of_side[tensor.shape[1]])
            elif not source.name.startswith(f"stage_{stage}"):
                found.add(source.name)
    return found


def maps_of(stage):
    return {f"stage_{stage}_p{level}_smooth_activation" for level in (2, 3, 4)}


# Outputs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, crop, heatmap", [("tiny", 96, 24), ("mobile", 192, 48), ("base", 256, 64)])
def test_presets_have_four_stages_of_heatmaps(name, crop, heatmap):
    config = preset(name).keypoints
    assert config.crop_size == crop
    # In place of the backbone, whose own tests have its shapes.
    features = {f"P{level}": keras.Input((crop >> level, crop >> level, 5)) for level in Method.levels}
    outputs = Method(config).outputs(features)
    shapes = {key: tuple(map_.shape) for key, map_ in outputs.items()}
    assert shapes.pop("visibility", None) == ((None, 8) if name in ("mobile", "base") else None)
    assert shapes.pop("garment_type", None) == (None if name == "paper" else (None, 3))
    assert shapes == {f"stage_{stage}": (None, heatmap, heatmap, 8) for stage in (1, 2, 3, 4)}
    assert list(shapes) == list(config.stage_names)


def test_paper_preset_has_the_paper_s_maps():
    model = Method(preset("paper").keypoints).build()
    assert model.input_shape == (None, 1024, 1024, 3)
    assert {tuple(map_.shape) for map_ in model.output.values()} == {(None, 256, 256, 8)}
    (backbone,) = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    assert backbone.name == "resnet101" and backbone.output["P5"].shape[1:] == (32, 32, 2048)
    for stage in (1, 2, 3, 4):
        sides = {
            level: model.get_layer(f"stage_{stage}_p{level}_smooth_activation").output_shape for level in (4, 3, 2)
        }
        assert sides == {level: (None, side, side, 256) for level, side in ((4, 64), (3, 128), (2, 256))}
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]


def stages_of(model):
    """Return the numbers of the stages that a network's layers are named after."""
    return {layer.name.split("_")[1] for layer in model.layers if layer.name.startswith("stage_")}


def test_calls_give_float32_heatmaps_of_the_crop(four_stages, crops):
    outputs = four_stages(crops)
    assert list(outputs) == ["stage_1", "stage_2", "stage_3", "stage_4"]
    assert all(map_.shape == (2, 16, 16, 8) and map_.dtype == tf.float32 for map_ in outputs.values())
    assert all(np.isfinite(map_).all() and np.ptp(map_[0]) > 0 for map_ in outputs.values())
    # The first heatmaps are near zero, as almost all of a target is.
    assert max(np.abs(map_).max() for map_ in outputs.values()) < 0.5


def test_heatmaps_stay_float32_in_mixed_precision(narrow, crops):
    assert narrow.get_layer("stage_1_p2_smooth_conv").compute_dtype == "bfloat16"
    assert {heatmaps.dtype for heatmaps in narrow(crops).values()} == {tf.float32}


# What each stage reads -----------------------------------------------------------------------------------------------


def test_stages_read_the_stage_before_and_odd_ones_conv5():
    model = Method(dataclasses.replace(TINY, num_stages=5)).build()
    assert list(model.output) == [f"stage_{stage}" for stage in (1, 2, 3, 4, 5)]
    assert stages_of(model) == set("12345")
    assert inputs_of_stage(model, 1) == {"C2", "C3", "C4", "C5"}
    assert inputs_of_stage(model, 2) == maps_of(1)
    assert inputs_of_stage(model, 3) == maps_of(2) | {"C5"}
    assert inputs_of_stage(model, 4) == maps_of(3)
    assert inputs_of_stage(model, 5) == maps_of(4) | {"C5"}


def test_every_stage_learns_from_the_last_loss(four_stages, crops):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(four_stages(crops, training=True)["stage_4"] - 1.0))
    weights = {weight.name: weight for weight in four_stages.trainable_weights}
    gradients = dict(zip(weights, tape.gradient(loss, list(weights.values())), strict=True))
    for stage in (1, 2, 3, 4):
        for level in (4, 3, 2):
            gradient = gradients[f"stage_{stage}_p{level}_lateral_conv/kernel:0"]
            assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    assert gradients["stage_4_heatmaps/kernel:0"] is not None
    assert [gradients[f"stage_{stage}_heatmaps/kernel:0"] for stage in (1, 2, 3)] == [None] * 3


# Inference and files -------------------------------------------------------------------------------------------------


def test_prediction_is_the_last_output_without_the_other_heads(four_stages, crops):
    prediction = Method(TINY).prediction_network(four_stages)
    outputs = prediction(crops)
    assert list(outputs) == ["stage_4"]
    np.testing.assert_array_equal(outputs["stage_4"], four_stages(crops)["stage_4"])
    heads = 3 * (TINY.width * 8 + 8)
    assert prediction.count_params() == four_stages.count_params() - heads
    assert {weight.ref() for weight in prediction.weights} < {weight.ref() for weight in four_stages.weights}


def test_weights_survive_a_file(four_stages, narrow, tmp_path):
    checks.check_weights_survive_a_file(four_stages, narrow, tmp_path / "a.weights.h5")


def test_is_what_training_and_inference_expect_of_a_method(four_stages):
    checks.check_interface(Method(TINY), four_stages, Method(TINY).losses())


# Beyond the paper ----------------------------------------------------------------------------------------------------


def test_offset_and_visibility_heads_are_there_only_when_asked_for(crops):
    config = dataclasses.replace(TINY, num_stages=2, offset_head=True, visibility_head=True, type_head=True)
    model = Method(config).build()
    shapes = {name: tuple(output.shape) for name, output in model.output.items()}
    maps = (None, 16, 16)
    assert shapes == {
        "stage_1": (*maps, 8),
        "stage_2": (*maps, 8),
        "offsets": (*maps, 16),
        "visibility": (None, 8),
        "garment_type": (None, 3),
    }
    predicted = Method(config).prediction_network(model).output
    assert list(predicted) == ["stage_2", "offsets", "visibility", "garment_type"]
    outputs = model(crops)
    keypoints, scores = Method(config).decode(outputs)
    assert keypoints.shape == (2, 8, 2)
    np.testing.assert_allclose(scores, tf.sigmoid(outputs["visibility"]), rtol=1e-6)


def test_scores_without_a_visibility_head_are_heights_of_peaks(four_stages, crops):
    outputs = four_stages(crops)
    _, scores = Method(TINY).decode(outputs)
    peaks = tf.clip_by_value(tf.reduce_max(outputs["stage_4"], axis=[1, 2]), 0.0, 1.0)
    np.testing.assert_allclose(scores, peaks, rtol=1e-6)


def test_one_stage_and_cheaper_upsampling_where_the_config_says_so(four_stages):
    model = Method(dataclasses.replace(TINY, num_stages=1, upsampling="nearest")).build()
    assert list(model.output) == ["stage_1"] and stages_of(model) == {"1"}
    # Three maps of an odd stage are upsampled, two of an even one.
    for network, upsampling, num in ((model, "nearest", 3), (four_stages, "bilinear", 10)):
        layers = [layer for layer in network.layers if isinstance(layer, keras.layers.UpSampling2D)]
        assert len(layers) == num and {layer.interpolation for layer in layers} == {upsampling}


# Losses --------------------------------------------------------------------------------------------------------------


def test_first_stage_has_equation_1_and_the_others_equation_2():
    config = dataclasses.replace(TINY, num_stages=3, num_hard_keypoints=3, heatmap_sigma=1.5)
    losses = Method(config).losses()
    assert list(losses) == ["stage_1", "stage_2", "stage_3"]
    assert [loss.num_hard for loss, _ in losses.values()] == [None, 3, 3]
    for loss, weight in losses.values():
        assert isinstance(loss, HeatmapLoss)
        assert (loss.crop_size, loss.stride, loss.sigma) == (64, 4, (1.5,) * 8)
        # Unweighted, as the paper's sum of the stages' losses.
        assert weight == 1.0


def test_later_stages_may_weigh_more_and_the_sum_stays():
    config = dataclasses.replace(TINY, stage_weight_growth=2.0)
    losses = Method(config).losses()
    weights = [losses[name][1] for name in config.stage_names]
    assert sum(weights) == pytest.approx(4.0)
    assert [b / a for a, b in itertools.pairwise(weights)] == pytest.approx([2.0, 2.0, 2.0])


def test_more_heads_have_losses_of_their_own():
    losses = Method(dataclasses.replace(TINY, offset_head=True, visibility_head=True)).losses()
    assert set(losses) == {*TINY.stage_names, "offsets", "visibility"}
    (offsets, _), (visibility, _) = losses["offsets"], losses["visibility"]
    assert isinstance(offsets, OffsetLoss) and isinstance(visibility, VisibilityLoss)
    assert offsets.crop_size == TINY.crop_size


# Garment types -------------------------------------------------------------------------------------------------------

TYPED = dataclasses.replace(TINY, type_head=True)


def test_types_are_learnt_with_their_shares_among_garments_with_keypoints():
    weights = np.ones((6, 8))
    weights[:2] = 0.0
    shares = Method(TYPED).label_statistics(lambda: (None, weights, np.int32([1, 1, 2, 3, 3, 3])), seed=1)
    # One more of each type than there are with keypoints.
    np.testing.assert_allclose(shares, [1 / 7, 2 / 7, 4 / 7])
    loss, _ = Method(TYPED).losses(shares)["garment_type"]
    np.testing.assert_allclose(loss.log_shares, np.log(shares), rtol=1e-6)
    with pytest.raises(ValueError, match="label_statistics must be the shares"):
        Method(TYPED).losses()
    assert Method(TINY).label_statistics(None, seed=1) is None


def test_a_network_of_whole_photos_predicts_no_type():
    config = dataclasses.replace(TYPED, region="photo", num_stages=1)
    assert "garment_type" not in Method(config).build().output
    assert list(Method(config).losses()) == ["stage_1"] and Method(config).prediction_outputs == ("stage_1",)
