"""The codec: what encode draws, decode must find, wherever the keypoint lies."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter as LiteRT
from hypothesis import given, settings
from hypothesis import strategies as st

from cspn_tf import config, heatmaps

STRIDE, CROP, SIZE = 4, 96, 24


def encode(points, sigma=1.5):
    return heatmaps.encode(tf.constant(points, tf.float32), CROP, STRIDE, sigma)


def decode(maps, stride=STRIDE):
    points, scores = heatmaps.decode(tf.constant(maps, tf.float32), stride)
    return points.numpy(), scores.numpy()


def one_map(values, height=SIZE, width=SIZE):
    """Return one heatmap `(1, height, width, 1)` with values by (row, column), zero elsewhere."""
    maps = np.zeros((1, height, width, 1), np.float32)
    for (row, column), value in values.items():
        maps[0, row, column, 0] = value
    return maps


def grid(low, high, num):
    """Return num * num crop points `(1, num * num, 2)` from low to high."""
    line = np.linspace(low, high, num, dtype=np.float32)
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(1, -1, 2)


# Encode --------------------------------------------------------------------------------------------------------------


def test_encode_by_hand():
    # Crop (5.5, 9.5) is heatmap (1, 2): x is the column, y the row.
    maps = encode([[[5.5, 9.5]]], sigma=2.0).numpy()
    assert maps.shape == (1, SIZE, SIZE, 1) and maps.dtype == np.float32
    assert maps[0, 2, 1, 0] == pytest.approx(1.0)
    # exp(-d^2 / (2 sigma^2)) at distances of 1, 2 and (2, 3).
    assert maps[0, 2, 2, 0] == pytest.approx(np.exp(-1 / 8))
    assert maps[0, 4, 1, 0] == pytest.approx(np.exp(-4 / 8))
    assert maps[0, 4, 4, 0] == pytest.approx(np.exp(-13 / 8))


def test_encode_keeps_the_place_between_pixels():
    # Crop 7.5 is heatmap 1.5: columns 1 and 2 are as high, below the peak.
    maps = encode([[[7.5, 9.5]]], sigma=1.0).numpy()[0, 2, :, 0]
    np.testing.assert_allclose(maps[:4], np.exp([-1.125, -0.125, -0.125, -1.125]), rtol=1e-5)


def test_encode_draws_each_keypoint_of_each_garment_in_its_own_map():
    points = np.random.default_rng(1).uniform(0, CROP, (3, 8, 2)).astype(np.float32)
    maps = encode(points).numpy()
    assert maps.shape == (3, SIZE, SIZE, 8)
    for garment in range(3):
        for keypoint in range(8):
            alone = encode(points[garment : garment + 1, keypoint : keypoint + 1])[0, ..., 0]
            np.testing.assert_allclose(maps[garment, ..., keypoint], alone, rtol=1e-6)


def test_encode_takes_keypoints_without_a_batch_and_with_two():
    points = np.random.default_rng(1).uniform(0, CROP, (2, 3, 8, 2)).astype(np.float32)
    maps = encode(points)
    assert maps.shape == (2, 3, SIZE, SIZE, 8)
    np.testing.assert_allclose(encode(points[1, 2]), maps[1, 2], rtol=1e-6)
    assert encode(np.zeros((0, 8, 2))).shape == (0, SIZE, SIZE, 8)


def test_encode_leaves_the_tail_or_nothing_of_keypoints_outside():
    # 1.5 heatmap pixels, one sigma, to the left of column 0; far away; and exactly on the edge.
    maps = encode([[[1.5 - 6.0, 9.5], [-4000.0, 1e6], [-0.5, 9.5]]], sigma=1.5).numpy()[0]
    assert maps[..., 0].max() == maps[2, 0, 0] == pytest.approx(np.exp(-0.5))
    assert maps[..., 1].max() == 0.0
    assert maps[..., 2].max() == maps[2, 0, 2] == pytest.approx(np.exp(-0.5 * (0.5 / 1.5) ** 2))
    assert np.isfinite(maps).all()


def test_encode_is_the_same_in_a_dataset():
    points = np.random.default_rng(2).uniform(-9, CROP + 9, (4, 8, 2)).astype(np.float32)
    mapped = tf.data.Dataset.from_tensor_slices(points).map(lambda one: heatmaps.encode(one, CROP, STRIDE, 1.5))
    assert mapped.element_spec.shape == (SIZE, SIZE, 8)
    np.testing.assert_allclose(np.stack(list(mapped)), encode(points), rtol=1e-5, atol=1e-7)


# Round trip ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", sorted({preset.keypoints.heatmap_sigma for preset in config.PRESETS.values()}))
def test_decode_finds_inner_keypoints_exactly(sigma):
    # From the centre of heatmap pixel 1 to that of pixel 22, past which a peak has no neighbour on one side.
    points = grid(5.5, 89.5, 37)
    found, scores = decode(encode(points, sigma))
    assert np.abs(found - points).max() < 2e-3
    # The highest pixel is at most half a pixel away in x and in y.
    assert scores.max() <= 1.0 and scores.min() >= np.exp(-0.25 / sigma**2) - 1e-6


def test_decode_finds_keypoints_at_the_border_within_half_a_stride():
    points = grid(-0.5, CROP - 0.5, 49)
    found, _ = decode(encode(points))
    assert np.abs(found - points).max() <= STRIDE / 2 + 1e-3
    inner = np.all((points > 3.6) & (points < CROP - 4.6), axis=-1)
    assert np.abs(found - points)[inner].max() < 2e-3 < np.abs(found - points)[~inner].max()


@settings(deadline=None, max_examples=40)
@given(st.floats(5.5, 89.5), st.floats(5.5, 89.5), st.floats(0.7, 6), st.floats(1e-3, 1))
def test_decode_finds_a_gaussian_of_any_width_and_height(x, y, sigma, height):
    found, scores = decode(height * encode([[[x, y]]], sigma).numpy())
    np.testing.assert_allclose(found[0, 0], [x, y], atol=0.02)
    assert 0 < scores[0, 0] <= height + 1e-6


@pytest.mark.parametrize("stride", [1, 2, 8])
def test_decode_answers_in_crop_pixels_of_any_stride(stride):
    points = np.array([[[10.3 * stride, 7.75 * stride]]], np.float32)
    maps = heatmaps.encode(tf.constant(points), SIZE * stride, stride, 1.5)
    np.testing.assert_allclose(decode(maps, stride)[0], points, atol=1e-3 * stride)


def test_decode_keeps_keypoints_and_garments_apart():
    points = np.random.default_rng(3).uniform(6, 89, (5, 8, 2)).astype(np.float32)
    found, scores = decode(encode(points))
    assert found.shape == (5, 8, 2) and scores.shape == (5, 8)
    np.testing.assert_allclose(found, points, atol=2e-3)
    assert decode(np.zeros((0, SIZE, SIZE, 8)))[0].shape == (0, 8, 2)


# Decode --------------------------------------------------------------------------------------------------------------


def test_decode_by_hand():
    # Heights of e^-1, 1 and e^-3 in a row: the parabola through -1, 0, -3 has its top at 0.5 * (-1 + 3) / (-1 - 3)
    # = -0.25, so column 9.75; rows are as high above as below. Crop x is 10.25 * 4 - 0.5, y 5.5 * 4 - 0.5.
    maps = one_map({(5, 9): np.exp(-1), (5, 10): 1.0, (5, 11): np.exp(-3), (4, 10): 0.2, (6, 10): 0.2})
    found, scores = decode(maps)
    np.testing.assert_allclose(found, [[[(9.75 + 0.5) * 4 - 0.5, 5.5 * 4 - 0.5]]], atol=1e-4)
    np.testing.assert_allclose(scores, [[1.0]])


def test_decode_stays_within_half_a_pixel_of_the_highest():
    found, _ = decode(one_map({(5, 9): 0.9, (5, 10): 0.9}))
    np.testing.assert_allclose(found, [[[(9.5 + 0.5) * 4 - 0.5, 5.5 * 4 - 0.5]]], atol=1e-4)


def test_decode_takes_the_first_of_equal_peaks():
    found, scores = decode(one_map({(5, 10): 0.7, (12, 3): 0.7}))
    np.testing.assert_allclose(found, [[[10.5 * 4 - 0.5, 5.5 * 4 - 0.5]]], atol=1e-4)
    np.testing.assert_allclose(scores, [[0.7]])


@pytest.mark.parametrize("value, score", [(0.0, 0.0), (0.3, 0.3), (1.0, 1.0), (-2.0, 0.0), (7.0, 1.0)])
def test_decode_of_a_flat_map_is_its_first_pixel(value, score):
    found, scores = decode(np.full((1, SIZE, SIZE, 1), value))
    np.testing.assert_allclose(found, [[[1.5, 1.5]]], atol=1e-5)
    np.testing.assert_allclose(scores, [[score]])


def test_decode_of_a_plateau_does_not_leave_it():
    found, _ = decode(one_map({(row, column): 0.5 for row in (6, 7, 8) for column in (6, 7, 8)}))
    assert np.all((found >= 6 * 4 - 0.5) & (found <= 9 * 4 - 0.5))


@pytest.mark.parametrize("row", [0, 11, SIZE - 1])
@pytest.mark.parametrize("column", [0, 7, SIZE - 1])
def test_decode_does_not_refine_past_the_border(row, column):
    # The peak and slopes that fall to one side only, within the map.
    maps = one_map({(row, column): 1.0})
    found, _ = decode(maps)
    np.testing.assert_allclose(found, [[[(column + 0.5) * 4 - 0.5, (row + 0.5) * 4 - 0.5]]], atol=1e-4)


def test_decode_refines_along_the_border_but_not_across_it():
    maps = one_map({(0, 9): np.exp(-1), (0, 10): 1.0, (0, 11): np.exp(-3), (1, 10): 0.9})
    np.testing.assert_allclose(decode(maps)[0], [[[(9.75 + 0.5) * 4 - 0.5, 1.5]]], atol=1e-4)


def test_decode_bears_negative_values():
    maps = np.random.default_rng(4).uniform(-0.2, 0, (1, SIZE, SIZE, 1)).astype(np.float32)
    maps[0, 7, 8, 0] = 0.6
    found, scores = decode(maps)
    np.testing.assert_allclose(found, [[[8.5 * 4 - 0.5, 7.5 * 4 - 0.5]]], atol=1e-4)
    np.testing.assert_allclose(scores, [[0.6]])
    found, scores = decode(maps - 5)
    np.testing.assert_allclose(found, [[[8.5 * 4 - 0.5, 7.5 * 4 - 0.5]]], atol=1e-4)
    np.testing.assert_array_equal(scores, [[0.0]])


@pytest.mark.parametrize("height, score", [(0.25, 0.25), (1.0, 1.0), (1.7, 1.0), (-0.5, 0.0)])
def test_scores_are_the_height_clipped_to_one(height, score):
    maps = np.full((1, SIZE, SIZE, 1), -1.0)
    maps[0, 3, 4, 0] = height
    np.testing.assert_allclose(decode(maps)[1], [[score]])


def test_decode_takes_maps_that_are_not_square():
    found, _ = decode(one_map({(3, 17): 1.0}, height=6, width=20))
    np.testing.assert_allclose(found, [[[17.5 * 4 - 0.5, 3.5 * 4 - 0.5]]], atol=1e-4)


# Ways of refining a peak ---------------------------------------------------------------------------------------------


def tilted_gaussian(x, y):
    """A Gaussian at (x, y) whose long axis lies across the grid's, `(1, SIZE, SIZE, 1)`."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    along, across = (columns - x + rows - y) / 2**0.5, (columns - x - rows + y) / 2**0.5
    return np.exp(-0.5 * ((along / 2.5) ** 2 + (across / 1.2) ** 2))[np.newaxis, ..., np.newaxis].astype(np.float32)


