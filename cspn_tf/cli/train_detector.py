"""Train the garment detector.

cspn-tf train-detector --data DIR --preset mobile --out DIR [--resume]
"""

from cspn_tf.cli.training_arguments import build_parser, parse_run
from cspn_tf.config import DETECTOR_TRAINING


def main(argv=None):
    """Start or resume training as the arguments say."""
    described = parse(argv)
    from cspn_tf.train.detector import train

    train(described)


def parse(argv=None):
    """Return the `cspn_tf.train.fitting.Run` described by the arguments."""
    arguments = build_parser("Train the garment detector, a Faster R-CNN.", "detector").parse_args(argv)
    return parse_run(arguments, DETECTOR_TRAINING)
