"""How tests run the page: its server, Node.js and Chromium."""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cspn_tf.cli import page

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "web" / "tests"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def program(*names):
    """Return the path of the first program that is installed."""
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.fail(f"{' or '.join(names)} is not installed: this test needs it")


def node(script, *arguments):
    """Run a script of the page's tests, and return what it prints."""
    call = [program("node"), str(SCRIPTS / script), *map(str, arguments)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def serve_page(*options):
    """Serve the page for the time of a `with` block, and give its address and the process."""
    call = [sys.executable, "-m", "cspn_tf.cli.main", "page", "--port", "0", *map(str, options)]
    with subprocess.Popen(call, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.stdout.readline().strip().removeprefix(page.READY_PREFIX), server
        finally:
            server.kill()
