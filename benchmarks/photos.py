"""Photos for the benchmarks: given files, or a synthesised one."""

import numpy as np

from cspn_tf.files import picture_bytes

SYNTHETIC_SIZE = 512


def read_photos(paths) -> list[bytes]:
    """Return the bytes of photo files, or of one synthesised photo if no paths are given.

    Raises:
        UserError: if a file cannot be read, or models do not accept it.
    """
    from cspn_tf.pillow_photos import read_photo_files

    return read_photo_files(paths) if paths else [synthesise_photo(SYNTHETIC_SIZE)]


def photo_sizes(photos) -> list[tuple]:
    """Return the distinct sizes (width, height) of encoded photos, in pixels as displayed, sorted."""
    from cspn_tf.decoding import pixels_as_displayed

    return sorted({pixels_as_displayed(photo).shape[1::-1] for photo in photos})


def resized(photo, width, height) -> bytes:
    """Return an encoded photo as a JPEG resized to `width` x `height`, orientation applied."""
    from PIL import Image

    from cspn_tf.decoding import pixels_as_displayed

    image = Image.fromarray(pixels_as_displayed(photo))
    return picture_bytes(image.resize((width, height), Image.Resampling.BILINEAR), "JPEG", quality=90)


def synthesise_photo(size) -> bytes:
    """Return a square JPEG with smooth areas, edges and noise, of about the file size of a real photo."""
    from PIL import Image

    y, x = np.mgrid[:size, :size] / size
    pixels = np.stack([200 * x, 200 * y, 200 * (1 - x)], axis=-1)
    garment = (abs(x - 0.5) < 0.25) & (abs(y - 0.5) < 0.35)
    pixels[garment] = (60, 90, 160)
    pixels += np.random.default_rng(0).normal(0, 12, pixels.shape)
    return picture_bytes(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), "JPEG", quality=90)
