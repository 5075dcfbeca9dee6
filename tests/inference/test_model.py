"""The front door: what is given to a model, what comes back, and that it is the same whatever holds the networks."""

import concurrent.futures
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cspn_tf
from cspn_tf.console import UserError
from cspn_tf.contract import STATUS_NOT_A_PHOTO, STATUS_TOO_LARGE, STATUS_UNDECODABLE
from cspn_tf.export import saved_model
from cspn_tf.inference import predictors
from cspn_tf.inference.model import Model
from cspn_tf.inference.pipeline import GarmentPipeline
from cspn_tf.inference.predictors import Predictor
from cspn_tf.result import STATUS_UNREADABLE
from tests import photos
from tests.fake_model import encode, expected_outputs, make_pixels

# What two kinds of model may differ by: pixels of the photo, and scores.
PIXELS, SCORES = 0.05, 1e-3


class FakePredictor:
    """Answers each photo as `tests.fake_model` does, and notes what it was asked together."""

    def __init__(self):
        self.asked = []

    def predict(self, files):
        self.asked.append(("files", len(files)))
        return self._stack(self._answer_file(file) for file in files)

    def predict_pixels(self, images):
        assert images.dtype == np.uint8
        self.asked.append(("pixels", *images.shape[:3]))
        return self._stack(expected_outputs(image) for image in images)

    def _answer_file(self, file):
        try:
            return expected_outputs(np.asarray(Image.open(io.BytesIO(file)).convert("RGB")))
        except OSError:
            none = {name: np.zeros_like(value) for name, value in expected_outputs(make_pixels(9, 9)).items()}
            return {**none, "status": np.int32(STATUS_NOT_A_PHOTO)}

    @staticmethod
    def _stack(answers):
        answers = list(answers)
        return {name: np.stack([answer[name] for answer in answers]) for name in answers[0]}


@pytest.fixture
def fake():
    return FakePredictor()


@pytest.fixture
def model(fake):
    return Model(Predictor("a fake", fake.predict, fake.predict_pixels))


def sizes(results):
    return [result.image_size for result in results]


# What is given -------------------------------------------------------------------------------------------------------


def test_paths_bytes_pictures_and_arrays_come_mixed_and_keep_their_order(model, fake, tmp_path):
    pixels = [make_pixels(30 + i, 40 + i, seed=i) for i in range(4)]
    path = tmp_path / "a.png"
    path.write_bytes(encode(pixels[0]))
    given = [str(path), pixels[1], encode(pixels[2]), Image.fromarray(pixels[3]), path, pixels[1]]
    results = model(given)
    assert isinstance(results, list)
    assert sizes(results) == [(30, 40), (31, 41), (32, 42), (33, 43), (30, 40), (31, 41)]
    assert [result.name for result in results] == [str(path), "", "", "", str(path), ""]
    assert sorted(fake.asked) == [("files", 3), ("pixels", 1, 33, 43), ("pixels", 2, 31, 41)]
    kept = [result.photo for result in results]
    assert (kept[0], kept[2], kept[4]) == (str(path), given[2], path)
    np.testing.assert_array_equal(kept[1], pixels[1])
    np.testing.assert_array_equal(kept[3], pixels[3])


def test_webp_files_are_answered_as_their_pixels(model, tmp_path):
    pixels = make_pixels(40, 52)
    path, cut = tmp_path / "a.webp", tmp_path / "cut.webp"
    path.write_bytes(photos.webp(pixels))
    cut.write_bytes(path.read_bytes()[:200])
    of_pixels, of_bytes, of_path, of_cut = model([pixels, path.read_bytes(), path, cut])
    for result in (of_bytes, of_path):
        assert result.to_dict()["garments"] == of_pixels.to_dict()["garments"]
        np.testing.assert_array_equal(np.asarray(result.draw()), np.asarray(of_pixels.draw()))
    assert (of_path.name, of_path.photo) == (str(path), path)
    assert (of_cut.name, of_cut.status) == (str(cut), STATUS_UNDECODABLE)
    small = Model(dataclasses.replace(model._predictor, max_pixels=40 * 52 - 1))
    assert [(result.name, result.status) for result in small(path)] == [(str(path), STATUS_TOO_LARGE)]


def test_one_photo_is_answered_by_a_list_of_one(model, tmp_path):
    pixels = make_pixels(30, 40)
    path = tmp_path / "a.png"
    path.write_bytes(encode(pixels))
    file = encode(pixels)
    for photo in (str(path), path, file, bytearray(file), memoryview(file), pixels, Image.fromarray(pixels)):
        results = model(photo, batch_size=np.int64(8))
        assert isinstance(results, list) and sizes(results) == [(30, 40)]
        assert isinstance(results[0].photo, str | Path | bytes | np.ndarray)


