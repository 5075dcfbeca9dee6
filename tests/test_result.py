import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from cspn_tf.garment_set import Garments
from cspn_tf.result import STATUS_UNREADABLE, Result, results_of_outputs
from tests import photos
from tests.test_contract import make_outputs

LINE = {
    "photo": "a\nb.jpg",
    "status": {"code": 0, "meaning": "ok"},
    "image_size": {"height": 40, "width": 30},
    "garments": [
        {
            "type": "lower-body",
            "class_id": 2,
            "score": 0.75,
            "box_xyxy": [1.0, 2.0, 20.13, 30.0],
            "keypoints": {
                "left_waistline": {"x": 5.0, "y": 6.0, "score": 0.5},
                "right_waistline": {"x": 7.0, "y": 6.0, "score": 0.25},
                "left_hem": {"x": 5.0, "y": 29.0, "score": 1.0},
                "right_hem": {"x": 7.5, "y": 29.0, "score": 0.125},
            },
        }
    ],
}


def test_each_photo_has_its_real_rows():
    first, second = results_of_outputs(make_outputs(), names=["a.jpg", "b.jpg"], photos=[b"a", b"b"])
    assert (first.status, first.image_size, first.ok, first.name, first.photo) == (0, (40, 30), True, "a.jpg", b"a")
    assert first.garments == Garments.from_served(make_outputs(), 0) and len(first.garments) == 1
    assert second == Result(status=3, name="b.jpg")
    assert (second.ok, second.status_meaning) == (False, "could not be decoded")


def test_names_and_photos_are_as_many_as_the_answers():
    for given in ({"names": ["a.jpg"]}, {"photos": [b"a"] * 3}):
        with pytest.raises(ValueError, match=r"^\d photos were sent, but the outputs are for 2$"):
            results_of_outputs(make_outputs(), **given)


def test_outputs_against_the_contract_are_refused_and_others_are_ignored():
    outputs = make_outputs()
    assert results_of_outputs({**outputs, "more": "whatever"}) == results_of_outputs(outputs)
    with pytest.raises(ValueError, match="missing: boxes"):
        results_of_outputs({name: value for name, value in outputs.items() if name != "boxes"})


def test_json_line_is_one_line_with_the_values():
    line = results_of_outputs(make_outputs(), names=["a\nb.jpg", ""])[0].to_json()
    assert "\n" not in line
    assert json.loads(line) == LINE


def test_what_is_written_is_read_again():
    for result in results_of_outputs(make_outputs(), names=["a.jpg", "b.jpg"]):
        rounded = Result.from_dict(json.loads(result.to_json()))
        assert rounded.to_dict() == result.to_dict()
        assert Result.from_dict(rounded.to_dict()) == rounded


def test_meanings_of_statuses():
    meanings = [Result(status).status_meaning for status in (0, 1, 2, 3, STATUS_UNREADABLE, 9)]
    assert meanings == [
        "ok",
        "not a JPEG or PNG",
        "more pixels than the cap",
        "could not be decoded",
        "the file could not be read",
        "unknown status 9",
    ]


# Drawing -------------------------------------------------------------------------------------------------------------

PIXELS = photos.picture(48, 64)
DRAWN = results_of_outputs(make_outputs())[0]


@pytest.mark.parametrize("kind", ["path", "string", "bytes", "array", "WebP"])
def test_pictures_are_drawn_on_whatever_the_photo_was_given_as(tmp_path, kind):
    path = tmp_path / "a.png"
    path.write_bytes(photos.png(PIXELS))
    files = {"bytes": path.read_bytes(), "WebP": photos.webp(PIXELS)}
    photo = {"path": path, "string": str(path), "array": PIXELS, **files}[kind]
    picture = dataclasses.replace(DRAWN, photo=photo).draw()
    assert (picture.mode, picture.size) == ("RGB", (64, 48))
    assert (np.asarray(picture)[40:, 40:] == PIXELS[40:, 40:]).all(), "as it is where nothing is drawn"
    assert (np.asarray(picture)[25:35, :12] != PIXELS[25:35, :12]).any(), "a keypoint is drawn"


def test_a_photo_that_was_turned_is_drawn_as_displayed_at_any_scale():
    result = dataclasses.replace(DRAWN, photo=photos.jpeg(PIXELS, orientation=6))
    assert result.draw().size == (48, 64)
    assert result.draw(scale=2.0).size == (96, 128)


def test_photos_of_a_model_with_another_cap_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("cspn_tf.decoding.pixels_as_displayed.__defaults__", (10,))
    assert dataclasses.replace(DRAWN, photo=photos.png(PIXELS)).draw().size == (64, 48)


def test_keypoints_below_a_score_are_left_out():
    result = dataclasses.replace(DRAWN, photo=PIXELS)
    all_of_them, sure = (np.asarray(result.draw(min_keypoint_score=score)) for score in (0.0, 0.3))
    assert (all_of_them != sure).any()
    assert isinstance(result.draw(), Image.Image)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (Result(0, name="a.jpg"), "^a.jpg cannot be drawn: the result has no photo$"),
        (Result(1, name="a.jpg", photo=b"x"), "^a.jpg cannot be drawn: not a JPEG or PNG$"),
        (Result(0, name="gone.jpg", photo="gone.jpg"), "^gone.jpg cannot be drawn: No such file or directory$"),
        (Result(STATUS_UNREADABLE, photo="gone.jpg"), "^the photo cannot be drawn: the file could not be read$"),
    ],
)
def test_what_cannot_be_drawn_says_why(result, message):
    with pytest.raises(ValueError, match=message):
        result.draw()
