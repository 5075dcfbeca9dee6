"""How sure a measure is: 95 % intervals by the percentile bootstrap over photos.

Every measure is a function of sums over photos. As many photos as there are get drawn with replacement, the sums are
taken over those and the measure is computed anew; that a thousand times. The interval goes from the 2.5th to the
97.5th percentile of what comes out. Photos are drawn and not keypoints: the keypoints of one photo fail together.

An interval tells how far the number depends on which photos were taken, and nothing of what another training run would
give. Of a handful of photos it is too narrow, and of a single one it has no width.

Letters in shapes: P photos, R resamples, N rows, C columns.
"""

import numpy as np

LEVEL = 0.95
NUM_RESAMPLES = 1000

# Resamples whose weights are floats at a time: 40,000 photos take 16 MB for them, and 80 MB for all as they are kept.
_CHUNK = 50


class Bootstrap:
    """Resamples of some photos, drawn once, for all measures of those photos."""

    def __init__(self, num_photos, num_resamples=NUM_RESAMPLES, seed=0):
        """Draw the resamples.

        Args:
            num_photos: P, photos without garments among them.
            num_resamples: R.
            seed: of the draws.
        """
        self.num_photos, self.num_resamples, self.seed = num_photos, num_resamples, seed
        random = np.random.default_rng(seed)
        # How often each photo was drawn: multinomial counts.
        self._weights = np.zeros((num_resamples, num_photos), np.uint16)
        for weights in self._weights if num_photos else ():
            weights[:] = np.bincount(random.integers(num_photos, size=num_photos), minlength=num_photos)

    def sums(self, photo_index, values) -> np.ndarray:
        """Sum rows over the photos of each resample.

        Args:
            photo_index: int `(N,)`, each row's photo, from 0 to P - 1.
            values: float `(N, C)`.

        Returns:
            float `(R, C)`: a row counts as often as its photo was drawn.
        """
        columns = np.asarray(values, dtype=float).T
        by_photo = [np.bincount(photo_index, weights=column, minlength=self.num_photos) for column in columns]
        by_photo = np.stack(by_photo, axis=1)
        chunks = np.split(self._weights, range(_CHUNK, self.num_resamples, _CHUNK))
        return np.concatenate([chunk.astype(float) @ by_photo for chunk in chunks])

    def about(self) -> dict:
        """Return the JSON-ready description of what the intervals are."""
        return {"level": LEVEL, "over": "photos", "num_resamples": self.num_resamples, "seed": self.seed}


def percentile_interval(values) -> tuple[float, float] | None:
    """Return the interval that holds the middle 95 % of a measure's values in the resamples.

    Args:
        values: float `(R,)`, NaN in a resample where there was nothing to measure.

    Returns:
        low and high, or None if there was nothing to measure in any resample.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)
