import collections
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspn_tf.console import UserError
from cspn_tf.data.samples import Sample
from cspn_tf.data.splits import make_splits, own_splits, shuffle_train


def _samples(groups, split=None):
    return [Sample(f"{n}.jpg", split, (), f"list:{n}", f"{n}.jpg", group) for n, group in enumerate(groups)]


def _counts(samples):
    return collections.Counter(sample.split for sample in samples)


def test_the_fractions_are_met():
    assert _counts(make_splits(_samples([None] * 1000), (0.8, 0.15, 0.05), 0)) == {"train": 800, "val": 150, "test": 50}
    assert _counts(make_splits(_samples([None] * 7), (1.0, 0.0, 0.0), 0)) == {"train": 7}
    assert _counts(make_splits(_samples([None] * 10), (0.8, 0.1, 0.1), 3)) == {"train": 8, "val": 1, "test": 1}


def test_a_group_is_in_one_split():
    samples = make_splits(_samples([str(n // 5) for n in range(500)]), (0.6, 0.2, 0.2), 1)
    splits = collections.defaultdict(set)
    for sample in samples:
        splits[sample.group].add(sample.split)
    assert all(len(found) == 1 for found in splits.values())
    assert _counts(samples) == {"train": 300, "val": 100, "test": 100}


def test_the_seed_decides_and_the_order_of_the_photos_does_not():
    samples = _samples([None] * 200)
    first = {sample.photo: sample.split for sample in make_splits(samples, (0.5, 0.25, 0.25), 1)}
    random.Random(0).shuffle(samples)
    assert {sample.photo: sample.split for sample in make_splits(samples, (0.5, 0.25, 0.25), 1)} == first
    assert {sample.photo: sample.split for sample in make_splits(samples, (0.5, 0.25, 0.25), 2)} != first


def test_a_group_and_a_photo_of_the_same_name_are_not_mixed_up():
    samples = [Sample("a", None, (), "", "a", None), Sample("b", None, (), "", "b", "a")]
    assert len({sample.split for sample in make_splits(samples, (0.5, 0.5, 0.0), 0)}) == 2


@given(st.lists(st.sampled_from([None, "a", "b", "c"]), max_size=40), st.integers(0, 5))
@settings(deadline=None, derandomize=True)
def test_every_photo_gets_a_split_and_keeps_all_else(groups, seed):
    samples = _samples(groups)
    made = make_splits(samples, (0.5, 0.3, 0.2), seed)
    assert [sample.photo for sample in made] == [sample.photo for sample in samples]
    assert all(sample.split in ("train", "val", "test") for sample in made)


def test_own_splits_are_all_or_none():
    assert own_splits(_samples([None] * 3, "val"))
    assert not own_splits(_samples([None] * 3))
    with pytest.raises(UserError, match="list:0: is in no split while other photos are: give --splits"):
        own_splits(_samples([None]) + _samples([None], "train"))


def test_only_the_train_split_is_shuffled():
    samples = _samples([None] * 30, "test") + _samples([None] * 30, "train")
    shuffled = shuffle_train(samples, 0)
    assert [sample.split for sample in shuffled] == ["train"] * 30 + ["test"] * 30
    assert shuffled[30:] == samples[:30]
    assert shuffled[:30] != samples[30:]
    assert sorted(shuffled[:30], key=lambda sample: int(sample.photo[:-4])) == samples[30:]
