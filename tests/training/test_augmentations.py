"""The contact sheets of augmented examples: a tile for every row and column, or one line that says why not."""

import numpy as np
import pytest
from PIL import Image

from cspn_tf import console
from cspn_tf.data.augmentation import draws
from training import augmentations


def call(*arguments):
    return console.run(augmentations.main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def sheets(tiny_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("sheets") / "sheet.png"
    assert call("--data", tiny_data, "--out", out, "--preset", "tiny", "--num-photos", 2, "--seed", 4) == 0
    return out


def tile(sheet, row, column):
    size, gap = augmentations.TILE_SIZE, max(augmentations.TILE_SIZE // 24, 4)
    height = (sheet.height - gap) // 2
    left, top = gap + column * (size + gap), gap + row * height
    return np.asarray(sheet.crop((left, top, left + size, top + size)), int)


def test_there_is_a_tile_for_each_photo_and_each_augmentation(sheets):
    assert sorted(path.name for path in sheets.parent.iterdir()) == ["sheet-detector.png", "sheet.png"]
    gap = max(augmentations.TILE_SIZE // 24, 4)
    for path, num in ((sheets, len(draws.AUGMENTATIONS)), (sheets.with_stem("sheet-detector"), len(draws.OF_DETECTOR))):
        sheet = Image.open(path)
        assert sheet.width == gap + (num + 3) * (augmentations.TILE_SIZE + gap)
        for row in range(2):
            original = tile(sheet, row, 0)
            for column in range(1, num + 3):
                assert np.abs(tile(sheet, row, column) - original).max() > 5, f"{path.name} row {row} column {column}"
        assert np.abs(tile(sheet, 0, 0) - tile(sheet, 1, 0)).mean() > 5


def test_the_flipped_tile_is_the_original_mirrored(sheets):
    sheet = Image.open(sheets)
    column = 1 + list(draws.AUGMENTATIONS).index("flip")
    # But for the tag, the names of the sides and the dots' rounding.
    away = np.abs(tile(sheet, 0, column)[20:, ::-1] - tile(sheet, 0, 0)[20:])
    assert np.median(away) == 0 and away.mean() < 3


def test_the_seed_decides_which_photos_and_what_is_drawn(tiny_data):
    photos = {seed: augmentations.choose_photos(tiny_data, "train", 3, seed) for seed in (4, 5)}
    again = augmentations.choose_photos(tiny_data, "train", 3, 4)
    names = {seed: [photo["photo_name"].numpy() for photo in chosen] for seed, chosen in photos.items()}
    assert names[4] == [photo["photo_name"].numpy() for photo in again] != names[5]
    drawn = [augmentations._draws_of_columns(augmentations.COMPOSED, seed, 0)[1]["angle"] for seed in (4, 4, 5)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.all(drawn[0] != drawn[2])


@pytest.mark.parametrize(
    "out, code, message",
    [
        ("sheet.jpg", 2, "--out must be a file named *.png"),
        ("missing/sheet.png", 2, "required a file in an existing folder"),
        ("sheet.png", 1, "is not a prepared dataset"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path, capsys, out, code, message):
    assert call("--data", tmp_path / "nothing", "--out", tmp_path / out) == code
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
