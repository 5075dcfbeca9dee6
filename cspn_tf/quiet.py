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
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
