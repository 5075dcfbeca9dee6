"""What the networks are fed: labels on the pixels they belong to, the same for the same seed, all of an epoch."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cspn_tf import geometry, resampling
from cspn_tf.config import override, preset
from cspn_tf.console import UserError
from cspn_tf.data import pipeline, shards, tfrecords
from cspn_tf.data.augmentation import boxes as box_errors
from cspn_tf.data.augmentation import camera, colour, deformation, draws, flip, occlusion
from cspn_tf.data.samples import Sample
from cspn_tf.garment_set import Garments
from cspn_tf.garments import GarmentType, Variation, Visibility
from cspn_tf.resampling import CanvasPyramid

CONFIG = preset("tiny")
CANVAS, INPUT, CROP = CONFIG.canvas_size, CONFIG.detector.input_size, CONFIG.keypoints.crop_size

# Height and width of the photos; odd ones do not divide, and the last is larger than the canvas.
PHOTO_SIZES = [(256, 256), (200, 150), (151, 233), (256, 170), (97, 120), (300, 410)]
LEFT, RIGHT = (255, 40, 40), (40, 255, 40)


def photo_of(height, width, boxes, keypoints):
    """A dark photo with a blue rectangle per box and a spot per keypoint, red for the left slots, green for right."""
    photo = np.zeros((height, width, 3), np.float32)
    for x_min, y_min, x_max, y_max in boxes:
        photo[y_min : y_max + 1, x_min : x_max + 1] = (0, 0, 150)
    ys, xs = np.mgrid[:height, :width]
    for points in keypoints:
        for slot, (x, y) in enumerate(points):
            spot = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 3.0**2))[..., None]
            photo = photo * (1 - spot) + spot * np.array(LEFT if slot % 2 == 0 else RIGHT)
    return photo.round().astype(np.uint8)


def garment_in(box, garment_type, **visibility):
    """A garment whose left keypoints are left in the photo; `visibility` overrides slots, such as slot3=0."""
    x_min, y_min, x_max, y_max = box
    xs = x_min + (x_max - x_min) * np.tile([0.25, 0.75], 4)
    ys = y_min + (y_max - y_min) * np.repeat([0.1, 0.37, 0.63, 0.9], 2)
    codes = np.full(8, Visibility.VISIBLE, np.int32)
    for slot, code in visibility.items():
        codes[int(slot[-1])] = code
    keypoints = np.stack([xs, ys], axis=-1).astype(np.float32)
    keypoints[codes <= 0] = 0.0
    return Garments.label(garment_type, box, keypoints, codes, Variation.NORMAL_POSE)


def write_photos(folder, split, num):
    """Write `num` photos, every third with two garments, and return their samples."""
    samples = []
    for index in range(num):
        height, width = PHOTO_SIZES[index % len(PHOTO_SIZES)]
        box = (width // 6, height // 8, width * 2 // 3 + index % 3, height * 7 // 8)
        garments = [garment_in(box, GarmentType.FULL_BODY)]
        if index % 3 == 2:
            small = (width // 3, height // 4, width // 3 + 30, height // 4 + 40)
            hidden = {"slot0": Visibility.ABSENT, "slot3": Visibility.CUT_OFF, "slot5": Visibility.OCCLUDED}
            garments.append(garment_in(small, GarmentType.UPPER_BODY, **hidden))
        # Markers of the second garment would lie on those of the first.
        photo = photo_of(height, width, [box], garments[0].keypoints_xy)
        path = folder / f"{split}-{index}.png"
        Image.fromarray(photo).save(path)
        samples.append(Sample(path.name, split, Garments.concatenate(garments), f"list.txt:{index + 1}", str(path)))
    return samples


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A prepared dataset: 14 photos with 18 garments to train on, in several shards, and 6 with 8 in val."""
    photos, out = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("prepared")
    samples = write_photos(photos, "train", 14) + write_photos(photos, "val", 6)
    _, rejected = shards.write_dataset(out, samples, about={"source": "test"}, shard_bytes=20_000)
    assert not rejected
    assert len(tfrecords.shard_paths(out, "train")) > 2
    return out


def keypoint_batches(data, num=-1, *, split="train", training=True, seed=3, **options):
    dataset = pipeline.keypoint_dataset(data, split, CONFIG, 4, training=training, seed=seed, **options)
    return list(dataset.take(num).as_numpy_iterator())


