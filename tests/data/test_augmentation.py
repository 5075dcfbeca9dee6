"""Labels must go where the pixels go, whatever is drawn."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.config import preset
from cspn_tf.data import pipeline
from cspn_tf.data.augmentation import boxes, camera, colour, deformation, draws, flip, occlusion
from cspn_tf.garments import FLIP_SLOTS, NUM_KEYPOINTS, Visibility
from tests.test_architecture import all_imports

SIZE = 96
ON, LAST = 0.0, 0.999999


def random_draws(seed, num):
    return draws.draw(tf.constant([seed, 0], tf.int64), num)


def draws_of(**values):
    """Numbers of one example that change nothing, but for the named ones."""
    numbers = {name: neutral[0] for name, neutral in draws.forced(random_draws(0, 1)).items()}
    for name, value in values.items():
        numbers[name] = tf.constant(np.broadcast_to(np.float32(value), numbers[name].shape))
    return numbers


def joined(*several):
    return {name: tf.concat([numbers[name] for numbers in several], axis=0) for name in draws.DRAWS}


def crop_example(numbers, visibility=(2, 1, 2, 2, 0, -1, 2, 1)):
    picture = np.random.default_rng(0).uniform(0, 255, (SIZE, SIZE, 3)).astype(np.float32)
    points = np.array([[x, y] for y in (18, 38, 58, 78) for x in (30.25, 66.5)], np.float32)
    return {
        "image": tf.constant(picture),
        "keypoints_xy_crop": tf.constant(points),
        "visibility": tf.constant(visibility, tf.int32),
        "draws": numbers,
    }


# Draws ---------------------------------------------------------------------------------------------------------------


def test_draws_depend_on_the_seed_alone_and_cover_the_unit_interval():
    first, again, other = random_draws(5, 400), random_draws(5, 400), random_draws(6, 400)
    assert set(first) == set(draws.DRAWS)
    for name, numbers in draws.DRAWS.items():
        assert first[name].shape == ((400,) if numbers.width == 1 else (400, numbers.width))
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])
        assert np.min(first[name]) >= 0.0 and np.max(first[name]) < 1.0
        assert abs(np.mean(first[name]) - 0.5) < 0.1


def test_a_forced_augmentation_happens_alone():
    drawn = random_draws(1, 5)
    alone = draws.forced(drawn, "rotation")
    np.testing.assert_array_equal(alone["turned"], np.zeros(5))
    np.testing.assert_array_equal(alone["angle"], drawn["angle"])
    assert set(draws.AUGMENTATIONS["rotation"]) == {"turned", "angle"}
    np.testing.assert_array_equal(alone["bend"], np.full((5, deformation.NUM_BEND_NUMBERS), 0.5))
    np.testing.assert_array_equal(alone["flipped"], np.ones(5))


def test_an_unknown_augmentation_is_named():
    with pytest.raises(ValueError, match=r"must be of box jitter, .*; received snow"):
        draws.forced(random_draws(1, 1), "snow")


def test_neutral_draws_change_nothing():
    drawn = draws_of()
    example = crop_example(drawn)
    of_pixels = (colour.recolour, camera.blur, camera.compress, occlusion.cover)
    for step in (*of_pixels, flip.flip_crop, flip.turn_crop):
        changed = step(example)
        for key in ("image", "keypoints_xy_crop", "visibility"):
            np.testing.assert_allclose(changed[key], example[key], atol=1e-3, err_msg=f"{step} {key}")
    box, window = tf.constant([20.0, 10.0, 60.0, 90.0]), tf.constant([40.0, 50.0, 100.0])
    np.testing.assert_allclose(boxes.jitter_box(box, drawn), box, atol=1e-3)
    np.testing.assert_allclose(boxes.move_window(window, drawn), window, atol=1e-3)


# Markers -------------------------------------------------------------------------------------------------------------

# A photo that is not the canvas's size, with a spot of another colour under each keypoint.
CANVAS, PHOTO = 256, (230, 200)
BOX = (40.0, 35.0, 160.0, 195.0)
GROUND = np.array([110.0, 110.0, 110.0])
# The corners of the colour cube.
MARKERS = np.array([[red, green, blue] for red in (20, 235) for green in (20, 235) for blue in (20, 235)], np.float64)
POINTS = np.array([[x, y] for y in (48.3, 92.0, 135.6, 180.1) for x in (60.7, 128.4)], np.float32)
GEOMETRIC = ("box jitter", "scale", "shift", "rotation", "cloth warp", "flip", "quarter turn")


def marked_photo(height=PHOTO[0], width=PHOTO[1], sigma=6.5):
    ys, xs = np.mgrid[:height, :width]
    photo = np.tile(GROUND, (height, width, 1))
    for (x, y), marker in zip(POINTS, MARKERS, strict=True):
        spot = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2))[..., None]
        photo = photo * (1 - spot) + spot * marker
    return photo.round().astype(np.uint8)


@functools.cache
def augmenter():
    """The steps of training on the garments of the marked photo, as one traced function of their draws."""
    steps = pipeline.garment_steps(preset("tiny"), augment=True)
    example = {
        "photo_bytes": tf.io.encode_png(marked_photo()),
        "photo_name": tf.constant("marked.png"),
        "boxes_xyxy_photo": tf.constant([BOX]),
        "keypoints_xy_photo": tf.constant(POINTS[np.newaxis]),
    }
    example = pipeline.to_canvas(example, canvas_size=CANVAS, max_pixels=10**6)
    visibility = tf.constant([[2, 2, 1, 2, 2, 1, 2, 2]])

    @tf.function(autograph=False)
    def run(numbers):
        num = tf.size(numbers["scale"])
        repeated = {key: tf.repeat(example[key], num, axis=0) for key in ("boxes_xyxy_canvas", "keypoints_xy_canvas")}
        repeated |= {"visibility": tf.repeat(visibility, num, axis=0), "draws": numbers}
        crops = pipeline.to_crops({**example, **repeated}, steps=steps, crop_size=SIZE)
        return {key: crops[key] for key in ("crops", "keypoints_xy_crop", "visibility", "windows")}

    return run


def augmented(numbers):
    return {key: value.numpy() for key, value in augmenter()(numbers).items()}


def extreme_draws(augmentation):
    """Draws at the ends of their ranges, and for many numbers also with their signs mixed."""
    num = 8
    pattern = np.random.default_rng(7).integers(0, 2, (num, 64)).astype(np.float32) * LAST
    pattern[0], pattern[1] = 0.0, LAST
    drawn = random_draws(0, num)
    for index, name in enumerate(draws.AUGMENTATIONS[augmentation]):
        columns = np.roll(pattern, index, axis=1)[:, : draws.DRAWS[name].width]
        drawn[name] = tf.constant(columns[:, 0] if drawn[name].shape.rank == 1 else columns)
    return draws.forced(drawn, augmentation)


def check_markers(found, numbers, skip=lambda row, point: False):
    """Check that each keypoint well inside the crop has its own marker under it; return how many were."""
    num_seen = 0
    for row, (crop, points) in enumerate(zip(found["crops"], found["keypoints_xy_crop"], strict=True)):
        of_row = {name: values[row] for name, values in numbers.items()}
        matrix, offset = (part.numpy() for part in colour.colour_change(of_row))
        markers, ground = ((colours @ matrix.T + offset).clip(0, 255) for colours in (MARKERS, GROUND))
        slots = FLIP_SLOTS if of_row["flipped"] < flip.FLIP_CHANCE else range(NUM_KEYPOINTS)
        for slot, point in zip(slots, points, strict=True):
            if np.all((point > 7) & (point < SIZE - 8)) and not skip(row, point):
                centre, nearest = marker_near(crop, point, markers, ground, slot)
                assert nearest == slot, f"row {row} slot {slot}: marker {nearest} at {point}"
                np.testing.assert_allclose(centre, point, atol=1.0, err_msg=f"row {row} slot {slot}")
                num_seen += 1
    return num_seen


def marker_near(crop, point, markers, ground, slot, reach=6):
    """Return the centre of a marker within `reach` pixels of a point, and which marker is at the point."""
    x0, y0 = (round(float(v)) - reach for v in point)
    patch = crop[y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1].astype(np.float64)
    strength = 1 - np.linalg.norm(patch - markers[slot], axis=-1) / np.linalg.norm(markers[slot] - ground)
    strength = strength.clip(0, None) * (strength > 0.2)
    ys, xs = np.mgrid[y0 : y0 + patch.shape[0], x0 : x0 + patch.shape[1]]
    centre = np.array([(strength * xs).sum(), (strength * ys).sum()]) / max(strength.sum(), 1e-9)
    at_point = patch[reach - 1 : reach + 2, reach - 1 : reach + 2].mean(axis=(0, 1))
    # By the direction from the photo's grey, as the spot's top may be flattened.
    away = (markers - ground) / np.linalg.norm(markers - ground, axis=-1, keepdims=True)
    direction = (at_point - ground) / max(np.linalg.norm(at_point - ground), 1e-9)
    close = np.linalg.norm(away - direction, axis=-1)
    return centre, int(np.argmin(close))


def test_markers_lie_under_the_keypoints_when_nothing_happens():
    numbers = draws.forced(random_draws(0, 1))
    assert check_markers(augmented(numbers), numbers) == NUM_KEYPOINTS


@pytest.mark.parametrize("augmentation", GEOMETRIC)
def test_markers_move_with_their_keypoints(augmentation):
    numbers = joined(draws.forced(random_draws(3, 24), augmentation), extreme_draws(augmentation))
    found = augmented(numbers)
    assert check_markers(found, numbers) > 150
    unmoved = augmented(draws.forced(random_draws(0, 1)))
    moved = np.abs(found["keypoints_xy_crop"] - unmoved["keypoints_xy_crop"]).max(axis=(1, 2))
    assert np.median(moved) > 1.0 and moved.max() > 3.0


def test_markers_move_with_their_keypoints_when_all_that_moves_happens():
    numbers = draws.forced(random_draws(6, 96), *GEOMETRIC)
    assert check_markers(augmented(numbers), numbers) > 400


def covered_rectangle(numbers, row):
    centre = np.floor(numbers["cover_centre"][row].numpy() * SIZE)
    low, high = occlusion.COVER_SIZE
    half = np.floor((low + numbers["cover_size"][row].numpy() * (high - low)) * SIZE / 2)
    return centre - half, centre + half - 1


def test_markers_move_with_their_keypoints_when_everything_happens():
    numbers = random_draws(4, 72)
    numbers["grey"] = tf.ones_like(numbers["grey"])
    every = joined(numbers, draws.forced(random_draws(5, 24), *draws.AUGMENTATIONS))
    every["grey"] = tf.ones_like(every["grey"])
    # At the lowest qualities a block of colour, 16 pixels wide, smears a marker by a pixel where it stands: what moves
    # is told apart from that by `test_markers_move_with_their_keypoints_when_all_that_moves_happens`.
    every["jpeg_quality"] = 0.5 + every["jpeg_quality"] / 2.0

    def near_rectangle(row, point):
        first, last = covered_rectangle(every, row)
        return every["covered"][row] < occlusion.COVER_CHANCE and np.all((point > first - 8) & (point < last + 8))

    found = augmented(every)
    assert check_markers(found, every, near_rectangle) > 350
    # The sum of the blur's weights rounds to a little more than one.
    assert np.isfinite(found["crops"]).all() and found["crops"].min() >= 0 and found["crops"].max() <= 255.001


@pytest.mark.parametrize("augmentation", ["occlusion", "colour", "blur", "JPEG"])
def test_what_only_changes_pixels_moves_no_label(augmentation):
    found = augmented(draws.forced(random_draws(6, 12), augmentation))
    unmoved = augmented(draws.forced(random_draws(6, 12)))
    for key in ("keypoints_xy_crop", "windows"):
        np.testing.assert_array_equal(found[key], unmoved[key])
    np.testing.assert_array_equal(found["visibility"] > 0, unmoved["visibility"] > 0)
    assert np.any(found["visibility"] != unmoved["visibility"]) == (augmentation == "occlusion")
    changed = np.abs(found["crops"] - unmoved["crops"]).max(axis=(1, 2, 3))
    assert np.all(changed > 1.0)


def test_the_same_draws_give_the_same_alone_in_a_dataset_and_among_other_neighbours():
    numbers, others = random_draws(8, 4), random_draws(9, 3)
    expected = augmented(numbers)
    among = augmented(joined(others, numbers, others))
    for key, value in expected.items():
        np.testing.assert_array_equal(among[key][3:7], value, err_msg=key)
    mapped = next(iter(tf.data.Dataset.from_tensors(numbers).map(augmenter())))
    tf.config.run_functions_eagerly(True)
    try:
        eager = augmented(numbers)
    finally:
        tf.config.run_functions_eagerly(False)
    for key, value in expected.items():
        np.testing.assert_allclose(mapped[key], value, atol=1e-3, err_msg=key)
        # JPEG files of pictures that differ by rounding may differ by a level here and there.
        away = np.abs(eager[key].astype(np.float32) - value)
        assert away.mean() < 1e-3 and away.max() < 16, key


# Boxes ---------------------------------------------------------------------------------------------------------------


def box_errors(seed, num):
    jitter = functools.partial(boxes.jitter_box, tf.constant([20.0, 10.0, 60.0, 90.0]))
    found = tf.vectorized_map(jitter, random_draws(seed, num)).numpy()
    centres, sizes = (found[:, :2] + found[:, 2:]) / 2, found[:, 2:] - found[:, :2]
    return (centres - [40, 50]) / 80, np.log(sizes / [40, 80])


def test_box_jitter_has_the_errors_its_constants_say():
    shifts, log_sizes = box_errors(2, 40_000)
    # Variance of a standard normal cut off at t: 1 - 2 t phi(t) / (2 Phi(t) - 1).
    t = boxes.BOX_MAX_SDS
    variance = 1 - 2 * t * math.exp(-t * t / 2) / math.sqrt(2 * math.pi) / math.erf(t / math.sqrt(2))
    chance, factor = boxes.BOX_TAIL_CHANCE, boxes.BOX_TAIL_FACTOR
    sd = math.sqrt(variance * (1 - chance + chance * factor**2))
    for errors, core in ((shifts, boxes.BOX_SHIFT_SD), (log_sizes, boxes.BOX_LOG_SIZE_SD)):
        assert np.abs(errors.mean(axis=0)).max() < 0.03 * core
        np.testing.assert_allclose(errors.std(axis=0), core * sd, rtol=0.05)
        assert np.abs(errors).max() <= core * factor * t * 1.001
        in_tail = np.abs(errors).max(axis=1) > core * t * 1.001
        assert 0.0 < in_tail.mean() < chance
        # The rule by which the constants are read from what was measured, see there.
        spread = np.percentile(errors, 95, axis=0) - np.percentile(errors, 5, axis=0)
        np.testing.assert_allclose(spread / 3.29, core, rtol=0.25)


def test_box_jitter_by_hand():
    # The largest shift is cut off at 2.5 standard deviations of the tail.
    numbers = draws_of(box_tail=ON, box_shift=[LAST, 0.0], box_log_size=0.5)
    box = boxes.jitter_box(tf.constant([20.0, 10.0, 60.0, 90.0]), numbers).numpy()
    shift = boxes.BOX_MAX_SDS * boxes.BOX_TAIL_FACTOR * boxes.BOX_SHIFT_SD * 80
    np.testing.assert_allclose(box, [20 + shift, 10 - shift, 60 + shift, 90 - shift], atol=0.05)


def test_window_moves_by_hand():
    window = boxes.move_window(tf.constant([10.0, 20.0, 100.0]), draws_of(scale=1.0, shift=[1.0, 0.0]))
    np.testing.assert_allclose(window, [14.0, 16.0, 115.0], rtol=1e-5)


def chosen_window(boxes_xyxy, numbers=None):
    """Garments of types 1, 2 and so on, on a canvas of 100 pixels, after `random_window`."""
    labels = {
        "boxes_xyxy_canvas": tf.constant(boxes_xyxy, tf.float32),
        "garment_types": tf.range(1, len(boxes_xyxy) + 1),
    }
    return boxes.random_window({**labels, "draws": numbers or draws_of(scale=0.0, shift=0.0)}, 100)


def test_random_window_keeps_what_it_mostly_shows():
    chosen = chosen_window([[10.0, 10.0, 50.0, 60.0], [90.0, 90.0, 100.0, 100.0]])
    # Side 40, moved up and left by half of the 60 that are free and 5 more.
    np.testing.assert_allclose(chosen["window"], [14.5, 14.5, 40.0], atol=1e-4)
    assert chosen["boxes_xyxy_canvas"].numpy().tolist() == [[10.0, 10.0, 50.0, 60.0]]
    assert chosen["garment_types"].numpy().tolist() == [1]


def test_random_window_becomes_the_whole_canvas_rather_than_lose_every_garment():
    chosen = chosen_window([[90.0, 90.0, 100.0, 100.0]])
    np.testing.assert_allclose(chosen["window"], geometry.whole_window(100))
    assert chosen["garment_types"].numpy().tolist() == [1]


def test_random_window_of_a_photo_without_garments_is_random_too():
    chosen = chosen_window(np.zeros((0, 4)))
    assert float(chosen["window"][2]) == pytest.approx(100 * boxes.WINDOW_SCALE[0])
    assert chosen["boxes_xyxy_canvas"].shape == (0, 4)


def test_random_windows_never_lose_every_garment():
    rng = np.random.default_rng(0)
    numbers = random_draws(1, 40)
    for row in range(40):
        corner = rng.uniform(0, 80, 2)
        box = np.concatenate([corner, corner + rng.uniform(5, 20, 2)])[None].astype(np.float32)
        chosen = chosen_window(box, {name: values[row] for name, values in numbers.items()})
        assert len(chosen["garment_types"]) == 1
        x, y, side = chosen["window"].numpy()
        shown = np.minimum(box[0, 2:], [x + side / 2, y + side / 2]) - np.maximum(
            box[0, :2], [x - side / 2, y - side / 2]
        )
        assert shown.min() > 0
        assert shown.prod() >= 0.29 * (box[0, 2:] - box[0, :2]).prod()


# Flip ----------------------------------------------------------------------------------------------------------------


def test_flip_mirrors_pixels_and_swaps_slots():
    example = crop_example(draws_of(flipped=ON))
    flipped = flip.flip_crop(example)
    np.testing.assert_array_equal(flipped["image"], example["image"][:, ::-1])
    for slot, other in enumerate(FLIP_SLOTS):
        expected = geometry.mirror_points(example["keypoints_xy_crop"][slot], SIZE)
        np.testing.assert_array_equal(flipped["keypoints_xy_crop"][other], expected)
        assert flipped["visibility"][other] == example["visibility"][slot]


@pytest.mark.parametrize("flipped", [True, False])
def test_flip_image_moves_boxes_with_pixels(flipped):
    image = np.zeros((20, 20, 3), np.float32)
    image[3:7, 2:12] = 200.0
    numbers = draws_of(flipped=ON if flipped else 1.0)
    example = {"image": tf.constant(image), "boxes_xyxy": tf.constant([[2.0, 3.0, 11.0, 6.0]]), "draws": numbers}
    changed = flip.flip_image(example)
    ys, xs = np.nonzero(changed["image"].numpy()[..., 0])
    np.testing.assert_array_equal(changed["boxes_xyxy"][0], [xs.min(), ys.min(), xs.max(), ys.max()])
    assert (xs.min() == 8) == flipped
    if flipped:
        np.testing.assert_array_equal(flip.flip_image(changed)["image"], image)


# Quarter turns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_turns, degrees", [(1, 90), (2, 180), (3, 270)])
def test_quarter_turns_move_keypoints_and_boxes_with_pixels(num_turns, degrees):
    numbers = draws_of(quarter_turned=ON, num_turns=(num_turns - 0.5) / 3)
    image = np.zeros((20, 20, 3), np.float32)
    image[3:7, 2:12] = 200.0
    boxes_xyxy = tf.constant([[2.0, 3.0, 11.0, 6.0]])
    turned = flip.turn_image({"image": tf.constant(image), "boxes_xyxy": boxes_xyxy, "draws": numbers})
    np.testing.assert_array_equal(turned["image"], np.rot90(image, degrees // 90))
    ys, xs = np.nonzero(turned["image"].numpy()[..., 0])
    np.testing.assert_array_equal(turned["boxes_xyxy"][0], [xs.min(), ys.min(), xs.max(), ys.max()])

    example = crop_example(numbers)
    crop = flip.turn_crop(example)
    np.testing.assert_array_equal(crop["image"], np.rot90(example["image"], degrees // 90))
    back = geometry.quarter_turn_points(crop["keypoints_xy_crop"], SIZE, 4 - num_turns)
    np.testing.assert_allclose(back, example["keypoints_xy_crop"], atol=1e-4)
    np.testing.assert_array_equal(crop["visibility"], example["visibility"])


# Rotation ------------------------------------------------------------------------------------------------------------


def test_rotation_by_hand():
    # Positive angles turn x towards y: clockwise on screen.
    moved = deformation.turn_points(tf.constant([[67.5, 47.5], [47.5, 47.5]]), math.radians(25), SIZE)
    expected = [[47.5 + 20 * math.cos(math.radians(25)), 47.5 + 20 * math.sin(math.radians(25))], [47.5, 47.5]]
    np.testing.assert_allclose(moved, expected, atol=1e-4)


def test_a_turn_by_nothing_takes_the_border_off():
    picture = np.random.default_rng(0).uniform(0, 255, (40, 40, 3)).astype(np.float32)
    turned = deformation.turn(tf.constant(picture), tf.constant(0.0), 5)
    np.testing.assert_allclose(turned, picture[5:35, 5:35], atol=1e-3)
    controls = deformation.bend_controls(tf.fill([deformation.NUM_BEND_NUMBERS], 0.5), 30)
    bent = deformation.turn_and_bend(tf.constant(picture), tf.constant(0.0), controls, 5)
    np.testing.assert_allclose(bent, picture[5:35, 5:35], atol=1e-3)


@pytest.mark.parametrize("angle", [-deformation.MAX_ANGLE, deformation.MAX_ANGLE])
def test_the_border_is_wide_enough_for_the_largest_angle(angle):
    border = round(SIZE / 6)
    picture = tf.fill([SIZE + 2 * border, SIZE + 2 * border, 3], 20.0)
    turned = deformation.turn(picture, tf.constant(angle, tf.float32), border)
    np.testing.assert_allclose(turned, 20.0, atol=1e-3)


# Bend ----------------------------------------------------------------------------------------------------------------


def extreme_controls():
    """Control points at the ends of their range, with neighbours as far apart as can be."""
    rng = np.random.default_rng(3)
    rows, columns = np.indices((deformation.NUM_BEND_CONTROLS,) * 2)
    stripes = [rows % 2, columns % 2, (rows + columns) % 2, (rows // 2 + columns) % 2]
    patterns = [np.stack([a, b], axis=-1) for a in stripes for b in stripes]
    patterns += list(rng.integers(0, 2, (10, *rows.shape, 2)))
    return [deformation.bend_controls(tf.constant(p.reshape(-1), tf.float32), SIZE) for p in patterns]


def test_equal_controls_shift_by_hand():
    controls = deformation.bend_controls(tf.ones([deformation.NUM_BEND_NUMBERS]), SIZE)
    points = tf.constant([[0.0, 0.0], [47.5, 20.0], [95.0, 95.0], [-30.0, 200.0]])
    np.testing.assert_allclose(deformation.bend_displacement(points, controls, SIZE), 0.075 * SIZE, rtol=1e-5)
    moved = deformation.bend_points(points, controls, SIZE)
    np.testing.assert_allclose(moved, points + 0.075 * SIZE, rtol=1e-5)


def test_the_bend_never_folds():
    index = np.linspace(-10, SIZE + 10, 61, dtype=np.float32)
    grid = np.stack(np.meshgrid(index, index), axis=-1)
    for controls in extreme_controls():
        flat = tf.constant(grid.reshape(-1, 2))
        displaced = deformation.bend_displacement(flat, controls, SIZE).numpy().reshape(grid.shape)
        step = index[1] - index[0]
        by_x, by_y = np.diff(displaced, axis=1)[:-1] / step, np.diff(displaced, axis=0)[:, :-1] / step
        # The maximum norm of the Jacobian: for each component the sum over x and y.
        assert (np.abs(by_x) + np.abs(by_y)).max() <= deformation.BEND_STRETCH + 1e-3
        # So that the map is one-to-one: the determinant keeps its sign.
        assert ((1 - by_x[..., 0]) * (1 - by_y[..., 1]) - by_x[..., 1] * by_y[..., 0]).min() > 0.1


def test_bent_points_are_where_the_field_says():
    points = tf.constant(np.random.default_rng(1).uniform(0, SIZE, (200, 2)), tf.float32)
    for controls in extreme_controls():
        moved = deformation.bend_points(points, controls, SIZE)
        back = moved - deformation.bend_displacement(moved, controls, SIZE)
        np.testing.assert_allclose(back, points, atol=0.02)
        assert np.abs(moved - points).max() > 0.5


# Occlusion -----------------------------------------------------------------------------------------------------------


def test_occlusion_covers_pixels_and_hides_visible_keypoints_only():
    # Centre 48, half a side floor(0.35 * 96 / 2) = 16: pixels 32 to 63.
    numbers = draws_of(covered=ON, cover_centre=0.5, cover_size=LAST, cover_colour=[1.0, 0.0, 0.2])
    inside, outside = [47.0, 40.0], [47.0, 80.0]
    points = [inside, outside, inside, outside, inside, inside, [63.4, 47.0], [63.6, 47.0]]
    example = {
        **crop_example(numbers, visibility=(2, 2, 1, 1, 0, -1, 2, 2)),
        "keypoints_xy_crop": tf.constant(points),
    }
    covered = occlusion.cover(example)
    assert covered["visibility"].numpy().tolist() == [1, 2, 1, 1, 0, -1, 1, 2]
    crop, before = covered["image"].numpy(), example["image"].numpy()
    np.testing.assert_allclose(crop[32:64, 32:64], np.broadcast_to([255.0, 0.0, 51.0], (32, 32, 3)), rtol=1e-5)
    crop[32:64, 32:64] = before[32:64, 32:64]
    np.testing.assert_array_equal(crop, before)


def test_occlusion_hides_exactly_the_keypoints_whose_pixels_it_covers():
    found = augmented(draws.forced(random_draws(12, 60), "occlusion"))
    unmoved = augmented(draws.forced(random_draws(12, 60)))
    num_hidden = 0
    for row in range(60):
        covered = np.any(found["crops"][row] != unmoved["crops"][row], axis=-1)
        at = found["keypoints_xy_crop"][row].round().astype(int)
        expected = unmoved["visibility"][row].copy()
        under = covered[at[:, 1], at[:, 0]]
        expected[under & (expected == Visibility.VISIBLE)] = Visibility.OCCLUDED
        assert found["visibility"][row].tolist() == expected.tolist()
        num_hidden += under.sum()
    assert num_hidden > 10


# Colours -------------------------------------------------------------------------------------------------------------


def recoloured(pixel, **values):
    example = {"image": tf.fill([2, 3, 3], 1.0) * pixel, "draws": draws_of(**values)}
    return colour.recolour(example)["image"].numpy()[1, 1]


def test_brightness_contrast_and_cast_by_hand():
    found = recoloured(100.0, brightness=1.0, contrast=0.0, cast=[1.0, 0.5, 0.0])
    expected = 0.75 * (1.3 * 100.0 * np.array([1.1, 1.0, 0.9]) - 128.0) + 128.0
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("grey", [True, False])
def test_grey_takes_the_colour_away(grey):
    found = recoloured([200.0, 50.0, 20.0], grey=ON if grey else 1.0)
    luma = 0.299 * 200 + 0.587 * 50 + 0.114 * 20
    np.testing.assert_allclose(found, [luma] * 3 if grey else [200, 50, 20], rtol=1e-4)


def test_saturation_by_hand():
    luma = 0.299 * 100 + 0.587 * 50 + 0.114 * 20
    found = recoloured([100.0, 50.0, 20.0], saturation=0.0)
    np.testing.assert_allclose(found, luma + 0.6 * (np.array([100, 50, 20]) - luma), rtol=1e-4)


@pytest.mark.parametrize("brightness", [0.0, 1.0])
def test_colours_stay_in_range(brightness):
    found = recoloured([250.0, 128.0, 3.0], brightness=brightness, contrast=1.0, saturation=1.0, cast=brightness)
    assert found.min() >= 0 and found.max() <= 255


# Camera --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", range(len(camera.BLURS)))
def test_blur_is_the_gaussian_it_draws(which):
    picture = np.zeros((31, 31, 3), np.float32)
    picture[15, 15] = 200.0
    numbers = draws_of(blurred=ON, blur_sigma=(which + 0.5) / len(camera.BLURS))
    found = camera.blur({"image": tf.constant(picture), "draws": numbers})["image"].numpy()
    sigma, filter_size = camera.BLURS[which]
    index = np.arange(filter_size) - filter_size // 2
    kernel = np.exp(-(index**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    np.testing.assert_allclose(found.sum(axis=(0, 1)), 200.0, rtol=1e-4)
    reach = filter_size // 2
    patch = found[15 - reach : 16 + reach, 15 - reach : 16 + reach, 1]
    np.testing.assert_allclose(patch, 200 * np.outer(kernel, kernel), atol=0.01)


def test_jpeg_loses_more_at_lower_quality_and_gives_whole_numbers():
    coarse = tf.random.stateless_uniform([12, 12, 3], [1, 2], 20, 230)
    picture = tf.image.resize(coarse, [SIZE, SIZE])
    losses = []
    for quality in (0.0, 0.5, LAST):
        example = {"image": picture, "draws": draws_of(compressed=ON, jpeg_quality=quality)}
        found = camera.compress(example)["image"].numpy()
        np.testing.assert_array_equal(found, found.round())
        losses.append(np.abs(found - picture).mean())
    assert losses[0] > losses[1] > losses[2] and losses[0] < 12


@pytest.mark.parametrize(
    "step, name, chance",
    [
        (flip.flip_crop, "flipped", flip.FLIP_CHANCE),
        (flip.turn_crop, "quarter_turned", flip.QUARTER_TURN_CHANCE),
        (occlusion.cover, "covered", occlusion.COVER_CHANCE),
        (camera.blur, "blurred", camera.BLUR_CHANCE),
        (camera.compress, "compressed", camera.JPEG_CHANCE),
    ],
)
def test_a_crop_that_does_not_draw_it_stays(step, name, chance):
    example = crop_example(draws_of(**{name: chance}))
    for key, value in step(example).items():
        if key != "draws":
            np.testing.assert_array_equal(value, example[key])


# Exports -------------------------------------------------------------------------------------------------------------


def reached_from(start):
    """Return the project's modules that importing those that begin with `start` imports, directly or not."""
    imports = all_imports()
    waiting = [name for name in imports if name.startswith(start)]
    found = set()
    while waiting:
        name = waiting.pop()
        if name in imports and name not in found:
            found.add(name)
            waiting += imports[name]
    return found


def test_inference_imports_no_augmentation():
    assert "cspn_tf.geometry" in reached_from("cspn_tf.inference")
    assert not [name for name in reached_from("cspn_tf.inference") if name.startswith("cspn_tf.data")]
    assert "cspn_tf.data.augmentation.draws" in reached_from("training.train_keypoints")


def test_the_served_graph_is_not_random_and_holds_no_augmentation(tiny_pipeline):
    graph = tiny_pipeline.serve.get_concrete_function().graph.as_graph_def()
    ops = {node.op for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes}
    assert {"Conv2D", "DecodeJpeg"} & ops
    unwanted = ("Random", "Stateless", "EncodeJpeg", "AdjustJpeg", "ImageProjectiveTransform")
    calls = {"StatelessIf", "StatelessWhile", "StatelessCase", "StatelessPartitionedCall"}
    assert not [op for op in ops - calls if op.startswith(unwanted)]
