"""The garment detector: KerasCV's Faster R-CNN with its bugs worked around and its parts sized for small inputs.

KerasCV 0.9 ships `FasterRCNN` in its legacy tree. Its compile, losses, label encoder and region sampler are used
unchanged. The broken or too expensive parts are replaced here:

* its RoI aligner gathers without an axis and fails          -> `cspn_tf.models.roi_features`
* `call` generates anchors from a dynamic image shape        -> anchors of the static input size
* its RPN head loses the static number of boxes              -> `RegionProposalHead`
* clipping boxes to a dynamic image shape fails              -> clipping to the static input size
* a garment that no anchor fits well is matched to none      -> `AnchorMatcher`
* the region head learns nothing from a photo without
  garments                                                   -> `_to_keras_cv`
* its samplers draw the same anchors and regions at every
  step                                                       -> `sampling.random` replaced by `tf.random`
* anchors and labels follow a mixed-precision policy, which
  is too coarse for coordinates and then fails               -> float32 for every layer that handles boxes
* `train_step` fails without weight decay                    -> `train_step`
* a thousand proposals, 1024-unit layers, 256-channel
  pyramids, suppression per level                            -> sizes from the config, one suppression for all levels

Frames: callers pass and get x_min, y_min, x_max, y_max with integers at pixel centres, as everywhere in this package.
KerasCV uses y_min, x_min, y_max, x_max of pixel edges. The two differ by half a pixel; only `_to_keras_cv` and
`_from_keras_cv` convert between them.
"""

import keras
import tensorflow as tf

from cspn_tf import geometry
from cspn_tf.config import DetectorConfig
from cspn_tf.garments import NUM_GARMENT_TYPES
from cspn_tf.models import type_scores
from cspn_tf.models.backbones import build_backbone
from cspn_tf.models.blocks import BATCH_NORM_MOMENTUM, merge_down, normalised_conv
from cspn_tf.models.nms import non_max_suppression, soft_non_max_suppression
from cspn_tf.models.roi_features import pyramid_roi_features, roi_align, roi_pool
from cspn_tf.quiet import quiet_keras_cv

with quiet_keras_cv():
    from keras_cv.layers import AnchorGenerator, BoxMatcher
    from keras_cv.src.bounding_box.converters import _decode_deltas_to_boxes
    from keras_cv.src.layers.object_detection import sampling
    from keras_cv.src.layers.object_detection.roi_sampler import _ROISampler
    from keras_cv.src.layers.object_detection.rpn_label_encoder import _RpnLabelEncoder
    from keras_cv.src.models.legacy.object_detection.faster_rcnn.faster_rcnn import BOX_VARIANCE, FasterRCNN

# KerasCV's samplers fix their seed when the training step is traced, so most anchors would never be sampled.
sampling.random = tf.random

# Limit on the log of a box's growth in one regression step; keeps exp() finite in untrained networks.
_MAX_LOG_SCALE = 4.0
# IoU threshold of the proposals' non-maximum suppression.
_PROPOSAL_IOU = 0.7
# Candidates that enter this suppression, per proposal kept.
_CANDIDATES_PER_PROPOSAL = 4
# The label encoder's IoU thresholds for positive and negative anchors; anchors in between are ignored.
_ANCHOR_POSITIVE_IOU, _ANCHOR_NEGATIVE_IOU = 0.6, 0.3
_SAMPLED_ANCHORS = 64


def build_detector(config: DetectorConfig, *, pretrained: bool = False) -> "GarmentDetector":
    """Build the detector and create all its weights.

    Args:
        config: its `DetectorConfig`.
        pretrained: load the backbone's initial weights that `config.weights` names; False if a checkpoint is loaded
            afterwards.
    """
    model = GarmentDetector(config, pretrained=pretrained)
    model(tf.zeros([1, config.input_size, config.input_size, 3]), training=False)
    return model


