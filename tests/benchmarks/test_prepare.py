import re

from benchmarks import prepare as benchmark
from cspn_tf.console import run


def test_rates_of_copy_and_prepare_are_printed_side_by_side(tiny_fld, tmp_path, capsys):
    arguments = ["--root", str(tiny_fld), "--photos", "12", "--repeats", "2", "--scratch", str(tmp_path)]
    assert run(benchmark.main, arguments) == 0
    title, head, copy, prepare = capsys.readouterr().out.splitlines()
    assert re.match(r"12 photos, \d+ kB each, ", title)
    assert head.split() == ["photos/s", "MB/s", "of", "copy"]
    assert re.fullmatch(r"copy +\d+ +\d+ +1\.00", copy)
    rate, _, ratio = prepare.split()[1:]
    assert abs(float(ratio) - float(rate) / float(copy.split()[1])) < 0.02
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_without_photos_is_named(tiny_fld, tmp_path, capsys):
    for folder in ("Anno", "Eval"):
        (tmp_path / folder).symlink_to(tiny_fld / folder)
    assert run(benchmark.main, ["--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}: no photos to measure with\n"
