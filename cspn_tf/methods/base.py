"""What a method of finding keypoints is: all that training and inference ask of one.

Letters in shapes: B crops, C side of a crop, 8 keypoint slots.
"""

import abc

import keras

from cspn_tf import heatmaps
from cspn_tf.config import KeypointConfig
from cspn_tf.losses.heatmap import HeatmapLoss


class KeypointMethod(abc.ABC):
    """A method: its network, its losses, and how keypoints are read from the network's outputs.

    Args:
        config: the network's `KeypointConfig`.

    Attributes:
        name: of the method, as `KeypointConfig.method` has it.
        prediction_outputs: names of the outputs that `decode` reads; the others only train.
    """

    name: str
    prediction_outputs: tuple[str, ...]

    def __init__(self, config: KeypointConfig):
        self.config = config

    @abc.abstractmethod
    def build(self, *, pretrained: bool = False) -> keras.Model:
        """Build the network.

        Args:
            pretrained: load the backbone's initial weights that `config.weights` names; leave it out where a
                checkpoint is loaded afterwards.

        Returns:
            keras.Model: float32 `(B, C, C, 3)`, 0 to 255, to a dict of float32 outputs; `losses` has one for each.
        """

    def label_statistics(self, read_labels, seed: int):
        """Find what the losses need to know of the training split's labels, once before training.

        Args:
            read_labels: function giving keypoints, `(N, 8, 2)`, shares of the crop's side, and weights, `(N, 8)`, 1
                labelled, 0 not; reading takes time, and most methods need nothing of it.
            seed: of whatever is drawn.

        Returns:
            What `losses` takes; None if nothing is needed.
        """
        return None

    @abc.abstractmethod
    def losses(self, label_statistics=None) -> dict:
        """Return the output's name to its Keras loss, on the targets of `cspn_tf.losses`, and the loss's weight."""

    @abc.abstractmethod
    def decode(self, outputs: dict):
        """Turn the outputs that `prediction_outputs` names into keypoints.

        Returns:
            keypoints_xy_crop: float32 `(B, 8, 2)`, crop pixels.
            scores: float32 `(B, 8)`, in [0, 1].
        """

    def prediction_network(self, model: keras.Model) -> keras.Model:
        """Return a network of `build` up to what inference reads: the same input to fewer outputs, sharing weights."""
        outputs = {name: model.output[name] for name in self.prediction_outputs}
        return keras.Model(model.input, outputs, name=f"{self.name}_prediction")


class RefinedHeatmaps(KeypointMethod):
    """A method whose network draws heatmaps twice, learns from both alike, and predicts by the second ones.

    Attributes:
        first_heatmaps: name of the output with the first ones.
    """

    first_heatmaps: str
    prediction_outputs = ("heatmaps",)

    def losses(self, label_statistics=None) -> dict:
        """Return the losses: the mean over all labelled keypoints, for both outputs alike."""
        config = self.config
        return {
            name: (HeatmapLoss(config.crop_size, config.heatmap_stride, config.sigmas), 1.0)
            for name in (self.first_heatmaps, *self.prediction_outputs)
        }

    def decode(self, outputs: dict):
        """Return keypoints and scores by the peaks of the heatmaps."""
        return heatmaps.decode(outputs["heatmaps"], self.config.heatmap_stride, subpixel=self.config.subpixel)
