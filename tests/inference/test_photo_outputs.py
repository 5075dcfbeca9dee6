import numpy as np
import pytest
import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.inference.photo_outputs import keypoints_on_photos, mask_absent, outputs_on_photos


def found_on_canvas():
    """Two photos on canvases of 64: a lower-body garment and a row of padding in each."""
    keypoints = np.zeros((2, 2, 8, 2), np.float32)
    keypoints[:, 0] = [[x, 40.0] for x in (0, 0, 0, 0, 10, 60, 12, 70)]
    scores = np.zeros((2, 2, 8), np.float32)
    scores[:, 0] = 0.5
    return {
        "num_garments": tf.constant([1, 1]),
        "boxes": tf.constant([[[10.0, 20.0, 63.0, 63.0], [0.0] * 4]] * 2),
        "classes": tf.constant([[2, 0]] * 2),
        "scores": tf.constant([[0.9, 0.0]] * 2),
        "keypoints": tf.constant(keypoints),
        "keypoint_scores": tf.constant(scores),
    }


def test_canvas_becomes_photo_and_what_is_not_there_stays_zero():
    # A photo of 32 high and 64 wide lies in the middle: 16 rows of padding above it.
    transforms = tf.stack([geometry.letterbox_transform(32, 64, 64)] * 2)
    np.testing.assert_allclose(transforms[0], [1.0, 0.0, 16.0])
    outputs = outputs_on_photos(found_on_canvas(), transforms, tf.constant([[32, 64], [32, 64]]), tf.constant([0, 3]))
    np.testing.assert_array_equal(outputs["status"], [0, 3])
    np.testing.assert_array_equal(outputs["image_size"], [[32, 64], [0, 0]])
    np.testing.assert_array_equal(outputs["num_garments"], [1, 0])
    # y is 16 less; 63 - 16 = 47 lies below the photo's last row, 31.
    np.testing.assert_allclose(outputs["boxes"][0], [[10, 4, 63, 31], [0, 0, 0, 0]])
    points = outputs["keypoints"][0, 0].numpy()
    np.testing.assert_allclose(points[4:], [[10, 24], [60, 24], [12, 24], [63, 24]])
    assert not points[:4].any() and not outputs["keypoints"][0, 1].numpy().any()
    np.testing.assert_allclose(outputs["keypoint_scores"][0, 0], [0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5])
    for name in ("boxes", "classes", "scores", "keypoints", "keypoint_scores"):
        assert not outputs[name][1].numpy().any(), name


@pytest.mark.parametrize("num_rows", [1, 2])
def test_the_number_of_rows_stays_static(num_rows):
    @tf.function
    def outputs(found, transforms, sizes, statuses):
        return outputs_on_photos(found, transforms, sizes, statuses)

    found = {
        name: tf.TensorSpec([None, *([num_rows] * (value.shape.rank > 1)), *value.shape[2:]], value.dtype)
        for name, value in found_on_canvas().items()
    }
    specs = tf.TensorSpec([None, 3]), tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([None], tf.int32)
    shapes = outputs.get_concrete_function(found, *specs).output_shapes
    for name in ("boxes", "classes", "scores", "keypoints", "keypoint_scores"):
        assert shapes[name].as_list() == [None, num_rows, *found[name].shape[2:]], name


def test_keypoints_of_no_type_are_masked():
    points, scores = mask_absent(tf.ones([4, 8, 2]), tf.ones([4, 8]), tf.constant([0, 1, 2, 3]))
    np.testing.assert_array_equal(tf.reduce_sum(scores, axis=-1), [0, 6, 4, 8])
    np.testing.assert_array_equal(points[..., 0], scores)


def test_points_are_clipped_to_the_outermost_pixel_centres():
    points = tf.constant([[-3.0, 5.0], [70.0, 40.0], [63.0, 31.0]] + [[0.0, 0.0]] * 5)
    for size, clipped in (([32, 64], [[0, 5], [63, 31], [63, 31]]), ([0, 0], np.zeros((3, 2)))):
        found, _ = keypoints_on_photos(points, tf.ones(8), tf.constant([1.0, 0.0, 0.0]), tf.constant(size), 3)
        np.testing.assert_array_equal(found[:3], clipped)
