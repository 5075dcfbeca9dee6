"""Check an exported model: `python -m serving.check --help`."""

import sys

from cspn_tf.cli.check import main
from cspn_tf.console import run

if __name__ == "__main__":
    sys.exit(run(main))
