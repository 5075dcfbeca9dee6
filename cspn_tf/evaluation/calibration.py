"""Whether scores tell what is so from what is not, and whether they are probabilities of it."""

import numpy as np

NUM_BINS = 10


def measure_calibration(scores, positive, num_bins=NUM_BINS) -> dict:
    """Compare scores with what is labelled.

    Args:
        scores: float `(K,)`; where one is outside [0, 1] they are no probabilities, and there are no bins and no
            calibration error.
        positive: bool `(K,)`, what the scores claim: that a keypoint is visible, that there is a garment.
        num_bins: bins of equal width that scores are grouped in.

    Returns:
        A JSON-ready dict; a measure of nothing is None.
            num_positive, num_negative
            auroc: chance that a positive has a higher score than a negative, ties count half
            calibration_error: mean distance of a bin's mean score from its share of positives, weighted by the bin's
                count
            bins: a list of dicts, empty bins left out: low, high, count, mean_score, share_positive
    """
    scores, positive = np.asarray(scores, float), np.asarray(positive, bool)
    are_probabilities = bool(((scores >= 0) & (scores <= 1)).all())
    found = {
        "num_positive": int(positive.sum()),
        "num_negative": int((~positive).sum()),
        "auroc": auroc(scores, positive),
    }
    if not len(scores) or not are_probabilities:
        return {**found, "calibration_error": None, "bins": []}
    places = np.minimum((scores * num_bins).astype(int), num_bins - 1)
    bins = []
    for place in np.unique(places):
        inside = places == place
        bins.append(
            {
                "low": float(place / num_bins),
                "high": float((place + 1) / num_bins),
                "count": int(inside.sum()),
                "mean_score": float(scores[inside].mean()),
                "share_positive": float(positive[inside].mean()),
            }
        )
    distances = [bin_["count"] * abs(bin_["mean_score"] - bin_["share_positive"]) for bin_ in bins]
    return {**found, "calibration_error": float(sum(distances) / len(scores)), "bins": bins}


def auroc(scores, positive) -> float | None:
    """Return the area under the receiver operating characteristic, or None where there is only one kind.

    Args:
        scores: float `(K,)`.
        positive: bool `(K,)`.

    Source: it is the statistic of Mann and Whitney over the number of pairs.
    """
    positive = np.asarray(positive, bool)
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return None
    _, group, counts = np.unique(np.asarray(scores, float), return_inverse=True, return_counts=True)
    # Scores that are the same share the mean of their ranks, counted from 1.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[group]
    return float((ranks[positive].sum() - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))
