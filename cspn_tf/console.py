"""What every command shares: one-line errors, exit codes, an argument parser.

Exit codes: 0 done, 1 the work failed, 2 the call was wrong.
"""

import argparse
import contextlib
import importlib.util
import os
import signal
import sys

from cspn_tf.quiet import quiet_tensorflow

# Modules that come with an extra of the installation, and that the commands which need the extra cannot do without.
_EXTRAS = {"training": ("matplotlib", "pycocotools", "scipy"), "serving": ("tensorflow_serving", "grpc_health")}

# What a usage line calls the command, where it is not the module that is run.
_prog = None


class UserError(Exception):
    """Something outside the program is wrong; the message is one line that names it and where it is.

    Raised for a file, an annotation row, a checkpoint or a server that is not as required: the command prints the
    message on stderr and exits with 1.
    """


class CallError(UserError):
    """The command was called wrongly; as `UserError`, but the exit code is 2."""


def run(main, argv=None, prog=None) -> int:
    """Run a command's `main(argv)` and turn what it raises into one line and an exit code.

    Libraries that the command imports keep quiet.

    Args:
        main: a function of `argv` that returns None or an exit code.
        argv: list of arguments, or None for the process's own.
        prog: what `--help` calls the command, such as `cspn-tf predict`; None where it is run as a module.

    Returns:
        The exit code: 0, 1 (`UserError`, or the system refused something), 2 (`CallError`), or 130 when interrupted.
        A wrong argument ends in argparse's own `SystemExit(2)`.
    """
    global _prog
    _prog = prog
    quiet_tensorflow()
    try:
        code = main(argv) or 0
        _flush_stdout()
        return code
    except CallError as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2
    except UserError as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 1
    except OSError as error:
        # What the system refuses, such as a full disk or a folder that may not be written; else it is our own fault.
        if error.strerror is None:
            raise
        _drop_what_stdout_refuses()
        if not isinstance(error, BrokenPipeError):  # whoever read the lines has gone, and knows it
            named = "" if error.filename is None else f"{error.filename}: "
            print(f"error: {named}{error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def require_extra(extra: str) -> None:
    """Check that an extra of the installation is there, before work is put into what needs it.

    Args:
        extra: "training" or "serving", as `pyproject.toml` names them.

    Raises:
        UserError: it is not.
    """
    missing = [name for name in _EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{' and '.join(missing)} not installed, needed here: pip install 'cspn-tf[{extra}]'")


@contextlib.contextmanager
def termination_as_interrupt():
    """Let a request to terminate clean up as Ctrl-C does."""

    def interrupt(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _flush_stdout():
    """Write what was printed, so that it fails here where nobody takes it; a service may have no stdout."""
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


def _drop_what_stdout_refuses():
    """Drop what was printed and cannot be written, or it would fail once more at exit."""
    try:
        _flush_stdout()
    except OSError:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _one_line(error) -> str:
    return " ".join(str(error).split())


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the defaults that say something: not those of flags, and not "None"."""

    def _get_help_string(self, action):
        if action.default is None or action.default is False or action.default == []:
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser that shows defaults and reports a wrong call in one line, also names that are not UTF-8.

    Args:
        any_names: destinations of arguments that may be no UTF-8, since TensorFlow does not get their paths.
        kwargs: for `argparse.ArgumentParser`.
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
        namespace, others = super().parse_known_args(args, namespace)
        for name, value in vars(namespace).items():
            for text in map(str, value if isinstance(value, list) else [value]):
                if name not in self._any_names and any("\ud800" <= character <= "\udfff" for character in text):
                    # TensorFlow takes no such path, and no report could name it.
                    self.error(f"{text!a} is not UTF-8: rename it")
        return namespace, others

    def error(self, message):
        print(f"error: {_one_line(message)} (see --help)", file=sys.stderr)
        raise SystemExit(2)


def positive_int(text: str) -> int:
    """Parse an argument that must be a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, received {value}")
    return value


def positive_float(text: str) -> float:
    """Parse an argument that must be a finite number above 0."""
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, received {text}")
    return value


def non_negative_int(text: str) -> int:
    """Parse an argument that must be a whole number of at least 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, received {value}")
    return value


def positive_seconds(text: str) -> float:
    """Parse an argument that must be a time above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be more than 0, received {text}")
    return value
