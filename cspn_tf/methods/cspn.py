"""The cascaded stacked pyramid network: a crop of one garment in, eight heatmaps per stage out.

Source: the CSPN paper, "Detection KeyPoint". Level l has stride 2**l; C5 is the backbone's last map.

::

    stage 1   C5 -> P4 -> P3 -> P2       upsample by 2, add the backbone's C4, C3, C2
    stage 2         P4 -> P3 -> P2       the same over the three maps of stage 1
    stage 3   C5 -> P4 -> P3 -> P2       as stage 1, over C5 and the maps of stage 2
    stage 4         P4 -> P3 -> P2       as stage 2, over the maps of stage 3

Every stage has a supervised head on its P2; the last one is the prediction. The paper leaves open the width, 1x1
laterals, 3x3 smoothing, batch normalisation, upsampling and heads; they are defined here and in the config.

Beyond the paper, the config can add two heads to the last stage: offsets from each heatmap pixel to the keypoint, and
the visibility of each keypoint. A third one, on C5, predicts the garment type.
"""

import keras

from cspn_tf import heatmaps
from cspn_tf.garments import NUM_GARMENT_TYPES, NUM_KEYPOINTS
from cspn_tf.losses.garment_type import GarmentTypeLoss, type_shares
from cspn_tf.losses.heatmap import HeatmapLoss
from cspn_tf.losses.offsets import OffsetLoss
from cspn_tf.losses.visibility import VisibilityLoss
from cspn_tf.methods.base import GARMENT_TYPE, KeypointMethod
from cspn_tf.models.blocks import merge_down, named_output, normalised_conv, small_conv

# Heatmap losses are some thousandths; weights of this size keep these heads from dominating the shared features. With
# 0.002 for the type, keypoints learn more slowly, and types no faster.
OFFSET_WEIGHT = 0.002
VISIBILITY_WEIGHT = 0.002
TYPE_WEIGHT = 0.0005

# Channels and dropout of the head for garment types.
_TYPE_WIDTH, _TYPE_DROPOUT = 512, 0.3


class Method(KeypointMethod):
    """CSPN."""

    name = "cspn"
    levels = (2, 3, 4, 5)

    def outputs(self, features: dict) -> dict:
        """Compute the network's outputs, see `KeypointMethod.outputs`.

        Returns:
            A dict of `"stage_1"` ... `"stage_<num_stages>"`, each `(B, C / 4, C / 4, 8)`; with `offset_head` also
            `"offsets"`, `(B, C / 4, C / 4, 16)`, see `cspn_tf.heatmaps.decode`; with `visibility_head` also
            `"visibility"`, logits `(B, 8)`; with `predicts_type` also `GARMENT_TYPE`, logits `(B, 3)`.
        """
        config = self.config
        maps = {level: features[f"P{level}"] for level in (2, 3, 4)}
        outputs = {}
        for index, name in enumerate(config.stage_names):
            conv5 = features["P5"] if index % 2 == 0 else None
            maps = _stage(conv5, maps, config, name)
            outputs[name] = _head(maps[2], NUM_KEYPOINTS, name)
        if config.offset_head:
            outputs["offsets"] = _head(maps[2], 2 * NUM_KEYPOINTS, "offsets")
        if config.visibility_head:
            outputs["visibility"] = _visibility_head(maps, outputs[config.stage_names[-1]])
        if config.predicts_type:
            outputs[GARMENT_TYPE] = _type_head(features["P5"])
        return outputs

    def label_statistics(self, read_labels, seed: int):
        """Return each garment type's share of the garments with keypoints; None if the network predicts no type."""
        if not self.config.predicts_type:
            return None
        _, weights, garment_types = read_labels()
        return type_shares(garment_types[weights.any(axis=1)])

    def losses(self, label_statistics=None) -> dict:
        """Return the losses: equation 1 for the first stage, equation 2 for the others.

        Each stage's loss weighs `stage_weight_growth` times the previous stage's; 1 gives equal weights, as in the
        paper. The weights always sum to the number of stages.

        Raises:
            ValueError: the network predicts the garment type, and `label_statistics` is None.
        """
        config = self.config
        if config.predicts_type and label_statistics is None:
            raise ValueError("label_statistics must be the shares of type_shares; received None")
        growth = [config.stage_weight_growth**index for index in range(config.num_stages)]
        losses = {}
        for index, name in enumerate(config.stage_names):
            num_hard = None if index == 0 else config.num_hard_keypoints
            loss = HeatmapLoss(config.crop_size, config.heatmap_stride, config.sigmas, num_hard=num_hard)
            losses[name] = (loss, config.num_stages * growth[index] / sum(growth))
        if config.offset_head:
            losses["offsets"] = (OffsetLoss(config.crop_size, config.heatmap_stride), OFFSET_WEIGHT)
        if config.visibility_head:
            losses["visibility"] = (VisibilityLoss(), VISIBILITY_WEIGHT)
        if config.predicts_type:
            losses[GARMENT_TYPE] = (GarmentTypeLoss(label_statistics), TYPE_WEIGHT)
        return losses

    @property
    def prediction_outputs(self):
        """The last stage's heatmaps, and the heads beyond the paper that the config has."""
        config = self.config
        extras = {
            "offsets": config.offset_head,
            "visibility": config.visibility_head,
            GARMENT_TYPE: config.predicts_type,
        }
        return (config.stage_names[-1], *(name for name, there in extras.items() if there))

    def decode(self, outputs: dict):
        """Return keypoints at the last stage's peaks; scores: the visibility head's, if any, else peak heights."""
        keypoints_xy_crop, scores = heatmaps.decode(
            outputs[self.config.stage_names[-1]],
            self.config.heatmap_stride,
            subpixel=self.config.subpixel,
            offsets=outputs.get("offsets"),
        )
        if self.config.visibility_head:
            scores = keras.activations.sigmoid(outputs["visibility"])
        return keypoints_xy_crop, scores


