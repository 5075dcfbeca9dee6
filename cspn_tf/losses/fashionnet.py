"""The losses of FashionNet's outputs."""

from cspn_tf.config import KeypointConfig
from cspn_tf.losses.regression import CoordinateLoss
from cspn_tf.losses.visibility import VisibilityLoss

# Squared distances are some thousandths, a cross-entropy is some tenths: so weighted, the coordinates lead.
COORDINATE_WEIGHT = 10.0
VISIBILITY_WEIGHT = 0.1


def fashionnet_losses(config: KeypointConfig) -> dict:
    """Return output name to loss and weight."""
    return {
        "coordinates": (CoordinateLoss(config.crop_size), COORDINATE_WEIGHT),
        "visibility": (VisibilityLoss(), VISIBILITY_WEIGHT),
    }
