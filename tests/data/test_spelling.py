import dataclasses
import ntpath
import os

import pytest

from cspn_tf.data.samples import Rejected, Sample
from cspn_tf.data.spelling import with_other_spellings
from tests.data.made import UPPER


def _missing(folder, *photos):
    samples = [Sample(photo, None, UPPER, "list.txt:3", os.path.join(folder, photo)) for photo in photos]
    return [Rejected(s.photo, s.where, "photo is missing", "missing photo", s) for s in samples]


def _reason(folder, photo):
    (fault,) = with_other_spellings(_missing(folder, photo))
    return fault.reason


@pytest.mark.parametrize(
    ("there", "named"),
    [
        ("img/a.jpg", "img\\a.jpg"),
        ("img\\a.jpg", "img/a.jpg"),  # unpacked by a tool that takes the separator for a part of the name
        ("a b/c.jpg", "a%20b/c.jpg"),
        ("a%20b.jpg", "a b.jpg"),
        ("a/b.jpg", "a%2Fb.jpg"),
        ("caf\u00e9.jpg", "cafe\u0301.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("IMG_1.JPG", "img_1.jpg"),
        ("Img/a.jpg", "img/a.jpg"),
        ("9.41.00\u202fAM.png", "9.41.00 AM.png"),
        ("img/a.jpg", "IMG\\a%2ejpg"),
        ("b/c.jpg", "b//C.jpg"),
    ],
)
def test_a_file_under_another_spelling_is_named(tmp_path, there, named):
    path = tmp_path / there
    path.parent.mkdir(exist_ok=True)
    path.touch()
    reason = _reason(str(tmp_path), named)
    assert reason == f"photo is missing, but {str(path)!a} exists"
    assert reason.isascii()


@pytest.mark.parametrize("named", ["b.jpg", "img/b.jpg", "a.jpg/b", "img", "%2e%2e/a.jpg", "", "a\0b"])
def test_a_file_that_is_nowhere_stays_missing(tmp_path, named):
    (tmp_path / "data/img").mkdir(parents=True)
    (tmp_path / "a.jpg").touch()
    (tmp_path / "data/img/a.jpg").touch()
    assert _reason(str(tmp_path / "data"), named) == "photo is missing"


def test_a_folder_is_listed_once(tmp_path, monkeypatch):
    (tmp_path / "img").mkdir()
    for name in "ABC":
        (tmp_path / "img" / f"{name}.jpg").touch()
    listed, listdir = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or listdir(path))
    faults = with_other_spellings(_missing(str(tmp_path), "img/a.jpg", "img/b.jpg", "img/x.jpg", "img/c.jpg"))
    assert ["exists" in fault.reason for fault in faults] == [True, True, False, True]
    assert listed == [str(tmp_path / "img")]


def test_all_folders_are_looked_at(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/cafe\u0301.JPG").touch()
    (missing,) = _missing(str(tmp_path), "caf\u00e9.jpg")
    places = (str(tmp_path / "img/caf\u00e9.jpg"), str(tmp_path / "images/caf\u00e9.jpg"))
    sample = dataclasses.replace(missing.sample, other_paths=places)
    (fault,) = with_other_spellings([dataclasses.replace(missing, sample=sample)])
    assert fault.reason == f"photo is missing, but {str(tmp_path / 'images/cafe')!a}"[:-1] + "\\u0301.JPG' exists"


def test_a_drive_that_is_not_there_has_no_file(monkeypatch):
    monkeypatch.setattr(os, "path", ntpath)
    monkeypatch.setattr(ntpath, "isdir", lambda path: False)
    assert _reason("Z:\\data", "a.jpg") == "photo is missing"


def test_a_relative_path_is_looked_for_where_it_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "A.jpg").touch()
    assert _reason("", "a.jpg") == "photo is missing, but './A.jpg' exists"


def test_what_is_not_missing_is_left_as_it_is(tmp_path):
    (tmp_path / "A.jpg").touch()
    (missing,) = _missing(str(tmp_path), "a.jpg")
    broken = Rejected("a.jpg", "list.txt:3", "is broken", "unreadable photo", missing.sample)
    unread = Rejected("a.jpg", "list.txt:3", "is odd", "missing photo")
    assert with_other_spellings([broken, unread]) == [broken, unread]
