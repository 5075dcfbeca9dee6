"""Arguments shared by several commands."""

import argparse
from pathlib import Path

from cspn_tf.cli.training_arguments import add_pair
from cspn_tf.console import Parser, positive_int
from cspn_tf.files import write_json
from cspn_tf.machine import num_cores


def pair_parser(doc, repeats) -> Parser:
    """Return the parser of a command that measures a trained pair on one photo.

    Args:
        doc: the command's docstring; its first paragraph is the description, its second the epilog.
        repeats: default of `--repeats`.
    """
    title, more = doc.split("\n\n")[:2]
    parser = Parser(any_names=("photo",), description=title, epilog=more)
    add_pair(parser)
    parser.add_argument("--photo", metavar="FILE", help="photo to use (default: a synthesised one)")
    parser.add_argument("--repeats", type=positive_int, default=repeats, help="timed runs per measurement")
    parser.add_argument("--intra-threads", type=positive_int, default=num_cores(), help="intra-op threads")
    parser.add_argument("--inter-threads", type=positive_int, default=num_cores(), help="inter-op threads")
    return parser


def add_json(parser) -> None:
    """Add `--json FILE`, checked before anything is measured."""
    parser.add_argument("--json", type=_new_file, metavar="FILE", help="also write the figures to this file")


def write_figures(args, figures) -> None:
    """Write the figures to the file of `--json`, if one is given."""
    if args.json:
        write_json(args.json, figures)


def _new_file(text):
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"required a file in an existing folder, received {text}")
    return path
