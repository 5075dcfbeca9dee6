"""Serve a model over gRPC, for development: `python -m serving.local_server --help`."""

import sys

from cspn_tf.cli.local_server import main
from cspn_tf.console import run

if __name__ == "__main__":
    sys.exit(run(main))
