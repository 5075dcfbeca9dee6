import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import lite
from benchmarks.lite import environment, format_figures, measure
from cspn_tf.console import UserError, run

# What the program prints in an environment, without a model.
ANSWER = """
import sys
assert open(sys.argv[1]).read() == "a photo"
print("answered", flush=True)
print('{"python": "3.13.0", "tensorflow": false, "garments": 1, "later_ms": 40.0, "peak_mb": 150.0}')
"""


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_text("a photo")
    return path


def test_size_is_that_of_what_is_installed_and_time_that_to_the_first_line(photo, monkeypatch):
    venv = photo.parent / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "package").mkdir()
    (site / "package" / "data").write_bytes(bytes(3_000_000))
    (site / "module.py").write_bytes(bytes(500_000))
    (site / "pip").mkdir()
    (site / "pip" / "data").write_bytes(bytes(7_000_000))
    monkeypatch.setattr(lite, "_ANSWER", ANSWER)
    figures = measure(venv / "bin" / "python", photo, 2)
    assert 0 < figures.pop("first_answer_s") < 20
    assert figures == {
        **{"python": "3.13.0", "tensorflow": False, "garments": 1},
        **{"later_ms": 40.0, "peak_mb": 150.0, "installed_mb": 3.5},
    }


def test_figures_are_lines():
    figures = {"python": "3.13.0", "tensorflow": False, "garments": 1, "first_answer_s": 0.456}
    text = format_figures(
        {**figures, "later_ms": 40.04, "peak_mb": 150.4, "installed_mb": 199.6}, {"cpu": "a processor", "cores": 2}
    )
    assert text.splitlines()[0] == "Python 3.13.0, without TensorFlow, 1 garments found; a processor, 2 cores"
    assert [line.split()[-2:] for line in text.splitlines()[1:]] == [
        *(["200", "MB"], ["0.46", "s"], ["40.0", "ms"], ["150", "MB"]),
    ]


def test_a_python_with_the_package_is_taken_as_it_is(tmp_path):
    assert environment(sys.executable, tmp_path / "venv") == Path(sys.executable)
    assert not (tmp_path / "venv").exists()


def test_what_is_no_python_is_named(tmp_path, capsys):
    assert run(lite.main, ["--python", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == f"error: --python {tmp_path / 'none'}: No such file or directory\n"


def test_a_program_that_fails_is_named_by_its_last_line(photo, monkeypatch):
    monkeypatch.setattr(lite, "_ANSWER", "raise SystemExit('no model')")
    with pytest.raises(UserError, match="no model"):
        measure(sys.executable, photo, 1)
