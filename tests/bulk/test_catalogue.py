"""Catalogues of every kind: what is listed, and what is read."""

import csv
import os

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cspn_tf.bulk.catalogue import Columns, Photo, open_catalogue, read_photos
from cspn_tf.console import CallError, UserError


@pytest.fixture
def photos(tmp_path):
    """A folder of files with known content, and what is no photo."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.jpg", "a.PNG", "sub/c.jpeg", ".hidden.jpg", "notes.txt", "b.keypoints.jpg"):
        (folder / name).write_bytes(f"bytes of {name}".encode())
    os.mkfifo(folder / "pipe.jpg")
    return folder


def listed(source, **columns):
    return list(open_catalogue(source, Columns(**columns)).photos)


def read(source, **columns):
    """Return id → bytes of all photos of a catalogue."""
    catalogue = open_catalogue(source, Columns(**columns))
    found = list(catalogue.photos)
    contents = read_photos(catalogue.kind, found, catalogue.bytes_column)
    return dict(zip([photo.id for photo in found], contents, strict=True))


def test_a_folder_is_listed_with_relative_paths_as_ids(photos):
    assert listed(photos) == [
        Photo("a.PNG", f"{photos}/a.PNG"),
        Photo("b.jpg", f"{photos}/b.jpg"),
        Photo("sub/c.jpeg", f"{photos}/sub/c.jpeg"),
    ]
    assert read(photos) == {name: f"bytes of {name}".encode() for name in ("a.PNG", "b.jpg", "sub/c.jpeg")}


def test_a_pattern_matches_any_file_and_its_paths_are_the_ids(photos):
    assert listed(f"{photos}/**/*.jp*g") == [Photo(f"{photos}/{n}", f"{photos}/{n}") for n in ("b.jpg", "sub/c.jpeg")]


def test_a_single_photo_is_a_catalogue(photos):
    assert read(photos / "b.jpg") == {f"{photos}/b.jpg": b"bytes of b.jpg"}


def test_a_name_like_a_chain_of_uris_is_a_file(tmp_path):
    (tmp_path / "10::30.jpg").write_bytes(b"half past ten")
    (tmp_path / "linked.jpg").symlink_to(tmp_path / "10::30.jpg")
    assert read(tmp_path) == dict.fromkeys(("10::30.jpg", "linked.jpg"), b"half past ten")


def test_another_store_is_listed_and_read():
    store = fsspec.filesystem("memory")
    store.pipe({"/shop/x.jpg": b"x", "/shop/deep/y.png": b"y", "/shop/list.txt": b"x.jpg\nmemory:///shop/deep/y.png\n"})
    assert read("memory://shop/") == {"x.jpg": b"x", "deep/y.png": b"y"}
    assert read("memory://shop/list.txt") == {"x.jpg": b"x", "memory:///shop/deep/y.png": b"y"}


def test_a_text_list_holds_absolute_and_relative_paths(photos):
    file = photos.parent / "list.txt"
    file.write_text(f"\ufeffphotos/b.jpg\r\n\r\n{photos}/a.PNG\nphotos/none.jpg\n", "utf-8")
    found = read(file)
    assert found == {
        "photos/b.jpg": b"bytes of b.jpg",
        f"{photos}/a.PNG": b"bytes of a.PNG",
        "photos/none.jpg": "No such file or directory",
    }


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_a_csv_list_has_a_column_of_paths_and_one_of_ids(photos):
    file = photos / "shop.csv"
    write_csv(file, [{"sku": "17", "path": "b.jpg", "x": "a.PNG"}, {"sku": "18", "path": "sub/c.jpeg", "x": "b.jpg"}])
    assert read(file) == {"b.jpg": b"bytes of b.jpg", "sub/c.jpeg": b"bytes of sub/c.jpeg"}
    assert read(file, id="sku", path="x") == {"17": b"bytes of a.PNG", "18": b"bytes of b.jpg"}


@pytest.mark.parametrize("row_group_size", [1, 3, 100])
def test_parquet_holds_paths_or_photos(photos, row_group_size):
    table = pa.table(
        {
            "sku": list(range(200)),
            "path": ["b.jpg", "a.PNG"] * 100,
            "image": [{"bytes": b"%d" % number if number != 7 else None, "path": "-"} for number in range(200)],
        }
    )
    pq.write_table(table, photos / "shop.parquet", row_group_size=row_group_size)
    assert len(listed(photos / "shop.parquet", path="path")) == 200
    with pytest.raises(CallError, match=r"paths in 'path' and bytes in 'image.bytes'"):
        listed(photos / "shop.parquet")
    assert read(photos / "shop.parquet", path="path", id="sku")["17"] == b"bytes of a.PNG"
    found = read(photos / "shop.parquet", bytes="image.bytes", id="sku")
    assert found == {str(n): b"%d" % n if n != 7 else "the row has no photo" for n in range(200)}
    # Without a column of paths, the only binary one is taken; a folder is a dataset of its Parquet files.
    pq.write_table(table.drop_columns("path"), photos / "sub" / "a.parquet")
    (photos / "sub" / "c.jpeg").unlink()
    assert list(read(photos / "sub"))[:2] == [f"{photos}/sub/a.parquet#0", f"{photos}/sub/a.parquet#1"]


def test_some_rows_of_a_parquet_file_are_read(photos):
    pq.write_table(pa.table({"b": [b"%d" % number for number in range(500)]}), photos / "x.parquet", row_group_size=90)
    rows = listed(photos / "x.parquet")[85:190]
    assert list(read_photos("row", rows, "b")) == [b"%d" % number for number in range(85, 190)]


def test_the_same_path_in_two_folders_is_two_photos(photos):
    for folder in (photos, photos / "sub"):
        pq.write_table(pa.table({"path": pa.array(["b.jpg"]).dictionary_encode()}), folder / "x.parquet")
    ids = [photo.id for photo in listed(f"{photos}/**/*.parquet")]
    assert ids == [f"{photos}/sub/b.jpg", f"{photos}/b.jpg"] or ids == [f"{photos}/b.jpg", f"{photos}/sub/b.jpg"]


def test_names_with_the_characters_of_patterns_are_found(tmp_path):
    folder = tmp_path / "a[1]*?"
    folder.mkdir()
    (folder / "x#%20[2].jpg").write_bytes(b"x")
    assert read(folder) == {"x#%20[2].jpg": b"x"}


def test_a_parquet_file_that_has_gone_gives_reasons(photos):
    pq.write_table(pa.table({"b": [b"1", b"2"]}), photos / "x.parquet")
    rows = listed(photos / "x.parquet")
    (photos / "x.parquet").unlink()
    assert list(read_photos("row", rows, "b")) == ["No such file or directory"] * 2


def test_prepared_tfrecords_give_their_photos(tiny_data, tiny_fld):
    found = read(tiny_data)
    assert len(found) == 64
    assert all(content == (tiny_fld / name).read_bytes() for name, content in found.items())


@pytest.mark.parametrize(
    "name, content, columns, error, words",
    [
        ("none", None, {}, CallError, "no such file"),
        ("empty", "folder", {}, CallError, "the folder is empty"),
        ("a.bmp", b"BM", {}, CallError, "must be one of .jpg"),
        ("a.csv", b"sku,photo_of_it\n1,2\n", {}, CallError, "--path-column"),
        ("a.csv", b"sku,path\n1,2\n", {"path": "nix"}, CallError, "no column 'nix': it has sku, path"),
        ("a.csv", b"sku,path\n1,2\n", {"id": "nix"}, CallError, "no column 'nix': it has sku, path"),
        ("a.csv", b"sku,path\n1,2\n2,\n", {}, UserError, "a.csv, line 3: no path"),
        ("a.csv", b"sku,path\n1,\xff\n", {}, UserError, "not UTF-8"),
        ("a.csv", b'path,title\na.jpg,"12 inch\nb.jpg,x\n', {}, UserError, "a.csv, line .: unexpected end of data"),
        ("a.csv", b'"path"x,title\na.jpg,1\n', {}, UserError, "a.csv, line 1: "),
        ("a.txt", b"x.jpg\n", {"id": "sku"}, CallError, "has no columns"),
        ("a.parquet", b"no parquet", {}, UserError, "cannot be read as Parquet"),
        ("a.tfrecord", b"\x10\0\0\0\0\0\0\0", {}, UserError, "ends within a record"),
        ("a.tfrecord", b"\x02\0\0\0\0\0\0\0crc.ababcrc.", {}, UserError, "not a shard of a prepared dataset"),
        ("nix://a/b", None, {}, CallError, "Protocol not known"),
    ],
)
def test_what_is_no_catalogue_is_one_clear_error(tmp_path, name, content, columns, error, words):
    path = tmp_path / name if "://" not in name else name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=words):
        listed(path, **columns)


def test_a_parquet_file_with_a_damaged_footer_or_page_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"path": [f"{number}.jpg" for number in range(1000)]}), path, compression="zstd")
    whole = path.read_bytes()
    footer, page = len(whole) - 60, 40
    for at in (footer, page):
        path.write_bytes(whole[:at] + b"\xff" * 20 + whole[at + 20 :])
        with pytest.raises(UserError, match=r"a\.parquet cannot be read as Parquet"):
            listed(path)


def test_a_pattern_of_lists_is_refused(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("path\na.jpg\n")
    with pytest.raises(CallError, match=r"\*\.csv matches 2 lists: give one"):
        listed(tmp_path / "*.csv")
    # Beside photos they are files like any other.
    (tmp_path / "a.jpg").touch()
    assert [photo.id for photo in listed(tmp_path / "*")] == [
        str(tmp_path / name) for name in ("a.csv", "a.jpg", "b.csv")
    ]


def test_a_column_that_is_not_there_is_named(tmp_path):
    pq.write_table(pa.table({"sku": [1], "path": ["a"]}), tmp_path / "a.parquet")
    for columns, words in (
        ({"bytes": "image"}, "no column 'image': it has sku, path"),
        ({"bytes": "sku", "path": "path"}, "not both"),
        ({"bytes": "path"}, "column 'path' must be binary, it is text"),
        ({"path": "sku"}, "column 'sku' must be text, it is int64"),
    ):
        with pytest.raises(CallError, match=words):
            listed(tmp_path, **columns)
    pq.write_table(pa.table({"sku": [1]}), tmp_path / "b.parquet")
    with pytest.raises(UserError, match=r"b.parquet cannot be read as Parquet"):
        listed(tmp_path)


def test_ids_that_are_not_marked_as_text_are_text_all_the_same(tmp_path):
    schema = pa.schema([("sku", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"sku": [b"A1", "ä".encode()], "path": ["a.jpg", "b.jpg"]}, schema), tmp_path / "a.parquet")
    assert [photo.id for photo in listed(tmp_path, id="sku", path="path")] == ["A1", "ä"]
    pq.write_table(pa.table({"sku": [b"A1", b"\xff"], "path": ["a.jpg", "b.jpg"]}, schema), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet, row 1: the id is not UTF-8"):
        listed(tmp_path, id="sku", path="path")


def test_rows_that_went_since_the_listing_have_a_reason(tmp_path):
    for num_left in (1, 0):
        pq.write_table(pa.table({"photo": [b"one", b"two", b"three"]}), tmp_path / "a.parquet")
        catalogue = open_catalogue(tmp_path, Columns())
        photos = list(catalogue.photos)
        pq.write_table(pa.table({"photo": pa.array([b"new"] * num_left, pa.binary())}), tmp_path / "a.parquet")
        found = list(read_photos(catalogue.kind, photos, catalogue.bytes_column))
        assert found == [b"new"] * num_left + ["the file has fewer rows than when it was listed"] * (3 - num_left)


def test_a_name_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / b"\xff.jpg".decode("utf-8", "surrogateescape")).write_bytes(b"x")
    with pytest.raises(UserError, match="not UTF-8: rename it"):
        listed(tmp_path)
