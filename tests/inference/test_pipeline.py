import dataclasses
import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cspn_tf import config as configs
from cspn_tf import geometry, resampling
from cspn_tf.console import UserError
from cspn_tf.evaluation.matching import box_iou
from cspn_tf.garments import KEYPOINTS_OF_TYPE
from cspn_tf.inference.pipeline import GarmentPipeline, load_pipeline
from cspn_tf.resampling import CanvasPyramid
from tests import photos

# Answers photos in a process of its own, which imports TensorFlow alone.
ANSWER = Path(__file__).parents[1] / "runtimes" / "answer.py"
OUTPUTS = ("status", "image_size", "num_garments", "boxes", "classes", "scores", "keypoints", "keypoint_scores")
# What two ways of running the same photo may differ by: in pixels, and in scores.
PIXELS, SCORES = 0.01, 1e-4


def serve(pipeline, files):
    return {name: value.numpy() for name, value in pipeline.serve(tf.constant(files)).items()}


def with_config(pipeline, config, **options):
    """Return a pipeline of the same networks, frozen already, with another config."""
    # It stands in for the full network and gives back the pipeline's own prediction network.
    network = SimpleNamespace(input=pipeline._keypoint_network.input, output=pipeline._keypoint_network.output)
    other = GarmentPipeline(config, pipeline._detector, network, **options)
    other._frozen = pipeline._frozen
    return other


def assert_same(ours, theirs):
    assert set(ours) == set(OUTPUTS) == set(theirs)
    for name in ("status", "image_size", "num_garments", "classes"):
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    for name, tolerance in (("boxes", PIXELS), ("keypoints", PIXELS), ("scores", SCORES), ("keypoint_scores", SCORES)):
        np.testing.assert_allclose(ours[name], theirs[name], atol=tolerance, rtol=0, err_msg=name)


def test_outputs_have_the_contracts_names_types_and_shapes(tiny_pipeline, photo_files):
    outputs = serve(tiny_pipeline, photo_files)
    num = tiny_pipeline.config.detector.max_garments
    shapes = {name: (value.dtype.name, value.shape) for name, value in outputs.items()}
    assert shapes == {
        "status": ("int32", (3,)),
        "image_size": ("int32", (3, 2)),
        "num_garments": ("int32", (3,)),
        "boxes": ("float32", (3, num, 4)),
        "classes": ("int32", (3, num)),
        "scores": ("float32", (3, num)),
        "keypoints": ("float32", (3, num, 8, 2)),
        "keypoint_scores": ("float32", (3, num, 8)),
    }


def test_garments_lie_on_the_photo_with_the_keypoints_of_their_type(tiny_pipeline, photo_files):
    outputs = serve(tiny_pipeline, photo_files)
    assert outputs["num_garments"].min() >= 1
    for photo, file in enumerate(photo_files):
        width, height = Image.open(io.BytesIO(file)).size
        assert outputs["image_size"][photo].tolist() == [height, width]
        real = np.arange(outputs["classes"].shape[1]) < outputs["num_garments"][photo]
        assert (outputs["classes"][photo][real] > 0).all()
        x_min, y_min, x_max, y_max = outputs["boxes"][photo][real].T
        # A detector that has hardly learnt finds garments in the padding, too, of which the photo keeps an edge.
        assert ((x_min >= 0) & (x_min <= x_max) & (x_max <= width)).all()
        assert ((y_min >= 0) & (y_min <= y_max) & (y_max <= height)).all()
        assert (np.diff(outputs["scores"][photo]) <= 0).all()
        assert (outputs["keypoints"][photo] <= [width - 1, height - 1]).all()
        has = np.array(KEYPOINTS_OF_TYPE)[outputs["classes"][photo]] > 0
        assert (outputs["keypoint_scores"][photo][~has] == 0).all()
        assert (outputs["keypoints"][photo][~has] == 0).all()
        for name in ("boxes", "classes", "scores", "keypoints", "keypoint_scores"):
            assert not outputs[name][photo][~real].any(), name


