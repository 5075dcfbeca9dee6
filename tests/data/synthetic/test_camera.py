import numpy as np
import pytest

from cspn_tf.data.synthetic.camera import draw_warp, look_at

NO_WARP = np.zeros((0, 5))


def test_projection_of_known_points():
    camera = look_at((0.0, 100.0, 0.0), 200.0).aimed(400.0, (50.0, 60.0), NO_WARP)
    xy, depth = camera.project([(0.0, 100.0, 0.0), (10.0, 100.0, 0.0), (0.0, 110.0, 0.0), (10.0, 100.0, 100.0)])
    # 10 cm at 200 cm and a focal length of 400 pixels are 20 pixels; at 100 cm they are 40.
    np.testing.assert_allclose(xy, [(50, 60), (70, 60), (50, 40), (90, 60)])
    np.testing.assert_allclose(depth, [200, 200, 200, 100])
    assert camera.scale == 2.0


def test_rolling_turns_the_picture_clockwise_and_pitching_looks_down():
    rolled = look_at((0.0, 0.0, 0.0), 100.0, roll=np.pi / 2).aimed(100.0, (0.0, 0.0), NO_WARP)
    np.testing.assert_allclose(rolled.project([(10.0, 0.0, 0.0)])[0], [(0.0, 10.0)], atol=1e-9)
    # From straight above, what is in front of the target is below it in the picture.
    above = look_at((0.0, 0.0, 0.0), 100.0, pitch=np.pi / 2).aimed(100.0, (0.0, 0.0), NO_WARP)
    np.testing.assert_allclose(above.project([(0.0, 0.0, 10.0)])[0], [(0.0, 10.0)], atol=1e-9)
    np.testing.assert_allclose(above.project([(0.0, 10.0, 0.0)])[1], [90.0], atol=1e-9)


def test_unprojecting_is_the_inverse():
    camera = look_at((3.0, 90.0, -2.0), 300.0, 0.2, 0.1).aimed(700.0, (200.0, 250.0), NO_WARP)
    pixels = np.array([[10.0, 20.0], [300.0, 480.0]])
    xy, depth = camera.project(camera.unproject(pixels, 140.0))
    np.testing.assert_allclose(xy, pixels, atol=1e-9)
    np.testing.assert_allclose(depth, 140.0)
    assert camera.unproject(pixels[0], 140.0).shape == (3,)


def test_the_warp_adds_its_waves_to_every_point():
    warp = np.array([[3.0, -1.0, 0.0, 0.0, np.pi / 2]])
    plain = look_at((0.0, 0.0, 0.0), 100.0).aimed(100.0, (0.0, 0.0), NO_WARP)
    warped = look_at((0.0, 0.0, 0.0), 100.0).aimed(100.0, (0.0, 0.0), warp)
    points = np.array([(1.0, 2.0, 3.0), (-4.0, 5.0, 6.0)])
    np.testing.assert_allclose(warped.project(points)[0], plain.project(points)[0] + (3.0, -1.0))


def test_drawn_warps_are_small():
    for seed in range(10):
        warp = draw_warp(np.random.default_rng(seed), 500)
        assert warp.shape == (3, 5)
        assert np.abs(warp[:, :2]).sum(axis=0).max() <= 3 * 0.006 * 500
        assert np.hypot(warp[:, 2], warp[:, 3]).max() == pytest.approx(2 * np.pi / (500 * 0.5), rel=0.6)