def errors(subpixel, maps, points):
    """Return how far what is found is from heatmap places `(1, K, 2)`, heatmap pixels."""
    found, _ = heatmaps.decode(tf.constant(maps), STRIDE, subpixel=subpixel)
    return np.linalg.norm((found.numpy() + 0.5) / STRIDE - 0.5 - points, axis=-1)


def test_without_refinement_the_highest_pixel_is_the_keypoint():
    found, _ = heatmaps.decode(encode([[[41.0, 50.0]]]), STRIDE, subpixel="none")
    # Pixel 10 covers 40 to 43, pixel 12 covers 48 to 51.
    np.testing.assert_allclose(found, [[[41.5, 49.5]]])


@pytest.mark.parametrize("subpixel, tolerance", [("none", 2**-0.5), ("parabola", 1e-3), ("dark", 0.02)])
def test_an_upright_gaussian_is_found_as_exactly_as_each_way_can(subpixel, tolerance):
    points = (grid(20, 76, 9) + 0.5) / STRIDE - 0.5
    maps = encode(grid(20, 76, 9))
    assert errors(subpixel, maps, points).max() <= tolerance + 1e-6
    if subpixel == "none":
        assert errors(subpixel, maps, points).max() > 0.5


def test_a_tilted_peak_is_met_by_the_mixed_derivative():
    worst = {"parabola": 0.0, "dark": 0.0}
    for x, y in ((10.3, 12.2), (10.4, 12.4), (9.7, 11.8), (10.45, 11.6)):
        for subpixel in worst:
            worst[subpixel] = max(worst[subpixel], errors(subpixel, tilted_gaussian(x, y), [[x, y]]).max())
    assert worst["dark"] < 0.1 < 0.2 < worst["parabola"]


