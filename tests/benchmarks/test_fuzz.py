import itertools
import random

import numpy as np
import pytest

from benchmarks import fuzz
from benchmarks.photos import synthesise_photo
from cspn_tf.console import UserError, run
from cspn_tf.decoding import decode_photo
from tests import photos

GOOD = [synthesise_photo(64), synthesise_photo(80)]


def answers(statuses):
    """Return outputs of the contract for photos of these statuses: no garments."""
    num = len(statuses)
    return {
        "status": np.array(statuses, np.int32),
        "image_size": np.zeros((num, 2), np.int32),
        "num_garments": np.zeros(num, np.int32),
        "boxes": np.zeros((num, 2, 4), np.float32),
        "classes": np.zeros((num, 2), np.int32),
        "scores": np.zeros((num, 2), np.float32),
        "keypoints": np.zeros((num, 2, 8, 2), np.float32),
        "keypoint_scores": np.zeros((num, 2, 8), np.float32),
    }


def by_decoder(batch):
    return answers([int(decode_photo(photo, 1_000_000)[2]) for photo in batch])


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(fuzz, "_slowest", lambda answer, files: {"num": len(files)})


def test_a_sound_decoder_has_no_failure_and_every_status(quick):
    found = fuzz.fuzz(by_decoder, GOOD, seconds=4.0, seed=1, batch_size=8)
    assert found["failed_batches"] == found["moved"] == 0 and found["largest_move"] == 0.0
    assert sum(found["statuses"].values()) == found["inputs"] > 50 and found["inputs"] % 7 == 0
    assert all(count > 0 for count in found["statuses"].values())
    assert found["peak_mb"] > 0 and found["slowest"]["num"] == 8 * 7


def test_failed_batches_and_moved_answers_are_counted(quick):
    def moves(batch):
        outputs = by_decoder(batch)
        outputs["scores"] += 0.25 * (len(batch) > 1)
        return outputs

    found = fuzz.fuzz(moves, GOOD, seconds=0.5, seed=1, batch_size=4)
    assert found["moved"] == found["inputs"] // 3 > 0 and found["largest_move"] == 0.25

    def fails(batch):
        if len(batch) > 1:
            raise RuntimeError("no\nmemory")
        return by_decoder(batch)

    found = fuzz.fuzz(fails, GOOD, seconds=0.5, seed=1, batch_size=4)
    assert found["failed_batches"] == found["inputs"] // 3 > 3
    assert found["errors"] == ["RuntimeError: no memory"] * 3


def test_a_good_photo_that_is_refused_ends_it():
    with pytest.raises(UserError, match="a good photo is not answered with status 0"):
        fuzz.fuzz(by_decoder, [b"no photo"], seconds=1.0, seed=1, batch_size=4)


def test_a_seed_repeats_the_mutations():
    files = fuzz.encodings(GOOD[:1])
    assert len({file[:8] for file in files}) > 5
    one, same, other = ([fuzz.mutate(random.Random(seed), files) for _ in range(1)] for seed in (3, 3, 4))
    assert one == same != other


@pytest.mark.parametrize("mutation", dict.fromkeys(fuzz._MUTATIONS), ids=lambda mutation: mutation.__name__)
def test_every_mutation_changes_files_and_survives_short_ones(mutation):
    files = fuzz.encodings(GOOD[:1])
    draw, changed = random.Random(0), 0
    for file in [*files * 4, b"", b"\xff", b"\x89PNG", file_of_header()]:
        content = bytearray(file)
        mutation(draw, content, files)
        changed += bytes(content) != file
    assert changed >= 6


def file_of_header():
    return photos.png(photos.picture(8, 8))[:20]


def test_sizes_are_those_of_the_headers():
    assert fuzz.claimed_size(photos.png(photos.picture(30, 40))) == (30, 40)
    assert fuzz.claimed_size(photos.jpeg(photos.picture(30, 40), progressive=True, orientation=6)) == (30, 40)
    assert fuzz.claimed_size(b"GIF89a") == fuzz.claimed_size(b"\xff\xd8") == (0, 0)


def test_what_pillow_reads_and_we_do_not_is_counted_by_format(quick, monkeypatch):
    png = photos.png(photos.picture(9, 9))
    refused = itertools.cycle([GOOD[1], png, png, b"\xff\xd8nothing"])
    monkeypatch.setattr(fuzz, "mutate", lambda draw, files: next(refused))

    def answer(files):
        return answers([0 if file == GOOD[0] else 3 for file in files])

    found = fuzz.fuzz(answer, GOOD[:1], seconds=0.2, seed=1, batch_size=5)
    assert found["read_by_pillow"] == {"JPEG": found["inputs"] // 4, "PNG": found["inputs"] // 2}


def test_the_slowest_photo_is_found_and_compared(monkeypatch):
    seconds = iter([1.0, 5.0, 2.0, 5.0, 6.0, 7.0, 2.5, 2.5, 2.5, 0.5, 0.5, 0.5])
    clock = [0.0]
    monkeypatch.setattr(fuzz.time, "monotonic", lambda: clock[0])

    def answer(batch):
        clock[0] += next(seconds)
        return {"status": np.array([3])}

    files = [b"a", photos.png(photos.picture(30, 40)), b"c"]
    found = fuzz._slowest(answer, files)
    assert found == {
        "kilobytes": len(files[1]) / 1000,
        "pixels": 1200,
        "status": 3,
        "seconds": 5.0,
        "over_good": 2.0,
        "over_12_mp": 10.0,
    }


def test_a_decoder_that_fails_a_batch_is_reported(model_dir, tmp_path, capsys, monkeypatch):
    """The fake model has TensorFlow's plain decoder."""
    monkeypatch.setattr(fuzz, "set_threads", lambda *_: None)
    monkeypatch.setattr(fuzz, "_slowest", lambda answer, files: None)
    out = tmp_path / "found.json"
    assert run(fuzz.main, ["--model", str(model_dir), "--seconds", "1", "--json", str(out)]) == 1
    printed = capsys.readouterr().out
    assert "failed batches: " in printed and "failed batches: 0" not in printed and "DecodeImage" in printed
    assert "good answers moved: 0" in printed and out.exists()
