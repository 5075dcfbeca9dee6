import contextlib
import shutil

import pytest

from cspn_tf.serve.model_versions import ModelVersions, VersionState, say
from tests.inference.test_versions import make_version


def load_or_fail(version, version_dir):
    """A loader that serves `servable N`, and fails where a file `broken` lies."""
    if (version_dir / "broken").exists():
        raise ValueError("the weights\nare missing")
    return f"servable {version}"


@pytest.fixture
def model(tmp_path):
    return tmp_path / "cspn"


@pytest.fixture
def versions(model):
    make_version(model, 1)
    versions = ModelVersions(model, load_or_fail)
    versions.load_first()
    return versions


def test_first_load_serves_the_highest(model):
    make_version(model, 2)
    make_version(model, 10)
    versions = ModelVersions(model, load_or_fail)
    assert versions.get() is None
    assert versions.load_first() == 10
    assert (versions.get(), versions.get(10), versions.get(2)) == ("servable 10", "servable 10", None)
    assert versions.states() == {10: VersionState("AVAILABLE")}


def test_a_new_version_replaces_the_old_one(model, versions, capsys):
    make_version(model, 2)
    versions.poll()
    assert (versions.get(), versions.get(1)) == ("servable 2", None)
    assert versions.states() == {1: VersionState("END"), 2: VersionState("AVAILABLE")}
    assert capsys.readouterr().out == "version 2 is served\n"


def test_versions_are_switched_also_where_nobody_reads_what_is_printed(model, versions, monkeypatch):
    with open("/dev/full", "w") as refuses:  # as a closed pipe does
        monkeypatch.setattr("sys.stdout", refuses)
        make_version(model, 2)
        versions.poll()
        monkeypatch.undo()
        assert versions.get() == "servable 2"
        say("text", refuses)
        with contextlib.suppress(OSError):
            refuses.close()
    say("text", refuses)


def test_the_old_version_is_served_while_the_new_one_loads(model):
    seen = []

    def load(version, version_dir):
        seen.append((versions.get(), versions.states()))
        return f"servable {version}"

    versions = ModelVersions(model, load)
    make_version(model, 1)
    versions.load_first()
    make_version(model, 2)
    versions.poll()
    assert seen[1] == ("servable 1", {1: VersionState("AVAILABLE"), 2: VersionState("LOADING")})


def test_a_broken_version_leaves_the_old_one_is_reported_once_and_tried_again_when_changed(model, versions, capsys):
    broken = make_version(model, 2) / "broken"
    broken.touch()
    versions.poll()
    versions.poll()
    assert versions.get() == "servable 1"
    assert versions.states() == {1: VersionState("AVAILABLE"), 2: VersionState("END", "the weights are missing")}
    assert capsys.readouterr() == ("", "version 2 is not served: the weights are missing\n")
    broken.unlink()
    versions.poll()
    assert versions.get() == "servable 2"


def test_a_version_without_a_saved_model_leaves_the_old_one(model, versions, capsys):
    (model / "2").mkdir()
    versions.poll()
    assert versions.get() == "servable 1"
    assert capsys.readouterr().err == f"version 2 is not served: no model in {model}/2: it has no saved_model.pb\n"


def test_removing_the_highest_version_rolls_back(model, versions):
    make_version(model, 2)
    versions.poll()
    shutil.rmtree(model / "2")
    versions.poll()
    assert versions.get() == "servable 1"


def test_removing_everything_keeps_what_is_loaded(model, versions):
    shutil.rmtree(model)
    versions.poll()
    assert versions.get() == "servable 1"


def test_polling_switches_in_the_background_and_stops(model):
    make_version(model, 1)
    loaded = []
    versions = ModelVersions(model, lambda version, _: loaded.append(version) or version, poll_seconds=0.01)
    versions.load_first()
    versions.start_polling()
    make_version(model, 2)
    for _ in range(500):
        if versions.get() == 2:
            break
        versions._stopping.wait(0.01)
    versions.stop()
    assert versions.get() == 2
    assert loaded == [1, 2]
