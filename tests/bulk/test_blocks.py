"""The division of a catalogue: the same blocks in every run, each photo in one of them."""

import itertools
import json

import fsspec
import pytest

from cspn_tf.bulk.blocks import LARGEST_BLOCK, SMALLEST_BLOCK, divide, read_blocks
from cspn_tf.bulk.catalogue import Catalogue, Photo
from cspn_tf.console import CallError, UserError

ABOUT = {"catalogue": "shop", "id column": None}


def catalogue_of(num_photos):
    return Catalogue("row", (Photo(f"{n}", "shop.parquet", n, n + 1) for n in range(num_photos)), "image")


@pytest.mark.parametrize("num_photos, num_workers, size", [(1, 1, 64), (2500, 2, 128), (70_000, 1, 8192)])
def test_blocks_are_the_photos_in_order(tmp_path, num_photos, num_workers, size):
    divide(tmp_path / "out", catalogue_of(num_photos), ABOUT, num_workers)
    blocks = read_blocks(tmp_path / "out")
    assert (blocks.about, blocks.kind, blocks.bytes_column) == (ABOUT, "row", "image")
    assert blocks.block_size == size and SMALLEST_BLOCK <= size <= LARGEST_BLOCK
    photos = [blocks.photos(block) for block in range(blocks.num_blocks)]
    assert [len(block) for block in photos] == [blocks.size_of(block) for block in range(blocks.num_blocks)]
    assert list(itertools.chain(*photos)) == list(catalogue_of(num_photos).photos)


def test_a_block_is_finished_when_its_file_is_there(tmp_path):
    out = tmp_path / "out"
    blocks = divide(out, catalogue_of(200), ABOUT, 1)
    assert blocks.finished() == set()
    blocks.write(2, b"two")
    blocks.write(2, b"again")
    assert blocks.finished() == {2}
    assert (out / "part-00000002.parquet").read_bytes() == b"again"
    assert not list((out / "_annotate/unfinished").iterdir())


def test_a_file_that_cannot_be_finished_leaves_none(tmp_path, monkeypatch):
    blocks = divide(tmp_path / "out", catalogue_of(200), ABOUT, 1)
    local = type(fsspec.filesystem("file"))

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local, "mv", refuse)
    with pytest.raises(UserError, match=r"part-00000000.parquet cannot be written: No space left on device"):
        blocks.write(0, b"zero")
    assert blocks.finished() == set()
    assert not list((tmp_path / "out/_annotate/unfinished").iterdir())


def test_an_interrupted_division_is_made_again(tmp_path):
    def stopped():
        yield Photo("a", "a.jpg")
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        divide(out, Catalogue("file", stopped()), ABOUT, 1)
    assert read_blocks(out) is None
    divide(out, catalogue_of(3), ABOUT, 1)
    assert read_blocks(out).num_photos == 3
    blocks = read_blocks(out)
    blocks.tidy()
    assert not (out / "_annotate/unfinished").exists()


def test_a_path_that_comes_again_is_annotated_once_and_an_id_is_an_error(tmp_path):
    photos = [Photo("a", "a.jpg"), Photo("b", "b.jpg"), Photo("a", "a.jpg")]
    blocks = divide(tmp_path / "paths", Catalogue("file", iter(photos)), ABOUT, 1)
    assert (blocks.num_photos, blocks.num_repeated, blocks.photos(0)) == (2, 1, photos[:2])
    for kind, id_column in (("file", "sku"), ("record", None)):
        with pytest.raises(UserError, match=r"'a' in a.jpg is also the id of another photo"):
            divide(tmp_path / kind, Catalogue(kind, iter(photos)), {**ABOUT, "id column": id_column}, 1)


def test_of_two_runs_that_begin_at_once_one_goes_on(tmp_path):
    def listed_by_both():
        divide(tmp_path / "out", catalogue_of(3), ABOUT, 1)
        yield Photo("other", "other.jpg")

    with pytest.raises(UserError, match=r"another run started in .* at the same time"):
        divide(tmp_path / "out", Catalogue("file", listed_by_both()), ABOUT, 1)
    blocks = read_blocks(tmp_path / "out")
    assert blocks.photos(0) == list(catalogue_of(3).photos)


def test_blocks_lie_on_any_store():
    divide("memory://annotated", catalogue_of(100), ABOUT, 1)
    blocks = read_blocks("memory://annotated")
    blocks.write(1, b"one")
    assert blocks.finished() == {1} and len(blocks.photos(1)) == 36
    blocks.tidy()
    assert blocks.finished() == {1}


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(CallError, match=r"was not written by this command: it contains photo.jpg"):
        divide(tmp_path, catalogue_of(1), ABOUT, 1)
    with pytest.raises(CallError, match="is a file"):
        divide(tmp_path / "photo.jpg", catalogue_of(1), ABOUT, 1)
    with pytest.raises(UserError, match="shop: it has no photos"):
        divide(tmp_path / "out", catalogue_of(0), ABOUT, 1)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"format": 2}), json.dumps({"format": 1, "x": 1})])
def test_a_damaged_record_of_the_run_is_named(tmp_path, content):
    (tmp_path / "_annotate").mkdir()
    (tmp_path / "_annotate/run.json").write_text(content)
    with pytest.raises(UserError, match=r"_annotate/run.json cannot be read"):
        read_blocks(tmp_path)