def _stage(conv5, maps, config, name):
    """Return one stage's maps, `{4: ..., 3: ..., 2: ...}`, from the previous stage's maps and, if given, conv5."""
    width, separable = config.width, config.separable
    how = {"separable": separable, "upsampling": config.upsampling}
    if conv5 is None:
        top = normalised_conv(maps[4], width, 1, f"{name}_p4_lateral", activation=None)
        merged = {4: normalised_conv(top, width, 3, f"{name}_p4_smooth", separable=separable)}
    else:
        deepest = normalised_conv(conv5, width, 1, f"{name}_p5_lateral")
        merged = {4: merge_down(deepest, maps[4], width, f"{name}_p4", **how)}
    for level in (3, 2):
        merged[level] = merge_down(merged[level + 1], maps[level], width, f"{name}_p{level}", **how)
    return merged


def _head(features, channels, name):
    """Return one head's maps, float32."""
    return named_output(small_conv(features, channels, f"{name}_heatmaps"), name)


def _visibility_head(maps, heatmaps_of_stage):
    """Return visibility logits, from the last stage's coarsest map and each heatmap's peak height."""
    context = keras.layers.GlobalAveragePooling2D(name="visibility_context")(maps[4])
    peaks = keras.layers.GlobalMaxPooling2D(name="visibility_peaks")(heatmaps_of_stage)
    seen = keras.layers.Concatenate(name="visibility_input")([context, peaks])
    hidden = keras.layers.Dense(4 * NUM_KEYPOINTS, activation="relu", name="visibility_hidden")(seen)
    return keras.layers.Dense(NUM_KEYPOINTS, dtype="float32", name="visibility")(hidden)


def _type_head(conv5):
    """Return logits of the garment types."""
    x = normalised_conv(conv5, _TYPE_WIDTH, 1, "type_hidden")
    x = keras.layers.GlobalAveragePooling2D(name="type_context")(x)
    x = keras.layers.Dropout(_TYPE_DROPOUT, name="type_dropout")(x)
    return keras.layers.Dense(NUM_GARMENT_TYPES, dtype="float32", name=GARMENT_TYPE)(x)
