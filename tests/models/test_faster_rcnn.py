"""The detector: its frames, anchors and matching, its training on simple pictures, and what it returns."""

import dataclasses
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.config import preset
from cspn_tf.models import faster_rcnn
from cspn_tf.models.faster_rcnn import AnchorMatcher, GarmentDetector, RegionProposalHead, build_detector
from cspn_tf.train.task import create_training_variables
from tests.models.test_nms import iou

TINY = preset("tiny").detector
SIZE = TINY.input_size
# What the tests train the detector to tell apart, by garment type.
COLOURS = {1: (220, 40, 40), 2: (40, 200, 40), 3: (50, 60, 220)}


def build(seed=1, **changes):
    """Build a compiled detector of the tiny preset with changes."""
    keras.utils.set_random_seed(seed)
    model = build_detector(dataclasses.replace(TINY, **changes))
    model.compile(keras.optimizers.Adam(2e-3, global_clipnorm=5.0))
    create_training_variables(model)
    return model


def rectangles(num_photos=8, seed=0):
    """Return photos of one or two rectangles on grey and their labels, with rows of padding."""
    random = np.random.default_rng(seed)
    images = np.full((num_photos, SIZE, SIZE, 3), 128, np.float32)
    boxes, garment_types = np.zeros((num_photos, 3, 4), np.float32), np.zeros((num_photos, 3), np.int32)
    for photo in range(num_photos):
        for row in range(1 + photo % 2):
            width, height = random.integers(35, 60, 2)
            x, y = random.integers(0, 64 - width) + 64 * row, random.integers(0, SIZE - height)
            garment_type = (photo // 2 + row) % 3 + 1
            images[photo, y : y + height, x : x + width] = COLOURS[garment_type]
            boxes[photo, row] = [x, y, x + width - 1, y + height - 1]
            garment_types[photo, row] = garment_type
    return images, boxes, garment_types


def as_labels(boxes, garment_types):
    return {"boxes_xyxy": tf.constant(boxes, tf.float32), "garment_types": tf.constant(garment_types, tf.int32)}


def loss_of(model, images, boxes, garment_types, training=True):
    """Return the loss, its parts, and the gradients of one batch."""
    model.reset_metrics()
    with tf.GradientTape() as tape:
        targets = faster_rcnn._to_keras_cv(as_labels(boxes, garment_types))
        loss = model.compute_loss(tf.constant(images), *targets, training=training)
    gradients = tape.gradient(loss, model.trainable_variables)
    parts = {metric.name: float(metric.result()) for metric in model.metrics if metric.name.endswith("loss")}
    return loss.numpy(), parts, gradients


def random_photos(num=2, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (num, SIZE, SIZE, 3)).astype("float32")


@pytest.fixture(scope="module")
def untrained():
    return build()


@pytest.fixture(scope="module")
def trained():
    """A detector fitted to `rectangles()`, its loss at the first and the last step; of overlapping boxes one stays."""
    model = build(nms_sigma=0.0, nms_iou=0.5)
    images, boxes, garment_types = rectangles()
    dataset = tf.data.Dataset.from_tensors((images, as_labels(boxes, garment_types))).repeat()
    history = model.fit(dataset, epochs=14, steps_per_epoch=10, verbose=0).history
    return types.SimpleNamespace(model=model, history=history)


# Frames, anchors, matching -------------------------------------------------------------------------------------------


def test_labels_go_to_keras_cv_s_frame():
    boxes, classes = faster_rcnn._to_keras_cv(as_labels([[[0, 1, 9, 7], [3, 4, 5, 6]]], [[3, 0]]))
    # Pixels 0 to 9 reach from edge -0.5 to edge 9.5 of ours, which are edges 0 and 10 of theirs less half a pixel.
    np.testing.assert_array_equal(boxes, [[[1.5, 0.5, 7.5, 9.5], [-1, -1, -1, -1]]])
    np.testing.assert_array_equal(classes, [[[2.0], [-1.0]]])


def test_detections_come_back_from_keras_cv_s_frame():
    boxes = tf.constant([[[1.5, 0.5, 7.5, 9.5]]])
    np.testing.assert_array_equal(faster_rcnn._from_keras_cv(boxes), [[[0, 1, 9, 7]]])


def test_anchors_are_centred_on_their_pixels(untrained):
    anchors = untrained._anchors
    assert {level: len(boxes) for level, boxes in anchors.items()} == {"P3": 1536, "P4": 384, "P5": 96, "P6": 24}
    # The first pixel of P3 is centred on 4, 4; the first anchor has side 3 * 8 and is twice as high as wide.
    height, width = 24 * 2**0.5, 24 / 2**0.5
    np.testing.assert_allclose(
        anchors["P3"][0], [4 - height / 2, 4 - width / 2, 4 + height / 2, 4 + width / 2], rtol=1e-5
    )
    np.testing.assert_allclose(anchors["P3"][1], [4 - 12, 4 - 12, 4 + 12, 4 + 12])
    # Six anchors a pixel: the fifth is the square one of the second scale. Then the next pixel to the right.
    np.testing.assert_allclose(anchors["P3"][4], [4 - 17, 4 - 17, 4 + 17, 4 + 17])
    np.testing.assert_allclose(anchors["P3"][7], [4 - 12, 12 - 12, 4 + 12, 12 + 12])
    # The last pixel of P6, of 2 x 2.
    np.testing.assert_allclose(anchors["P6"][-2], [96 - 136, 96 - 136, 96 + 136, 96 + 136])


def test_head_lists_its_boxes_in_the_order_of_the_anchors():
    head = RegionProposalHead(dataclasses.replace(TINY, separable=False, pyramid_width=1))
    # A map that counts its pixels, through an identity: hidden keeps the centre, outputs multiply by their number.
    features = tf.reshape(tf.range(6.0), [1, 2, 3, 1])
    head({"P3": features})
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = 1.0
    head.hidden.set_weights([kernel, np.zeros(1)])
    head.objectness.set_weights([np.zeros((1, 1, 1, 6)), np.arange(6)])
    head.deltas.set_weights([np.full((1, 1, 1, 24), 100.0), np.arange(24)])
    deltas, logits = head({"P3": features})
    assert deltas["P3"].shape == (1, 36, 4) and logits["P3"].shape == (1, 36, 1)
    np.testing.assert_array_equal(logits["P3"][0, :, 0], np.tile(np.arange(6), 6))
    np.testing.assert_array_equal(deltas["P3"][0, 6 * 4 + 2], 400 + np.arange(8, 12))


def test_matching_gives_every_garment_its_best_anchor_and_padding_none():
    # Anchors by garments: two garments and a row of padding.
    overlaps = tf.constant([[[0.7, 0.1, 0.0], [0.4, 0.0, 0.0], [0.1, 0.2, 0.0], [0.0, 0.0, 0.0], [0.2, 0.25, 0.0]]])
    matcher = AnchorMatcher(thresholds=[0.3, 0.6], match_values=[-1, -2, 1])
    garments, matches = matcher(overlaps)
    assert matches.numpy().tolist() == [[1, -2, -1, -1, 1]]
    assert garments.numpy()[0, [0, 4]].tolist() == [0, 1]
    # An anchor that is best for one garment and overlaps another more is the former's only if it is the best fit.
    garments, matches = matcher(tf.constant([[[0.5, 0.45], [0.8, 0.1]]]))
    assert garments.numpy().tolist() == [[1, 0]] and matches.numpy().tolist() == [[1, 1]]
    _, matches = matcher(tf.zeros([2, 4, 3]))
    assert matches.numpy().tolist() == [[-1] * 4] * 2


@pytest.mark.parametrize("box", [[0, 0, 127, 127], [60, 60, 66, 64], [10, 3, 20, 120], [125, 125, 127, 127]])
def test_every_garment_has_an_anchor_to_learn_from(untrained, box):
    anchors = tf.concat(list(untrained._anchors.values()), axis=0)
    boxes, classes = faster_rcnn._to_keras_cv(as_labels([[box, [0, 0, 0, 0]]], [[2, 0]]))
    _, box_weights, targets, weights = untrained.rpn_labeler(anchors, boxes, classes)
    assert tf.reduce_sum(box_weights).numpy() >= 1
    np.testing.assert_array_equal(box_weights, targets)
    assert tf.reduce_sum(weights * targets).numpy() >= 1


# Training ------------------------------------------------------------------------------------------------------------


def test_learns_to_find_rectangles_and_their_types(trained):
    losses = trained.history["loss"]
    assert losses[-1] < 0.3 * losses[0]
    images, boxes, garment_types = rectangles()
    found_boxes, found_types, scores = (part.numpy() for part in trained.model.detect(tf.constant(images)))
    for photo in range(len(images)):
        wanted = {tuple(boxes[photo, row]): garment_types[photo, row] for row in range(1 + photo % 2)}
        # Those that are there score 0.9 and more; a doubtful one beside them depends on the number of threads.
        assert (scores[photo] > 0.7).sum() == len(wanted)
        for box, garment_type in wanted.items():
            (hit,) = [row for row in range(len(wanted)) if iou(box, found_boxes[photo, row]) > 0.6]
            assert found_types[photo, hit] == garment_type
            assert scores[photo, hit] > 0.7
            # Half a pixel too much in one frame or the other would show as a shift common to all of them.
    hits = [
        found - wanted
        for photo in range(len(images))
        for wanted in boxes[photo, : 1 + photo % 2]
        for found in found_boxes[photo, : 1 + photo % 2]
        if iou(wanted, found) > 0.6
    ]
    assert np.abs(np.mean(hits)) < 2.0


def test_logs_the_four_losses_and_their_sum(trained):
    parts = ["box_loss", "classification_loss", "rpn_box_loss", "rpn_classification_loss"]
    assert sorted(trained.history) == sorted([*parts, "loss"])
    assert trained.history["loss"][-1] == pytest.approx(sum(trained.history[name][-1] for name in parts), rel=1e-3)


def test_validation_logs_the_same_losses_and_trains_nothing(trained):
    images, boxes, garment_types = rectangles()
    before = [weight.numpy() for weight in trained.model.trainable_weights]
    logs = trained.model.test_step((tf.constant(images), as_labels(boxes, garment_types)))
    assert set(logs) == set(trained.history) and all(np.isfinite(float(value)) for value in logs.values())
    for weight, value in zip(trained.model.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    trained.model.reset_metrics()


def test_rows_of_padding_change_nothing(untrained, monkeypatch):
    model = untrained
    # As many samples as there are anchors and regions, so that no draw decides which of them count.
    monkeypatch.setattr(model.rpn_labeler, "samples_per_image", 2040)
    monkeypatch.setattr(model.roi_sampler, "num_sampled_rois", TINY.num_proposals_train + 1)
    photos, box = random_photos(), [[20.0, 30.0, 90.0, 110.0]]
    padding = [0.0, 0.0, 0.0, 0.0]
    losses = []
    for rows in (1, 3, 6):
        boxes = np.array([box + [padding] * rows] * 2)
        losses.append(loss_of(model, photos, boxes, [[2] + [0] * rows] * 2))
    for loss, parts, gradients in losses[1:]:
        assert loss == pytest.approx(losses[0][0], rel=1e-4)
        assert parts == pytest.approx(losses[0][1], rel=1e-4)
        for ours, first in zip(gradients, losses[0][2], strict=True):
            np.testing.assert_allclose(ours, first, atol=1e-4 * max(np.abs(first).max(), 1e-3))
    # What a row of padding holds does not matter either, nor where it stands.
    loss, _, _ = loss_of(model, photos, [[[7.0, 8.0, 50.0, 60.0], *box]] * 2, [[0, 2]] * 2)
    assert loss == pytest.approx(losses[0][0], rel=1e-4)


def test_every_step_samples_other_anchors_and_a_seed_repeats_them(untrained):
    anchors = tf.concat(list(untrained._anchors.values()), axis=0)
    targets = faster_rcnn._to_keras_cv(as_labels([[[20, 30, 90, 110]]], [[2]]))
    proposals = tf.random.uniform([1, 64, 2], 0, 60, seed=1)
    proposals = tf.concat([proposals, proposals + 40.0], axis=-1)

    @tf.function(autograph=False)  # as in the training step
    def sample():
        sampled_anchors = untrained.rpn_labeler(anchors, *targets)[3][0, :, 0]
        sampled_regions = untrained.roi_sampler(proposals, *targets)[0]
        return sampled_anchors, sampled_regions

    draws = []
    for _ in range(2):
        tf.random.set_seed(3)
        draws.append([[part.numpy() for part in sample()] for _ in range(2)])
    (first, second), (first_again, second_again) = draws
    for kind in (0, 1):
        assert (first[kind] != second[kind]).any()
        np.testing.assert_array_equal(first[kind], first_again[kind])
        np.testing.assert_array_equal(second[kind], second_again[kind])
    assert first[0].sum() == second[0].sum() == 64


def test_a_photo_without_garments_is_background_to_proposals_and_regions(untrained):
    loss, parts, gradients = loss_of(untrained, random_photos(), np.zeros((2, 3, 4)), np.zeros((2, 3)))
    assert parts["box_loss"] == parts["rpn_box_loss"] == 0.0
    assert parts["rpn_classification_loss"] == pytest.approx(np.log(2), rel=0.01)  # untrained objectness: to be none
    assert parts["classification_loss"] == pytest.approx(np.log(4), rel=0.05)  # untrained scores of three and none
    assert loss == pytest.approx(parts["rpn_classification_loss"] + parts["classification_loss"], rel=1e-4)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_all_regions_of_a_photo_without_garments_are_background(untrained):
    proposals = tf.random.uniform([2, 64, 2], 0, 60, seed=1)
    proposals = tf.concat([proposals, proposals + 40.0], axis=-1)
    labels = as_labels([[[20, 30, 90, 110], [0, 0, 0, 0]], [[0, 0, 0, 0]] * 2], [[2, 0], [0, 0]])
    *_, classes, weights = untrained.roi_sampler(proposals, *faster_rcnn._to_keras_cv(labels))
    background = untrained.roi_sampler.background_class
    assert (classes[1].numpy() == background).all()
    assert weights[1].numpy().sum() == TINY.num_sampled_rois
    assert (classes[0].numpy() == 1).any()


def test_photos_without_garments_take_false_garments_away(trained):
    images, boxes, garment_types = rectangles()
    # Circles in a garment's colour: without a photo that says so, nothing tells that they are none.
    y, x = np.mgrid[:SIZE, :SIZE]
    circles = np.full((4, SIZE, SIZE, 3), 128, np.float32)
    for row, (centre_x, centre_y) in enumerate([(40, 40), (80, 50), (60, 80), (50, 60)]):
        circles[row][(x - centre_x) ** 2 + (y - centre_y) ** 2 < 24**2] = COLOURS[2]
    # As many photos as `trained` has seen, so that its step is not traced again.
    images[4:], boxes[4:], garment_types[4:] = circles, 0.0, 0
    model = trained.model
    weights = model.get_weights()
    without = float(tf.reduce_mean(model.detect(tf.constant(circles))[2][:, 0]))
    dataset = tf.data.Dataset.from_tensors((images, as_labels(boxes, garment_types))).repeat()
    model.fit(dataset, epochs=1, steps_per_epoch=60, verbose=0)
    with_circles = float(tf.reduce_mean(model.detect(tf.constant(circles))[2][:, 0]))
    model.set_weights(weights)
    assert without > 0.7 and with_circles < 0.4


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 127, 127],
        [-0.5, -0.5, 127.5, 127.5],
        [5, 5, 6, 6.5],
        [5, 5, 5, 5],
        [126, 126, 127, 127],
        [3, 60, 120, 61],
    ],
    ids=["whole photo", "to its edges", "tiny", "empty", "in the corner", "flat"],
)
def test_one_awkward_garment_in_a_batch_of_one_trains(untrained, box):
    loss, parts, gradients = loss_of(untrained, random_photos(1), [[box]], [[3]])
    assert np.isfinite(loss) and loss < 20
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    # The head learns from the garment itself, whatever was proposed.
    assert parts["classification_loss"] > 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"roi_op": "pool", "min_level": 4, "max_level": 4, "separable": False},
        {"frozen_level": 3, "weights": "imagenet", "max_level": 5},
        {"min_level": 4, "backbone_level": 4},
    ],
    ids=["one level, pool", "frozen", "coarse levels pooled"],
)
def test_variants_train_and_detect(changes):
    model = build(score_threshold=0.0, **changes)
    images, boxes, garment_types = rectangles(2)
    loss, parts, gradients = loss_of(model, images, boxes, garment_types)
    assert np.isfinite(loss) and all(value > 0 for value in parts.values())
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)
    first_kernel = next(g for g, w in zip(gradients, model.trainable_variables, strict=True) if "kernel" in w.name)
    assert np.abs(first_kernel).max() > 0
    boxes_xyxy, garment_types, scores = model.detect(tf.constant(images))
    assert (
        (garment_types.numpy()[:, 0] > 0).all() and np.isfinite(boxes_xyxy).all() and (scores.numpy()[:, 0] > 0).all()
    )
    if "backbone_level" in changes:  # coarser levels are the one before them, pooled
        assert list(model._anchors) == ["P4", "P5", "P6"]
        levels = model.feature_extractor(tf.constant(random_photos(1)), training=False)
        assert [levels[name].shape[1:3].as_list() for name in ("P4", "P5", "P6")] == [[8, 8], [4, 4], [2, 2]]
        assert np.std(levels["P4"]) > 0
        for fine, coarse in (("P4", "P5"), ("P5", "P6")):
            np.testing.assert_array_equal(levels[coarse], tf.nn.max_pool2d(levels[fine], 2, 2, "VALID"))


