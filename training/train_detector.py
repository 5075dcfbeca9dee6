"""Train the garment detector: `python -m training.train_detector --help`."""

import sys

from cspn_tf.cli.train_detector import main
from cspn_tf.console import run

if __name__ == "__main__":
    sys.exit(run(main))
