"""Which losses the CSPN's outputs have, and their weights."""

import dataclasses
import itertools

import pytest

from cspn_tf.config import preset
from cspn_tf.losses import OffsetLoss, VisibilityLoss, keypoint_losses

TINY = preset("tiny").keypoints


def test_later_stages_may_weigh_more_and_the_sum_stays():
    config = dataclasses.replace(TINY, stage_weight_growth=2.0)
    _, weights = keypoint_losses(config)
    values = [weights[name] for name in config.stage_names]
    assert sum(values) == pytest.approx(4.0)
    assert [b / a for a, b in itertools.pairwise(values)] == pytest.approx([2.0, 2.0, 2.0])


def test_more_heads_have_losses_of_their_own():
    losses, weights = keypoint_losses(dataclasses.replace(TINY, offset_head=True, visibility_head=True))
    assert set(losses) == {*TINY.stage_names, "offsets", "visibility"} == set(weights)
    assert isinstance(losses["offsets"], OffsetLoss) and isinstance(losses["visibility"], VisibilityLoss)
    assert losses["offsets"].crop_size == TINY.crop_size


def test_dfa_wants_its_centres():
    with pytest.raises(ValueError, match="pseudo_label_centres"):
        keypoint_losses(dataclasses.replace(TINY, method="dfa"))
