"""Windows on maps: what they show, how they combine, and that a map comes back where it was."""

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.models.window_sampling import WHOLE, WindowSampling, compose, invert, sample_windows
from cspn_tf.resampling import CanvasPyramid


def maps(height=8, width=8, channels=3, batch=2, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, height, width, channels)).astype(np.float32)


def windows(*rows):
    return tf.constant(rows, tf.float32)


def test_the_whole_window_shows_the_map_itself():
    values = maps()
    np.testing.assert_array_equal(sample_windows(values, windows(WHOLE, WHOLE), 8), values)


def test_a_quarter_is_cut_out_by_hand():
    values = maps()
    # The right half of the columns, the upper half of the rows.
    view = sample_windows(values, windows([0.75, 0.25, 0.5, 0.5], WHOLE), 4)
    np.testing.assert_allclose(view[0], values[0, :4, 4:], atol=1e-6)
    # The second is halved: in each direction 1/8, 3/8, 3/8, 1/8 of the four pixels around, as a tent of two pixels.
    tent = np.array([1, 3, 3, 1]) / 8
    expected = np.einsum("a,b,abc->c", tent, tent, values[1, 1:5, 3:7])
    np.testing.assert_allclose(view[1, 1, 2], expected, atol=1e-5)


def test_pixels_between_are_bilinear_and_the_border_repeats():
    values = np.array([0, 1, 2, 3], np.float32).reshape(1, 1, 4, 1) * np.ones((1, 4, 1, 1), np.float32)
    view = sample_windows(values, windows(WHOLE), 8)
    np.testing.assert_allclose(view[0, 3, :, 0], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3], atol=1e-6)


def test_there_is_nothing_outside():
    view = sample_windows(np.ones((1, 4, 4, 1), np.float32), windows([0.0, 0.5, 1.0, 1.0]), 4)
    np.testing.assert_allclose(view[0, :, :, 0], [[0, 0, 1, 1]] * 4, atol=1e-6)
    # Wider than the map: half a pixel of it beyond the edge still counts.
    view = sample_windows(np.ones((1, 4, 4, 1), np.float32), windows([0.5, 0.5, 2.0, 1.0]), 4)
    np.testing.assert_allclose(view[0, :, :, 0], [[0, 1, 1, 0]] * 4, atol=1e-6)


def test_maps_need_not_be_square():
    values = maps(height=4, width=8)
    view = sample_windows(values, windows([0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]), 4)
    np.testing.assert_allclose(view[0], values[0, :, :4], atol=1e-6)
    np.testing.assert_allclose(view[1], values[1, :, 4:], atol=1e-6)


def test_a_view_agrees_with_the_crop_of_the_same_window():
    pictures = np.random.default_rng(1).integers(0, 256, (1, 20, 20, 3)).astype(np.uint8)
    view = sample_windows(pictures.astype(np.float32), windows([0.45, 0.55, 0.6, 0.6]), 24)
    # Shares of 20 pixels, in the edge frame, to pixels.
    cut = CanvasPyramid.of(tf.constant(pictures)).crop(tf.constant([0.45 * 20 - 0.5, 0.55 * 20 - 0.5, 12.0]), 24)
    np.testing.assert_allclose(view[0], cut, atol=1e-2)


@pytest.mark.parametrize("right, down", [(2, 0), (-3, 1), (1, -2)])
def test_a_shift_maps_back_exactly(right, down):
    values = maps(batch=1)
    window = windows([0.5 + right / 8, 0.5 + down / 8, 1.0, 1.0])
    view = sample_windows(values, window, 8)
    back = sample_windows(view, invert(window), 8)
    seen = np.zeros((8, 8), bool)
    seen[max(down, 0) : 8 + min(down, 0), max(right, 0) : 8 + min(right, 0)] = True
    np.testing.assert_allclose(back[0][seen], values[0][seen], atol=1e-6)
    assert np.abs(back[0][~seen]).max() == 0


