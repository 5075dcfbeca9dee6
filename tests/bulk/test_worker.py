"""One block: what is written for good photos and for bad ones, and which model did it."""

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import cspn_tf
from cspn_tf.bulk import table
from cspn_tf.bulk.blocks import divide
from cspn_tf.bulk.catalogue import open_catalogue
from cspn_tf.bulk.worker import ModelFiles, annotate_block, find_model
from cspn_tf.cli import export_coco
from cspn_tf.console import CallError, UserError
from cspn_tf.data.coco import read_labelled_images
from cspn_tf.lengths import LENGTHS
from tests.fake_model import export_fake_model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path, fake_photos):
    """A folder: photos with 0, 1 and 2 garments, and two that fail."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, content in enumerate(fake_photos):
        (folder / f"{number}.jpg").write_bytes(content)
    (folder / "3.jpg").write_bytes(b"no photo")
    (folder / "4.jpg").symlink_to("nowhere")
    return folder


@pytest.fixture
def annotated(tmp_path, photos, model_dir):
    """The folder of the annotated photos."""
    files = find_model(model_dir)
    about = {"catalogue": str(photos), "id column": None}
    blocks = divide(tmp_path / "out", open_catalogue(photos), about, 1)
    num_photos, seconds = annotate_block(blocks, 0, files, batch_size=2, num_threads=0)
    assert num_photos == 5 and seconds > 0
    return tmp_path / "out"


def test_a_row_says_what_the_model_says(annotated, photos, model_dir):
    rows = list(table.read_rows(annotated))
    assert [row["id"] for row in rows] == [f"{number}.jpg" for number in range(5)]
    assert [row["status"] for row in rows] == [0, 0, 0, 1, 4]
    assert [row["reason"] for row in rows] == [None] * 3 + ["not a JPEG or PNG", "No such file or directory"]
    assert {(row["model"], row["model_version"]) for row in rows} == {(f"{model_dir}/1", "1")}
    model = cspn_tf.load(model_dir)
    for row in rows[:3]:
        (wanted,) = model([photos / row["id"]])
        assert (row["height"], row["width"]) == wanted.image_size
        assert row["num_garments"] == len(wanted.garments)
        found = table.result_of(row)
        assert found.garments.types.tolist() == wanted.garments.types.tolist()
        for name in ("boxes_xyxy", "keypoints_xy", "scores", "keypoint_scores") if len(wanted.garments) else ():
            of_type = wanted.garments.of_type[..., None] if name == "keypoints_xy" else 1
            of_type = wanted.garments.of_type if name == "keypoint_scores" else of_type
            np.testing.assert_allclose(
                getattr(found.garments, name), getattr(wanted.garments, name) * of_type, atol=0.0051
            )
        for written, garment in zip(row["garments"], wanted.garments, strict=True):
            measured = garment.lengths()
            assert set(written["lengths"]) == set(LENGTHS)
            for name, length in written["lengths"].items():
                wanted_length = measured.get(name)
                assert (length is None) == (wanted_length is None or not wanted_length.measurable)
                assert length is None or length["pixels"] == pytest.approx(wanted_length.pixels, rel=1e-6)
    assert all(row["width"] is None and row["garments"] == [] for row in rows[3:])
    assert table.totals(annotated) == (3, {0: 3, 1: 1, 4: 1})


def test_pandas_and_duckdb_read_it(annotated):
    import duckdb

    frame = pd.read_parquet(annotated)
    assert frame["status"].tolist() == [0, 0, 0, 1, 4] and str(frame["time"].dtype) == "datetime64[ms, UTC]"
    rows = list(table.read_rows(annotated))
    garments = [(row["id"], garment) for row in rows for garment in row["garments"]]
    query = f"SELECT id, unnest(garments).type FROM read_parquet('{annotated}/*.parquet') ORDER BY id"
    assert duckdb.sql(query).fetchall() == [(name, garment["type"]) for name, garment in garments]
    (documented,) = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/bulk.md").read_text(), re.S)
    found = duckdb.sql(documented.replace("'keypoints/", f"'{annotated}/")).fetchall()
    wanted = [(name, g) for name, g in garments if g["type"] == "upper-body" and g["score"] > 0.5]
    assert [row[:3] for row in found] == [(n, g["score"], g["keypoints"]["left_sleeve"]["x"]) for n, g in wanted]
    assert found


def test_it_becomes_coco(annotated, tmp_path):
    export_coco.main([str(annotated), "--out", str(tmp_path / "shop.json")])
    photos = read_labelled_images([tmp_path / "shop.json"])[0].values()
    assert [photo.name for photo in photos] == ["0.jpg", "1.jpg", "2.jpg"]
    rows = list(table.read_rows(annotated))
    for photo, row in zip(photos, rows[:3], strict=True):
        found, wanted = photo.garments, table.result_of(row).garments
        np.testing.assert_allclose(found.boxes_xyxy, wanted.boxes_xyxy, atol=0.01)
        np.testing.assert_allclose(found.keypoints_xy, wanted.keypoints_xy * wanted.of_type[..., None], atol=0.01)
    with pytest.raises(UserError, match="no part-"):
        export_coco.main([str(tmp_path), "--out", str(tmp_path / "none.json")])


def test_what_is_unfinished_or_damaged_does_not_become_coco(annotated, tmp_path):
    folder, call = tmp_path / "annotated", [str(tmp_path / "annotated"), "--out", str(tmp_path / "shop.json")]
    shutil.copytree(annotated, folder)
    (part,) = folder.glob("part-*")
    part.write_bytes(part.read_bytes()[:200])
    with pytest.raises(UserError, match=re.escape(f"{part}: ArrowInvalid")):
        export_coco.main(call)
    part.unlink()
    with pytest.raises(UserError, match="1 of 1 blocks are not finished: run annotate again first"):
        export_coco.main(call)
    assert not (tmp_path / "shop.json").exists()


def test_two_runs_write_the_same_but_for_the_time(annotated, photos, tmp_path, model_dir):
    blocks = divide(tmp_path / "again", open_catalogue(photos), {"catalogue": "", "id column": None}, 1)
    annotate_block(blocks, 0, find_model(model_dir), batch_size=2, num_threads=0)
    first, second = (list(table.read_rows(folder)) for folder in (annotated, tmp_path / "again"))
    assert [row | {"time": 0} for row in first] == [row | {"time": 0} for row in second]


def test_the_schema_is_the_documented_one(annotated):
    schema = pq.read_schema(annotated / "part-00000000.parquet")
    assert schema.equals(table.schema())
    for name in schema.names:
        assert f"{name}" in table.__doc__
    assert pq.ParquetFile(io.BytesIO(table.parquet_of([]))).metadata.num_rows == 0


def test_the_model_is_the_highest_version_and_its_files_are_known(tmp_path, model_dir):
    export_fake_model(tmp_path / "cspn", version=2)
    export_fake_model(tmp_path / "cspn", version=10, shift=1.0)
    found = find_model(tmp_path / "cspn")
    assert (found.source, found.version) == (f"{tmp_path}/cspn/10", "10")
    assert find_model(tmp_path / "cspn/10") == found
    assert find_model(tmp_path / "cspn/2").fingerprint != found.fingerprint
    assert find_model().source == "shipped"
    with pytest.raises(CallError, match="no such file or directory"):
        find_model(tmp_path / "none")
    (tmp_path / "half/detector").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no model at .*half: it has no version directory"):
        find_model(tmp_path / "half")
    with pytest.raises(CallError, match=r"no model at memory://none"):
        find_model("memory://none")


def test_a_model_on_another_store_is_copied(model_dir):
    import fsspec

    fsspec.filesystem("memory").put(str(model_dir), "/models/cspn", recursive=True)
    found = find_model("memory://models/cspn")
    assert found == ModelFiles("memory://models/cspn/1", "1", find_model(model_dir).fingerprint)


def test_a_model_that_differs_on_a_machine_is_an_error(annotated, photos, tmp_path, model_dir):
    blocks = divide(tmp_path / "again", open_catalogue(photos), {"catalogue": "", "id column": None}, 1)
    files = ModelFiles(f"{model_dir}/1", "1", "of another machine")
    with pytest.raises(UserError, match="differs between the machines"):
        annotate_block(blocks, 0, files, batch_size=2, num_threads=0)
    assert blocks.finished() == set()
