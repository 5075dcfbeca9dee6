"""Camera effects: defocus, motion blur, upscaling of small copies, exposure, colour cast, vignette, sensor noise."""

import numpy as np
from PIL import Image, ImageFilter

_UNDEREXPOSED, _OVEREXPOSED, _SHAKEN, _SMALL_COPY = 0.07, 0.08, 0.07, 0.08


def develop(rng, image):
    """Apply camera effects to a rendered image; nothing in it moves, so labels stay valid.

    Args:
        rng: generator.
        image: PIL RGB image.

    Returns:
        uint8 `(H, W, 3)` RGB.
    """
    image = _focus(rng, image)
    exposure = rng.uniform(0.9, 1.22)
    if rng.random() < _UNDEREXPOSED:
        exposure = rng.uniform(0.4, 0.75)
    elif rng.random() < _OVEREXPOSED:
        exposure = rng.uniform(1.35, 1.9)
    cast = rng.normal(1.0, 0.04, 3)
    gamma = rng.uniform(0.82, 1.15)
    levels = np.linspace(0.0, 1.0, 256) ** gamma * 255.0
    table = np.concatenate([np.clip(levels * exposure * c, 0, 255) for c in cast]).astype(np.uint8)
    image = image.point(table.tolist())
    coarse = _vignette(rng, 24)
    field = np.asarray(Image.fromarray(coarse).resize(image.size, Image.Resampling.BILINEAR))
    noise = rng.standard_normal(field.shape, dtype=np.float32)
    noise *= np.float32(rng.uniform(0.5, 5.0) if rng.random() < 0.9 else rng.uniform(5.0, 13.0))
    # One noise value per pixel for all channels: JPEG keeps mainly luminance noise, and it costs a third.
    pixels = np.asarray(image, np.float32)
    pixels = pixels * field[..., None]
    pixels += noise[..., None]
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)


def _focus(rng, image):
    """Apply defocus, motion blur, or down- and upscaling; all symmetric, so that nothing shifts."""
    kind = rng.random()
    if kind < _SHAKEN:
        reach = int(rng.integers(1, 3))
        size = 2 * reach + 1
        kernel = np.zeros((5, 5))
        for step in range(-reach, reach + 1):
            slope = 0 if kind < _SHAKEN / 3 else step if kind < 2 * _SHAKEN / 3 else -step
            kernel[2 + slope, 2 + step] = 1.0 / size
        return image.filter(ImageFilter.Kernel((5, 5), kernel.ravel().tolist(), scale=1.0))
    if kind < _SHAKEN + _SMALL_COPY:
        shrink = rng.uniform(0.45, 0.75)
        small = image.resize([max(round(side * shrink), 8) for side in image.size], Image.Resampling.BILINEAR)
        return small.resize(image.size, Image.Resampling.BICUBIC)
    if kind < 0.65:
        return image.filter(ImageFilter.BoxBlur(rng.uniform(0.2, 0.8)))
    return image


def _vignette(rng, cells):
    """Sample a brightness factor near 1 that falls off towards the corners and one side, float32 `(cells, cells)`."""
    t = np.linspace(-1.0, 1.0, cells, dtype=np.float32)
    radius = t[None, :] ** 2 + t[:, None] ** 2
    slope = rng.uniform(-0.08, 0.08) * t[None, :] + rng.uniform(-0.06, 0.06) * t[:, None]
    return (1.0 - rng.uniform(0.0, 0.12) * radius + slope).astype(np.float32)