class GarmentDetector(FasterRCNN):
    """Faster R-CNN over garment types.

    `fit` takes batches of images, float32 `(B, D, D, 3)`, 0 to 255, with a static B, and a dict of `boxes_xyxy`,
    float32 `(B, M, 4)`, input pixels, and `garment_types`, int32 `(B, M)`, 0 in padding rows.
    `detect` returns garments; calling the model returns KerasCV's raw regions and class scores.
    """

    def __init__(self, config: DetectorConfig, *, pretrained: bool = False):
        self.config = config
        self._strides = {f"P{level}": 2**level for level in range(config.min_level, config.max_level + 1)}
        body = _build_body(config, pretrained)
        # KerasCV's constructor looks up layers of a backbone by name. This stand-in satisfies it; it is replaced below.
        stand_in = keras.Model(body.input, body.output)
        stand_in.pyramid_level_inputs = {f"P{level}": body.layers[0].name for level in (2, 3, 4, 5)}
        super().__init__(
            num_classes=NUM_GARMENT_TYPES,
            bounding_box_format="yxyx",
            backbone=stand_in,
            anchor_generator=AnchorGenerator(
                bounding_box_format="yxyx",
                sizes={level: float(stride) for level, stride in self._strides.items()},
                scales=list(config.anchor_scales),
                aspect_ratios=list(config.anchor_aspect_ratios),
                strides=self._strides,
                clip_boxes=False,
                dtype="float32",
            ),
            rcnn_head=_build_region_head(config),
            label_encoder=_RpnLabelEncoder(
                anchor_format="yxyx",
                ground_truth_box_format="yxyx",
                positive_threshold=_ANCHOR_POSITIVE_IOU,
                negative_threshold=_ANCHOR_NEGATIVE_IOU,
                samples_per_image=_SAMPLED_ANCHORS,
                positive_fraction=0.5,
                box_variance=BOX_VARIANCE,
                dtype="float32",
            ),
            name="garment_detector",
        )
        self.rpn_labeler.box_matcher = AnchorMatcher(
            thresholds=[_ANCHOR_NEGATIVE_IOU, _ANCHOR_POSITIVE_IOU], match_values=[-1, -2, 1], dtype="float32"
        )
        # The body contains both backbone and feature pyramid.
        self.feature_extractor = body
        self.backbone = None
        self.feature_pyramid = None
        self.rpn_head = RegionProposalHead(config)
        self.roi_generator = None
        self.roi_pooler = None
        self.box_matcher = BoxMatcher(thresholds=[0.0, 0.5], match_values=[-2, -1, 1], dtype="float32")
        self.roi_sampler = _ROISampler(
            bounding_box_format="yxyx",
            roi_matcher=self.box_matcher,
            positive_fraction=0.5,
            background_class=NUM_GARMENT_TYPES,
            num_sampled_rois=config.num_sampled_rois,
            dtype="float32",
        )
        # Computed once from a static shape: KerasCV's `call` passes a tensor, which its anchor generator cannot take.
        anchors = self.anchor_generator(image_shape=(config.input_size, config.input_size, 3))
        self._anchors = {level: tf.constant(boxes).numpy() for level, boxes in anchors.items()}

    # Inference ---------------------------------------------------------------------------------------------------

    def detect(self, images):
        """Find garments.

        Args:
            images: float32 `(B, D, D, 3)`, 0 to 255.

        Returns:
            boxes_xyxy: float32 `(B, N, 4)`, input pixels, clipped to the input, best first; zeros in padding rows.
            types: int32 `(B, N)`, `GarmentType` ids; 0 in padding rows.
            scores: float32 `(B, N)`, in [0, 1]; 0 in padding rows.
        """
        boxes_xyxy, scores = self.detect_types(images)
        return boxes_xyxy, *type_scores.best(scores)

    def detect_types(self, images):
        """Find garments as `detect` does, and return the scores of all types.

        Returns:
            boxes_xyxy: as in `detect`.
            scores: float32 `(B, N, 3)`, of each type; zeros in padding rows.
        """
        boxes_xyxy, class_scores, factors, valid = self.search(images, self.config.score_threshold)
        scores = class_scores[..., :-1] * factors[..., tf.newaxis]  # the last column is background
        valid = valid[..., tf.newaxis]
        return tf.where(valid, boxes_xyxy, 0.0), tf.where(valid, scores, 0.0)

    def search(self, images, score_threshold):
        """Find garments as `detect` does, and return the scores of all classes.

        Args:
            images: as in `detect`.
            score_threshold: detections with a lower score are dropped.

        Returns:
            boxes_xyxy: float32 `(B, N, 4)`, input pixels, clipped to the input, best first; arbitrary in padding rows.
            class_scores: float32 `(B, N, 4)`, of the three types and the background; arbitrary in padding rows.
            factors: float32 `(B, N)`, by which Soft-NMS lowers the scores of types; arbitrary in padding rows.
            valid: bool `(B, N)`, False in padding rows.
        """
        config = self.config
        boxes_yxyx, class_scores = self(images, training=False)
        boxes_yxyx = self._clip(boxes_yxyx)
        scores = tf.reduce_max(class_scores[..., :-1], axis=-1)
        indices, lowered, valid = soft_non_max_suppression(
            boxes_yxyx, scores, config.max_garments, config.nms_iou, config.nms_sigma, score_threshold
        )
        boxes_yxyx, class_scores, scores = (
            tf.gather(part, indices, batch_dims=1) for part in (boxes_yxyx, class_scores, scores)
        )
        return _from_keras_cv(boxes_yxyx), class_scores, lowered / scores, valid

    def call(self, images, training=None):
        """Return boxes `(B, R, 4)` in KerasCV's frame (box deltas in training), and class scores `(B, R, 4)`."""
        num_proposals = None if training else self.config.num_proposals
        rois, features, _, _ = self._call_rpn(images, self._anchors, training, num_proposals)
        deltas, class_scores = self._call_rcnn(rois, features, training=training)
        if training:
            return deltas, class_scores
        return _decode(rois, deltas), class_scores

    def _call_rpn(self, images, anchors, training=None, num_proposals=None):
        """Replace KerasCV's method: static anchors, one suppression over all levels, clipping to a static size.

        Without `num_proposals`, as `compute_loss` calls it, it returns `num_proposals_train` proposals to sample from.
        """
        config = self.config
        features = self.feature_extractor(images, training=training)
        deltas, logits = self.rpn_head(features, training=training)
        # tf.nest.flatten sorts by level name, here as in KerasCV's compute_loss.
        deltas = tf.concat(tf.nest.flatten(deltas), axis=1)
        logits = tf.concat(tf.nest.flatten(logits), axis=1)
        all_anchors = tf.concat([anchors[level] for level in sorted(anchors)], axis=0)

        num_proposals = num_proposals or config.num_proposals_train
        num_candidates = min(num_proposals * _CANDIDATES_PER_PROPOSAL, all_anchors.shape[0])
        scores, candidates = tf.math.top_k(logits[..., 0], num_candidates)
        boxes = self._clip(_decode(tf.gather(all_anchors, candidates), tf.gather(deltas, candidates, batch_dims=1)))
        indices, valid = non_max_suppression(boxes, scores, num_proposals, _PROPOSAL_IOU)
        # Padding rows repeat the best proposal; the final suppression removes the duplicates.
        rois = tf.gather(boxes, tf.where(valid, indices, indices[:, :1]), batch_dims=1)
        return rois, features, deltas, logits

    def _call_rcnn(self, rois, feature_map, training=None):
        levels = sorted(feature_map)
        pool = roi_align if self.config.roi_op == "align" else roi_pool
        features = [tf.cast(feature_map[level], tf.float32) for level in levels]
        strides = [self._strides[level] for level in levels]
        regions = pyramid_roi_features(features, rois, self.config.roi_size, strides, pool)
        return self.rcnn_head(regions, training=training)

    def _clip(self, boxes_yxyx):
        return tf.clip_by_value(boxes_yxyx, 0.0, float(self.config.input_size))

    # Training ----------------------------------------------------------------------------------------------------

    def compile(self, optimizer, **kwargs):
        """Compile for `fit` with Faster R-CNN's own losses, which callers cannot change."""
        total = keras.losses.Reduction.SUM
        super().compile(
            optimizer=optimizer,
            box_loss=keras.losses.Huber(reduction=total),
            classification_loss=keras.losses.SparseCategoricalCrossentropy(reduction=total),
            rpn_box_loss=keras.losses.Huber(reduction=total),
            rpn_classification_loss=keras.losses.BinaryCrossentropy(from_logits=True, reduction=total),
            weight_decay=0.0,
            **kwargs,
        )
        # If Keras created a variable while it traces the training step, the step would be traced a second time.
        self.compiled_loss.build(dict.fromkeys(("rpn_box", "rpn_classification", "box", "classification"), 0.0))

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data):
        """Train as KerasCV does, without its L2 penalty, which fails at zero: the optimizer does the weight decay."""
        images, labels = data
        boxes, classes = _to_keras_cv(labels)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(images, boxes, classes, training=True)
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return self._logged(images)

    def test_step(self, data):
        images, labels = data
        boxes, classes = _to_keras_cv(labels)
        self.compute_loss(images, boxes, classes, training=False)
        return self._logged(images)

    def _logged(self, images):
        """Return the losses, without the counts that KerasCV's layers also track."""
        logs = self.compute_metrics(images, {}, {}, sample_weight={})
        return {name: value for name, value in logs.items() if name.endswith("loss")}


