"""Evaluate a model on labelled photos, or the predictions of any tool: `python -m training.evaluate --help`."""

import sys

from cspn_tf.cli.evaluate import main
from cspn_tf.console import run

if __name__ == "__main__":
    sys.exit(run(main))
