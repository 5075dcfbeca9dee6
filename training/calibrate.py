"""Calibrate the scores of a trained detector and keypoint network: `python -m training.calibrate --help`."""

import sys

from cspn_tf.cli.calibrate import main
from cspn_tf.console import run

if __name__ == "__main__":
    sys.exit(run(main))
