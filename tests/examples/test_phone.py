import io
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cspn_tf import geometry, pillow_photos, resampling
from cspn_tf.contract import PAD_VALUE
from cspn_tf.garments import GARMENT_TYPE_NAMES, KEYPOINT_NAMES
from examples import phone
from tests import photos
from tests.photos import picture

PAGE = (Path(__file__).parents[2] / "docs" / "mobile.md").read_text()
SIDES = st.integers(1, 5000)


# Photo and canvas ----------------------------------------------------------------------------------------------------


def transform_of_the_package(height, width, size, ratio):
    shrunk = geometry.letterbox_transform(-(-height // ratio), -(-width // ratio), size)
    return geometry.transform_of_whole(shrunk, float(ratio)).numpy()


@settings(deadline=None)
@given(SIDES, SIDES, st.sampled_from([40, 256, 512]), st.sampled_from([1, 2, 4, 8]))
def test_transform_is_that_of_the_package(height, width, size, ratio):
    transform = phone.Transform.of(height, width, size, ratio)
    expected = transform_of_the_package(height, width, size, ratio)
    np.testing.assert_allclose(transform[:3], expected, rtol=1e-5, atol=1e-3)
    points = np.array([[0, 0], [width - 1, height - 1], [0.3 * width, 0.8 * height]])
    on_canvas = geometry.photo_to_canvas(np.float32(points), tf.constant(expected)).numpy()
    np.testing.assert_allclose(transform.to_canvas(points), on_canvas, rtol=1e-5, atol=1e-2)
    np.testing.assert_allclose(transform.to_photo(transform.to_canvas(points)), points, atol=1e-6 * max(height, width))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 79), st.integers(1, 79), st.integers(0, 9))