def detector_batches(data, num=-1, *, split="train", training=True, seed=3, **options):
    dataset = pipeline.detector_dataset(data, split, CONFIG, 4, training=training, seed=seed, **options)
    return list(dataset.take(num).as_numpy_iterator())


# Building a dataset takes seconds, so that tests share what they only read. An epoch of train has 4 batches of
# garments, 3 of photos; one of val 2 of garments.


@pytest.fixture(scope="module")
def evaluated_garments(data):
    return keypoint_batches(data, split="val", training=False)


@pytest.fixture(scope="module")
def evaluated_photos(data):
    return detector_batches(data, split="val", training=False)


@pytest.fixture(scope="module")
def whole_photos(data):
    """The garments of val as a network without a detection stage sees them."""
    config = override(CONFIG, ["keypoints.region=photo"])
    return list(pipeline.keypoint_dataset(data, "val", config, 4, training=False, seed=0).as_numpy_iterator())


@pytest.fixture(scope="module")
def garments_of_two_epochs(data):
    return keypoint_batches(data, 8)


@pytest.fixture(scope="module")
def photos_of_two_epochs(data):
    return detector_batches(data, 6)


@pytest.fixture
def without_colours(monkeypatch):
    for module, step in ((colour, "recolour"), (camera, "blur"), (camera, "compress")):
        monkeypatch.setattr(module, step, lambda example: example)
    monkeypatch.setattr(occlusion, "cover", lambda example: example)


def assert_same(batches, others):
    assert len(batches) == len(others)
    tf.nest.map_structure(np.testing.assert_array_equal, batches, others)


def joined(batches, key):
    return np.concatenate([batch[key] for batch in batches])


# Evaluation ----------------------------------------------------------------------------------------------------------


def test_evaluation_feeds_what_resampling_cuts_and_nothing_random(data, evaluated_garments, evaluated_photos):
    images = np.concatenate([images for images, _ in evaluated_photos])
    records = tf.data.TFRecordDataset(tfrecords.shard_paths(data, "val"))
    for image, record in zip(images, records, strict=True):
        example = tfrecords.parse_example(record)
        photo = tf.io.decode_png(example["photo_bytes"], channels=3)
        canvas, transform = resampling.letterbox(photo, CANVAS)
        pyramid = CanvasPyramid.of(canvas[tf.newaxis])
        np.testing.assert_allclose(image, pyramid.detector_input(INPUT)[0], atol=0.01)
        corners = geometry.photo_to_canvas(geometry.boxes_to_corners(example["boxes_xyxy_photo"]), transform)
        windows = geometry.crop_windows(geometry.corners_to_boxes(corners), CONFIG.keypoints.crop_margin)
        rows = joined(evaluated_garments, "photo_names") == example["photo_name"].numpy()
        np.testing.assert_allclose(joined(evaluated_garments, "windows")[rows], windows, atol=1e-4)
        for crop, window in zip(joined(evaluated_garments, "crops")[rows], windows, strict=True):
            np.testing.assert_allclose(crop, pyramid.crop(window, CROP), atol=0.01)


def test_evaluation_targets_map_back_to_the_photo(evaluated_garments):
    for batch in evaluated_garments:
        canvas_points = geometry.crop_to_canvas(batch["targets"][..., :2], batch["windows"], CROP)
        photo_points = np.asarray(geometry.canvas_to_photo(canvas_points, batch["transforms"]))
        labelled = batch["visibility"] > 0
        np.testing.assert_array_equal(batch["targets"][..., 2], labelled.astype(np.float32))
        np.testing.assert_allclose(photo_points[labelled], batch["keypoints_xy_photo"][labelled], atol=0.01, rtol=0)
        assert not batch["targets"][~labelled].any()


def test_evaluation_is_one_pass_in_file_order_with_every_label(evaluated_garments, evaluated_photos):
    names = [f"val-{index}.png".encode() for index in (0, 1, 2, 2, 3, 4, 5, 5)]
    assert joined(evaluated_garments, "photo_names").tolist() == names
    assert joined(evaluated_garments, "garment_types").tolist() == [3, 3, 3, 1, 3, 3, 3, 1]
    assert set(joined(evaluated_garments, "variations")) == {Variation.NORMAL_POSE}
    assert joined(evaluated_garments, "visibility")[3].tolist() == [0, 2, 2, -1, 2, 1, 2, 2]
    np.testing.assert_allclose(joined(evaluated_garments, "boxes_xyxy_photo")[0], [42, 32, 170, 224])
    # The last batch is not full, and not left out.
    assert [images.shape for images, _ in evaluated_photos] == [(4, INPUT, INPUT, 3), (2, INPUT, INPUT, 3)]