def test_an_array_of_four_dimensions_is_a_batch(model, fake):
    batch = np.stack([make_pixels(30, 40, seed) for seed in range(3)])
    assert sizes(model(batch, batch_size=2)) == 3 * [(30, 40)]
    assert fake.asked == [("pixels", 2, 30, 40), ("pixels", 1, 30, 40)]


def test_no_photos_are_no_results(model, fake):
    assert model([]) == model(()) == list(model(iter([]))) == []
    assert fake.asked == []


def test_a_generator_is_read_a_batch_at_a_time(model, fake):
    num_read = 0

    def endless():
        nonlocal num_read
        while True:
            num_read += 1
            yield make_pixels(30, 40) if num_read % 2 else encode(make_pixels(30, 40))

    results = model(endless(), batch_size=4)
    assert num_read == 0
    next(results)
    assert num_read == 4
    for _ in range(1000):
        next(results)
    assert num_read == 1004
    assert all(count <= 4 for _, count, *_ in fake.asked)


def test_a_bad_photo_costs_nothing_else(model, tmp_path):
    damaged = Image.open(io.BytesIO(photos.png(photos.picture(40, 50))[:200]))
    given = [tmp_path / "no.jpg", b"no photo", tmp_path, make_pixels(30, 40), "a\0b", damaged]
    results = model(given)
    statuses = [STATUS_UNREADABLE, STATUS_NOT_A_PHOTO, STATUS_UNREADABLE, 0, STATUS_UNREADABLE, STATUS_UNDECODABLE]
    assert [result.status for result in results] == statuses
    assert results[0].name == str(tmp_path / "no.jpg")
    assert results[0].status_meaning == "the file could not be read"
    assert all(len(result.garments) == 0 for result in results if not result.ok)


@pytest.mark.parametrize(
    ("photo", "error", "received"),
    [
        (3, TypeError, "int"),
        (None, TypeError, "NoneType"),
        (np.zeros((4, 5), np.uint8), ValueError, r"an array uint8 \(4, 5\)"),
        (np.zeros((4, 5, 4), np.uint8), ValueError, r"an array uint8 \(4, 5, 4\)"),
        (np.zeros((4, 5, 3), np.float32), ValueError, r"an array float32 \(4, 5, 3\)"),
    ],
)
def test_what_is_no_photo_is_named_by_its_place(model, fake, photo, error, received):
    good = make_pixels(30, 40)
    with pytest.raises(error, match=rf"^photos\[9\] must be .*; received {received}$"):
        model([good] * 9 + [photo])
    assert fake.asked == [], "found before the work"
    with pytest.raises(error, match=rf"^photos\[9\] must be .*; received {received}$"):
        list(model(iter([good] * 9 + [photo])))


def test_pictures_and_arrays_without_what_can_be_seen_cost_nothing_else(model, fake, monkeypatch):
    def fail(self):
        raise RuntimeError("Failed to decode frame 0")

    damaged = Image.new("RGB", (4, 4))
    monkeypatch.setattr(damaged, "load", fail.__get__(damaged))
    nothing = [Image.new("F", (4, 4)), Image.new("I", (4, 4)), Image.new("RGB", (0, 5)), damaged]
    nothing += [np.zeros((0, 5, 3), np.uint8), np.zeros((5, 0, 3), np.uint8)]
    results = model([*nothing, make_pixels(30, 40)])
    assert [result.status for result in results] == [STATUS_UNDECODABLE] * 6 + [0]
    assert [model(photo)[0].status for photo in nothing] == [STATUS_UNDECODABLE] * 6
    assert model(np.zeros((2, 0, 5, 3), np.uint8))[1].status == STATUS_UNDECODABLE
    assert fake.asked == [("pixels", 1, 30, 40)]


def test_no_request_is_larger_than_the_model_accepts(fake):
    limits = {"max_photos": 3, "max_pixels": 1200}
    model = Model(Predictor("a fake", fake.predict, fake.predict_pixels, **limits))
    assert all(result.ok for result in model([encode(make_pixels(30, 40))] * 7))
    assert fake.asked == [("files", 3), ("files", 3), ("files", 1)]
    fake.asked.clear()
    model = Model(Predictor("a fake", fake.predict, fake.predict_pixels, max_pixels=1200))
    results = model([make_pixels(30, 40)] * 5 + [make_pixels(31, 40), make_pixels(20, 40)])
    # Four times the pixels of one photo: four of the largest photos.
    assert fake.asked == [("pixels", 4, 30, 40), ("pixels", 1, 30, 40), ("pixels", 1, 20, 40)]
    assert [result.status for result in results] == [0] * 5 + [STATUS_TOO_LARGE, 0]