class AnchorMatcher(BoxMatcher):
    """KerasCV's matcher, which also matches every garment to the anchor of highest IoU, even below the threshold.

    Without this, the region proposal network learns nothing from a garment between two anchor sizes. KerasCV's own
    switch for it also matches padding rows, to the first anchor.

    Call with the IoU of anchors and garments, `(B, A, M)`, 0 for padding rows. Returns each anchor's garment and its
    match, 1 positive, -1 negative, -2 ignored, both int32 `(B, A)`.

    Source: Faster R-CNN, section 3.1.2, rule (i).
    """

    def call(self, overlaps):
        garments, matches = super().call(overlaps)
        best_anchors = tf.one_hot(tf.argmax(overlaps, axis=1), overlaps.shape[1], axis=1)
        best_overlaps = overlaps * best_anchors
        is_best = tf.reduce_max(best_overlaps, axis=2) > 0.0
        best_garments = tf.argmax(best_overlaps, axis=2, output_type=tf.int32)
        return tf.where(is_best, best_garments, garments), tf.where(is_best, 1, matches)


def _to_keras_cv(labels):
    """Return boxes in KerasCV's frame and 0-based classes `(B, M, 1)`, both -1 in padding rows.

    The first row of a photo without garments is an empty box in the corner instead of padding. Nothing overlaps it, so
    all regions train as background; if all rows were padding, KerasCV would ignore the photo's regions.
    """
    real = labels["garment_types"] > 0
    empty = tf.logical_not(tf.reduce_any(real, axis=1, keepdims=True))
    first = tf.range(tf.shape(real)[1]) == 0
    boxes = geometry.swap_box_axes(labels["boxes_xyxy"]) + 0.5
    classes = tf.cast(labels["garment_types"] - 1, tf.float32)
    boxes = tf.where(real[..., tf.newaxis], boxes, -1.0)
    return tf.where((empty & first)[..., tf.newaxis], 0.0, boxes), classes[..., tf.newaxis]