@pytest.mark.parametrize("build", [pipeline.keypoint_dataset, pipeline.detector_dataset])
def test_evaluation_has_no_augmentation_in_its_graph(data, monkeypatch, build):
    for module, steps in (
        (draws, ["draw"]),
        (box_errors, ["garment_window", "random_window"]),
        (deformation, ["cut_garment"]),
        (flip, ["flip_crop", "flip_image"]),
        (occlusion, ["cover"]),
        (colour, ["recolour"]),
        (camera, ["blur", "compress"]),
    ):
        for step in steps:
            monkeypatch.setattr(module, step, None)
    dataset = build(data, "val", CONFIG, 4, training=False, seed=1, augment=True)
    assert dataset.cardinality() == 2


# Epochs and seeds ----------------------------------------------------------------------------------------------------


def test_an_epoch_has_full_batches_and_repeats_nothing(data, garments_of_two_epochs):
    assert pipeline.num_examples(data, "train") == 14
    assert pipeline.num_examples(data, "train", what="garments") == 18
    assert pipeline.steps_per_epoch(data, "train", 4) == 3
    assert pipeline.steps_per_epoch(data, "train", 4, what="garments") == 4
    orders = []
    for epoch in (garments_of_two_epochs[:4], garments_of_two_epochs[4:]):
        assert all(len(batch["photo_names"]) == 4 for batch in epoch)
        orders.append(list(zip(joined(epoch, "photo_names"), joined(epoch, "garment_types"), strict=True)))
        assert len(orders[-1]) == 16 and len(set(orders[-1])) == 16
    assert orders[0] != orders[1] and sorted(orders[0]) != orders[0]


@pytest.mark.parametrize("what", ["garments", "photos"])
def test_an_epoch_depends_on_seed_and_number_alone(data, garments_of_two_epochs, photos_of_two_epochs, what):
    """A resumed run sees what the uninterrupted one would have seen, whatever the threads and the global seed."""
    if what == "garments":
        build, whole = pipeline.keypoint_dataset, garments_of_two_epochs
    else:
        build, whole = pipeline.detector_dataset, photos_of_two_epochs
    steps = len(whole) // 2
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    tf.random.set_seed(77)
    try:
        resumed = build(data, "train", CONFIG, 4, training=True, seed=3, first_epoch=1).with_options(options)
        assert_same(whole[steps:], list(resumed.take(steps).as_numpy_iterator()))
    finally:
        tf.random.set_seed(0)


def test_a_photo_is_augmented_differently_each_epoch(garments_of_two_epochs):
    windows = {}
    for batch in garments_of_two_epochs:
        keys = zip(batch["photo_names"], batch["garment_types"], strict=True)
        for key, window in zip(keys, batch["windows"], strict=True):
            windows.setdefault(key, []).append(window)
    repeated = [pair for pair in windows.values() if len(pair) == 2]
    assert len(repeated) >= 12
    assert all(np.any(first != second) for first, second in repeated)


def test_training_without_augmentation_gives_the_crops_of_evaluation_shuffled(data, evaluated_garments):
    keys = ("photo_names", "garment_types", "crops", "targets")
    evaluated = {row[:2]: row for batch in evaluated_garments for row in zip(*map(batch.get, keys), strict=True)}
    trained = keypoint_batches(data, 4, split="val", augment=False)
    rows = [row for batch in trained for row in zip(*map(batch.get, keys), strict=True)]
    for name, garment_type, crop, targets in rows:
        np.testing.assert_array_equal(crop, evaluated[name, garment_type][2])
        np.testing.assert_array_equal(targets, evaluated[name, garment_type][3])
    orders = [list(evaluated), [row[:2] for row in rows[:8]], [row[:2] for row in rows[8:]]]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert orders[0] != orders[1] != orders[2]


def test_a_training_dataset_is_known_to_be_endless(data):
    """So that Keras asks for the number of steps rather than never end an epoch."""
    dataset = pipeline.detector_dataset(data, "train", CONFIG, 4, training=True, seed=0, augment=False)
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY


