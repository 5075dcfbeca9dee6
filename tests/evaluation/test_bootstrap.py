"""The bootstrap over photos: against naive loops, and against what is known of means of Gaussian numbers."""

import numpy as np
import pytest

from cspn_tf.evaluation.bootstrap import Bootstrap, percentile_interval


def naive_resamples(num_photos, num_resamples, seed):
    """Return the photos of each resample, `(R, P)`, as they are drawn one resample after the other."""
    random = np.random.default_rng(seed)
    return np.stack([random.integers(num_photos, size=num_photos) for _ in range(num_resamples)])


@pytest.mark.parametrize("num_resamples", [1, 49, 50, 51, 120])
def test_sums_equal_a_naive_loop_whatever_the_number_of_chunks(num_resamples):
    random = np.random.default_rng(0)
    photo_index, values = random.integers(0, 7, 20), random.normal(size=(20, 3))
    sums = Bootstrap(7, num_resamples, seed=5).sums(photo_index, values)
    wanted = []
    for photos in naive_resamples(7, num_resamples, seed=5):
        wanted.append(sum(values[photo_index == photo].sum(axis=0) for photo in photos))
    np.testing.assert_allclose(sums, wanted)


def test_the_seed_alone_decides():
    values = np.random.default_rng(0).normal(size=(40, 2))
    first, again, other = (Bootstrap(40, 30, seed).sums(np.arange(40), values) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("num_photos", [0, 1, 4])
def test_photos_without_rows_are_drawn_too(num_photos):
    sums = Bootstrap(num_photos, 10).sums(np.zeros(0, int), np.zeros((0, 2)))
    np.testing.assert_array_equal(sums, np.zeros((10, 2)))


def test_an_interval_is_from_percentile_to_percentile():
    assert percentile_interval(np.arange(1001.0)) == pytest.approx([25, 975])
    assert percentile_interval(np.array([np.nan, 2.0, np.nan, 2.0])) == [2.0, 2.0]
    assert percentile_interval(np.array([np.nan, np.nan])) is None


def test_intervals_of_a_mean_hold_the_true_one_as_often_as_they_say():
    random = np.random.default_rng(0)
    num_trials, num_photos, mean = 400, 60, 3.0
    covered, widths = 0, []
    for trial in range(num_trials):
        values = random.normal(mean, 2.0, num_photos)
        sums = Bootstrap(num_photos, 300, seed=trial).sums(np.arange(num_photos), values[:, np.newaxis])
        low, high = percentile_interval(sums[:, 0] / num_photos)
        covered += low <= mean <= high
        widths.append(high - low)
    # Five trials of a hundred miss, with a standard deviation of one; so small a sample misses a little more often.
    assert 0.91 <= covered / num_trials <= 0.98
    assert np.mean(widths) == pytest.approx(2 * 1.96 * 2.0 / np.sqrt(num_photos), rel=0.05)


def test_what_is_reported_of_the_intervals():
    assert Bootstrap(3, 20, seed=9).about() == {"level": 0.95, "over": "photos", "num_resamples": 20, "seed": 9}
