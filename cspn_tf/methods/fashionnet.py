"""FashionNet's landmark branch: one fully connected regression of all keypoints.

::

    C5 -> fully connected -> fully connected -> coordinates, visibility

Source: DeepFashion: Powering Robust Clothes Recognition and Retrieval with Rich Annotations (Liu et al., CVPR 2016),
section 4, where VGG16's convolutions feed the layers that find the landmarks and tell which of them are visible.

What is simpler here: the branches that use the landmarks, for categories, attributes and retrieval, are left out, and
so are their losses, because the keypoints are all that is compared. The fully connected layers are 16 times
`config.width` wide, the 4096 of VGG16 at the width of 256, and are batch-normalised in place of dropout, see
`cspn_tf.models.regression`.
"""

import keras

from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.losses.regression import COORDINATE_WEIGHT, VISIBILITY_WEIGHT, CoordinateLoss
from cspn_tf.losses.visibility import VisibilityLoss
from cspn_tf.methods.base import KeypointMethod
from cspn_tf.models.backbones import build_backbone_of
from cspn_tf.models.regression import as_points, decode_points, flattened, hidden_units, normalised_dense, small_dense


class Method(KeypointMethod):
    """The landmark branch."""

    name = "fashionnet"
    prediction_outputs = ("coordinates", "visibility")

    def build(self, *, pretrained: bool = False) -> keras.Model:
        """Build the network; as `KeypointMethod.build`.

        Returns:
            keras.Model: to a dict of `"coordinates"`, float32 `(B, 8, 2)`, shares of the crop's side, and
            `"visibility"`, float32 logits `(B, 8)`.
        """
        config = self.config
        # ---- Inputs ----
        crops = keras.Input((config.crop_size, config.crop_size, 3), name="crops")
        features = build_backbone_of(config, config.crop_size, (5,), pretrained=pretrained)(crops)

        # ---- Body ----
        x = flattened(features["P5"], "c5")
        for name in ("hidden_1", "hidden_2"):
            x = normalised_dense(x, hidden_units(config), name)
        # An untrained network points at the crop's centre.
        coordinates = small_dense(x, 2 * NUM_KEYPOINTS, "regression", start=0.5)

        # ---- Named outputs ----
        outputs = {
            "coordinates": as_points(coordinates, "coordinates"),
            "visibility": small_dense(x, NUM_KEYPOINTS, "visibility"),
        }
        return keras.Model(crops, outputs, name=self.name)

    def losses(self, label_statistics=None) -> dict:
        """Return the losses of coordinates and visibility."""
        return {
            "coordinates": (CoordinateLoss(self.config.crop_size), COORDINATE_WEIGHT),
            "visibility": (VisibilityLoss(), VISIBILITY_WEIGHT),
        }

    def decode(self, outputs: dict):
        """Return keypoints and their visibility as score."""
        return decode_points(outputs["coordinates"], outputs["visibility"], self.config)
