"""BCRNN: outputs, the grammar, which keypoints a message reaches, and what it exports to."""

import itertools

import keras
import numpy as np
import pytest

from cspn_tf.garments import FLIP_SLOTS, KEYPOINT_ABBREVIATIONS
from cspn_tf.methods import bcrnn
from cspn_tf.methods.bcrnn import GRAMMARS, Method
from tests.methods import checks

CONFIG = checks.tiny_config("bcrnn")


@pytest.fixture(scope="module")
def trained():
    return checks.train(CONFIG)


# The grammar ---------------------------------------------------------------------------------------------------------


def test_chains_are_those_of_the_paper():
    named = {
        name: {"-".join(KEYPOINT_ABBREVIATIONS[slot] for slot in chain) for chain in chains}
        for name, chains in GRAMMARS.items()
    }
    assert named == {
        "body": {"LC-LW-LH", "RC-RW-RH"},
        "sleeve": {"LC-LS", "RC-RS"},
        "symmetry": {"LC-RC", "LS-RS", "LW-RW", "LH-RH"},
    }


def test_the_graph_is_symmetric_under_the_mirror():
    edges = {frozenset(pair) for chains in GRAMMARS.values() for chain in chains for pair in itertools.pairwise(chain)}
    assert {frozenset(FLIP_SLOTS[slot] for slot in edge) for edge in edges} == edges
    # Every keypoint is told something.
    assert set().union(*edges) == set(range(8))
    for name in ("body", "sleeve"):
        mirrored = {tuple(FLIP_SLOTS[slot] for slot in chain) for chain in GRAMMARS[name]}
        assert mirrored == set(GRAMMARS[name])


def chain_network(chains, group=2):
    nodes = [keras.Input((6, 6, group), name=f"node_{slot}") for slot in range(8)]
    messages = bcrnn._messages(nodes, chains, group, "chain")
    return keras.Model(nodes, [message for _, message in messages]), [slot for slot, _ in messages]


def random_nodes(seed=0):
    return list(np.random.default_rng(seed).normal(size=(8, 2, 6, 6, 2)).astype(np.float32))


def test_a_message_comes_from_all_of_the_chain_and_from_nobody_else():
    model, slots = chain_network(GRAMMARS["body"])
    assert sorted(slots) == [0, 1, 4, 5, 6, 7]
    nodes = random_nodes()
    before = dict(zip(slots, model(nodes), strict=True))
    for changed, told in ((0, {0, 4, 6}), (4, {0, 4, 6}), (7, {1, 5, 7}), (2, set())):
        other = list(nodes)
        other[changed] = nodes[changed] + 1.0
        after = dict(zip(slots, model(other), strict=True))
        assert {slot for slot in slots if np.abs(after[slot] - before[slot]).max() > 1e-6} == told


def test_mirrored_chains_make_the_same_of_the_same_features():
    model, slots = chain_network(GRAMMARS["body"])
    nodes = random_nodes()
    messages = dict(zip(slots, model(nodes), strict=True))
    swapped = dict(zip(slots, model([nodes[slot] for slot in FLIP_SLOTS]), strict=True))
    for slot in slots:
        np.testing.assert_allclose(swapped[FLIP_SLOTS[slot]], messages[slot], atol=1e-5)


def test_states_by_hand():
    # Kernels that only pass their own pixel on: own 0.5, before 2.
    steps = [keras.Input((3, 3, 1)) for _ in range(3)]
    model = keras.Model(steps, bcrnn._states(steps, 1, "run"))
    for name, factor in (("run_own", 0.5), ("run_before", 2.0)):
        kernel = np.zeros((3, 3, 1, 1), np.float32)
        kernel[1, 1] = factor
        model.get_layer(name).kernel.assign(kernel)
    states = model([np.full((1, 3, 3, 1), value, np.float32) for value in (1.0, -2.0, 0.0)])
    first = np.tanh(0.5)
    second = np.tanh(-1.0 + 2 * first)
    third = np.tanh(2 * second)
    for state, expected in zip(states, (first, second, third), strict=True):
        np.testing.assert_allclose(state, np.full((1, 3, 3, 1), expected), rtol=1e-5)


# The network ---------------------------------------------------------------------------------------------------------


def test_gives_heatmaps_before_and_after_the_messages(trained):
    shapes = {name: tuple(value.shape) for name, value in trained.model.output.items()}
    assert shapes == {"first_heatmaps": (None, 16, 16, 8), "heatmaps": (None, 16, 16, 8)}
    assert Method(CONFIG).prediction_outputs == ("heatmaps",)
    assert max(np.abs(value).max() for value in trained.untrained_outputs.values()) < 0.5


def test_the_prediction_is_there_without_the_first_heatmaps_head(trained):
    network = Method(CONFIG).prediction_network(trained.model)
    assert not [layer.name for layer in network.layers if layer.name.startswith("first_heatmaps")]


def test_convolutions_are_separable_only_where_the_config_says_so(trained):
    assert [layer.name for layer in trained.model.layers if "depthwise" in layer.name]
    full = Method(checks.tiny_config("bcrnn", separable=False)).build()
    assert not [layer.name for layer in full.layers if "depthwise" in layer.name]
    assert full.output["heatmaps"].shape == (None, 16, 16, 8)


class TestBcrnn(checks.HeatmapChecks):
    pass
