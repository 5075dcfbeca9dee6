"""Export two trained networks as one SavedModel: `python -m serving.export_saved_model --help`."""

import sys

from cspn_tf.cli.export_saved_model import main
from cspn_tf.console import run

if __name__ == "__main__":
    sys.exit(run(main))
