"""Load one trained network for inference, with its number of parameters and FLOP."""

import dataclasses
import functools
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Network:
    """A trained network, ready for inference.

    Attributes:
        call: function of images, float32 `(B, S, S, 3)`, that returns the outputs used in inference.
        size: S.
        parameters: number of weights that inference needs.
        flops: FLOP for one image; a multiply-add counts as two.
    """

    call: Callable
    size: int
    parameters: int
    flops: int


def load_network(kind, directory) -> Network:
    """Load a training directory.

    Args:
        kind: "detector" or "keypoints".
        directory: the training directory.

    Raises:
        UserError: if it is not a finished training of that kind.
    """
    from cspn_tf.methods import method_of
    from cspn_tf.models import checkpoints
    from cspn_tf.reproduction.costs import num_flops_of, num_parameters

    if kind == checkpoints.DETECTOR:
        config, network = checkpoints.load_detector(directory)
        size = config.detector.input_size
    else:
        config, trained = checkpoints.load_keypoints(directory)
        network, size = method_of(config.keypoints).prediction_network(trained), config.keypoints.crop_size
    inference = functools.partial(network, training=False)
    call = network.detect if kind == checkpoints.DETECTOR else inference
    return Network(call, size, num_parameters(network), num_flops_of(inference, [1, size, size, 3]))
