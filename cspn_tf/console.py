"""Shared by all commands: one-line errors, exit codes, an argument parser.

Exit codes: 0 success, 1 failure, 2 wrong usage.
"""

import argparse
import contextlib
import importlib.util
import os
import re
import signal
import sys

from cspn_tf.quiet import quiet_tensorflow

# Installation extra → modules that it installs and that commands check for.
_EXTRAS = {
    "training": ("matplotlib", "pycocotools", "scipy"),
    "serving": ("tensorflow_serving", "grpc_health"),
    "bulk": ("ray", "pyarrow", "fsspec"),
}

# Program name in usage lines; None to use the name of the module that is run.
_prog = None


class UserError(Exception):
    """An error in the program's input or environment; the message is one line that says what is wrong and where.

    Raised for an invalid file, annotation row, checkpoint or server: the command prints the message on stderr and
    exits with 1.
    """


class CallError(UserError):
    """Wrong usage of a command: a `UserError` with exit code 2."""


def run(main, argv=None, prog=None) -> int:
    """Run a command's `main(argv)` and turn exceptions into one line on stderr and an exit code.

    TensorFlow's log output is silenced.

    Args:
        main: a function of `argv` that returns None or an exit code.
        argv: list of arguments, or None for `sys.argv`.
        prog: program name in `--help`, such as `cspn-tf predict`; None if run as a module.

    Returns:
        The exit code: 0, 1 (`UserError` or an operating-system error), 2 (`CallError`), or 130 if interrupted.
        A wrong argument raises argparse's `SystemExit(2)` instead.
    """
    global _prog
    _prog = prog
    for name in ("stdout", "stderr"):  # a service may have neither; the replacement stays open
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    quiet_tensorflow()
    try:
        with _interrupts_as_such():
            code = main(argv) or 0
            _flush_stdout()
        return code
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, CallError) else 1
    except ModuleNotFoundError as error:
        # Where TensorFlow is not installed, neither are the other packages that come with it.
        if has_tensorflow() or str(error.name).startswith("cspn_tf"):
            raise
        return run(lambda _: require_tensorflow(), argv, prog)
    except OSError as error:
        # An error of the operating system, such as a full disk or missing permission; without strerror it is a bug.
        if error.strerror is None:
            raise
        _drop_what_stdout_refuses()
        if not isinstance(error, BrokenPipeError):  # the reader closed the pipe: nothing to report
            named = "" if error.filename is None else f"{error.filename}: "
            print(f"error: {named}{one_line(error.strerror)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def has_tensorflow() -> bool:
    """Whether the TensorFlow that this package needs is installed; without it, the package only predicts.

    Newer releases of TensorFlow, which Python 3.12 may have, do not count: they have no TensorFlow Addons.
    """
    return all(importlib.util.find_spec(name) is not None for name in ("tensorflow", "tensorflow_addons"))


def require_tensorflow() -> None:
    """Check that TensorFlow is installed, before work that needs it starts.

    Raises:
        UserError: it is not; the message says which Python has it.
    """
    if not has_tensorflow():
        raise UserError(
            "TensorFlow 2.15 is not installed, needed here: install cspn-tf on Python 3.10 or 3.11, which it needs "
            f"(this is Python {sys.version_info.major}.{sys.version_info.minor})"
        )


def require_extra(extra: str, with_tensorflow=True) -> None:
    """Check that an installation extra is installed, before work that needs it starts.

    Args:
        extra: "training", "serving" or "bulk", as in `pyproject.toml`.
        with_tensorflow: whether the work needs TensorFlow too.

    Raises:
        UserError: it is not installed.
    """
    if with_tensorflow:
        require_tensorflow()
    missing = [name for name in _EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{' and '.join(missing)} not installed, needed here: pip install 'cspn-tf[{extra}]'")


@contextlib.contextmanager
def termination_as_interrupt():
    """Raise KeyboardInterrupt on SIGTERM, so that it cleans up like Ctrl-C."""

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextlib.contextmanager
def _interrupts_as_such():
    """Raise KeyboardInterrupt for each error that was made of one, as TensorFlow does in a call."""
    try:
        yield
    except Exception as error:
        cause = error
        while not (cause is None or isinstance(cause, KeyboardInterrupt)):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise cause from None


def _flush_stdout():
    """Flush stdout, so that a closed pipe or full disk fails here and not at exit."""
    if not sys.stdout.closed:
        sys.stdout.flush()


def _drop_what_stdout_refuses():
    """Discard buffered output that cannot be written; otherwise flushing would fail again at exit."""
    try:
        _flush_stdout()
    except OSError:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def one_line(error) -> str:
    """Return the text of an error or a message in one line."""
    return " ".join(str(error).split())


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows default values, except None, empty lists, and False of flags."""

    def _get_help_string(self, action):
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser that shows defaults, reports errors in one line, and rejects empty or undecodable arguments.

    Args:
        any_names: destinations of arguments that need not be UTF-8, because their paths are not passed to TensorFlow.
        kwargs: arguments of `argparse.ArgumentParser`.
    """

    def __init__(self, any_names=(), **kwargs):
        self._any_names = any_names
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        if _prog is not None:
            kwargs.setdefault("prog", _prog)
        elif spec is not None:
            kwargs.setdefault("prog", f"python -m {spec.name}")
        super().__init__(**{"formatter_class": _HelpFormatter, "allow_abbrev": False, **kwargs})

    def parse_known_args(self, args=None, namespace=None):
        for text in sys.argv[1:] if args is None else args:
            # An unset variable of the shell; an empty path would be the current folder.
            if text == "" or re.fullmatch("--[a-z-]+=", text):
                self.error(f"the argument {text} is empty" if text else "an argument is empty")
        namespace, others = super().parse_known_args(args, namespace)
        for name, value in vars(namespace).items():
            for text in map(str, value if isinstance(value, list) else [value]):
                if name not in self._any_names and any("\ud800" <= character <= "\udfff" for character in text):
                    # TensorFlow does not accept such a path, and a report could not contain it.
                    self.error(f"{text!a} is not UTF-8: rename it")
        return namespace, others

    def error(self, message):
        print(f"error: {one_line(message)} (see --help)", file=sys.stderr)
        raise SystemExit(2)


def positive_int(text: str) -> int:
    """Parse an integer argument of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, received {value}")
    return value


def positive_float(text: str) -> float:
    """Parse a finite number above 0."""
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, received {text}")
    return value


def seed_number(text: str) -> int:
    """Parse a seed that NumPy, Keras and TensorFlow take."""
    value = non_negative_int(text)
    if value >= 2**32:
        raise argparse.ArgumentTypeError(f"must be below {2**32}, received {value}")
    return value


def non_negative_int(text: str) -> int:
    """Parse an integer argument of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, received {value}")
    return value
