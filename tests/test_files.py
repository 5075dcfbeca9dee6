import pytest

from cspn_tf.console import CallError, UserError
from cspn_tf.files import replaced_file, staged_directory

# Folders -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [UserError, OSError])
def test_a_failed_block_leaves_nothing(tmp_path, error):
    out = tmp_path / "new" / "deep" / "out"
    with pytest.raises(error), staged_directory(out) as staging:
        (staging / "half.tfrecord").write_text("half")
        assert not out.exists()
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_replaced_and_a_full_one_only_when_told(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with staged_directory(out) as staging:
        (staging / "a").touch()
    with pytest.raises(CallError, match=r"out is not empty: give --overwrite"), staged_directory(out):
        pass
    assert [path.name for path in out.iterdir()] == ["a"]
    with staged_directory(out, overwrite=True) as staging:
        (staging / "b").touch()
    assert [path.name for path in out.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_failed_overwrite_keeps_what_was_there(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").touch()
    with pytest.raises(UserError), staged_directory(out, overwrite=True) as staging:
        (staging / "b").touch()
        raise UserError("failed")
    assert [path.name for path in out.iterdir()] == ["a"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_that_fills_up_meanwhile_is_not_replaced(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(OSError, match="not empty"), staged_directory(out):
        out.mkdir()
        (out / "a").touch()
    assert [path.name for path in out.iterdir()] == ["a"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_and_the_working_folder_are_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(CallError, match="is a file, required a folder"), staged_directory(tmp_path / "file"):
        pass
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CallError, match="holds the working folder"), staged_directory(".", overwrite=True):
        pass
    assert (tmp_path / "file").exists()


def test_an_interrupted_block_leaves_what_it_has_written_for_the_next_one(tmp_path):
    out = tmp_path / "new" / "out"
    with pytest.raises(KeyboardInterrupt), staged_directory(out) as staging:
        (staging / "whole").write_text("whole")
        raise KeyboardInterrupt
    assert not out.exists()
    with staged_directory(out) as staging:
        assert (staging / "whole").read_text() == "whole"
    assert [path.name for path in out.iterdir()] == ["whole"]
    assert list(out.parent.iterdir()) == [out]


def test_an_interrupted_block_that_has_written_nothing_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), staged_directory(tmp_path / "new" / "out"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_process_is_writing_is_refused(tmp_path):
    out = tmp_path / "out"
    with staged_directory(out) as staging:
        (staging / "a").touch()
        with pytest.raises(CallError, match="out is being written by another process"), staged_directory(out):
            pass
        assert (staging / "a").exists()
    assert [path.name for path in out.iterdir()] == ["a"]


# Files ---------------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_when_the_block_ends_well(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with replaced_file(path) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".json"
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_file_stays_as_it_is_when_the_block_fails(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(error), replaced_file(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