def test_the_first_batches_mix_all_shards(tmp_path):
    """The photos of a shard follow each other in the files, and must not in the batches."""
    samples = [with_photo(tmp_path, index, [full_garment()]) for index in range(64)]
    (tmp_path / "out").mkdir()
    shards.write_dataset(tmp_path / "out", samples, about={"source": "test"}, shard_bytes=6_000)
    num_shards = len(tfrecords.shard_paths(tmp_path / "out", "train"))
    assert num_shards >= 4
    seen = joined(keypoint_batches(tmp_path / "out", 4, augment=False), "photo_names")
    places = [int(name.decode().split("-")[1].split(".")[0]) * num_shards // 64 for name in seen]
    assert len(set(places)) >= min(num_shards, 6)


# Garments ------------------------------------------------------------------------------------------------------------


def with_photo(folder, index, garments, split="train"):
    """Write a photo of 60 x 50 and return its sample."""
    path = folder / f"photo-{index}.png"
    Image.fromarray(np.random.default_rng(index).integers(0, 255, (6, 5, 3), np.uint8)).resize((50, 60)).save(path)
    return Sample(path.name, split, Garments.concatenate(garments), f"list.txt:{index + 1}", str(path))


def full_garment(**visibility):
    return garment_in((5, 6, 40, 52), GarmentType.FULL_BODY, **visibility)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """Photo 0 has 18 garments, photo 1 none with a keypoint, photo 2 one with and one without, 3 to 5 one each."""
    folder = tmp_path_factory.mktemp("crowded")
    hidden = {f"slot{slot}": Visibility.ABSENT if slot % 2 else Visibility.CUT_OFF for slot in range(8)}
    garments = [
        [garment_in((index, 6, index + 30, 52), GarmentType(index % 3 + 1)) for index in range(18)],
        [full_garment(**hidden), full_garment(**hidden)],
        [full_garment(**hidden), full_garment()],
        *([full_garment()] for _ in range(3)),
    ]
    samples = [with_photo(folder, index, labelled) for index, labelled in enumerate(garments)]
    (folder / "out").mkdir()
    shards.write_dataset(folder / "out", samples, about={"source": "test"})
    return folder / "out"


def test_garments_without_keypoints_are_not_trained_on(crowded):
    assert pipeline.num_examples(crowded, "train", what="garments") == 25
    assert pipeline.steps_per_epoch(crowded, "train", 4, what="garments") == 22 // 4
    batches = keypoint_batches(crowded, 5, augment=False)
    names = joined(batches, "photo_names")
    assert b"photo-1.png" not in names and (names == b"photo-2.png").sum() <= 1
    assert (joined(batches, "visibility") > 0).any(axis=1).all()
    # No garment twice; those of a photo differ in their boxes.
    assert len(set(zip(names, map(tuple, joined(batches, "boxes_xyxy_photo")), strict=True))) == 20
    with pytest.raises(UserError, match=r"22 garments in split 'train', fewer than one batch of 23"):
        pipeline.steps_per_epoch(crowded, "train", 23, what="garments")


def test_a_photo_without_garments_is_one_to_the_detector_and_none_to_the_keypoint_network(tmp_path, without_colours):
    garments = [[], *([full_garment()] for _ in range(3))]
    samples = [with_photo(tmp_path, index, labelled) for index, labelled in enumerate(garments)]
    (tmp_path / "out").mkdir()
    shards.write_dataset(tmp_path / "out", samples, about={"source": "test"})
    assert pipeline.num_examples(tmp_path / "out", "train") == 4
    ((images, labels),) = detector_batches(tmp_path / "out", 1, split="train", training=False)
    assert (labels["garment_types"] > 0).sum(axis=1).tolist() == [0, 1, 1, 1]
    assert not labels["boxes_xyxy"][0].any() and images[0].std() > 0
    batches = keypoint_batches(tmp_path / "out", split="train", training=False)
    assert joined(batches, "photo_names").tolist() == [b"photo-1.png", b"photo-2.png", b"photo-3.png"]
    seen = [labels for _, labels in detector_batches(tmp_path / "out", 3)]
    assert sorted((labels["garment_types"] > 0).any(axis=1).sum() for labels in seen) == [3, 3, 3]


def test_garments_without_keypoints_are_evaluated_in_their_place(crowded):
    batches = keypoint_batches(crowded, split="train", training=False)
    names = joined(batches, "photo_names").tolist()
    assert names == [b"photo-0.png"] * 18 + [b"photo-1.png"] * 2 + [b"photo-2.png"] * 2 + [
        b"photo-3.png",
        b"photo-4.png",
        b"photo-5.png",
    ]
    assert not joined(batches, "targets")[18:21].any()


def test_a_manifest_that_does_not_count_keypoints_counts_all_garments(crowded, tmp_path):
    manifest = json.loads((crowded / tfrecords.MANIFEST).read_text())
    assert manifest["splits"]["train"].pop("num_keypoint_garments") == 22
    (tmp_path / tfrecords.MANIFEST).write_text(json.dumps(manifest))
    assert pipeline.steps_per_epoch(tmp_path, "train", 4, what="garments") == 25 // 4


def test_the_detector_is_given_the_sixteen_largest_garments_of_a_photo(crowded):
    ((images, labels),) = detector_batches(crowded, 1, split="train", training=False)
    assert (labels["garment_types"] > 0).sum(axis=1).tolist() == [16, 2, 2, 1]
    assert images.shape == (4, INPUT, INPUT, 3)


# Markers -------------------------------------------------------------------------------------------------------------


def check_boxes_lie_on_rectangles(batches):
    for images, labels in batches:
        for image, boxes, types in zip(images, labels["boxes_xyxy"], labels["garment_types"], strict=True):
            # The padding is grey; rectangle and spots are not.
            red, green, blue = np.moveaxis(image, -1, 0)
            ys, xs = np.nonzero((blue - np.minimum(red, green) > 75) | (np.abs(red - green) > 60))
            full = boxes[types == GarmentType.FULL_BODY]
            assert len(full) == 1
            expected = [xs.min() - 0.5, ys.min() - 0.5, xs.max() + 0.5, ys.max() + 0.5]
            np.testing.assert_allclose(full[0], expected, atol=1.5)
            assert boxes.min() >= 0 and boxes.max() <= INPUT
            assert not boxes[types == 0].any()


def test_detector_boxes_lie_on_their_rectangles(evaluated_photos):
    check_boxes_lie_on_rectangles(evaluated_photos)


def test_augmented_detector_boxes_lie_on_their_rectangles(data, without_colours):
    check_boxes_lie_on_rectangles(detector_batches(data, 9, seed=1))


def test_augmented_batches_are_finite_and_in_range(garments_of_two_epochs, photos_of_two_epochs):
    for batch in garments_of_two_epochs:
        assert batch["crops"].shape == (4, CROP, CROP, 3) and batch["targets"].shape == (4, 8, 3)
        assert all(np.isfinite(batch[key]).all() for key in ("crops", "targets", "windows"))
        assert batch["crops"].min() >= 0 and batch["crops"].max() <= 255
        weights = batch["targets"][..., 2]
        assert set(np.unique(weights)) <= {0.0, 1.0}
        assert not weights[batch["visibility"] <= 0].any()
        assert not batch["targets"][weights == 0].any()
    for images, labels in photos_of_two_epochs:
        assert images.shape == (4, INPUT, INPUT, 3) and labels["boxes_xyxy"].shape == (4, 16, 4)
        assert np.isfinite(images).all() and images.min() >= 0 and images.max() <= 255


# Steps ---------------------------------------------------------------------------------------------------------------


def test_targets_at_the_border_and_without_coordinates():
    points = [[-0.5, -0.5], [95.5, 95.5], [-0.6, 5.0], [5.0, 95.6], [3.0, 4.0], [np.nan, 1.0], [3.0, 4.0], [1.0, 2.0]]
    example = {
        "keypoints_xy_crop": tf.constant([points], tf.float32),
        "visibility": tf.constant([[2, 2, 2, 2, 1, 0, -1, 0]]),
    }
    targets = pipeline.to_targets(example, crop_size=96)["targets"].numpy()[0]
    assert targets[:, 2].tolist() == [1, 1, 0, 0, 1, 0, 0, 0]
    np.testing.assert_array_equal(targets[[0, 1, 4], :2], np.array(points, np.float32)[[0, 1, 4]])
    assert not targets[[2, 3, 5, 6, 7]].any()


def test_detector_labels_keep_the_largest_in_order():
    sides = np.arange(1, 21, dtype=np.float32)
    boxes = np.stack([np.zeros(20), np.zeros(20), sides, sides], axis=-1).astype(np.float32)
    example = {
        "boxes_xyxy": tf.constant(boxes),
        "garment_types": tf.constant(np.arange(20) % 3 + 1, tf.int32),
    }
    labels = pipeline.to_detector_labels(example, input_size=128)
    np.testing.assert_array_equal(labels["boxes_xyxy"], boxes[4:])
    np.testing.assert_array_equal(labels["garment_types"], np.arange(4, 20) % 3 + 1)


@pytest.mark.parametrize("num", [0, 2])
def test_detector_labels_are_padded_with_zeros(num):
    example = {
        "boxes_xyxy": tf.constant([[-5.0, 2.0, 300.0, 9.0]] * num, tf.float32, shape=(num, 4)),
        "garment_types": tf.fill([num], 2),
    }
    labels = pipeline.to_detector_labels(example, input_size=128)
    np.testing.assert_array_equal(labels["boxes_xyxy"][:num], [[0.0, 2.0, 127.0, 9.0]] * num or np.zeros((0, 4)))
    np.testing.assert_array_equal(labels["boxes_xyxy"][num:], np.zeros((16 - num, 4)))
    assert labels["garment_types"].numpy().tolist() == [2] * num + [0] * (16 - num)


# What goes wrong -----------------------------------------------------------------------------------------------------


def write_by_hand(folder, photo_bytes):
    """A prepared dataset of one photo whose bytes nobody looked at."""
    garment = garment_in((2, 2, 20, 20), GarmentType.FULL_BODY)
    record = tfrecords.encode_example(Sample("dress.jpg", "val", garment, "list.txt:1", ""), photo_bytes, (30, 40))
    path = folder / "val-00000-of-00001.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(record)
    shard = {"file": path.name, "num_records": 1, "bytes": path.stat().st_size, "sha256": ""}
    manifest = {"format": tfrecords.FORMAT, "format_version": tfrecords.FORMAT_VERSION, "source": "test"}
    manifest["splits"] = {"val": {"num_photos": 1, "num_garments": 1, "shards": [shard]}}
    (folder / tfrecords.MANIFEST).write_text(json.dumps(manifest))


def test_a_photo_that_does_not_decode_is_named(tmp_path):
    jpeg = io.BytesIO()
    Image.effect_noise((40, 30), 50).save(jpeg, "JPEG")
    # Cut short: the header is fine.
    write_by_hand(tmp_path, jpeg.getvalue()[:-100])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"dress\.jpg"):
        detector_batches(tmp_path, split="val", training=False)


