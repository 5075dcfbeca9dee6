"""Train the keypoint network: `python -m training.train_keypoints --help`."""

import sys

from cspn_tf.cli.train_keypoints import main
from cspn_tf.console import run

if __name__ == "__main__":
    sys.exit(run(main))
