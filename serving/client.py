"""Send photos to a served model: `python -m serving.client --help`."""

import sys

from cspn_tf.cli.client import main
from cspn_tf.console import run

if __name__ == "__main__":
    sys.exit(run(main))
