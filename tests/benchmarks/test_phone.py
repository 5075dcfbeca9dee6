import numpy as np
import pytest

from benchmarks import phone
from cspn_tf.console import UserError
from cspn_tf.files import read_json
from examples.phone import Tracker, letterbox

SIZE = 64


def brightest(canvas):
    """Return the place of the brightest pixels' middle."""
    rows, columns = np.nonzero(canvas[..., 0] > 240)
    return np.array([columns.mean(), rows.mean()], np.float32)


class Detector:
    """Finds one garment: a box of 20 x 10 pixels around the bright spot, where there is one."""

    size = SIZE

    def __call__(self, image):
        has_any = (image[0, ..., 0] > 240).any()
        x, y = brightest(image[0]) if has_any else (0, 0)
        boxes = np.float32([[x - 10, y - 5, x + 10, y + 5], [0, 0, 0, 0]]) * has_any
        return {
            "num_garments": np.int32(has_any),
            "boxes": boxes,
            "classes": np.int32([has_any, 0]),
            "scores": np.float32([0.9 * has_any, 0]),
        }


def keypoints(image, box, garment_type):
    """Returns the spot four times, and the place beside it four times with a low score."""
    spot = brightest(image[0])
    return {
        "keypoints": np.stack([spot] * 4 + [spot + 30] * 4),
        "keypoint_scores": np.float32([0.9] * 4 + [0.2] * 4),
    }


def photo(height=SIZE, width=SIZE, x=20, y=32):
    pixels = np.full((height, width, 3), 100, np.uint8)
    pixels[y - 2 : y + 3, x - 2 : x + 3] = 255
    return pixels


def test_a_pan_moves_right_and_back():
    frames = list(phone.panned(photo(), 3, 5))
    assert [brightest(frame)[0] for frame in frames] == [20, 23, 26, 23, 20]
    assert (frames[2][:, :6] == phone.PADDING).all() and (frames[2][:, 6:] != phone.PADDING).all()
    assert (list(phone.panned(photo(), 40, 5))[2] == phone.PADDING).all()  # beyond the edge


def test_followed_garments_are_compared_with_detected_ones():
    found = phone.measure_pan([Detector(), keypoints], [photo(), photo(x=22)], pan=2, num_frames=8)
    assert found == {"garments": 16, "lost": 0, "median": 0.0, "p95": 0.0, "detections": 2, "frames": 16}


def test_distances_are_shares_of_the_long_side_over_sure_keypoints():
    answer = Tracker(Detector(), keypoints)(photo())
    moved = {**answer, "keypoints": answer["keypoints"] + (3, 4)}
    assert phone._distances([(answer, moved)]) == {"garments": 1, "lost": 0, "median": 0.25, "p95": 0.25}
    gone = {**answer, "num_garments": np.int32(0)}
    assert phone._distances([(answer, gone)]) == {"garments": 1, "lost": 1, "median": None, "p95": None}
    other_type = {**answer, "classes": answer["classes"] + 1}
    assert phone._distances([(answer, other_type), (answer, moved)])["lost"] == 1


@pytest.mark.parametrize("filter_name", phone.RESIZES.values())
def test_another_resize_keeps_the_geometry(filter_name):
    pixels = photo(96, 120, x=63, y=42)
    expected = (63, 42)
    canvas, transform = letterbox(pixels, SIZE)
    np.testing.assert_allclose(transform.to_photo(brightest(canvas)), expected, atol=1)
    found = phone.measure_resize([Detector(), keypoints], [pixels], filter_name)
    assert found["garments"] == 1 and found["lost"] == 0
    # A canvas pixel is 1.9 of the photo, and the box's long side 20 canvas pixels.
    assert found["median"] <= 1 / 20


def test_the_command_writes_tables_and_figures(tmp_path, capsys, monkeypatch):
    from PIL import Image

    Image.fromarray(photo()).save(tmp_path / "a.png")
    files = []
    for name in ("detector", "keypoints"):
        (tmp_path / f"{name}.tflite").touch()

    def network(path):
        files.append(path.name)
        return Detector() if path.stem == "detector" else keypoints

    monkeypatch.setattr(phone, "Network", network)
    out = tmp_path / "figures.json"
    options = ["--files", str(tmp_path), "--frames", "4", "--pans", "1", "--json", str(out)]
    phone.main([str(tmp_path / "a.png"), *options])
    assert files == ["detector.tflite", "keypoints.tflite"]
    printed = capsys.readouterr().out.splitlines()
    assert "| nearest pixel | 0.0000 | 0.0000 | 0 of 1 |" in printed
    assert printed[-1] == "| 1 | 0.0000 | 0.0000 | 0 of 4 | 1 of 4 |"
    assert read_json(out)["pans"]["1"]["detections"] == 1
    (tmp_path / "keypoints.tflite").unlink()
    with pytest.raises(UserError, match=r"keypoints.tflite is missing: `cspn-tf export-tflite --out \S+ --parts`"):
        phone.main([str(tmp_path / "a.png"), *options[:2]])
