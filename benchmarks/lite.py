"""Measure an installation without TensorFlow: its size, the time from start to the first answer, and peak memory.

The given Python is that of an environment with the package, or if it has none, one in which a temporary environment is
made: this checkout is installed there, with what it needs on that Python. The model is the one in the package.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.commands import add_json, write_figures
from benchmarks.photos import SYNTHETIC_SIZE, synthesise_photo
from cspn_tf.console import Parser, UserError, positive_int, run
from cspn_tf.machine import describe_machine

ROOT = Path(__file__).parent.parent
# Prints the size of all installed packages but pip.
_SIZE = """
import json, pathlib, sysconfig
folders = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
paths = (path for folder in folders for path in pathlib.Path(folder).iterdir() if not path.name.startswith("pip"))
files = (file for path in paths for file in ([path] if path.is_file() else path.rglob("*")))
print(json.dumps(sum(file.stat().st_size for file in files if file.is_file())))
"""
# Answers one photo. Prints milliseconds of a further answer, peak memory, and what the environment is.
_ANSWER = """
import cspn_tf, sys
photo = sys.argv[1]
model = cspn_tf.load()
num_garments = len(model(photo)[0].garments)
print("answered", flush=True)
import json, platform, resource, time
times = []
for _ in range(20):
    start = time.perf_counter()
    model(photo)
    times.append(time.perf_counter() - start)
print(json.dumps({
    "python": platform.python_version(),
    "tensorflow": any(name.split(".")[0] == "tensorflow" for name in sys.modules),
    "garments": num_garments,
    "later_ms": 1000 * sorted(times)[len(times) // 2],
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10)),
}))
"""


def main(argv=None):
    parser = Parser(description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n")[1])
    parser.add_argument("--python", required=True, metavar="FILE", help="Python of, or for, the environment")
    parser.add_argument("--photo", metavar="FILE", help="photo to use (default: a synthesised one)")
    parser.add_argument("--repeats", type=positive_int, default=5, help="starts")
    add_json(parser)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(args.photo or Path(folder) / "photo.jpg").resolve()
        if args.photo is None:
            photo.write_bytes(synthesise_photo(SYNTHETIC_SIZE))
        figures = measure(environment(args.python, Path(folder) / "venv"), photo, args.repeats)
    print(format_figures(figures, describe_machine()))
    write_figures(args, {"machine": describe_machine(), **figures})


def environment(python, folder) -> Path:
    """Return the Python of an environment with the package; make the environment in `folder` if needed."""
    has_package = "import importlib.util, sys; sys.exit(importlib.util.find_spec('cspn_tf') is None)"
    try:
        if _ran([python, "-c", has_package], folder.parent).returncode == 0:
            return Path(python).absolute()
        _checked([python, "-m", "venv", folder], folder.parent)
    except OSError as error:
        raise UserError(f"--python {python}: {error.strerror}") from error
    made, source = folder / "bin" / "python", folder / "source"
    # A copy, because an installation leaves its build in the source.
    shutil.copytree(ROOT / "cspn_tf", source / "cspn_tf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    _checked([made, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", source], folder.parent)
    return made


def measure(python, photo, repeats) -> dict:
    """Measure an environment.

    Args:
        python: its interpreter.
        photo: path of a photo file.
        repeats: number of starts, after one that is not counted.

    Returns:
        JSON-ready dict: installed_mb, first_answer_s and peak_mb (medians of starts), later_ms, python, tensorflow
        (whether it was imported), garments.
    """
    starts = [_start(python, photo) for _ in range(repeats + 1)][1:]
    medians = {
        name: statistics.median(one[name] for one in starts) for name in ("first_answer_s", "peak_mb", "later_ms")
    }
    return {**starts[0], **medians, "installed_mb": int(_checked([python, "-c", _SIZE], photo.parent)) / 1e6}


def _start(python, photo):
    start = time.perf_counter()
    command = [python, "-c", _ANSWER, photo]
    with subprocess.Popen(
        command, cwd=photo.parent, env=_environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        seconds = time.perf_counter() - start
        out, err = process.stdout.read(), process.stderr.read()
    if process.returncode:
        raise UserError(f"{python}: {err.strip().splitlines()[-1]}")
    return {"first_answer_s": seconds, **json.loads(out)}


def format_figures(figures, machine) -> str:
    """Return the figures as text."""
    return "\n".join(
        [
            f"Python {figures['python']}, {'with' if figures['tensorflow'] else 'without'} TensorFlow, "
            f"{figures['garments']} garments found; {machine['cpu']}, {machine['cores']} cores",
            f"installed size          {figures['installed_mb']:8.0f} MB",
            f"start to first answer   {figures['first_answer_s']:8.2f} s",
            f"one photo, later        {figures['later_ms']:8.1f} ms",
            f"peak memory             {figures['peak_mb']:8.0f} MB",
        ]
    )


def _environ():
    """Return the environment variables without those that would let another Python see this checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _ran(command, folder):
    return subprocess.run([*map(str, command)], cwd=folder, env=_environ(), capture_output=True, text=True)


def _checked(command, folder) -> str:
    done = _ran(command, folder)
    if done.returncode:
        raise UserError(f"{command[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(run(main))
