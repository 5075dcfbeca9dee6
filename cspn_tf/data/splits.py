"""Seeded train, validation and test splits for sources without their own, and the order of the train split."""

import collections
import dataclasses
import hashlib
import random

from cspn_tf.console import UserError
from cspn_tf.data.samples import SPLITS

DEFAULT_FRACTIONS = (0.8, 0.1, 0.1)


def make_splits(samples, fractions, seed):
    """Divide photos into splits at random.

    Photos with the same `Sample.group` go to the same split, so that no garment is in both train and test. A photo's
    split does not depend on the order of the samples.

    Args:
        samples: list of `Sample`; existing splits are replaced.
        fractions: fractions of the photos for train, val and test, with sum 1; met as closely as the groups allow.
        seed: an integer.

    Returns:
        list of `Sample` in the same order.
    """
    sizes = collections.Counter(map(_group, samples))
    order = sorted(sizes, key=lambda group: hashlib.blake2b(repr((seed, group)).encode(), digest_size=16).digest())
    splits, num_before = {}, 0
    limits = [fractions[0] * len(samples), (fractions[0] + fractions[1]) * len(samples)]
    for group in order:
        middle = num_before + sizes[group] / 2
        splits[group] = SPLITS[(middle > limits[0]) + (middle > limits[1])]
        num_before += sizes[group]
    return [dataclasses.replace(sample, split=splits[_group(sample)]) for sample in samples]


def own_splits(samples) -> bool:
    """Check whether the source defines splits.

    Raises:
        UserError: some photos have a split and others have none.
    """
    without = [sample for sample in samples if sample.split is None]
    if without and len(without) < len(samples):
        raise UserError(f"{without[0].where}: is in no split while other photos are: give --splits to make new ones")
    return not without


def shuffle_train(samples, seed):
    """Move the train split to the front and shuffle it with a seed; the other samples keep their order."""
    train = [sample for sample in samples if sample.split == "train"]
    random.Random(seed).shuffle(train)
    return train + [sample for sample in samples if sample.split != "train"]


def _group(sample):
    return ("photo", sample.photo) if sample.group is None else ("group", sample.group)