def _from_keras_cv(boxes_yxyx):
    """Convert boxes from KerasCV's frame to ours."""
    return geometry.swap_box_axes(boxes_yxyx) - 0.5


def _decode(anchors, deltas):
    """Return the boxes of box deltas, after clipping their log height and log width; all `(..., 4)`."""
    limit = _MAX_LOG_SCALE / BOX_VARIANCE[2]
    deltas = tf.concat([deltas[..., :2], tf.clip_by_value(deltas[..., 2:], -limit, limit)], axis=-1)
    return _decode_deltas_to_boxes(anchors, deltas, anchor_format="yxyx", box_format="yxyx", variance=BOX_VARIANCE)


def _small_weights():
    """Return a new initializer: two layers that share one would start with the same weights."""
    return keras.initializers.RandomNormal(stddev=0.01)


def _build_body(config, pretrained):
    """Build backbone and pyramid: float32 `(B, D, D, 3)` to a dict of `"P<l>"`: `(B, D / 2**l, D / 2**l, width)`.

    The pyramid starts at the backbone's deepest level, even if only finer levels are returned.
    """
    # ---- Inputs ----
    width, separable = config.pyramid_width, config.separable
    finest, coarsest = config.min_level, config.backbone_level
    images = keras.Input((config.input_size, config.input_size, 3), name="images")
    levels = range(finest, coarsest + 1)
    features = build_backbone(config, config.input_size, levels, pretrained=pretrained)(images)

    # ---- Body ----
    deepest = normalised_conv(features[f"P{coarsest}"], width, 1, f"p{coarsest}_lateral")
    maps = {coarsest: normalised_conv(deepest, width, 3, f"p{coarsest}_smooth", separable=separable)}
    for level in range(coarsest - 1, finest - 1, -1):
        maps[level] = merge_down(maps[level + 1], features[f"P{level}"], width, f"p{level}", separable=separable)
    for level in range(coarsest + 1, config.max_level + 1):
        maps[level] = keras.layers.MaxPool2D(name=f"p{level}_pool")(maps[level - 1])

    # ---- Named outputs ----
    looked_at = range(finest, config.max_level + 1)
    return keras.Model(images, {f"P{level}": maps[level] for level in looked_at}, name="body")


