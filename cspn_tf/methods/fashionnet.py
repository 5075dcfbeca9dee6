"""FashionNet's landmark branch: all keypoints are regressed by fully connected layers.

::

    C5 -> fully connected -> fully connected -> coordinates, visibility

Source: DeepFashion: Powering Robust Clothes Recognition and Retrieval with Rich Annotations (Liu et al., CVPR 2016),
section 4, where layers on VGG16's convolutions predict the landmarks and their visibility.

Simplified here: the branches that use the landmarks, for categories, attributes and retrieval, are left out with their
losses, because only keypoints are compared. The fully connected layers have 16 times `config.width` units, which is
VGG16's 4096 at width 256, and batch normalisation instead of dropout, see `cspn_tf.models.regression`.
"""

from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.losses.regression import COORDINATE_WEIGHT, VISIBILITY_WEIGHT, CoordinateLoss
from cspn_tf.losses.visibility import VisibilityLoss
from cspn_tf.methods.base import KeypointMethod
from cspn_tf.models.regression import as_points, decode_points, flattened, hidden_units, normalised_dense, small_dense


class Method(KeypointMethod):
    """FashionNet's landmark branch."""

    name = "fashionnet"
    levels = (5,)
    prediction_outputs = ("coordinates", "visibility")

    def outputs(self, features: dict) -> dict:
        """Compute the network's outputs, see `KeypointMethod.outputs`.

        Returns:
            A dict of `"coordinates"`, `(B, 8, 2)`, fractions of the crop's side, and `"visibility"`, logits `(B, 8)`.
        """
        config = self.config
        x = flattened(features["P5"])
        for name in ("hidden_1", "hidden_2"):
            x = normalised_dense(x, hidden_units(config), name)
        # Before training, every keypoint is predicted at the crop's centre.
        coordinates = small_dense(x, 2 * NUM_KEYPOINTS, "regression", start=0.5)

        return {
            "coordinates": as_points(coordinates, "coordinates"),
            "visibility": small_dense(x, NUM_KEYPOINTS, "visibility"),
        }

    def losses(self, label_statistics=None) -> dict:
        """Return the losses of coordinates and visibility."""
        return {
            "coordinates": (CoordinateLoss(self.config.crop_size), COORDINATE_WEIGHT),
            "visibility": (VisibilityLoss(), VISIBILITY_WEIGHT),
        }

    def decode(self, outputs: dict):
        """Return keypoints, with their visibility as scores."""
        return decode_points(outputs["coordinates"], outputs["visibility"], self.config)
