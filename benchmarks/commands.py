"""What several commands share: their arguments, and how a picture is drawn."""

import argparse
import contextlib
from pathlib import Path

from cspn_tf.cli.training_arguments import add_pair
from cspn_tf.console import Parser, positive_int
from cspn_tf.files import replaced_file
from cspn_tf.machine import num_cores


def pair_parser(doc, repeats) -> Parser:
    """Return a parser with what a command needs that measures a trained pair on one photo.

    Args:
        doc: the command's docstring: a line, and a paragraph more.
        repeats: default of the timed runs.
    """
    title, more = doc.split("\n\n")[:2]
    parser = Parser(any_names=("photo",), description=title, epilog=more)
    add_pair(parser)
    parser.add_argument("--photo", metavar="FILE", help="photo to use (default: a synthesised one)")
    parser.add_argument("--repeats", type=positive_int, default=repeats, help="timed runs of each")
    parser.add_argument("--intra-threads", type=positive_int, default=num_cores(), help="threads within an operation")
    parser.add_argument("--inter-threads", type=positive_int, default=num_cores(), help="operations side by side")
    return parser


def add_json(parser) -> None:
    """Add `--json FILE`, which is checked before anything is measured."""
    parser.add_argument("--json", type=_new_file, metavar="FILE", help="also write the figures here (default: nowhere)")


def _new_file(text):
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"required a file in a folder that is there, received {text}")
    return path


@contextlib.contextmanager
def picture(path, num_panels=1, size=(7, 4.5)):
    """Draw a picture and write it as PNG.

    Args:
        path: the file; it is there when the `with` block has ended well.
        num_panels: pictures beside each other.
        size: of the whole, inches.

    Yields:
        matplotlib's axes, a list of them where there are several panels.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, num_panels, figsize=size, layout="constrained")
    yield axes
    with replaced_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    pyplot.close(figure)
