"""The interface of a method of finding keypoints, as training and inference use it.

Letters in shapes: B crops, C side of a crop, 8 keypoint slots.
"""

import abc

import keras

from cspn_tf import heatmaps
from cspn_tf.config import KeypointConfig
from cspn_tf.losses.heatmap import HeatmapLoss
from cspn_tf.models.backbones import build_backbone

# Name of the output, of networks that have it, with logits of the garment types, float32 `(B, 3)`.
GARMENT_TYPE = "garment_type"


class KeypointMethod(abc.ABC):
    """A method: its network, its losses, and the decoding of the network's outputs to keypoints.

    Args:
        config: the network's `KeypointConfig`.

    Attributes:
        name: the method's name in `KeypointConfig.method`.
        levels: levels of the backbone that the network reads.
        prediction_outputs: names of the outputs that `decode` reads; the others are used in training only.
        visibility_layers: linear layers whose mean is the output `"visibility"`, logits, of methods that have it.
    """

    name: str
    levels: tuple[int, ...]
    prediction_outputs: tuple[str, ...]
    visibility_layers = ("visibility",)

    def __init__(self, config: KeypointConfig):
        self.config = config

    def build(self, *, pretrained: bool = False) -> keras.Model:
        """Build the network.

        Args:
            pretrained: load the backbone's initial weights that `config.weights` names; False if a checkpoint is loaded
                afterwards.

        Returns:
            keras.Model: float32 `(B, C, C, 3)`, 0 to 255, to the dict of `outputs`.
        """
        config = self.config
        crops = keras.Input((config.crop_size, config.crop_size, 3), name="crops")
        features = build_backbone(config, config.crop_size, self.levels, pretrained=pretrained)(crops)
        return keras.Model(crops, self.outputs(features), name=self.name)

    @abc.abstractmethod
    def outputs(self, features: dict) -> dict:
        """Compute the network's outputs.

        Args:
            features: the backbone's, `"P<l>"` to Keras tensor `(B, C / 2**l, C / 2**l, channels)` for each of `levels`.

        Returns:
            Name to Keras tensor, all float32; `losses` has a loss for each.
        """

    def label_statistics(self, read_labels, seed: int):
        """Compute statistics of the training split's labels that the losses need, once before training.

        Args:
            read_labels: function that returns keypoints, `(N, 8, 2)`, fractions of the crop's side, weights, `(N, 8)`,
                1 labelled, 0 not, and garment types, `(N,)`. It is slow, and most methods do not call it.
            seed: seed of any random choice.

        Returns:
            The argument of `losses`; None if the losses need no statistics.
        """
        return None

    @abc.abstractmethod
    def losses(self, label_statistics=None) -> dict:
        """Return each output's Keras loss on the targets of `cspn_tf.losses` and its weight: name to (loss, weight)."""

    @abc.abstractmethod
    def decode(self, outputs: dict):
        """Decode the outputs that `prediction_outputs` names to keypoints.

        Returns:
            keypoints_xy_crop: float32 `(B, 8, 2)`, crop pixels.
            scores: float32 `(B, 8)`, in [0, 1].
        """

    def prediction_network(self, model: keras.Model) -> keras.Model:
        """Return the part of a model of `build` that inference needs: only `prediction_outputs`, sharing weights."""
        outputs = {name: model.output[name] for name in self.prediction_outputs}
        return keras.Model(model.input, outputs, name=f"{self.name}_prediction")


class RefinedHeatmaps(KeypointMethod):
    """A method whose network outputs heatmaps twice; both are trained with the same loss, the second is the prediction.

    Attributes:
        first_heatmaps: name of the output with the first heatmaps.
    """

    first_heatmaps: str
    prediction_outputs = ("heatmaps",)

    def losses(self, label_statistics=None) -> dict:
        """Return the losses: for both outputs, the mean over all labelled keypoints."""
        config = self.config
        return {
            name: (HeatmapLoss(config.crop_size, config.heatmap_stride, config.sigmas), 1.0)
            for name in (self.first_heatmaps, *self.prediction_outputs)
        }

    def decode(self, outputs: dict):
        """Return keypoints and scores at the peaks of the heatmaps."""
        return heatmaps.decode(outputs["heatmaps"], self.config.heatmap_stride, subpixel=self.config.subpixel)
