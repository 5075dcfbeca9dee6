import os

from cspn_tf.cli.photo_paths import find_photos


def test_photos_are_found_in_order_once_and_hidden_files_are_not(tmp_path, capsys):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    hidden = ("._a.png", "sub/.hidden.jpg")
    for name in (
        "a.png",
        "sub/b.PNG",
        "sub/c.jpeg",
        "sub/d.webp",
        "sub/e.jfif",
        "notes.txt",
        "sub/c.keypoints.jpg",
        *hidden,
    ):
        (folder / name).touch()
    (folder / "sub" / "circle").symlink_to(folder, target_is_directory=True)
    (folder / "linked.jpg").symlink_to(folder / "a.png")
    given = [str(folder / "a.png"), str(folder), f"{folder}/../photos/./sub/b.PNG", "gone.jpg", "./gone.jpg"]
    names = ["a.png", "linked.jpg", "sub/b.PNG", "sub/c.jpeg", "sub/d.webp", "sub/e.jfif"]
    assert find_photos(given) == ([*(str(folder / name) for name in names), "gone.jpg"], [])
    assert capsys.readouterr().err == "skipped, links to folders: 1\n"


def test_other_pictures_are_counted_and_pipes_are_left_alone(tmp_path, capsys):
    for name in ("a.jpg", "b.HEIC", "c.heic", "d.avif", "e.txt", ".f.heic"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "g.jpg")
    (tmp_path / "h.jpg").symlink_to(tmp_path / "gone.jpg")
    assert find_photos([str(tmp_path)]) == ([str(tmp_path / "a.jpg"), str(tmp_path / "h.jpg")], [])
    assert capsys.readouterr().err == "skipped, not JPEG, PNG or WebP by name: 1 .avif, 2 .heic\n"
