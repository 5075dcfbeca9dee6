"""95 % confidence intervals of measures, by the percentile bootstrap over photos.

Every measure is a function of sums over photos. Each of a thousand resamples draws as many photos as the data set has,
with replacement, and recomputes the sums and the measure. The interval is from the 2.5th to the 97.5th percentile of
the results. The resampling unit is the photo, not the keypoint, because errors within one photo are correlated.

An interval shows how much the number depends on the choice of photos. It does not cover the variation between training
runs. With a handful of photos it is too narrow, and with a single one it has zero width.

Letters in shapes: P photos, R resamples, N rows, C columns.
"""

import numpy as np

LEVEL = 0.95
NUM_RESAMPLES = 1000

# Resamples converted to float at a time: for 40,000 photos a chunk takes 16 MB; all resamples, as uint16, take 80 MB.
_CHUNK = 50


class Bootstrap:
    """Bootstrap resamples of a set of photos, drawn once and shared by all measures."""

    def __init__(self, num_photos, num_resamples=NUM_RESAMPLES, seed=0):
        """Draw the resamples.

        Args:
            num_photos: P, including photos without garments.
            num_resamples: R.
            seed: random seed.
        """
        self.num_photos, self.num_resamples, self.seed = num_photos, num_resamples, seed
        random = np.random.default_rng(seed)
        # How often each photo was drawn: multinomial counts.
        self._weights = np.zeros((num_resamples, num_photos), np.uint16)
        for weights in self._weights if num_photos else ():
            weights[:] = np.bincount(random.integers(num_photos, size=num_photos), minlength=num_photos)

    def sums(self, photo_index, values) -> np.ndarray:
        """Compute the column sums of each resample.

        Args:
            photo_index: int `(N,)`, the photo of each row, from 0 to P - 1.
            values: float `(N, C)`.

        Returns:
            float `(R, C)`: each row is weighted by how often its photo was drawn.
        """
        columns = np.asarray(values, dtype=float).T
        by_photo = [np.bincount(photo_index, weights=column, minlength=self.num_photos) for column in columns]
        by_photo = np.stack(by_photo, axis=1)
        chunks = np.split(self._weights, range(_CHUNK, self.num_resamples, _CHUNK))
        return np.concatenate([chunk.astype(float) @ by_photo for chunk in chunks])

    def about(self) -> dict:
        """Return a JSON-ready description of the intervals."""
        return {"level": LEVEL, "over": "photos", "num_resamples": self.num_resamples, "seed": self.seed}


def percentile_interval(values) -> list[float] | None:
    """Return the central 95 % interval of a measure's values over the resamples.

    Args:
        values: float `(R,)`, NaN for a resample in which the measure is undefined.

    Returns:
        low and high, or None if the measure is undefined in every resample.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return [float(low), float(high)]
