import errno
import hashlib
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from cspn_tf.console import CallError, UserError
from cspn_tf.files import (
    file_sha256,
    locked,
    plain_path,
    read_json,
    replaced_file,
    staged_directory,
    write_picture,
    write_text,
)

# Files ---------------------------------------------------------------------------------------------------------------


def test_text_is_written_in_utf8_and_its_digest_is_that_of_its_bytes(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "Ärmel ±1\n")
    assert path.read_bytes() == b"\xc3\x84rmel \xc2\xb11\n" and list(tmp_path.iterdir()) == [path]
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(UserError, match=r"a\.txt: not a plan: "):
        read_json(path, "plan")
    with pytest.raises(UserError, match=r"b\.txt: No such file"):
        read_json(tmp_path / "b.txt", "plan")


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
    with pytest.raises(CallError, match=r"out is not empty: choose another folder"), staged_directory(out):
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
    with pytest.raises(CallError, match="contains the working directory"), staged_directory(".", overwrite=True):
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


def test_a_block_that_cannot_resume_leaves_nothing_and_starts_empty(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), staged_directory(out, resumable=False) as staging:
        (staging / "partial").touch()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    (staging / "folder").mkdir(parents=True)
    for left_by_a_killed_process in ("lock", "partial", "folder/partial"):
        (staging / left_by_a_killed_process).touch()
    with staged_directory(out, resumable=False) as staging:
        (staging / "whole").touch()
    assert [path.name for path in out.iterdir()] == ["whole"]


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


LOCKING = """
import sys
from pathlib import Path
from cspn_tf.files import locked
with locked(Path(sys.argv[1]), "the run"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_lock_refuses_another_process_at_once_and_is_gone_with_its_holder(tmp_path):
    lock = tmp_path / "lock"
    command = [sys.executable, "-c", LOCKING, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(CallError, match=r"^the run is being written by another process$"), locked(lock, "the run"):
            pass
        other.kill()
    assert lock.exists()
    with locked(lock, "the run"):
        pass
    assert not lock.exists()


def test_without_fcntl_there_is_still_a_lock(tmp_path):
    program = f"""
import sys, warnings
sys.modules["fcntl"] = None
warnings.simplefilter("ignore")
from pathlib import Path
from cspn_tf.console import CallError
from cspn_tf.files import staged_directory
out = Path({str(tmp_path / "out")!r})
with staged_directory(out) as staging:
    (staging / "a").touch()
    try:
        with staged_directory(out):
            pass
    except CallError as error:
        print(error)
print([path.name for path in out.parent.rglob("*")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'out'} is being written by another process\n['out', 'a']\n"


# Paths that TensorFlow takes for patterns ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run", "run 1", "é{a,b}", "-x"])
def test_an_ordinary_folder_is_given_as_it_is(tmp_path, name):
    with plain_path(tmp_path / name) as path:
        assert path == str(tmp_path / name)


@pytest.mark.parametrize("name", ["run [v1]", "a\\b", "*", "?", "]"])
def test_a_folder_that_looks_like_a_pattern_is_given_by_a_link_for_a_while(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    with plain_path(name) as path:
        assert not set(path) & set("*?[]\\")
        with open(f"{path}/a", "w") as file:
            file.write("written")
    assert (tmp_path / name / "a").read_text() == "written"
    assert not Path(path).exists()


def test_links_need_an_ordinary_folder_for_temporary_files(tmp_path, monkeypatch):
    (tmp_path / "[t]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "[t]"))
    with pytest.raises(UserError, match="set TMPDIR"), plain_path(tmp_path / "[v1]"):
        pass
    assert list((tmp_path / "[t]").iterdir()) == []


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


def test_a_picture_for_which_there_is_no_room_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    picture = Image.new("RGB", (64, 64), "red")
    write_picture(tmp_path / "a.png", picture)
    with Image.open(tmp_path / "a.png") as read:
        assert read.format == "PNG" and read.getpixel((9, 9)) == (255, 0, 0)
    # A process that writes more than this into a file gets a short write first, then an error, as on a full disk.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError):
            write_picture(tmp_path / "b.jpg", picture)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_file_may_have_as_long_a_name_as_the_system_takes(tmp_path):
    path = tmp_path / f"{'a' * 244}.weights.h5"
    with replaced_file(path) as temporary:
        temporary.write_text("new")
        assert temporary.name.endswith(".weights.h5")
    assert path.read_text() == "new"


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "a.txt", tmp_path / "folder.txt", tmp_path / "file" / "a.txt"):
        with pytest.raises(OSError) as caught, replaced_file(path) as temporary:
            temporary.write_text("new")
        assert caught.value.filename == str(path)
    with pytest.raises(OSError) as caught, replaced_file(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")  # which names no file
    assert caught.value.filename == str(tmp_path / "a.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.txt"]


def test_an_empty_folder_makes_room_where_the_system_renames_onto_none(tmp_path, monkeypatch):
    rename = Path.rename

    def rename_on_windows(self, target):
        if Path(target).exists():
            raise FileExistsError(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_on_windows)
    (tmp_path / "out").mkdir()
    with staged_directory(tmp_path / "out") as staging:
        (staging / "a").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]