def test_letterbox_is_that_of_the_package_below_twice_the_canvas(height, width, seed):
    photo = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    canvas, transform = phone.letterbox(photo, 40)
    expected, of_package = resampling.letterbox(photo, 40)
    assert np.abs(np.int32(canvas) - expected.numpy()).max() <= 1
    np.testing.assert_allclose(transform[:3], of_package, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("height, width, ratio", [(80, 60, 2), (150, 313, 4), (320, 41, 8)])
def test_a_large_photo_is_shrunk_by_a_power_of_two_first(height, width, ratio):
    photo = picture(height, width)
    canvas, transform = phone.letterbox(photo, 40)
    np.testing.assert_allclose(transform[:3], transform_of_the_package(height, width, 40, ratio), rtol=1e-5, atol=1e-4)
    expected = resampling.letterbox(photo, 40)[0].numpy()
    inside = (expected != 128).any(-1) & (canvas != 128).any(-1)
    assert inside.mean() > 0.1
    # The package averages in one step, which covers the same pixels with other weights; the picture is smooth.
    assert np.abs(np.int32(canvas) - expected)[inside].mean() < 6


def test_halving_averages_and_repeats_the_last_row_of_an_odd_height():
    photo = np.float32([[0, 2], [4, 6], [8, 10]])[..., None]
    assert phone.halved(photo)[..., 0].tolist() == [[3], [9]]


def test_boxes_are_clipped_to_the_outermost_pixel_centres():
    transform = phone.Transform.of(100, 50, 200)
    boxes = transform.boxes_to_photo(np.array([[[-5.0, 10, 90, 300]]]))
    assert boxes.shape == (1, 1, 4)
    np.testing.assert_allclose(boxes[0, 0], [0, 4.75, 19.75, 99])


# Results -------------------------------------------------------------------------------------------------------------


def test_names_are_those_of_the_package():
    assert phone.KEYPOINTS == KEYPOINT_NAMES
    assert dict(enumerate(phone.TYPES[1:], 1)) == GARMENT_TYPE_NAMES
    assert phone.PADDING == PAD_VALUE


def test_photos_are_read_as_in_the_package(tmp_path):
    opaque = picture(20, 30)
    alpha = np.dstack([opaque, np.arange(600, dtype=np.uint8).reshape(20, 30)])
    Image.fromarray(opaque).save(one_colour := io.BytesIO(), "PNG", transparency=tuple(map(int, opaque[3, 4])))
    kinds = {
        "grey of 16 bits": photos.png_of_samples(photos.samples_of(16, 1), 0, 16),
        "grey and alpha": photos.png_of_samples(photos.samples_of(8, 2), 4, 8),
        "colours of 16 bits": photos.png_of_samples(photos.samples_of(16, 3), 2, 16),
        "transparent": photos.png(alpha),
        "one colour transparent": one_colour.getvalue(),
        "turned": photos.jpeg(opaque, orientation=6),
        "CMYK": photos.jpeg(opaque, mode="CMYK"),
    }
    for name, file in kinds.items():
        (tmp_path / "photo").write_bytes(file)
        expected = pillow_photos.pixels_as_displayed(file, 10_000)
        difference = np.abs(phone.read_photo(tmp_path / "photo").astype(int) - expected)
        assert difference.max() <= 1, name


def test_command_prints_the_garments_in_photo_pixels(fake_tflite, tmp_path, capsys):
    # The fake finds a garment on every canvas of 40 pixels: its box is 0, 0, 30, 30, its keypoints are at 10, 20.
    Image.fromarray(picture(60, 80)).save(tmp_path / "photo.png")
    (tmp_path / "text.jpg").write_text("no photo")
    call = [str(tmp_path / name) for name in ("text.jpg", "photo.png")]
    assert phone.main([*call, "--model", str(fake_tflite)]) == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert said.err.startswith(f"{tmp_path / 'text.jpg'}: cannot identify image file")
    assert lines[0] == f"{tmp_path / 'photo.png'}: 1 garments"
    # Canvas = 0.5 * photo + (-0.25, 4.75); the box's upper edge is above the photo.
    assert lines[1] == "  upper-body 1.00  box 0.5 0.0 60.5 50.5"
    assert [line.split() for line in lines[2:]] == [[name, "20.5", "30.5", "1.00"] for name in KEYPOINT_NAMES]


@pytest.mark.parametrize(
    "arguments, message",
    [(["no.jpg"], "no.jpg: no such file"), (["a.jpg", "--detector", "b"], "--detector and --keypoints come together")],
)
def test_wrong_arguments_are_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        phone.main(arguments)
    assert capsys.readouterr().err.splitlines()[-1] == f"python -m examples.phone: error: {message}"


def test_a_file_of_something_else_is_one_line(fake_tflite, tmp_path, capsys):
    (tmp_path / "text.tflite").write_text("no model")
    photo = str(tmp_path / "text.tflite")
    for call, message in (
        (["--model", photo], f"{photo}: not a file of `cspn-tf export-tflite`: "),
        (["--detector", str(fake_tflite), "--keypoints", photo], f"{photo}: not a file of `cspn-tf export-tflite`: "),
        (
            ["--detector", str(fake_tflite), "--keypoints", str(fake_tflite)],
            f"{fake_tflite}: another file: it has no box",
        ),
    ):
        with pytest.raises(SystemExit, match="2"):
            phone.main([photo, *call])
        assert capsys.readouterr().err.splitlines()[-1].startswith(f"python -m examples.phone: error: {message}")


# Tracking ------------------------------------------------------------------------------------------------------------

CANVAS = np.zeros((40, 40, 3), np.uint8)


class FakePair:
    """One garment of two rows whose lower-body keypoints are 2 pixels inside of its true box, which moves."""

    def __init__(self, score=0.9):
        self.box, self.score = np.float32([4, 6, 14, 26]), score
        self.num_detections, self.boxes_asked = 0, []

    def detect(self, image):
        assert image.shape == (1, 40, 40, 3)
        self.num_detections += 1
        boxes, classes, scores = np.zeros((2, 4), np.float32), np.int32([2, 0]), np.float32([0.8, 0])
        boxes[0] = self.box
        return {"num_garments": np.int32(1), "boxes": boxes, "classes": classes, "scores": scores}

    def find_keypoints(self, image, box, garment_type):
        assert (box.shape, box.dtype, garment_type.tolist()) == ((1, 4), np.float32, [2])
        self.boxes_asked.append(box[0].tolist())
        left, top, right, bottom = self.box + (2, 2, -2, -2)
        points, scores = np.zeros((8, 2), np.float32), np.zeros(8, np.float32)
        points[4:] = [[left, top], [right, top], [left, bottom], [right, bottom]]
        scores[4:] = self.score
        return {"keypoints": points, "keypoint_scores": scores}


def test_tracker_detects_every_few_frames_and_moves_the_box_in_between():
    pair = FakePair()
    track = phone.Tracker(pair.detect, pair.find_keypoints, every=3)
    for _ in range(4):
        found = track(CANVAS)
        np.testing.assert_array_equal(found["keypoints"][0, 4], pair.box[:2] + 2)
        pair.box += (3, 1, 3, 1)
    assert pair.num_detections == 2
    # Frame 2 uses the box of frame 1, in which nothing had moved yet; frame 3 what was seen to move in frame 2.
    assert pair.boxes_asked == [[4, 6, 14, 26], [4, 6, 14, 26], [7, 7, 17, 27], [13, 9, 23, 29]]
    assert (int(found["num_garments"]), found["classes"].tolist()) == (1, [2, 0])
    assert found["boxes"].shape == (2, 4) and not found["keypoint_scores"][1].any()


@pytest.mark.parametrize("score", [0.0, 0.2])
def test_tracker_detects_anew_after_a_frame_with_low_scores(score):
    pair = FakePair(score)
    track = phone.Tracker(pair.detect, pair.find_keypoints, every=100)
    track(CANVAS)
    pair.score = 0.9
    track(CANVAS)
    track(CANVAS)
    assert pair.num_detections == 2


def test_box_is_widened_to_contain_its_keypoints():
    before = np.float32([[2, 2], [8, 8]])
    assert phone.followed(np.float32([0, 0, 10, 10]), before, before + 1).tolist() == [1, 1, 11, 11]
    after = np.float32([[-4, 2], [14, 8]])  # wider, in the same place
    assert phone.followed(np.float32([0, 0, 10, 10]), before, after).tolist() == [-4, 0, 14, 10]


# The page ------------------------------------------------------------------------------------------------------------


def test_numbers_of_the_page_are_those_of_the_code():
    rows = re.findall(r"^\| (\d+)x(\d+) \| (\d+) \| (\d+) \| (.*) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 4
    for width, height, size, ratio, rest in rows:
        width, height, size, ratio = int(width), int(height), int(size), int(ratio)
        cells = [[float(number) for number in cell.split(", ")] for cell in rest.split(" | ")]
        (scale,), offset, photo_point, canvas_point = cells
        transform = phone.letterbox(np.zeros((height, width, 3), np.uint8), size)[1]
        np.testing.assert_allclose(transform[:3], [scale, *offset], atol=6e-4)
        np.testing.assert_allclose(transform[:3], transform_of_the_package(height, width, size, ratio), atol=1e-4)
        np.testing.assert_allclose(transform.to_canvas(photo_point), canvas_point, atol=6e-4)
        np.testing.assert_allclose(transform.to_photo(canvas_point), photo_point, atol=6e-3)


@pytest.mark.parametrize("language", ["kotlin", "swift"])
def test_snippets_have_the_constants_of_the_code(language):
    code = "\n".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    values = {
        name.lower(): value
        for name, value in re.findall(r"(?:val|let) (\w+)(?:: \w+)? = ([\d.x]+)f?$", code, re.MULTILINE)
    }
    assert int(values["padding"]) == phone.PADDING
    for name in (
        "serving_default",
        "image",
        "num_garments",
        "boxes",
        "classes",
        "scores",
        "keypoints",
        "keypoint_scores",
    ):
        assert f'"{name}"' in code, name
    assert len(re.findall(r"\+ 0\.5f?\) \* (?:scale|step) - 0\.5", code)) >= 3
