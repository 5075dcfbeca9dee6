import pytest

from cspn_tf.console import UserError
from cspn_tf.inference.versions import find_versions, latest_version, version_directory


def make_version(model_dir, version):
    version_dir = model_dir / str(version)
    version_dir.mkdir(parents=True)
    (version_dir / "saved_model.pb").write_bytes(b"model")
    return version_dir


@pytest.fixture
def model(tmp_path):
    return tmp_path / "cspn"


def test_versions_are_directories_named_by_an_integer(model):
    for name in ("1", "12", "3", "tmp-99", "v4", "-5", "1.5", "²"):
        make_version(model, name)
    (model / "77").write_text("a file")
    assert find_versions(model) == {1: model / "1", 3: model / "3", 12: model / "12"}
    assert latest_version(model) == (12, model / "12")


def test_numbers_that_tf_serving_ignores_are_no_versions(model):
    (model / str(2**63)).mkdir(parents=True)
    before = find_versions(model)
    (model / str(2**63 - 1)).mkdir()
    assert set(find_versions(model)) - set(before) == {2**63 - 1} and 2**63 not in before


def test_no_model_is_an_error_that_names_the_directory(model):
    with pytest.raises(UserError, match=f"no model at {model}: there is no such file or directory"):
        latest_version(model)
    model.mkdir()
    with pytest.raises(UserError, match=f"no model at {model}: it has no version directory"):
        latest_version(model)
    (model / "1").mkdir()
    with pytest.raises(UserError, match=f"no model in {model}/1: it has no saved_model.pb"):
        latest_version(model)
    (model / "cspn.tflite").touch()
    with pytest.raises(UserError, match=r"cspn\.tflite: it is a file"):
        latest_version(model / "cspn.tflite")


def test_a_version_given_for_a_model_is_told_so(model):
    with pytest.raises(UserError, match="is one version of a model: give the directory above it"):
        latest_version(make_version(model, 1))


def test_a_version_and_the_folder_of_versions_name_the_same_model(model):
    make_version(model, 9)
    highest = make_version(model, 10)
    assert version_directory(model) == version_directory(highest) == highest
    assert version_directory(model / "9") == model / "9"
    with pytest.raises(UserError, match="no such file or directory"):
        version_directory(model / "11")
