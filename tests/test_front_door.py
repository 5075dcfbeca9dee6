"""What `import cspn_tf` costs, does and gives. How long it takes is not tested here: machines differ."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cspn_tf

ROOT = Path(__file__).parent.parent
NAMES = ["Garments", "Model", "Result", "UserError", "draw", "load"]


def run(code, *options):
    done = subprocess.run([sys.executable, *options, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_import_is_silent_and_changes_nothing():
    code = """
import logging, os, sys, warnings
def state():
    return dict(os.environ), list(sys.meta_path), list(warnings.filters), logging.getLogger("tensorflow").level
before = state()
import cspn_tf
assert state() == before
heavy = {"tensorflow", "keras", "PIL", "numpy", "grpc", "logging.config", "multiprocessing"} & set(sys.modules)
assert not heavy, heavy
"""
    assert run(code, "-W", "error") == ""


def test_names_come_without_tensorflow():
    code = f"""
import sys
import cspn_tf
for name in {NAMES}:
    getattr(cspn_tf, name)
    assert "tensorflow" not in sys.modules, name
garments = cspn_tf.Garments.from_dicts([])
assert cspn_tf.Result(1).to_json()
assert "tensorflow" not in sys.modules
"""
    assert run(code, "-W", "error") == ""


def test_names_come_where_there_is_no_fcntl():
    code = f"""
import sys
sys.modules["fcntl"] = None
import cspn_tf
import cspn_tf.cli.main, cspn_tf.cli.predict
for name in {NAMES}:
    getattr(cspn_tf, name)
"""
    assert run(code) == ""


def test_what_is_given_is_listed():
    assert cspn_tf.__all__ == NAMES
    assert set(NAMES) | {"__version__"} <= set(dir(cspn_tf))
    assert all(getattr(cspn_tf, name).__doc__ for name in NAMES)
    with pytest.raises(AttributeError, match=r"^module 'cspn_tf' has no attribute 'laod'$"):
        _ = cspn_tf.laod


def test_modules_of_the_package_are_imported_as_always():
    from cspn_tf import garments
    from cspn_tf.drawing import draw_garments

    assert cspn_tf.garments is garments
    assert cspn_tf.draw is draw_garments


def test_load_silences_tensorflow_before_it_imports_it(model_dir):
    code = f"""
import cspn_tf
model = cspn_tf.load({str(model_dir)!r})
print(model([b"no photo"])[0].status_meaning)
"""
    loud = {"TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND", "GRPC_VERBOSITY", "PYTHONWARNINGS"}
    environment = {name: value for name, value in os.environ.items() if name not in loud}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "not a JPEG or PNG\n", "")
