"""Keeps the libraries underneath from talking where only the program's own words belong."""

import contextlib
import io
import logging
import os
import sys
import warnings


def quiet_tensorflow() -> None:
    """Silence TensorFlow's start-up notes and warnings, and TensorFlow Addons' end-of-life notice.

    To be called where TensorFlow is about to be imported on behalf of somebody who did not ask for it by name. Where
    it has been imported already, it does nothing: what it says is then that program's affair. What a user has set
    stays as it is.
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
    """Drop what is printed while KerasCV is imported: Keras Core, which comes with it, greets on stdout.

    There its words would come between lines that a program may read.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def quiet_native_output():
    """Drop what C++ code prints, which no setting silences; its errors come as exceptions.

    TensorFlow Lite's converter and interpreters need this. What Python prints meanwhile is dropped as well.
    """
    _flush()
    with _leading_nowhere(1), _leading_nowhere(2):
        try:
            yield
        finally:
            _flush()


def _flush():
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:  # a service may have none
            stream.flush()


@contextlib.contextmanager
def _leading_nowhere(descriptor):
    """Let a file descriptor, which may be closed, lead nowhere for a while."""
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
