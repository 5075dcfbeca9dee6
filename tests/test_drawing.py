"""Drawings are looked at by people; the tests hold what must and must not be painted, and where."""

import numpy as np
import pytest
from PIL import Image

from cspn_tf import drawing
from cspn_tf.garment_set import Garments
from cspn_tf.garments import GarmentType, Visibility

GREY = (127, 127, 127)
KEYPOINTS = np.array([[80, 60], [120, 60], [50, 120], [150, 120], [70, 150], [130, 150], [70, 240], [130, 240]], float)
BOX = [40.0, 40.0, 160.0, 260.0]


def photo(width=200, height=300):
    return Image.new("RGB", (width, height), GREY)


def found(garment_type=3, keypoint_scores=(0.9,) * 8, keypoints_xy=KEYPOINTS):
    return Garments([garment_type], [BOX], [keypoints_xy], scores=[0.93], keypoint_scores=[keypoint_scores])


def draw(garment_type=3, keypoint_scores=(0.9,) * 8, image=None, **options):
    return drawing.draw_garments(image or photo(), found(garment_type, keypoint_scores), **options)


def changed(picture, image=None):
    """Return which pixels are not the photo's, bool `(H, W)`."""
    return (np.asarray(picture).astype(int) != np.asarray(image or photo())).any(axis=-1)


def truth(visibility):
    return Garments.label(GarmentType.FULL_BODY, BOX, KEYPOINTS, visibility)


def test_a_new_picture_of_the_photos_size_and_the_photo_left_alone():
    image = photo()
    picture = draw(image=image)
    assert (picture.mode, picture.size) == ("RGB", image.size)
    assert not changed(image).any()
    assert changed(picture).any()