@pytest.mark.parametrize(
    ("photos", "error", "received"),
    [
        (3, TypeError, "int"),
        (None, TypeError, "NoneType"),
        (io.BytesIO(b"x"), TypeError, "_io.BytesIO"),
        (np.zeros((4, 5, 4), np.uint8), ValueError, r"an array uint8 \(4, 5, 4\)"),
        (np.array(["a.jpg"]), ValueError, r"an array <U5 \(1,\)"),
    ],
)
def test_photos_that_are_none_are_refused(model, photos, error, received):
    with pytest.raises(error, match=rf"^photos must be .*; received {received}$"):
        model(photos)
    with pytest.raises(ValueError, match=r"^photos\[0\] must be .*; received an array uint8 \(5, 5, 1\)"):
        model(np.zeros((2, 5, 5, 1), np.uint8))


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "8"])
def test_a_batch_size_is_a_number_from_one(model, batch_size):
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1"):
        model([], batch_size=batch_size)


def test_an_answer_against_the_contract_is_named_with_its_source():
    def predict(files):
        return {name: value[np.newaxis] * np.nan for name, value in expected_outputs(make_pixels(8, 8)).items()}

    with pytest.raises(UserError, match=r"^a fake violates the served contract: status must be int32"):
        Model(Predictor("a fake", predict, predict))([b"x"])


