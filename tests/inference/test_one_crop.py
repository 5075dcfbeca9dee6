"""What the keypoint network is trained and validated on is what the exported graph does for the same box."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from cspn_tf import config as configs
from cspn_tf import geometry
from cspn_tf.data import pipeline as data_pipeline
from cspn_tf.data.samples import Sample
from cspn_tf.data.shards import write_dataset
from cspn_tf.garment_set import Garments
from cspn_tf.inference.pipeline import GarmentPipeline
from cspn_tf.methods import method_of
from cspn_tf.models import checkpoints
from cspn_tf.result import results_of_outputs
from cspn_tf.train.keypoints import KeypointValidator
from tests import photos

# Crops so small beside the canvas that a box inside it has them cover four of its pixels each way.
CONFIG = configs.override(
    configs.preset("tiny"), ["detector.max_garments=12", "keypoints.weights=none", "keypoints.crop_size=64"]
)
CANVAS, CROP = CONFIG.canvas_size, CONFIG.keypoints.crop_size
# Canvas pixels to a crop pixel: from the canvas, from its half, and around where the one takes over from the other.
STEPS = (0.3, 0.5, 0.77, 1.0, 1.3, 1.49, 1.51, 1.9, 2.0, 2.6, 3.2, 4.0)
# As stored: larger than the canvas twice and more, which decodes shrunk; a little larger; smaller; odd; turned.
FILES = {
    "jpeg": photos.jpeg(photos.picture(900, 641)),
    "jpeg, turned": photos.jpeg(photos.picture(300, 421), orientation=6),
    "jpeg, small": photos.jpeg(photos.picture(97, 160)),
    "png": photos.png(photos.picture(256, 171)),
}


class Detector:
    """Finds garments in boxes that are given, pixels of its input."""

    variables = ()

    def __init__(self, boxes_xyxy):
        self._boxes = tf.constant(boxes_xyxy, tf.float32)

    def detect_types(self, images):
        num = tf.shape(images)[0]
        boxes = tf.repeat(self._boxes[tf.newaxis], num, axis=0)
        return boxes, tf.tile([[[0.0, 0.0, 0.5]]], [num, CONFIG.detector.max_garments, 1])


@pytest.fixture(scope="module")
def boxes_xyxy_canvas():
    """A box for each step: its window's side is that many times the crop's; around the middle and off it."""
    random = np.random.default_rng(3)
    sides = np.array(STEPS) * CROP / CONFIG.keypoints.crop_margin
    # As far off the middle as the canvas, which the pipeline clips boxes to, has room for.
    centres = (CANVAS - 1) / 2 + random.uniform(-0.4, 0.4, (len(STEPS), 2)) * (CANVAS - 1 - sides)[:, np.newaxis]
    half_xy = np.stack([sides / 2, sides / 2 * random.uniform(0.4, 1.0, len(STEPS))], axis=-1)
    return np.concatenate([centres - half_xy, centres + half_xy], axis=-1).astype(np.float32)


def pipeline_of(config, boxes_xyxy_canvas, network):
    """Return a pipeline that finds garments in these boxes; its `serve` is the graph that is exported."""
    corners = geometry.boxes_to_corners(tf.constant(boxes_xyxy_canvas))
    whole = geometry.whole_window(CANVAS)
    boxes = geometry.corners_to_boxes(geometry.canvas_to_crop(corners, whole, config.detector.input_size))
    return GarmentPipeline(config, Detector(boxes), network)


@pytest.fixture(scope="module")
def served_crops(boxes_xyxy_canvas):
    """Return a function of photo files: the crops that the served graph cuts, out of its middle."""
    pipeline = pipeline_of(CONFIG, boxes_xyxy_canvas, method_of(CONFIG.keypoints).build())
    # With its functions inlined, so that what lies between them can be asked for.
    whole = convert_variables_to_constants_v2(pipeline.serve.get_concrete_function(), lower_control_flow=False)
    crops = [
        op.outputs[0]
        for op in whole.graph.get_operations()
        if op.type == "TensorListStack" and op.outputs[0].shape[1:] == [CROP, CROP, 3]
    ]
    assert len(crops) == 1
    return whole.prune(whole.inputs, crops[0])


@pytest.mark.parametrize("name", FILES)
def test_training_sees_the_crops_of_the_served_graph_at_every_scale(name, served_crops, boxes_xyxy_canvas):
    photo_bytes = tf.constant(FILES[name])
    example = {
        "photo_bytes": photo_bytes,
        "photo_name": tf.constant(name),
        "photo_size": tf.constant([0, 0]),
        "boxes_xyxy_photo": tf.zeros([len(STEPS), 4]),
        "keypoints_xy_photo": tf.zeros([len(STEPS), 8, 2]),
        "garment_types": tf.fill([len(STEPS)], 3),
        "variations": tf.fill([len(STEPS)], 1),
        "visibility": tf.zeros([len(STEPS), 8], tf.int32),
    }
    transform = data_pipeline.to_canvas(example, canvas_size=CANVAS, max_pixels=CONFIG.max_pixels)["transform"]
    corners = geometry.boxes_to_corners(tf.constant(boxes_xyxy_canvas))
    example["boxes_xyxy_photo"] = geometry.corners_to_boxes(geometry.canvas_to_photo(corners, transform))
    chain = data_pipeline.keypoint_chain(CONFIG, augment=False)
    (trained,) = tf.data.Dataset.from_tensors(example).map(chain)
    served = served_crops(tf.constant([FILES[name]]))
    np.testing.assert_allclose(trained["windows"][:, 2] / CROP, STEPS, rtol=1e-3)
    assert served.numpy().std(axis=(1, 2, 3)).min() > 1
    # Boxes that went to the photo and back differ by rounding, and a grey level by its slope: measured 0.004 of 255.
    np.testing.assert_allclose(trained["crops"], served, atol=0.02, rtol=0)


def test_validation_in_training_finds_the_keypoints_of_the_served_graph(tiny_keypoints, tmp_path):
    """The garments that the served graph finds become labels: validation must be right to 0.01 pixels."""
    # Inside all photos, since boxes that reach over a photo's edge are clipped to it after their crop was cut.
    boxes = [[60, 70, 190, 180], [80, 60, 150, 195], [100, 100, 140, 150], [58, 110, 120, 190]]
    boxes = np.float32(boxes * (CONFIG.detector.max_garments // len(boxes)))
    config, network = checkpoints.load_keypoints(tiny_keypoints)
    pipeline = pipeline_of(dataclasses.replace(CONFIG, keypoints=config.keypoints), boxes, network)
    outputs = {name: value.numpy() for name, value in pipeline.serve(tf.constant(list(FILES.values()))).items()}
    samples = []
    for index, result in enumerate(results_of_outputs(outputs)):
        found = result.garments
        labels = Garments(found.types, found.boxes_xyxy, found.keypoints_xy, 2 * found.of_type.astype(int))
        path = tmp_path / f"{index}.photo"
        path.write_bytes(list(FILES.values())[index])
        samples.append(Sample(path.name, "val", labels, "labels:1", str(path)))
    (tmp_path / "data").mkdir()
    _, rejected = write_dataset(tmp_path / "data", samples, about={"source": "test"})
    assert not rejected

    dataset = data_pipeline.keypoint_dataset(tmp_path / "data", "val", config, 3, training=False, seed=1)
    validator = KeypointValidator(method_of(config.keypoints).prediction_network(network), dataset, config)
    validated = np.concatenate([validator.predict(batch)[2] for batch in dataset])
    served = np.concatenate([sample.garments.keypoints_xy for sample in samples])
    assert np.ptp(served, axis=(0, 1)).min() > 50
    np.testing.assert_allclose(validated, served, atol=0.01, rtol=0)
    assert validator.measure()["epe"] < 0.01
