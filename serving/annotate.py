"""Annotate a catalogue of photos on Ray: `python -m serving.annotate --help`."""

import sys

from cspn_tf.cli.annotate import main
from cspn_tf.console import run

if __name__ == "__main__":
    sys.exit(run(main))
