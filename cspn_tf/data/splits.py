"""Which photos train, and which only measure: seeded splits for sources that have none, and the train split's order."""

import dataclasses
import hashlib
import random

from cspn_tf.console import UserError
from cspn_tf.data.samples import SPLITS

DEFAULT_FRACTIONS = (0.8, 0.1, 0.1)


def make_splits(samples, fractions, seed):
    """Divide photos into the splits at random.

    Photos with the same `Sample.group` stay together, so that a garment is not in train and in test. The order of
    the samples makes no difference.

    Args:
        samples: list of `Sample`; splits they have already are replaced.
        fractions: of the photos, for train, val and test; they sum to 1. Met as closely as the groups allow.
        seed: a whole number.

    Returns:
        list of `Sample` in the same order.
    """
    sizes = {}
    for sample in samples:
        group = _group(sample)
        sizes[group] = sizes.get(group, 0) + 1
    splits, num_before = {}, 0
    limits = [fractions[0] * len(samples), (fractions[0] + fractions[1]) * len(samples)]
    for group in sorted(sizes, key=lambda group: _shuffled(group, seed)):
        middle = num_before + sizes[group] / 2
        splits[group] = SPLITS[(middle > limits[0]) + (middle > limits[1])]
        num_before += sizes[group]
    return [dataclasses.replace(sample, split=splits[_group(sample)]) for sample in samples]


def own_splits(samples) -> bool:
    """Return whether the source has splits of its own.

    Raises:
        UserError: some photos have one and others have none.
    """
    without = [sample for sample in samples if sample.split is None]
    if without and len(without) < len(samples):
        raise UserError(f"{without[0].where}: is in no split while other photos are: give --splits to make new ones")
    return not without


def shuffle_train(samples, seed):
    """Put the train split first and in a seeded random order; the others keep theirs."""
    train = [sample for sample in samples if sample.split == "train"]
    random.Random(seed).shuffle(train)
    return train + [sample for sample in samples if sample.split != "train"]


def _group(sample):
    return ("photo", sample.photo) if sample.group is None else ("group", sample.group)


def _shuffled(group, seed):
    return hashlib.blake2b(repr((seed, group)).encode(), digest_size=16).digest()