def test_one_bad_photo_is_all_zeros_and_harms_no_neighbour(tiny_pipeline, photo_files):
    bad = [b"", b"a text file", photo_files[0][: len(photo_files[0]) // 2]]
    outputs = serve(tiny_pipeline, [photo_files[0], *bad, photo_files[1]])
    assert outputs["status"].tolist() == [0, 1, 1, 3, 0]
    for name in OUTPUTS[1:]:
        assert not outputs[name][1:4].any(), name
    good = serve(tiny_pipeline, [photo_files[0], photo_files[1]])
    assert_same({name: value[[0, 4]] for name, value in outputs.items()}, good)


def test_photo_over_the_pixel_cap_is_refused_by_its_header(tiny_pipeline):
    outputs = serve(tiny_pipeline, [photos.png_with_size(20_000, 20_000)])
    assert outputs["status"].tolist() == [2] and outputs["image_size"].tolist() == [[0, 0]]


def test_empty_batch_is_refused_with_the_inputs_name(tiny_pipeline):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image_bytes is empty"):
        tiny_pipeline.serve(tf.zeros([0], tf.string))
    with pytest.raises(tf.errors.InvalidArgumentError, match="images is empty"):
        tiny_pipeline.pixels(tf.zeros([0, 8, 8, 3], tf.uint8))


def test_a_request_beyond_a_limit_is_rejected_by_its_name(tiny_pipeline):
    limited = with_config(tiny_pipeline, dataclasses.replace(tiny_pipeline.config, max_pixels=100), max_photos=5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="image_bytes must be at most 5 photos per request"):
        limited.serve(tf.fill([6], b""))
    assert limited.serve(tf.fill([5], b""))["status"].numpy().tolist() == [1] * 5

    def answer(*shape):
        return limited.pixels(tf.zeros([*shape, 3], tf.uint8))["status"].numpy().tolist()

    assert answer(4, 10, 10) == [0] * 4 and answer(5, 10, 8) == [0] * 5
    for shape, words in {
        (6, 8, 8): "images must be at most 5 photos per request",
        (1, 1, 101): "images must be of at most 100 pixels",
        (5, 9, 9): "images must have at most 400 pixels in a request",
        (1, 0, 8): "images must have at least one pixel",
    }.items():
        with pytest.raises(tf.errors.InvalidArgumentError, match=words):
            answer(*shape)


def test_photo_without_garments_gives_no_rows(tiny_pipeline):
    detector = tiny_pipeline._detector
    config = tiny_pipeline.config
    strict = dataclasses.replace(config.detector, score_threshold=1.0)
    original, detector.config = detector.config, strict
    try:
        pipeline = with_config(tiny_pipeline, dataclasses.replace(config, detector=strict))
        pipeline._frozen = {}  # the detector reads its threshold when it is frozen
        outputs = serve(pipeline, [photos.png(np.full((40, 30, 3), 128, np.uint8))])
    finally:
        detector.config = original
    assert outputs["status"].tolist() == [0] and outputs["num_garments"].tolist() == [0]
    for name in ("boxes", "classes", "scores", "keypoints", "keypoint_scores"):
        assert not outputs[name].any(), name


def canvas_of(photo_bytes, size):
    return resampling.letterbox(tf.io.decode_image(photo_bytes, channels=3), size)[0]


@pytest.fixture(scope="module")
def with_open_batch(tiny_pipeline):
    """`keypoints_on_canvas` of any number of canvases, as it is served."""
    size, rows = tiny_pipeline.config.canvas_size, tiny_pipeline.config.detector.max_garments
    return tf.function(
        lambda canvases, *detections: tiny_pipeline.keypoints_on_canvas(CanvasPyramid.of(canvases), *detections),
        input_signature=[
            tf.TensorSpec([None, size, size, 3], tf.uint8),
            tf.TensorSpec([None, rows, 4], tf.float32),
            tf.TensorSpec([None, rows, 3], tf.float32),
        ],
        autograph=False,
    )


def detections_of(num_found, config, seed=0):
    """Return what `detect_on_canvas` gives for one photo with so many garments, large, small and over the border."""
    random = np.random.default_rng(seed)
    size, num_rows = config.canvas_size, config.detector.max_garments
    corners = random.uniform(0, size - 1, (num_rows, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=-1)
    scores = np.sort(random.uniform(size=num_rows))[::-1] * (np.arange(num_rows) < num_found)
    of_types = scores[:, np.newaxis] * random.dirichlet([1, 1, 1], num_rows)
    return tf.constant(boxes[None], tf.float32), tf.constant(of_types[None], tf.float32)


def test_static_batch_computes_what_the_dynamic_one_does(tiny_pipeline, photo_files):
    canvases = canvas_of(photo_files[0], 256)[tf.newaxis]
    static = tiny_pipeline.garments_on_canvas(canvases)
    # Of a photo that is its own canvas.
    dynamic = tiny_pipeline.pixels(canvases)
    for name, value in static.items():
        np.testing.assert_allclose(value, dynamic[name], atol=PIXELS, err_msg=name)


def test_static_batch_finds_the_keypoints_of_none_of_one_and_of_all_rows(tiny_pipeline, with_open_batch, photo_files):
    canvases = canvas_of(photo_files[0], 256)[tf.newaxis]
    pyramid = CanvasPyramid.of(canvases)
    static = tf.function(lambda *boxes: tiny_pipeline.keypoints_on_canvas(pyramid, *boxes), autograph=False)
    for num_found in (0, 1, 2, tiny_pipeline.config.detector.max_garments):
        detections = detections_of(num_found, tiny_pipeline.config)
        found, expected = static(*detections), with_open_batch(canvases, *detections)
        assert found["num_garments"].numpy().tolist() == [num_found]
        for name, value in found.items():
            assert value.shape == expected[name].shape
            # Peaks of a hardly trained network are so flat that rounding moves them by thousandths of a pixel.
            np.testing.assert_allclose(value, expected[name], atol=0.02, err_msg=f"{name} of {num_found}")
            assert name == "num_garments" or not value[0, num_found:].numpy().any(), name
        assert (found["keypoint_scores"].numpy()[0, :num_found].max(axis=-1) > 0).all()


def test_garments_of_several_photos_keep_to_their_photos(tiny_pipeline, with_open_batch, photo_files):
    canvases = tf.stack([canvas_of(file, 256) for file in photo_files])
    nums = [2, 0, tiny_pipeline.config.detector.max_garments]
    detections = [detections_of(num, tiny_pipeline.config, seed) for seed, num in enumerate(nums)]
    together = with_open_batch(canvases, *(tf.concat(parts, axis=0) for parts in zip(*detections, strict=True)))
    assert together["num_garments"].numpy().tolist() == nums
    for photo, found in enumerate(detections):
        alone = with_open_batch(canvases[photo : photo + 1], *found)
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][photo], value[0], atol=0.02, err_msg=name)


def test_static_batch_of_two_is_refused(tiny_pipeline):
    pyramid = CanvasPyramid.of(tf.zeros([2, 256, 256, 3], tf.uint8))
    detections = (tf.repeat(of_one, 2, axis=0) for of_one in detections_of(1, tiny_pipeline.config))
    with pytest.raises(ValueError, match="a static batch must be 1 canvas, received 2"):
        tiny_pipeline.keypoints_on_canvas(pyramid, *detections)


def test_keypoints_in_known_boxes_are_those_the_pipeline_finds_there(tiny_pipeline, photo_files):
    outputs = serve(tiny_pipeline, photo_files[:1])
    num = outputs["num_garments"][0]
    keypoints, scores = tiny_pipeline.keypoints_in_boxes(
        tf.constant(photo_files[0]), tf.constant(outputs["boxes"][0, :num]), tf.constant(outputs["classes"][0, :num])
    )
    # Boxes that touched the photo's edge were clipped to it after their crop was cut.
    inside = (outputs["boxes"][0, :num] > 1).all(axis=-1)
    size = outputs["image_size"][0][::-1]
    inside &= (outputs["boxes"][0, :num, 2:] < size - 1).all(axis=-1)
    if inside.any():
        np.testing.assert_allclose(keypoints.numpy()[inside], outputs["keypoints"][0, :num][inside], atol=PIXELS)
    assert scores.shape == (num, 8)


def test_saved_model_reloaded_and_in_a_bare_session_agrees_with_the_keras_objects(
    tiny_pipeline, tiny_model, photo_files, tmp_path
):
    expected = serve(tiny_pipeline, photo_files)
    loaded = tf.saved_model.load(str(tiny_model / "1"))
    reloaded = loaded.signatures["serving_default"](image_bytes=tf.constant(photo_files))
    assert_same(expected, {name: value.numpy() for name, value in reloaded.items()})

    files = []
    for index, file in enumerate(photo_files):
        files.append(str(tmp_path / f"{index}.bin"))
        Path(files[-1]).write_bytes(file)
    result = tmp_path / "outputs.npz"
    # The script asserts that nothing of this package is imported.
    command = [sys.executable, str(ANSWER), "v1", str(tiny_model / "1"), str(result), *files]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert_same(expected, dict(np.load(result)))
    assert expected["keypoints"].any()


# Precision -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def narrow_pipeline(tiny_detector, tiny_keypoints):
    return load_pipeline(tiny_detector, tiny_keypoints, precision="bfloat16")


def test_bfloat16_gives_about_the_same_garments(narrow_pipeline, tiny_pipeline, photo_files):
    canvases = tf.stack([canvas_of(file, 256) for file in photo_files])
    pyramid = CanvasPyramid.of(canvases)
    scores = narrow_pipeline.detect_on_canvas(pyramid)[1]
    expected_boxes, expected_scores = tiny_pipeline.detect_on_canvas(pyramid)
    # Measured: 0.0012. Garments whose scores are closer than that change places.
    np.testing.assert_allclose(scores, expected_scores, atol=0.005)
    # So the best garment is looked for among all regions, before suppression puts them in order.
    images = pyramid.detector_input(narrow_pipeline.config.detector.input_size)
    regions, _ = narrow_pipeline._detector(images, training=False)
    for photo_regions, best in zip(regions.numpy()[..., [1, 0, 3, 2]], expected_boxes[:, 0].numpy(), strict=True):
        clipped = np.clip(photo_regions, 0, images.shape[1]) * (256 / images.shape[1]) - 0.5
        assert box_iou([best], clipped).max() > 0.9


def test_bfloat16_predicts_about_the_same_keypoints_of_a_crop(narrow_pipeline, tiny_pipeline, photo_files):
    canvases = tf.stack([canvas_of(file, 256) for file in photo_files])
    crop_size = tiny_pipeline.config.keypoints.crop_size
    windows = geometry.whole_window(256) * tf.ones([3, 1])
    crops = CanvasPyramid.of(canvases).crops(windows, crop_size, tf.range(3))
    found, expected = narrow_pipeline.predict(crops), tiny_pipeline.predict(crops)
    tf.nest.assert_same_structure(found, expected)
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        assert one.dtype == tf.float32
        # Measured: 0.6 % of the largest value.
        assert 0 < np.abs(one - other).max() < 0.03 * np.abs(other).max()


def test_bfloat16_computes_in_bfloat16_and_leaves_the_policy_as_it_was(narrow_pipeline):
    assert keras.mixed_precision.global_policy().name == "float32"
    for network in (narrow_pipeline._detector.feature_extractor, narrow_pipeline._keypoint_network):
        convolutions = [layer for layer in network._flatten_layers() if isinstance(layer, keras.layers.Conv2D)]
        assert convolutions and {layer.compute_dtype for layer in convolutions} >= {"bfloat16"}


def test_policy_is_as_it_was_after_a_pipeline_that_cannot_be_loaded(tmp_path, tiny_keypoints):
    with pytest.raises(UserError):
        load_pipeline(tmp_path / "none", tiny_keypoints, precision="bfloat16")
    assert keras.mixed_precision.global_policy().name == "float32"


def test_unknown_precision_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match="precision must be one of float32, bfloat16; received 'int8'"):
        load_pipeline(tmp_path, tmp_path, precision="int8")


# Networks that see the whole photo -----------------------------------------------------------------------------------


def test_a_network_without_a_detection_stage_sees_the_same_in_every_box(tiny_pipeline, photo_files):
    config = configs.override(tiny_pipeline.config, ["keypoints.region=photo"])
    whole = with_config(tiny_pipeline, config)
    boxes = tf.constant([[10.0, 20.0, 60.0, 90.0], [0.0, 0.0, 120.0, 150.0]])
    keypoints, _ = whole.keypoints_in_boxes(photo_files[0], boxes, tf.constant([3, 3]))
    np.testing.assert_array_equal(keypoints[0], keypoints[1])
    cut, _ = tiny_pipeline.keypoints_in_boxes(photo_files[0], boxes, tf.constant([3, 3]))
    assert np.abs(cut[0] - cut[1]).max() > 1.0
