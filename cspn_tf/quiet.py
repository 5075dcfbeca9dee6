"""Silence log and console output of TensorFlow, KerasCV and native code."""

import contextlib
import io
import logging
import os
import sys
import threading
import warnings

# Descriptors belong to the process: a second thread would restore the first one's redirection.
_redirecting = threading.Lock()


def quiet_tensorflow() -> None:
    """Silence TensorFlow's start-up notes and warnings, and TensorFlow Addons' end-of-life notice.

    Call before TensorFlow is imported. If it has been imported already, this does nothing: the program that imported it
    decides. Existing user settings are kept.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    logger = logging.getLogger("tensorflow")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=r"(?s).*TensorFlow Addons \(TFA\) has ended development")


@contextlib.contextmanager
def quiet_keras_cv():
    """Discard stdout during the import of KerasCV, but no interrupt.

    Keras Core, imported by it, prints a greeting, which would end up in output that other programs parse. KerasCV
    ignores whatever happens while it imports Matplotlib, an interrupt too: so that is imported before.
    """
    with contextlib.suppress(ImportError):
        import matplotlib.pyplot  # noqa: F401
    with contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def quiet_native_output():
    """Discard output of C++ code that no setting silences; its errors are raised as exceptions.

    Needed for TensorFlow Lite's converter and interpreters. Output of Python code is discarded as well.
    """
    _flush()
    with _redirecting, _redirected_to_null(1), _redirected_to_null(2):
        try:
            yield
        finally:
            _flush()


def _flush():
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:  # a service may not have them
            stream.flush()


@contextlib.contextmanager
def _redirected_to_null(descriptor):
    """Redirect a file descriptor, which may be closed, to the null device."""
    with open(os.devnull, "w") as nowhere:
        try:
            kept = os.dup(descriptor)
        except OSError:
            kept = None
        os.dup2(nowhere.fileno(), descriptor)
        try:
            yield
        finally:
            if kept is None:
                os.close(descriptor)
            else:
                os.dup2(kept, descriptor)
                os.close(kept)