def test_too_few_for_a_batch_is_an_error(data):
    for build, message in (
        (pipeline.detector_dataset, r"14 photos in split 'train', fewer than one batch of 15"),
        (pipeline.keypoint_dataset, r"18 garments in split 'train', fewer than one batch of 19"),
    ):
        batch_size = int(message[-2:])
        with pytest.raises(UserError, match=message):
            build(data, "train", CONFIG, batch_size, training=True, seed=0)


def test_an_unknown_split_is_an_error(data):
    with pytest.raises(UserError, match="split 'dev'"):
        pipeline.num_examples(data, "dev")


# Labels alone --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("region", ["garment", "photo"])
def test_label_configurations_are_the_targets_of_unaugmented_crops(data, evaluated_garments, whole_photos, region):
    config = override(CONFIG, [f"keypoints.region={region}"])
    points, weights, types = pipeline.label_configurations(data, "val", config)
    assert types.tolist() == joined(evaluated_garments, "garment_types").tolist()
    targets = joined(evaluated_garments if region == "garment" else whole_photos, "targets")
    np.testing.assert_array_equal(weights, targets[..., 2])
    labelled = weights > 0
    assert labelled.any()
    np.testing.assert_allclose((targets[..., :2][labelled] + 0.5) / CROP, points[labelled], atol=1e-4)


def test_without_a_detection_stage_the_crop_is_the_whole_canvas(whole_photos):
    windows = joined(whole_photos, "windows")
    np.testing.assert_array_equal(windows, np.tile(geometry.whole_window(CANVAS), (len(windows), 1)))