@pytest.mark.parametrize("roi_op, other", [("align", "pool"), ("pool", "align")])
def test_takes_its_regions_with_the_configured_operation(untrained, monkeypatch, roi_op, other):
    def refuse(*args):
        raise AssertionError(f"{other} is not asked for")

    monkeypatch.setattr(faster_rcnn, f"roi_{other}", refuse)
    monkeypatch.setattr(untrained, "config", dataclasses.replace(TINY, roi_op=roi_op))
    _, class_scores = untrained(tf.constant(random_photos(1)))
    np.testing.assert_allclose(tf.reduce_sum(class_scores, axis=-1), 1.0, rtol=1e-5)


# Detection -----------------------------------------------------------------------------------------------------------


def with_head(monkeypatch, model, scores, deltas=0.0):
    """Replace the head on regions: the same class scores and box deltas for every region."""

    def head(rois, features, training=None):
        shape = tf.shape(rois)[:2]
        one = tf.ones(tf.concat([shape, [1]], axis=0))
        return one[..., tf.newaxis, 0] * deltas * tf.ones([4]), one * tf.constant(scores, tf.float32)

    monkeypatch.setattr(model, "_call_rcnn", head)


@pytest.mark.parametrize(
    "scores, garment_type",
    [
        ([0.7, 0.1, 0.15, 0.05], 1),
        ([0.1, 0.7, 0.05, 0.15], 2),
        ([0.1, 0.1, 0.41, 0.39], 3),
        ([0.05, 0.1, 0.15, 0.7], 0),
    ],
)
def test_the_last_class_score_is_the_background_s(untrained, monkeypatch, scores, garment_type):
    with_head(monkeypatch, untrained, scores)
    boxes, garment_types, found = (part.numpy() for part in untrained.detect(tf.constant(random_photos(1))))
    assert garment_types[0, 0] == garment_type
    assert found[0, 0] == pytest.approx(max(scores[:3]) if garment_type else 0.0)
    assert (boxes[0, 0] == 0).all() == (garment_type == 0)