@pytest.mark.parametrize("subpixel", ["parabola", "dark"])
def test_refinement_never_leaves_the_map_nor_jumps(subpixel):
    noise = np.random.default_rng(3).normal(0, 1, (2, 9, 9, 8)).astype(np.float32)
    rough, _ = heatmaps.decode(tf.constant(noise), STRIDE, subpixel="none")
    found, _ = heatmaps.decode(tf.constant(noise), STRIDE, subpixel=subpixel)
    assert np.isfinite(found).all()
    assert np.abs(found - rough).max() <= STRIDE + 1e-4


def test_offsets_of_the_highest_pixel_are_added_to_it():
    maps = one_map({(3, 7): 1.0})
    offsets = np.zeros((1, SIZE, SIZE, 2), np.float32)
    offsets[0, 3, 7] = 0.25, -1.5
    found, scores = heatmaps.decode(tf.constant(maps), STRIDE, offsets=tf.constant(offsets))
    np.testing.assert_allclose(found, [[[7.75 * 4 - 0.5, 2.0 * 4 - 0.5]]])
    np.testing.assert_allclose(scores, [[1.0]])


def test_decode_is_the_same_in_a_dataset():
    maps = mixed_maps()
    (mapped,) = tf.data.Dataset.from_tensor_slices(maps).batch(4).map(lambda batch: heatmaps.decode(batch, STRIDE))
    for found, eager in zip(mapped, decode(maps), strict=True):
        np.testing.assert_allclose(found, eager, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("subpixel", config.SUBPIXELS)
def test_decode_runs_in_tflite_with_built_in_operations(subpixel, run_tflite):
    maps = mixed_maps()
    found = {value.ndim: value for value in run_tflite(lambda m: heatmaps.decode(m, STRIDE, subpixel=subpixel), maps)}
    points, scores = heatmaps.decode(tf.constant(maps), STRIDE, subpixel=subpixel)
    np.testing.assert_allclose(found[3], points, atol=1e-3)
    np.testing.assert_allclose(found[2], scores, atol=1e-6)


@pytest.mark.parametrize("subpixel", ["parabola", "dark"])
def test_neighbours_of_zero_are_finite_where_maps_have_8_bits(subpixel):
    maps = np.zeros((1, SIZE, SIZE, 8), np.float32)
    maps[:, 3, 5] = 1.0
    maps[:, 3, 6, 4:] = 0.4

    def find(maps):
        return heatmaps.decode(tf.quantization.fake_quant_with_min_max_args(maps, -0.5, 1.0), STRIDE, subpixel=subpixel)

    concrete = tf.function(find, autograph=False).get_concrete_function(tf.TensorSpec(maps.shape))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    interpreter = LiteRT(model_content=converter.convert())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], maps)
    interpreter.invoke()
    points = {len(one["shape"]): interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()}[3]
    np.testing.assert_allclose(points, find(tf.constant(maps))[0], atol=0.1)


def mixed_maps():
    """Inner, border and outside keypoints, noise, flat and negative maps, `(4, SIZE, SIZE, 8)`."""
    random = np.random.default_rng(5)
    maps = encode(random.uniform(-9, CROP + 9, (4, 8, 2))).numpy()
    maps[1] += random.normal(0, 0.05, maps[1].shape)
    maps[2] *= 1.5
    maps[3, ..., :3] = [0.0, 0.4, -1.0]
    return maps.astype(np.float32)
