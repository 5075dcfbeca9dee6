"""The command `cspn-tf`, with one subcommand per task."""

import argparse
import importlib
import sys

from cspn_tf import __version__
from cspn_tf.console import Parser, run

# Subcommand → its module in `cspn_tf.cli`, which has a `main(argv)`, and its help text.
COMMANDS = {
    "predict": ("predict", "find garments and their keypoints in photos"),
    "annotate": ("annotate", "annotate a catalogue of any size on Ray, as a Parquet dataset"),
    "export-coco": ("export_coco", "convert annotated Parquet to a COCO keypoints file"),
    "prepare": ("prepare", "convert a labelled dataset to TFRecords, and report its defects"),
    "train-detector": ("train_detector", "train the garment detector"),
    "train-keypoints": ("train_keypoints", "train the keypoint network"),
    "calibrate": ("calibrate", "calibrate the confidence scores of trained networks"),
    "evaluate": ("evaluate", "evaluate a model, or predictions in COCO's results format, against labels"),
    "reproduce": ("reproduce", "train and evaluate the methods in the paper's tables"),
    "export": ("export_saved_model", "export two trained networks as one SavedModel, for TF Serving"),
    "export-tflite": ("export_tflite", "export two trained networks as one TensorFlow Lite file, for phones"),
    "check": ("check", "check an exported SavedModel for what a serving platform relies on"),
    "serve": ("local_server", "serve a SavedModel over gRPC, for development"),
    "client": ("client", "send photos to a served model"),
    "page": ("page", "serve a page that finds keypoints in the browser, where photos stay"),
}


def main(argv=None) -> int:
    """Run a subcommand; return its exit code: 0 success, 1 failure, 2 wrong usage."""
    return run(_main, argv, prog="cspn-tf")


def _main(argv):
    width = max(map(len, COMMANDS)) + 2
    parser = Parser(
        any_names=("arguments",),  # each subcommand checks its own
        usage="cspn-tf [-h] [--version] COMMAND ...",
        description="Clothing keypoints: from labels to a served model.",
        epilog="commands:\n"
        + "\n".join(f"  {name:{width}}{words}" for name, (_, words) in COMMANDS.items())
        + "\n\n`cspn-tf COMMAND --help` describes the arguments of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cspn-tf {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the commands below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS).required = False
    args = parser.parse_args(argv)
    module = importlib.import_module(f"cspn_tf.cli.{COMMANDS[args.command][0]}")
    return run(module.main, args.arguments, prog=f"cspn-tf {args.command}")


if __name__ == "__main__":
    sys.exit(main())