@pytest.mark.parametrize("delta", [1e30, -1e30, np.inf, -np.inf, 80.0, -80.0])
def test_extreme_deltas_give_finite_boxes_in_the_photo(untrained, monkeypatch, delta):
    with_head(monkeypatch, untrained, [0.9, 0.1, 0.0, 0.0], deltas=delta)
    boxes, garment_types, scores = (part.numpy() for part in untrained.detect(tf.constant(random_photos(1))))
    assert garment_types[0, 0] == 1 and scores[0, 0] == pytest.approx(0.9)
    assert np.isfinite(boxes).all() and boxes.min() >= -0.5 and boxes.max() <= SIZE - 0.5


@pytest.mark.parametrize("delta", [1e30, -1e30, 500.0])
def test_extreme_deltas_of_the_proposals_stay_finite(untrained, monkeypatch, delta):
    original = untrained.rpn_head

    def head(features, training=None):
        deltas, logits = original(features)
        return {level: values * 0.0 + delta for level, values in deltas.items()}, logits

    monkeypatch.setattr(untrained, "rpn_head", head)
    boxes, class_scores = untrained(tf.constant(random_photos(1)))
    assert np.isfinite(boxes).all() and np.isfinite(class_scores).all()


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_detections_are_sorted_and_padded_and_static(trained, monkeypatch, threshold):
    model = trained.model
    monkeypatch.setattr(model, "config", dataclasses.replace(model.config, score_threshold=threshold))
    images = np.concatenate([rectangles()[0], np.full((1, SIZE, SIZE, 3), 128, np.float32)])
    detect = tf.function(model.detect, input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3])], autograph=False)
    shapes = [tuple(part.shape) for part in detect.get_concrete_function().structured_outputs]
    assert shapes == [(None, 3, 4), (None, 3), (None, 3)]
    boxes, garment_types, scores = (part.numpy() for part in detect(images))
    assert boxes.dtype == scores.dtype == np.float32 and garment_types.dtype == np.int32
    assert (np.diff(scores, axis=1) <= 0).all()
    padding = garment_types == 0
    np.testing.assert_array_equal(padding, scores == 0)
    assert (boxes[padding] == 0).all() and (scores[~padding] > threshold).all()
    assert boxes.min() >= -0.5 and boxes.max() <= SIZE - 0.5
    assert ((boxes[..., 2:] >= boxes[..., :2]) | padding[..., np.newaxis]).all()
    # The threshold takes away what is below it, and nothing else: a lower score suppresses no higher one.
    monkeypatch.setattr(model, "config", dataclasses.replace(model.config, score_threshold=0.0))
    all_scores = model.detect(tf.constant(images))[2].numpy()
    np.testing.assert_allclose(scores, np.where(all_scores > threshold, all_scores, 0.0), atol=1e-4)
    # Photos have one rectangle or two in turn, and the last none.
    assert ((all_scores > 0.3).sum(axis=1) >= [1, 2] * 4 + [0]).all() and all_scores[-1].max() < 0.3
    # Without a threshold the best region of each photo stays, if no other: they may all lie on the same rectangle.
    assert padding[:, 0].any() == bool(threshold)


