import numpy as np
import pytest

from cspn_tf.data.synthetic.fabric import Fabric
from cspn_tf.data.synthetic.mesh import Mesh, azimuths, ellipsoid, normals, quads, ribbon, ring, tube
from cspn_tf.data.synthetic.skeleton import follow

PLAIN = Fabric((1, 2, 3))


def hanging_tube(columns=8):
    path = follow([(0, 10, 0), (0, 0, 0)], (1.0, 0.0, 0.0), np.linspace(0, 10, 5))
    return tube(path, np.full(5, 3.0), np.full(5, 2.0), columns, fabric=PLAIN)


def test_rings_start_at_the_back_and_have_their_sides_among_the_columns():
    angles = azimuths(8)
    assert len(angles) == 9 and angles[2] == pytest.approx(-np.pi / 2) and angles[6] == pytest.approx(np.pi / 2)
    side, front = ring(angles)
    np.testing.assert_allclose(side[[0, 2, 4, 6]], (0, -1, 0, 1), atol=1e-12)
    np.testing.assert_allclose(front[[0, 2, 4, 6]], (-1, 0, 1, 0), atol=1e-12)


def test_boxier_rings_reach_further_into_the_corners():
    np.testing.assert_allclose(ring(np.array([np.pi / 2]), 4.0), [[1.0], [0.0]], atol=1e-6)
    assert ring(np.array([np.pi / 4]), 4.0)[0, 0] == pytest.approx(0.5**0.25)


def test_tubes_have_their_radii_sideways_and_in_depth():
    points = hanging_tube().points
    np.testing.assert_allclose(points[2, [2, 4, 6]], [(-3, 5, 0), (0, 5, 2), (3, 5, 0)], atol=1e-9)
    np.testing.assert_allclose(points[:, 0], points[:, -1], atol=1e-9)


@pytest.mark.parametrize(
    "mesh", [hanging_tube(16), ellipsoid((1.0, 2.0, 3.0), np.eye(3), (2.0, 3.0, 4.0), 12, 16, fabric=PLAIN)]
)
def test_normals_are_units_and_point_outwards(mesh):
    inner = mesh.points[2:-2].reshape(-1, 3)
    outwards = inner - (inner.min(axis=0) + inner.max(axis=0)) / 2
    outwards[:, 1] = 0.0
    direction = normals(mesh)[2:-2].reshape(-1, 3)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=1), 1.0, atol=1e-6)
    assert ((direction * outwards).sum(axis=1) > 0).all()


def test_ellipsoid_points_satisfy_its_equation():
    mesh = ellipsoid((1.0, 2.0, 3.0), np.eye(3), (2.0, 3.0, 4.0), 6, 8, fabric=PLAIN)
    np.testing.assert_allclose((((mesh.points - (1, 2, 3)) / (2, 3, 4)) ** 2).sum(axis=-1), 1.0)


def test_ribbons_are_as_wide_as_asked_and_open():
    strip = ribbon([(0, 0, 0), (0, -5, 0), (0, -9, 0)], (1.0, 0.0, 0.0), 2.0, fabric=PLAIN)
    np.testing.assert_allclose(strip.points[:, 1] - strip.points[:, 0], [(4, 0, 0)] * 3)
    np.testing.assert_allclose(strip.uv[:, 0, 1], (0, 5, 9))
    assert strip.two_sided and not strip.round


def test_quads_number_the_corners_of_the_faces_there_are():
    points = np.zeros((3, 3, 3))
    faces = np.array([[True, False], [False, True]])
    corners, row, column = quads(Mesh(points, np.zeros((3, 3, 2)), PLAIN, faces=faces))
    np.testing.assert_array_equal(corners, [(0, 1, 4, 3), (4, 5, 8, 7)])
    np.testing.assert_array_equal((row, column), [(0, 1), (0, 1)])
    assert len(quads(Mesh(points, np.zeros((3, 3, 2)), PLAIN))[0]) == 4
