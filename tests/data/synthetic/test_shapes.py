import numpy as np

from cspn_tf.data.synthetic.shapes import blob, curve


def test_curve_goes_through_its_points():
    points = np.array([[0.0, 0.0], [2.0, 3.0], [5.0, 1.0]])
    smooth = curve(points, steps=4)
    assert len(smooth) == 2 * 4 + 1
    np.testing.assert_allclose(smooth[[0, 4, 8]], points)


def test_blob_stays_near_its_radii():
    points = blob(np.random.default_rng(0), (0.0, 0.0), 10.0, 4.0, roughness=0.2)
    radius = np.hypot(points[:, 0] / 10.0, points[:, 1] / 4.0)
    assert radius.min() > 0.7 and radius.max() < 1.3
