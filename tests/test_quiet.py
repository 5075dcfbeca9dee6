import logging
import os
import subprocess
import sys
import textwrap
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cspn_tf import quiet

ROOT = Path(__file__).parent.parent
QUIET_VARIABLES = ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND", "GRPC_VERBOSITY")


@pytest.fixture
def untouched_process(monkeypatch):
    """A process that has not imported TensorFlow, and in which nothing was silenced; put back afterwards."""
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    for name in QUIET_VARIABLES:
        monkeypatch.setenv(name, "")  # so that the value before the test comes back
        monkeypatch.delenv(name)
    logger = logging.getLogger("tensorflow")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    with warnings.catch_warnings():
        yield


def test_nothing_is_printed_while_everything_is_imported():
    program = """
        import importlib, pkgutil, sys
        import cspn_tf
        from cspn_tf.quiet import quiet_tensorflow

        quiet_tensorflow()
        for module in pkgutil.walk_packages(cspn_tf.__path__, "cspn_tf."):
            importlib.import_module(module.name)
        assert {"tensorflow", "tensorflow_addons", "keras_core"} <= set(sys.modules)  # those that talk
    """
    loud = {"TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND", "GRPC_VERBOSITY", "PYTHONWARNINGS"}
    environment = {name: value for name, value in os.environ.items() if name not in loud}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_the_user_chose_stays(untouched_process, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    logging.getLogger("tensorflow").setLevel(logging.DEBUG)
    quiet.quiet_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
    assert logging.getLogger("tensorflow").level == logging.DEBUG


def test_levels_are_set_where_the_user_chose_none(untouched_process):
    quiet.quiet_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
    assert logging.getLogger("tensorflow").level == logging.ERROR


def test_a_program_that_has_imported_tensorflow_is_left_alone(untouched_process, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    filters = list(warnings.filters)
    quiet.quiet_tensorflow()
    assert not set(QUIET_VARIABLES) & set(os.environ)
    assert logging.getLogger("tensorflow").level == logging.NOTSET
    assert warnings.filters == filters


def test_only_the_one_warning_is_silenced(untouched_process):
    warnings.resetwarnings()
    quiet.quiet_tensorflow()
    with warnings.catch_warnings(record=True) as caught:
        warnings.warn("\n\nTensorFlow Addons (TFA) has ended development and introduction of new features.\n")
        warnings.warn("another")
    assert [str(warning.message) for warning in caught] == ["another"]


def test_native_output_is_dropped_and_comes_back(capfd):
    with quiet.quiet_native_output():
        os.write(1, b"converter's summary\n")
        os.write(2, b"a delegate was created\n")
    os.write(1, b"answer\n")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("answer\n", "")


def test_native_output_comes_back_after_an_error(capfd):
    with pytest.raises(ValueError, match="no"), quiet.quiet_native_output():
        raise ValueError("no")
    os.write(2, b"still here\n")
    assert capfd.readouterr().err == "still here\n"


def test_two_threads_give_the_descriptors_back(capfd):
    def load(seconds):
        with quiet.quiet_native_output():
            time.sleep(seconds)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(load, [0.2, 0.5]))
    os.write(1, b"answer\n")
    assert capfd.readouterr().out == "answer\n"


CLOSED = """
import os, sys
from cspn_tf.quiet import quiet_native_output

def is_open(descriptor):
    try:
        return bool(os.fstat(descriptor))
    except OSError:
        return False

before = [is_open(descriptor) for descriptor in range(9)]
with quiet_native_output():
    os.write(1, b"converter's summary")
    os.write(2, b"a delegate was created")
assert [is_open(descriptor) for descriptor in range(9)] == before, before
assert not all(before[:3])
"""


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"])
def test_descriptors_of_a_service_stay_closed(closed):
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, CLOSED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_python_without_streams_is_kept_quiet(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with quiet.quiet_native_output():
        os.write(1, b"converter's summary\n")
    assert capfd.readouterr().out == ""


def test_an_interrupt_while_keras_cv_is_imported_is_not_lost(monkeypatch):
    class Interrupting:
        def find_spec(self, name, *_):
            if name.startswith("matplotlib"):
                raise KeyboardInterrupt

    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    with pytest.raises(KeyboardInterrupt), quiet.quiet_keras_cv():
        pass
