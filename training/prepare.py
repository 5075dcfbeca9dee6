"""Convert annotation files and photos of a dataset to TFRecords: `python -m training.prepare --help`."""

import sys

from cspn_tf.cli.prepare import main
from cspn_tf.console import run

if __name__ == "__main__":
    sys.exit(run(main))
