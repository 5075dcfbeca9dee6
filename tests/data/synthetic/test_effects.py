import numpy as np
from PIL import Image

from cspn_tf.data.synthetic.effects import develop

SEEDS = range(120)


def test_developing_keeps_the_size_and_adds_noise():
    picture = Image.new("RGB", (60, 40), (120, 130, 140))
    for seed in range(6):
        pixels = develop(np.random.default_rng(seed), picture)
        assert pixels.shape == (40, 60, 3) and pixels.dtype == np.uint8
        assert pixels.std() > 0


def test_some_photos_come_out_too_dark_and_some_too_bright():
    picture = Image.new("RGB", (24, 24), (128, 128, 128))
    means = np.array([develop(np.random.default_rng(seed), picture).mean() for seed in SEEDS])
    assert 90 < np.median(means) < 170
    assert 0.01 < (means < 85).mean() < 0.2
    assert 0.01 < (means > 180).mean() < 0.2


def test_blur_exposure_and_motion_do_not_move_anything():
    # A bright disc; the middle of its mass stays where it is, whatever is done to the picture.
    y, x = np.mgrid[0:81, 0:81]
    disc = (np.hypot(x - 40, y - 40) < 20).astype(np.uint8) * 200
    picture = Image.fromarray(np.repeat(disc[..., None], 3, axis=2))
    for seed in SEEDS:
        bright = develop(np.random.default_rng(seed), picture).mean(axis=2) > 60
        rows, columns = np.nonzero(bright[15:66, 15:66])
        np.testing.assert_allclose((columns.mean() + 15, rows.mean() + 15), (40, 40), atol=0.6)