@pytest.mark.parametrize("slot", range(8))
def test_a_keypoint_is_painted_where_it_is_in_its_pairs_colour(slot):
    x, y = KEYPOINTS[slot].astype(int)
    assert draw().getpixel((int(x), int(y))) == drawing.PAIR_COLOURS[slot // 2]


def test_a_box_is_painted_in_its_types_colour():
    for garment_type, colour in drawing.TYPE_COLOURS.items():
        row = np.asarray(draw(int(garment_type)))[200]
        found = np.flatnonzero((row == colour).all(axis=-1))
        assert {40, 159} <= set(found) or {41, 159} <= set(found)


def test_no_garments_give_the_photo():
    assert not changed(drawing.draw_garments(photo(), Garments([], [], []))).any()


@pytest.mark.parametrize(("minimum", "drawn"), [(0.0, True), (0.5, True), (0.6, True), (0.7, False)])
def test_keypoints_under_the_least_score_are_not_drawn(minimum, drawn):
    picture = draw(keypoint_scores=[0.9] * 7 + [0.6], min_keypoint_score=minimum)
    assert (picture.getpixel((130, 240)) == drawing.PAIR_COLOURS[3]) is drawn


def test_keypoints_that_are_probably_hidden_are_hollow():
    picture = draw(keypoint_scores=[0.9] * 6 + [0.49, 0.5], scale=2)
    assert picture.getpixel((141, 481)) == drawing.OUTLINE_COLOUR
    assert picture.getpixel((261, 481)) == drawing.PAIR_COLOURS[3]


def test_a_tag_hides_no_keypoint_of_another_garment():
    below = Garments([2], [[60, 155, 140, 290]], [KEYPOINTS + (0, 90)], scores=[0.9], keypoint_scores=[[0.9] * 8])
    x, y = 70, 150
    assert drawing.draw_garments(photo(), below).getpixel((x, y)) != GREY, "its tag is there"
    picture = drawing.draw_garments(photo(), Garments.concatenate([found(), below]))
    assert picture.getpixel((x, y)) == drawing.PAIR_COLOURS[2]


def test_keypoints_of_score_zero_are_never_drawn():
    assert not changed(draw(keypoint_scores=[0.0] * 8))[90:220, 60:140].any()


def test_keypoints_the_type_does_not_have_are_never_drawn():
    upper, lower = changed(draw(GarmentType.UPPER_BODY)), changed(draw(GarmentType.LOWER_BODY))
    assert upper[60, 80] and not upper[150, 70]
    assert lower[150, 70] and not lower[60, 80]


def test_scale_sets_the_pictures_size_and_the_points_follow():
    picture = draw(scale=2.5)
    assert picture.size == (500, 750)
    # The pixel-centre rule: photo x is at (x + 0.5) * 2.5 - 0.5.
    centre = [round(float((v + 0.5) * 2.5 - 0.5)) for v in KEYPOINTS[4]]
    assert picture.getpixel(tuple(centre)) == drawing.PAIR_COLOURS[2]


def test_lines_grow_with_the_picture():
    def thickness(size):
        image = photo(size, size)
        boxes = [[size * 0.25] * 2 + [size * 0.75] * 2]
        garment = Garments([1], boxes, np.zeros((1, 8, 2)), scores=[0.9], keypoint_scores=np.zeros((1, 8)))
        return changed(drawing.draw_garments(image, garment), image)[size // 2].sum() / 2

    assert thickness(1024) > 1.5 * thickness(512) > 1.5 * thickness(128) > 0


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_photos_of_other_modes(mode):
    assert draw(image=photo().convert(mode)).mode == "RGB"


@pytest.mark.parametrize("size", [(1, 1), (3000, 20), (4200, 10)])
def test_photos_of_odd_sizes_with_garments_outside(size):
    assert draw(image=photo(*size)).size == size


def test_labels_are_filled_where_visible_hollow_where_occluded_absent_otherwise():
    visible, occluded, cut_off = Visibility.VISIBLE, Visibility.OCCLUDED, Visibility.CUT_OFF
    label = truth([visible] * 4 + [occluded, occluded, visible, cut_off])
    picture = drawing.draw_garments(photo(), label, scale=2)
    assert picture.getpixel((141, 481)) == drawing.PAIR_COLOURS[3]
    assert picture.getpixel((141, 301)) == drawing.OUTLINE_COLOUR
    assert picture.getpixel((261, 481)) == GREY


def test_the_tag_has_the_score_where_there_is_one():
    # Above the box, where there is nothing else; the plate is as wide as its text.
    with_score = changed(drawing.draw_garments(photo(), found()))[:38]
    without = changed(drawing.draw_garments(photo(), truth([0] * 8)))[:38]
    assert with_score.any(axis=0).sum() > without.any(axis=0).sum() + 10 > 10


def test_keypoints_of_which_nothing_is_known_are_those_of_the_type():
    garment = Garments([GarmentType.LOWER_BODY], [BOX], [KEYPOINTS])
    picture = changed(drawing.draw_garments(photo(), garment))
    assert picture[150, 70] and not picture[60, 80]


def test_the_first_garments_come_out_on_top():
    first, second = found(1), found(2)
    row = np.asarray(drawing.draw_garments(photo(), Garments.concatenate([first, second])))[30]
    assert (row == drawing.TYPE_COLOURS[1]).all(axis=-1).any()


@pytest.mark.parametrize(("match", "joined"), [(0, True), (-1, False)])
def test_comparison_joins_matched_keypoints_with_their_predictions(match, joined):
    visibility = [0, 0, 0, 0, 0, 0, 2, 0]
    moved = found(keypoints_xy=KEYPOINTS + [0, -60])
    picture = drawing.draw_comparison(photo(), truth(visibility), moved, [match], scale=2)
    assert picture.getpixel((141, 481)) == drawing.TRUTH_COLOUR
    assert picture.getpixel((141, 361)) == drawing.PAIR_COLOURS[3]
    assert (picture.getpixel((141, 420)) != GREY) is joined


def test_wrong_scale_is_an_error():
    with pytest.raises(ValueError, match="scale must be above 0, received 0"):
        draw(scale=0)


# Contact sheets ------------------------------------------------------------------------------------------------------


def test_contact_sheet_places_tiles_in_rows():
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    tiles = [Image.new("RGB", (50, 50), colour) for colour in colours]
    sheet = drawing.contact_sheet(tiles, columns=2, tile_size=96, captions=["a", "b", "c"])
    # A caption has 1.8 times the height of its font, 10 pixels.
    assert sheet.size == (4 + 2 * 100, 4 + 2 * 118)
    assert [sheet.getpixel(at) for at in ((50, 50), (150, 50), (50, 168))] == colours
    assert sheet.getpixel((150, 168)) not in colours


def test_contact_sheet_keeps_proportions():
    sheet = drawing.contact_sheet([Image.new("RGB", (300, 100), (200, 0, 0))], columns=4, tile_size=96, captions=[""])
    red = (np.asarray(sheet) == (200, 0, 0)).all(axis=-1)
    assert (red.any(axis=0).sum(), red.any(axis=1).sum()) == (96, 32)


def test_contact_sheet_writes_captions_below_and_cuts_long_ones():
    images = [Image.new("RGB", (40, 40), GREY)] * 2
    sheet = drawing.contact_sheet(images, 2, 100, ["", "a caption that is much longer than its tile is wide"])
    below = np.asarray(sheet)[104 + 1 : -4]
    ink = (below < 200).all(axis=-1).any(axis=0)
    assert not ink[:104].any()
    assert ink[108:208].any()
    assert not ink[209:].any()