def test_detection_is_the_same_every_time_and_in_every_batch(trained):
    images = tf.constant(rectangles()[0])
    wanted = trained.model.detect(images)
    compiled = tf.function(trained.model.detect, autograph=False)
    alone = [tf.concat(parts, axis=0) for parts in zip(*(compiled(images[i : i + 1]) for i in range(3)), strict=True)]
    for first, again, graph, single in zip(wanted, trained.model.detect(images), compiled(images), alone, strict=True):
        np.testing.assert_array_equal(first, again)
        np.testing.assert_allclose(first, graph, atol=1e-3)
        np.testing.assert_allclose(first[:3], single, atol=1e-3)


def test_detecting_leaves_the_weights_alone(trained):
    before = [weight.numpy() for weight in trained.model.weights]
    trained.model.detect(tf.constant(random_photos()))
    for weight, value in zip(trained.model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


# Files, exports, presets ---------------------------------------------------------------------------------------------


def test_weights_survive_a_file(trained, untrained, tmp_path, monkeypatch):
    trained.model.save_weights(tmp_path / "a.weights.h5")
    other, before = untrained, untrained.get_weights()
    monkeypatch.setattr(other, "config", trained.model.config)
    images = tf.constant(rectangles(2)[0])
    assert np.abs(other.detect(images)[0] - trained.model.detect(images)[0]).max() > 1
    other.load_weights(tmp_path / "a.weights.h5")
    for ours, theirs in zip(trained.model.detect(images), other.detect(images), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(trained.model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other.set_weights(before)


def test_converts_to_tflite_builtins_with_the_same_numbers(trained, run_tflite):
    image = rectangles()[0][1:2]
    boxes, garment_types, scores = (part.numpy() for part in trained.model.detect(tf.constant(image)))

    def detect(image):
        boxes, garment_types, scores = trained.model.detect(image)
        # One output, so that their order is ours.
        return tf.concat([boxes, tf.cast(garment_types, tf.float32)[..., tf.newaxis], scores[..., tf.newaxis]], axis=-1)

    (found,) = run_tflite(detect, image)
    assert (garment_types[0] > 0).sum() == 2
    np.testing.assert_array_equal(found[..., 4], garment_types)
    np.testing.assert_allclose(found[..., :4], boxes, atol=0.01)
    np.testing.assert_allclose(found[..., 5], scores, atol=1e-4)


def test_paper_preset_is_vgg16_with_one_level_and_pooling():
    config = preset("paper").detector
    model = GarmentDetector(config)
    assert model.feature_extractor.get_layer("vgg16").output["P4"].shape == (None, 32, 32, 512)
    assert list(model._anchors) == ["P4"] and model._anchors["P4"].shape == (32 * 32 * 4 * 3, 4)
    assert config.roi_op == "pool"
    assert model.rcnn_head.input_shape == (None, None, 7, 7, 512)
    # Sides 64, 128, 256 and 512 pixels, as areas.
    sizes = model._anchors["P4"][:12, 2:] - model._anchors["P4"][:12, :2]
    np.testing.assert_allclose(np.sqrt(sizes.prod(axis=1)), np.repeat([64, 128, 256, 512], 3), rtol=1e-5)


@pytest.mark.parametrize("pretrained, asked", [(True, "imagenet"), (False, "none")])
def test_loads_initial_weights_unless_a_checkpoint_follows(pretrained, asked, asked_network):
    config = dataclasses.replace(TINY, weights="imagenet")
    assert asked_network(build_detector, config, pretrained=pretrained) == ("mobilenet_v3_small", SIZE, asked)


def test_mixed_precision_keeps_boxes_in_float32_and_trains(untrained):
    images, boxes, garment_types = rectangles()
    expected = loss_of(untrained, images, boxes, garment_types)[0]
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build()
        loss, _, gradients = loss_of(model, images, boxes, garment_types)
        found, _, scores = model.detect(tf.constant(images))
        compute_dtype = model.feature_extractor.output["P3"].dtype
    finally:
        keras.mixed_precision.set_global_policy("float32")
    # The networks compute in bfloat16, and what holds coordinates does not.
    assert compute_dtype == tf.bfloat16
    assert all(anchors.dtype == np.float32 for anchors in model._anchors.values())
    assert found.dtype == scores.dtype == tf.float32
    # bfloat16 has 8 bits of mantissa; the sampled anchors and regions also differ by chance.
    assert loss == pytest.approx(expected, rel=0.1)
    assert all(np.isfinite(gradient).all() for gradient in gradients if gradient is not None)
