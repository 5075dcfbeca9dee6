"""Alias: `python -m serving.benchmark` runs `benchmarks.served`."""

import sys

from benchmarks.served import main
from cspn_tf.console import run

if __name__ == "__main__":
    sys.exit(run(main))