# Every kind of model -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tiny_detector, tiny_keypoints, tiny_model, tiny_pipeline, tiny_tflite):
    """The same two networks, loaded in every way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictors, "has_tensorflow", lambda: False)
        without_tensorflow = cspn_tf.load(tiny_tflite)
    with pytest.MonkeyPatch.context() as patch:
        # The pipeline of the two trainings, which is loaded already.
        loaded = {(tiny_detector, tiny_keypoints): tiny_pipeline}
        patch.setattr("cspn_tf.inference.pipeline.load_pipeline", lambda *directories: loaded[directories])
        trainings = cspn_tf.load(detector=tiny_detector, keypoints=tiny_keypoints)
    return {
        "trainings": trainings,
        "model": cspn_tf.load(tiny_model),
        "tflite": cspn_tf.load(tiny_tflite),
        "tflite without TensorFlow": without_tensorflow,
    }


@pytest.fixture(scope="module")
def given(photo_files):
    """Photos of different kinds and sizes, files and arrays."""
    pixels = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in photo_files]
    large = np.asarray(Image.fromarray(pixels[0]).resize((700, 900)))
    return [
        *photo_files,
        photos.png(pixels[1]),
        photos.jpeg(pixels[0], mode="L"),
        photos.jpeg(pixels[0], mode="CMYK"),
        photos.jpeg(pixels[2], orientation=6),
        photos.jpeg(large),
        photos.png(pixels[0][:40]),
        b"no photo",
        *pixels,
        pixels[0],
        large,
        np.ascontiguousarray(pixels[0][:, :31]),
    ]


def assert_alike(found, expected, pixels=PIXELS, scores=SCORES):
    assert (found.status, found.image_size) == (expected.status, expected.image_size)
    np.testing.assert_array_equal(found.garments.types, expected.garments.types)
    for name, tolerance in (
        ("boxes_xyxy", pixels),
        ("keypoints_xy", pixels),
        ("scores", scores),
        ("keypoint_scores", scores),
    ):
        one, other = getattr(found.garments, name), getattr(expected.garments, name)
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=0, err_msg=name)


def test_every_kind_of_model_answers_the_same(models, given):
    expected = models["trainings"](given)
    assert sum(len(result.garments) for result in expected) > len(given)
    for kind in ("model", "tflite", "tflite without TensorFlow"):
        for one, other in zip(models[kind](given), expected, strict=True):
            assert_alike(one, other)


def test_a_folder_of_trainings_is_its_two_trainings(tiny_detector, tiny_keypoints, tmp_path, monkeypatch):
    (tmp_path / "detector").symlink_to(tiny_detector)
    (tmp_path / "keypoints").symlink_to(tiny_keypoints)
    loaded = []
    made = Predictor("two trainings", None, None)
    monkeypatch.setattr(predictors, "from_training", lambda *paths: loaded.append(paths) or made)
    assert cspn_tf.load(tmp_path).source == made.source
    assert loaded == [(tmp_path / "detector", tmp_path / "keypoints")]


def test_the_limits_of_an_export_are_kept(tiny_pipeline, tmp_path, photo_files):
    pipeline = GarmentPipeline(
        dataclasses.replace(tiny_pipeline.config, max_pixels=250 * 250),
        tiny_pipeline._detector,
        tiny_pipeline._trained_keypoint_network,
        max_photos=2,
    )
    model = cspn_tf.load(saved_model.export(pipeline, tmp_path / "cspn"))
    # A canvas is larger than that, and so is the second photo, 256 x 256.
    results = model([*photo_files, make_pixels(251, 250)])
    assert [result.status for result in results] == [0, STATUS_TOO_LARGE, 0, STATUS_TOO_LARGE]


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_tflite_file_that_is_cut_off_is_named(tiny_tflite, tmp_path, share):
    content = tiny_tflite.read_bytes()
    (tmp_path / "cut.tflite").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"cut\.tflite must be a TFLite file from image to "):
        cspn_tf.load(tmp_path / "cut.tflite")


def test_a_model_says_that_it_does_not_survive_a_fork(model, monkeypatch):
    picture = make_pixels(30, 48)
    assert len(model(picture)) == 1
    monkeypatch.setattr("os.getpid", lambda: -1)  # as in a process that was forked
    with pytest.raises(RuntimeError, match="the model was loaded before a fork: "):
        model(picture)


def test_a_version_is_loaded_as_its_parent_s_latest(tiny_model):
    # What it answers is tested by the other names of the same folder.
    assert predictors.version_directory(str(tiny_model / "1")) == predictors.version_directory(tiny_model)


@pytest.mark.parametrize("kind", ["trainings", "model", "tflite", "tflite without TensorFlow"])
def test_a_file_and_its_pixels_are_answered_the_same(models, photo_files, kind):
    pixels = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in photo_files]
    files = [photos.png(picture) for picture in pixels]
    pictures = [Image.open(io.BytesIO(file)) for file in files]
    for of_file, *others in zip(*(models[kind](given) for given in (files, pixels, pictures)), strict=True):
        for other in others:
            assert_alike(other, of_file, pixels=1e-3, scores=1e-5)


def test_a_batch_is_answered_as_photos_one_by_one(models, given):
    alone = [models["model"](photo)[0] for photo in given]
    for together, single in zip(models["model"](given, batch_size=len(given)), alone, strict=True):
        assert_alike(together, single, pixels=1e-2)


def test_threads_may_share_a_model(models, photo_files):
    alone = [models["tflite"](photo)[0] for photo in photo_files]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda photo: models["tflite"](photo)[0], list(photo_files) * 8)
        for found, expected in zip(together, alone * 8, strict=True):
            assert_alike(found, expected, pixels=1e-3, scores=1e-5)


def test_trainings_can_be_given_boxes_and_exports_cannot(models, photo_files):
    photo = photos.png(np.asarray(Image.open(io.BytesIO(photo_files[0])).convert("RGB").resize((200, 200))))
    found = models["trainings"](photo)[0].garments
    keypoints_xy, scores = models["trainings"].keypoints_in_boxes(photo, found.boxes_xyxy, found.types)
    # The boxes have been to the photo and back; peaks of a hardly trained network are so flat that rounding moves them:
    # measured 0.09.
    np.testing.assert_allclose(keypoints_xy, found.keypoints_xy, atol=4 * PIXELS)
    np.testing.assert_allclose(scores, found.keypoint_scores, atol=SCORES)
    assert models["model"].keypoints_in_boxes is None and models["tflite"].keypoints_in_boxes is None


def test_source_tells_where_the_model_came_from(models, tiny_model, tiny_detector):
    assert models["model"].source == str(tiny_model / "1")
    assert str(tiny_detector) in models["trainings"].source
    assert str(tiny_model) in repr(models["model"])


# Loading -------------------------------------------------------------------------------------------------------------


def test_load_takes_one_way_or_the_other():
    for wrong in ({"detector": "d"}, {"keypoints": "k"}, {"model": "m", "detector": "d", "keypoints": "k"}):
        with pytest.raises(ValueError, match=r"^give either a model, or detector and keypoints, or nothing$"):
            cspn_tf.load(**wrong)


def test_folders_may_have_any_name(model_dir, tmp_path):
    expected = cspn_tf.load(model_dir)(encode(make_pixels(30, 40)))
    for name in ("run [v1]", "a*b?", "back\\slash"):
        (tmp_path / name).symlink_to(model_dir, target_is_directory=True)
        model = cspn_tf.load(tmp_path / name)
        assert model(encode(make_pixels(30, 40))) == expected
        assert model.source == str(tmp_path / name / "1")


@pytest.mark.parametrize("kind", ["missing", "empty", "file", "broken"])
def test_what_is_no_model_is_named_in_one_line(tmp_path, kind):
    path = tmp_path / kind
    if kind == "file":
        path.write_bytes(b"no model")
    elif kind != "missing":
        path.mkdir()
    if kind == "broken":
        (path / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(UserError) as caught:
        cspn_tf.load(path)
    assert str(path) in str(caught.value)
