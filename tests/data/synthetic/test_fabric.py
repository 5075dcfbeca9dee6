import numpy as np
import pytest

from cspn_tf.data.synthetic.fabric import (
    PATTERNS,
    Decal,
    Fabric,
    any_colour,
    colour_distance,
    draw_fabric,
    pattern_amount,
)


def test_colour_distance_is_euclidean():
    assert colour_distance((0, 0, 0), (3, 4, 0)) == 5.0


def test_drawn_colours_stand_off_from_the_given_ones():
    rng = np.random.default_rng(1)
    background = (200.0, 190.0, 180.0)
    assert all(colour_distance(any_colour(rng, (background,), 55.0), background) >= 55.0 for _ in range(60))


def test_a_colour_is_drawn_even_where_none_stands_off():
    assert len(any_colour(np.random.default_rng(1), ((128, 128, 128),), 1e6)) == 3


@pytest.mark.parametrize(("pattern", "first", "second"), [("stripes_across", 0, 1), ("stripes_along", 1, 0)])
def test_stripes_alternate_along_one_axis_only(pattern, first, second):
    # Period 4: the sine is 0 at 0, 1 at 1 and -1 at 3.
    axes = np.array([0.0, 1.0, 3.0], np.float32)[None, :], np.zeros((1, 3), np.float32)
    fabric = Fabric((0, 0, 0), (255, 255, 255), pattern, 4.0)
    varying = pattern_amount(fabric, axes[second], axes[first]) if first == 0 else pattern_amount(fabric, *axes)
    np.testing.assert_allclose(varying, [[0.5, 1.0, 0.0]], atol=1e-6)
    constant = pattern_amount(fabric, axes[first], axes[second]) if first == 0 else pattern_amount(fabric, *axes[::-1])
    np.testing.assert_allclose(constant, [[0.5, 0.5, 0.5]], atol=1e-6)


@pytest.mark.parametrize("pattern", [p for p in PATTERNS if p != "plain"])
def test_patterns_show_both_colours(pattern):
    u, v = np.meshgrid(np.linspace(0, 40, 160, dtype=np.float32), np.linspace(0, 40, 160, dtype=np.float32))
    amount = pattern_amount(Fabric((0, 0, 0), (1, 1, 1), pattern, 8.0, 1.0), u, v)
    assert amount.shape == (160, 160)
    assert amount.min() == 0.0
    assert 0.75 < amount.max() <= 1.0


def test_plain_fabrics_have_no_pattern():
    rng = np.random.default_rng(2)
    assert {draw_fabric(rng, plain=True).pattern for _ in range(20)} == {"plain"}
    assert len({draw_fabric(rng).pattern for _ in range(80)}) > 3


def test_decals_are_looked_up_in_cloth_coordinates_and_clear_outside():
    rgba = np.zeros((4, 6, 4), np.float32)
    rgba[..., 3] = 0.5
    rgba[1, 2] = (10.0, 20.0, 30.0, 1.0)
    decal = Decal(rgba, (-1.0, 5.0), 2.0)
    # Two pixels a centimetre: column 2, row 1 covers u in [0, 0.5), v in [5.5, 6).
    found = decal.at(np.array([0.1, 0.1, -1.1, 2.1, 0.1]), np.array([5.6, 5.4, 5.6, 5.6, 7.1]))
    np.testing.assert_allclose(found[0], (10, 20, 30, 1))
    np.testing.assert_allclose(found[1], (0, 0, 0, 0.5))
    np.testing.assert_allclose(found[2:, 3], 0.0)
