import numpy as np
import pytest
from PIL import Image

from cspn_tf.data.synthetic.scene import PLACES, cast_shadows, draw_place, paint_background


@pytest.mark.parametrize("place", [*PLACES, "table"])
def test_backgrounds_fill_the_photo_and_report_their_colour(place):
    for seed in range(4):
        image, colour = paint_background(np.random.default_rng(seed), 121, 90, place)
        assert image.size == (121, 90) and image.mode == "RGB"
        pixels = np.asarray(image, float)[12:78, 16:105].reshape(-1, 3)
        np.testing.assert_allclose(colour, pixels.mean(axis=0), atol=12.0)


def test_every_place_is_drawn():
    rng = np.random.default_rng(0)
    assert {draw_place(rng) for _ in range(100)} == set(PLACES)


def test_shadows_darken_the_floor_below_feet_only():
    shaded = np.asarray(cast_shadows(Image.new("RGB", (200, 200), (200, 200, 200)), [(100.0, 150.0)], 2.0), float)
    assert shaded[150, 100].max() < 180
    assert (shaded[:100] == 200).all()


def test_feet_out_of_the_photo_cast_nothing():
    image = Image.new("RGB", (50, 50), (200, 200, 200))
    np.testing.assert_array_equal(np.asarray(cast_shadows(image, [(500.0, 900.0)], 2.0)), 200)
