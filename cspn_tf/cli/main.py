"""The command `cspn-tf`: everything that the package does, one subcommand each."""

import argparse
import importlib
import sys

from cspn_tf import __version__
from cspn_tf.console import Parser, run

# Subcommand → its module in `cspn_tf.cli`, which has a `main(argv)`, and what it does.
COMMANDS = {
    "predict": ("predict", "find garments and their keypoints in photos"),
    "prepare": ("prepare", "turn a labelled dataset into TFRecords, and report what is wrong with it"),
    "train-detector": ("train_detector", "train the garment detector"),
    "train-keypoints": ("train_keypoints", "train the keypoint network"),
    "calibrate": ("calibrate", "fit the scores of two trainings to what is right of them"),
    "evaluate": ("evaluate", "measure a model, or predictions in COCO's format, against labels"),
    "reproduce": ("reproduce", "train and measure what the paper's tables compare"),
    "export": ("export_saved_model", "write two trainings as one SavedModel, for TF Serving"),
    "export-tflite": ("export_tflite", "write two trainings as one TensorFlow Lite file, for phones"),
    "serve": ("local_server", "serve a SavedModel over gRPC, for development"),
    "client": ("client", "send photos to a served model"),
}


def main(argv=None) -> int:
    """Run a subcommand; returns its exit code: 0 done, 1 the work failed, 2 the call was wrong."""
    return run(_main, argv, prog="cspn-tf")


def _main(argv):
    width = max(map(len, COMMANDS)) + 2
    parser = Parser(
        any_names=("arguments",),  # each command says for itself
        usage="cspn-tf [-h] [--version] COMMAND ...",
        description="Clothing keypoints, from labels to one served model.",
        epilog="commands:\n"
        + "\n".join(f"  {name:{width}}{words}" for name, (_, words) in COMMANDS.items())
        + "\n\n`cspn-tf COMMAND --help` tells the arguments of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cspn-tf {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS).required = False
    args = parser.parse_args(argv)
    module = importlib.import_module(f"cspn_tf.cli.{COMMANDS[args.command][0]}")
    return run(module.main, args.arguments, prog=f"cspn-tf {args.command}")


if __name__ == "__main__":
    sys.exit(main())
