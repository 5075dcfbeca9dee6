"""Calibration error, reliability bins and AUROC of scores."""

import numpy as np

NUM_BINS = 10  # of equal width


def measure_calibration(scores, positive) -> dict:
    """Measure how well scores separate positives from negatives, and how close they are to probabilities.

    Args:
        scores: float `(K,)`; if any is outside [0, 1] they are not probabilities, and bins and calibration error are
            left out.
        positive: bool `(K,)`, the ground truth of each score: the keypoint is visible, the garment exists.

    Returns:
        A JSON-ready dict; a measure without data is None.
            num_positive, num_negative
            auroc: probability that a positive scores higher than a negative; ties count half
            calibration_error: expected calibration error: mean absolute difference between a bin's mean score and its
                share of positives, weighted by the bin's count
            calibration_error_by_chance: what so few scores give on average even if each is the exact probability
            bins: a list of dicts, without empty bins: low, high, count, mean_score, share_positive
    """
    scores, positive = np.asarray(scores, float), np.asarray(positive, bool)
    are_probabilities = bool(((scores >= 0) & (scores <= 1)).all())
    found = {
        "num_positive": int(positive.sum()),
        "num_negative": int((~positive).sum()),
        "auroc": _auroc(scores, positive),
    }
    if not len(scores) or not are_probabilities:
        return {**found, "calibration_error": None, "calibration_error_by_chance": None, "bins": []}
    places = np.minimum((scores * NUM_BINS).astype(int), NUM_BINS - 1)
    bins, by_chance = [], 0.0
    for place in np.unique(places):
        inside = places == place
        # The positives of a bin are about normally distributed; this is the mean distance from their expected number.
        by_chance += np.sqrt(2 / np.pi * (scores[inside] * (1 - scores[inside])).sum())
        bins.append(
            {
                "low": float(place / NUM_BINS),
                "high": float((place + 1) / NUM_BINS),
                "count": int(inside.sum()),
                "mean_score": float(scores[inside].mean()),
                "share_positive": float(positive[inside].mean()),
            }
        )
    distances = [bin_["count"] * abs(bin_["mean_score"] - bin_["share_positive"]) for bin_ in bins]
    errors = {"calibration_error": sum(distances), "calibration_error_by_chance": by_chance}
    return {**found, **{name: float(error / len(scores)) for name, error in errors.items()}, "bins": bins}


def _auroc(scores, positive):
    """Return the area under the ROC curve: the Mann-Whitney U statistic over the number of pairs."""
    from scipy.stats import rankdata

    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return None
    ranks = rankdata(scores)  # tied scores share the mean of their ranks, counted from 1
    return float((ranks[positive].sum() - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))
