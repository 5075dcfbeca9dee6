"""The pair that comes with the package: it is what its card says, and finds garments on photos it has not seen."""

import hashlib
import json
import re

import numpy as np
import pytest

import cspn_tf
from cspn_tf.config import preset
from cspn_tf.data.synthetic.photo import render
from cspn_tf.evaluation.matching import match_photos
from cspn_tf.evaluation.measures import evaluate_predictions
from cspn_tf.models import checkpoints

MOST_BYTES = 25_000_000  # of the pair
MOST_BYTES_OF_TFLITE = 15_000_000


@pytest.fixture(scope="module")
def photos():
    return [render(99, index, split="test", num_garments=1 + index % 3) for index in range(12)]


@pytest.fixture(scope="module")
def results(photos):
    """What the pair finds."""
    return cspn_tf.load()([np.asarray(photo.image) for photo in photos])


@pytest.mark.parametrize("network", [checkpoints.DETECTOR, checkpoints.KEYPOINTS])
def test_the_description_has_the_sum_of_the_weights_and_the_preset(network):
    config, details = checkpoints.read_description("shipped", network)
    content = (checkpoints.SHIPPED_PAIR / network / checkpoints.WEIGHTS).read_bytes()
    assert details["weights_sha256"] == hashlib.sha256(content).hexdigest()
    assert config == preset("mobile")


def test_it_is_small_and_says_nothing_of_where_it_was_made():
    files = [path for path in checkpoints.SHIPPED_PAIR.parent.rglob("*") if path.is_file()]
    tflite = checkpoints.shipped_tflite().stat().st_size
    assert tflite < MOST_BYTES_OF_TFLITE
    assert sum(path.stat().st_size for path in files) - tflite < MOST_BYTES
    for path in files:
        if path.suffix in (".json", ".md"):
            assert not re.search(r"/(home|root|work|tmp)/", path.read_text())


def test_the_card_names_the_sums():
    card = (checkpoints.SHIPPED_PAIR.parent / "MODEL_CARD.md").read_text()
    for network in (checkpoints.DETECTOR, checkpoints.KEYPOINTS):
        description = json.loads((checkpoints.SHIPPED_PAIR / network / "network.json").read_text())
        assert description["weights_sha256"] in card
    assert json.loads((checkpoints.SHIPPED_PAIR / "cspn.json").read_text())["weights_sha256"] in card


def test_tflite_file_answers_as_the_pair(photos, results):
    found = cspn_tf.load(checkpoints.shipped_tflite())([np.asarray(photo.image) for photo in photos])
    distances = []
    for one, other in zip((r.garments for r in found), (r.garments for r in results), strict=True):
        np.testing.assert_array_equal(one.types, other.types)
        # Half-precision weights are in both; folded into convolutions they are rounded once more.
        np.testing.assert_allclose(one.boxes_xyxy, other.boxes_xyxy, atol=1.0)
        np.testing.assert_allclose(one.scores, other.scores, atol=0.01)
        distances += list(np.linalg.norm(one.keypoints_xy - other.keypoints_xy, axis=-1)[other.keypoint_scores > 0.5])
    # A peak may move to another pixel of the heatmap where two are almost equal.
    assert len(distances) > 50 and np.median(distances) < 0.2 and np.quantile(distances, 0.95) < 2


def test_load_without_a_model_finds_what_is_drawn(photos, results):
    assert all(result.ok for result in results)
    scores = evaluate_predictions(match_photos([photo.garments for photo in photos], results))
    # Clearly more than chance, clearly less than what the card says of photos like these.
    assert scores["detection_recall_50"]["value"] > 0.6
    assert scores["pck_02_found"]["value"] > 0.75
