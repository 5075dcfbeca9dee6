"""Fabrics: colours, and woven or printed patterns."""

import colorsys
import dataclasses

import numpy as np

PATTERNS = ("plain", "stripes_across", "stripes_along", "check", "dots", "blotches", "pinstripe")
_PATTERN_SHARES = (0.5, 0.13, 0.07, 0.09, 0.09, 0.07, 0.05)

# Wardrobe neutrals: black, charcoal, grey, white, cream, beige, navy, denim, brown, khaki.
_NEUTRALS = (
    (28, 28, 31),
    (62, 63, 67),
    (140, 141, 143),
    (236, 235, 232),
    (228, 217, 196),
    (196, 172, 138),
    (34, 42, 72),
    (72, 98, 140),
    (98, 68, 50),
    (120, 116, 82),
)
SKIN_TONES = ((244, 212, 188), (232, 190, 160), (214, 164, 128), (184, 130, 96), (140, 94, 66), (98, 64, 46))
HAIR_COLOURS = (
    (26, 22, 20),
    (52, 36, 28),
    (92, 62, 40),
    (150, 110, 66),
    (206, 172, 112),
    (120, 52, 32),
    (128, 124, 122),
)


@dataclasses.dataclass(frozen=True)
class Fabric:
    """A material.

    Attributes:
        colour, second: RGB in 0..255.
        pattern: one of `PATTERNS`; period: its repeat, centimetres; phase: radians.
        crease: strength of small creases, 0..1; crease_size: across and along the cloth, centimetres.
        gloss: strength of highlights, 0..1.
        opacity: 1 for opaque cloth, less for sheer cloth.
        decal: `Decal` over the pattern, or None.
    """

    colour: tuple
    second: tuple = (0, 0, 0)
    pattern: str = "plain"
    period: float = 6.0
    phase: float = 0.0
    crease: float = 0.0
    crease_size: tuple = (8.0, 12.0)
    gloss: float = 0.0
    opacity: float = 1.0
    decal: "Decal | None" = dataclasses.field(default=None, compare=False, repr=False)


@dataclasses.dataclass(frozen=True)
class Decal:
    """An image in cloth coordinates.

    Attributes:
        rgba: float32 `(H, W, 4)`, RGB in 0..255 and opacity in 0..1.
        origin: u and v of its upper left corner, centimetres.
        density: pixels per centimetre.
    """

    rgba: np.ndarray
    origin: tuple
    density: float

    def at(self, u, v):
        """Sample the image at cloth coordinates `(N,)`: RGB and opacity `(N, 4)`, transparent outside of it."""
        height, width = self.rgba.shape[:2]
        column = ((u - self.origin[0]) * self.density).astype(np.int32)
        row = ((v - self.origin[1]) * self.density).astype(np.int32)
        inside = (u >= self.origin[0]) & (v >= self.origin[1]) & (column < width) & (row < height)
        found = self.rgba[np.where(inside, row, 0), np.where(inside, column, 0)]
        found[..., 3] *= inside
        return found


def pick(rng, shares):
    """Sample a key of a dict of shares, whose sum need not be 1."""
    keys, weights = list(shares), np.array(list(shares.values()), float)
    return keys[rng.choice(len(keys), p=weights / weights.sum())]


def colour_distance(a, b) -> float:
    """Return the Euclidean distance of two RGB colours, 0..441."""
    return float(np.linalg.norm(np.subtract(a, b)))


def any_colour(rng, away_from=(), distance=55.0):
    """Sample a clothing colour at least `distance` from every colour in `away_from`; the farthest of 12 if none is."""
    best, best_distance = None, -1.0
    for _ in range(12):
        colour = _draw_colour(rng)
        nearest = min((colour_distance(colour, other) for other in away_from), default=1e9)
        if nearest >= distance:
            return colour
        if nearest > best_distance:
            best, best_distance = colour, nearest
    return best


def _draw_colour(rng):
    if rng.random() < 0.42:
        base = np.array(_NEUTRALS[rng.integers(len(_NEUTRALS))], float)
        return tuple(np.clip(base + rng.normal(0.0, 7.0, 3), 8, 245))
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.92))
    return tuple(255.0 * c for c in rgb)


def draw_fabric(rng, away_from=(), *, plain=False) -> Fabric:
    """Sample a fabric whose main colour contrasts with the colours in `away_from`."""
    colour = any_colour(rng, away_from)
    pattern = "plain" if plain else str(rng.choice(PATTERNS, p=_PATTERN_SHARES))
    period = {"dots": rng.uniform(5, 10), "pinstripe": rng.uniform(3, 5), "blotches": rng.uniform(7, 13)}.get(
        pattern, rng.uniform(4.5, 12)
    )
    second = any_colour(rng, (colour,), 60.0)
    stiff = rng.random()
    return Fabric(
        colour,
        second,
        pattern,
        period,
        rng.uniform(0.0, 6.3),
        crease=float(0.25 + 0.75 * (1.0 - stiff) * rng.random()),
        crease_size=(float(rng.uniform(5.0, 11.0)), float(rng.uniform(7.0, 20.0))),
        gloss=float(rng.choice((0.0, rng.uniform(0.1, 0.6)), p=(0.75, 0.25))),
    )


def pattern_amount(fabric, u, v):
    """Return the blend weight of the second colour, 0..1, at cloth coordinates.

    Args:
        fabric: a `Fabric` whose pattern is not "plain".
        u: across the cloth, centimetres, float32 `(H, W)`.
        v: along the cloth, likewise.

    Returns:
        float32 `(H, W)`.
    """
    k = np.float32(2 * np.pi / fabric.period)
    phase = np.float32(fabric.phase)
    if fabric.pattern == "stripes_across":
        return _soft(np.sin(v * k + phase), 4.0)
    if fabric.pattern == "stripes_along":
        return _soft(np.sin(u * k + phase), 4.0)
    if fabric.pattern == "pinstripe":
        return _soft(np.sin(u * k + phase) - np.float32(0.8), 6.0) * np.float32(0.8)
    if fabric.pattern == "check":
        return 0.5 * (_soft(np.sin(v * k + phase) - 0.2, 4.0) + _soft(np.sin(u * k + phase) - 0.2, 4.0))
    if fabric.pattern == "dots":
        return _soft(np.sin(u * k + phase) * np.sin(v * k + phase) - np.float32(0.55), 7.0)
    wobble = np.sin(u * (k * 0.63) + 2 * np.sin(v * (k * 0.41) + phase)) + np.sin(v * k + 1.7 * np.sin(u * (k * 0.77)))
    return _soft(wobble - np.float32(0.7), 3.0)


def _soft(x, sharpness):
    return np.clip(x * np.float32(sharpness) + np.float32(0.5), 0.0, 1.0)
