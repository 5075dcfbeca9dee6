import numpy as np
import pytest

from cspn_tf.data.synthetic.raster import fragments, gradients, rasterise

SQUARE = np.array([(0.5, 0.5), (6.5, 0.5), (6.5, 4.5), (0.5, 4.5)])
HALVES = np.array([(0, 1, 2), (0, 2, 3)])


def test_a_square_of_two_triangles_covers_each_pixel_centre_once():
    triangle, pixel, _ = fragments(SQUARE, np.full(4, 0.01), HALVES, 10, 8)
    rows, columns = np.divmod(pixel, 10)
    assert len(pixel) == len(set(pixel.tolist())) == 6 * 4
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (1, 6, 1, 4)
    assert set(triangle) == {0, 1}


@pytest.mark.parametrize("seed", range(5))
def test_coverage_is_that_of_the_half_planes(seed):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-10, 50, (3, 2))
    _, pixel, _ = fragments(corners, np.full(3, 0.01), np.array([(0, 1, 2)]), 40, 30)
    x, y = np.meshgrid(np.arange(40.0), np.arange(30.0))
    sides = []
    for k in range(3):
        (ax, ay), (bx, by) = corners[k], corners[(k + 1) % 3]
        sides.append((bx - ax) * (y - ay) - (by - ay) * (x - ax))
    within = np.all(np.array(sides) > 0, axis=0) | np.all(np.array(sides) < 0, axis=0)
    np.testing.assert_array_equal(np.sort(pixel), np.flatnonzero(within))


def test_a_fan_of_triangles_leaves_no_gap_and_no_overlap():
    rng = np.random.default_rng(3)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 40))
    rim = 60 + 50 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.concatenate([[(60.3, 59.8)], rim])
    fan = np.array([(0, 1 + k, 1 + (k + 1) % 40) for k in range(40)])
    _, pixel, _ = fragments(points, np.full(41, 0.01), fan, 128, 128)
    assert len(pixel) == len(set(pixel.tolist()))
    rows = np.divmod(pixel, 128)[0]
    for row in range(30, 90):
        columns = np.sort(pixel[rows == row] % 128)
        np.testing.assert_array_equal(np.diff(columns), 1)


def test_the_nearest_triangle_wins_whatever_the_order():
    points = np.concatenate([SQUARE, SQUARE + (2.0, 1.0)])
    near = np.array([0.01] * 4 + [0.02] * 4)
    for order in (np.array([0, 1, 2, 3]), np.array([3, 2, 1, 0])):
        triangles = np.concatenate([HALVES, HALVES + 4])[order]
        buffer = rasterise(points, near, triangles, 12, 8)
        in_front = np.isin(order[np.maximum(buffer.triangle, 0)], (2, 3)) & (buffer.triangle >= 0)
        assert in_front.sum() == 24 and in_front[2:6, 3:9].all()
        assert (buffer.triangle >= 0).sum() == 24 + 24 - 4 * 3 - 0
        np.testing.assert_allclose(buffer.nearness[in_front], 0.02, rtol=1e-5)


def test_surfaces_that_cross_are_cut_where_they_cross():
    points = np.concatenate([SQUARE * 10, SQUARE * 10])
    left_near = np.array([0.02, 0.01, 0.01, 0.02])
    near = np.concatenate([left_near, np.full(4, 0.015)])
    buffer = rasterise(points, near, np.concatenate([HALVES, HALVES + 4]), 80, 60)
    assert (buffer.triangle[20, 6:34] < 2).all() and (buffer.triangle[20, 37:64] >= 2).all()


def test_what_lies_outside_is_cut_off():
    buffer = rasterise(SQUARE * 10 - 20, np.full(4, 0.01), HALVES, 20, 10)
    assert (buffer.triangle >= 0).all()
    nothing = rasterise(SQUARE + 100, np.full(4, 0.01), HALVES, 20, 10)
    assert (nothing.triangle == -1).all() and (nothing.nearness == 0).all()


def test_gradients_reproduce_a_plane():
    corners = np.array([[(1.0, 2.0), (7.0, 3.0), (2.0, 9.0)]])
    values = (3.0 * corners[..., 0] - 2.0 * corners[..., 1] + 5.0)[..., None]
    np.testing.assert_allclose(gradients(corners, values)[0, :, 0], (3.0, -2.0, 5.0))