class RegionProposalHead(keras.layers.Layer):
    """The region proposal network's head, shared by all levels.

    Call with a dict of `"P<l>"`: `(B, H, W, width)`. Returns two dicts with the same keys: box deltas
    `(B, H * W * A, 4)` and objectness logits `(B, H * W * A, 1)`, both float32 with a static number of boxes.
    """

    def __init__(self, config: DetectorConfig):
        super().__init__(name="rpn_head")
        self.num_anchors = len(config.anchor_scales) * len(config.anchor_aspect_ratios)
        width = config.pyramid_width
        layer = keras.layers.SeparableConv2D if config.separable else keras.layers.Conv2D
        self.hidden = layer(width, 3, padding="same", activation="relu", name="hidden")
        self.objectness = keras.layers.Conv2D(
            self.num_anchors, 1, kernel_initializer=_small_weights(), dtype="float32", name="objectness"
        )
        self.deltas = keras.layers.Conv2D(
            self.num_anchors * 4, 1, kernel_initializer=_small_weights(), dtype="float32", name="deltas"
        )

    def call(self, features, training=None):
        deltas, logits = {}, {}
        for level, map_ in features.items():
            num = map_.shape[1] * map_.shape[2] * self.num_anchors
            hidden = self.hidden(map_)
            deltas[level] = tf.reshape(self.deltas(hidden), [-1, num, 4])
            logits[level] = tf.reshape(self.objectness(hidden), [-1, num, 1])
        return deltas, logits


def _build_region_head(config):
    """Build the region head: `(B, R, n, n, width)` to box deltas `(B, R, 4)` and class scores `(B, R, 4)`."""
    size, width = config.roi_size, config.pyramid_width

    # ---- Inputs ----
    regions = keras.Input((None, size, size, width), name="regions")

    # ---- Body ----
    x = keras.layers.Reshape((-1, size * size * width), name="flatten")(regions)
    # Batch normalisation is not in the original; without it the types take ten times as long to learn as the boxes.
    for name in ("hidden_1", "hidden_2"):
        x = keras.layers.Dense(config.head_width, use_bias=False, name=name)(x)
        x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=name + "_bn")(x)
        x = keras.layers.Activation("relu", name=name + "_activation")(x)

    # ---- Named outputs ----
    deltas = keras.layers.Dense(4, kernel_initializer=_small_weights(), dtype="float32", name="deltas")(x)
    scores = keras.layers.Dense(
        NUM_GARMENT_TYPES + 1,
        kernel_initializer=_small_weights(),
        activation="softmax",
        dtype="float32",
        name="class_scores",
    )(x)
    return keras.Model(regions, [deltas, scores], name="region_head")
