"""Train the keypoint network.

cspn-tf train-keypoints --data DIR --preset mobile --out DIR [--resume]
"""

from cspn_tf.cli.training_arguments import build_parser, parse_run
from cspn_tf.config import BACKBONES, KEYPOINT_TRAINING, METHODS


def main(argv=None):
    """Start or resume training as the arguments say."""
    described = parse(argv)
    from cspn_tf.train.keypoints import train

    train(described)


def parse(argv=None):
    """Return the `cspn_tf.train.fitting.Run` described by the arguments."""
    parser = build_parser("Train the keypoint network: the CSPN, or another method.", "keypoints")
    for name, choices, text in (
        ("method", METHODS, "the method to train"),
        ("backbone", BACKBONES, "its backbone; the papers on the other methods use vgg16"),
    ):
        parser.add_argument(f"--{name}", choices=choices, help=f"{text}: short for --set keypoints.{name}=...")
    arguments = parser.parse_args(argv)
    chosen = {name: getattr(arguments, name) for name in ("method", "backbone")}
    arguments.set = [f"keypoints.{name}={value}" for name, value in chosen.items() if value] + arguments.set
    return parse_run(arguments, KEYPOINT_TRAINING)