def test_a_point_drawn_in_a_view_comes_back_to_its_place():
    # A view of the window's 0.25 to 0.75 in x and 0.1 to 0.6 in y; its point (0.5, 0.4) is (0.5, 0.3) of the map.
    window = windows([0.5, 0.35, 0.5, 0.5])
    index = (np.arange(32) + 0.5) / 32
    drawn = np.exp(-((index[None, :] - 0.5) ** 2 + (index[:, None] - 0.4) ** 2) / (2 * 0.1**2))
    back = sample_windows(drawn[None, :, :, None].astype(np.float32), invert(window), 64)[0, :, :, 0].numpy()
    ys, xs = (np.mgrid[:64, :64] + 0.5) / 64
    centroid = [(back * xs).sum() / back.sum(), (back * ys).sum() / back.sum()]
    np.testing.assert_allclose(centroid, [0.5, 0.3], atol=2e-3)


def test_windows_combine_by_hand():
    # The right half, and of that view the left upper quarter: x from 0.5 to 0.75, y from 0 to 0.5.
    both = compose(windows([0.75, 0.5, 0.5, 1.0]), windows([0.25, 0.25, 0.5, 0.5]))
    np.testing.assert_allclose(both, [[0.625, 0.25, 0.25, 0.5]])


def test_inverse_windows_by_hand():
    # Seen from the right half, the whole is twice as wide, and its centre is the view's left edge.
    np.testing.assert_allclose(invert(windows([0.75, 0.5, 0.5, 1.0])), [[0.0, 0.5, 2.0, 1.0]])


def test_a_window_and_its_inverse_are_the_whole():
    random = np.random.default_rng(3)
    some = tf.constant(np.concatenate([random.uniform(-1, 2, (20, 2)), random.uniform(0.3, 3, (20, 2))], 1), tf.float32)
    for product in (compose(some, invert(some)), compose(invert(some), some)):
        np.testing.assert_allclose(product, np.tile(WHOLE, (20, 1)), atol=1e-5)
    np.testing.assert_allclose(invert(invert(some)), some, atol=1e-4)


def test_gradient_reaches_maps_and_windows_even_where_nothing_moves_yet():
    values, window = tf.Variable(maps()), tf.Variable(windows(WHOLE, WHOLE))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.square(sample_windows(values, window, 8)) * maps(seed=5))
    for gradient in tape.gradient(total, [values, window]):
        assert np.isfinite(gradient).all() and np.abs(gradient).min() > 0


def test_gradient_of_a_shift_by_hand():
    # Between pixels 1 and 2 of a ramp of slope 5 a pixel: 8 pixels to a share, 5 * 8 for each of 8 rows.
    ramp = np.tile(5 * np.arange(8, dtype=np.float32), (8, 1)).reshape(1, 8, 8, 1)
    window = tf.Variable(windows([0.5 + 0.3 / 8, 0.5, 1.0, 1.0]))
    with tf.GradientTape() as tape:
        column = tf.reduce_sum(sample_windows(ramp, window, 8)[:, :, 1])
    np.testing.assert_allclose(tape.gradient(column, window)[0, 0], 5 * 8 * 8, rtol=1e-4)


def test_layer_samples():
    values, window = maps(batch=1), windows([0.4, 0.6, 0.5, 0.7])
    np.testing.assert_array_equal(WindowSampling(5)([values, window]), sample_windows(values, window, 5))


def test_layer_keeps_windows_exact_in_mixed_precision():
    layer = WindowSampling(8, dtype="mixed_bfloat16")
    window = windows([0.5 + 0.001, 0.5, 1.0, 1.0])
    values = tf.cast(maps(batch=1), tf.bfloat16)
    assert layer([values, window]).dtype == tf.bfloat16
    np.testing.assert_array_equal(layer([values, window]), sample_windows(values, window, 8))


def test_tflite_samples_the_same(run_tflite):
    values, window = maps(batch=1), windows([0.4, 0.6, 0.5, 0.7]).numpy()
    (converted,) = run_tflite(lambda m, w: sample_windows(m, w, 6), values, window)
    np.testing.assert_allclose(converted, sample_windows(values, window, 6), atol=1e-5)
