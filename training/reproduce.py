"""Reproduce the paper's tables and figure: `python -m training.reproduce --help`."""

import sys

from cspn_tf.cli.reproduce import main
from cspn_tf.console import run

if __name__ == "__main__":
    sys.exit(run(main))
