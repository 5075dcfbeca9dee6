"""Export two trained networks as one TensorFlow Lite file: `python -m serving.export_tflite --help`."""

import sys

from cspn_tf.cli.export_tflite import main
from cspn_tf.console import run

if __name__ == "__main__":
    sys.exit(run(main))
