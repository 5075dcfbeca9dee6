import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cspn_tf.config import Config
from cspn_tf.data.photo_checks import PhotoError, check_photo, label_fault, photo_facts
from cspn_tf.data.samples import Sample
from cspn_tf.decoding import decode_photo, pixels_as_displayed
from cspn_tf.garment_set import Garments
from cspn_tf.garments import GarmentType
from tests import photos
from tests.data.made import BOTH, LOWER, UPPER, photo_bytes


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_photo_is_measured_as_the_decoder_shows_it(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = photo_bytes(kind=kind, exif=exif)
    _, size, status = decode_photo(photo, Config.max_pixels)
    assert status == 0
    facts = photo_facts(photo)
    assert facts.size == tuple(size.numpy())


def _picture(seed):
    """A picture with large shapes, as photos have."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)).resize((160, 120), 3)


def _saved(picture, kind="JPEG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_copies_of_a_file_have_one_digest_and_another_file_has_another():
    assert photo_facts(photo_bytes(1)) == photo_facts(photo_bytes(1))
    assert photo_facts(photo_bytes(1)).digest != photo_facts(photo_bytes(2)).digest


def test_a_picture_saved_anew_looks_the_same_and_another_does_not():
    facts = photo_facts(_saved(_picture(1), quality=95))
    again = photo_facts(_saved(_picture(1), quality=90))
    assert facts.digest != again.digest
    assert facts.look == again.look
    assert len({photo_facts(_saved(_picture(seed))).look for seed in range(20)}) == 20


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_of_nothing_has_no_look(kind):
    assert photo_facts(_saved(Image.new("RGB", (64, 64), (200, 200, 200)), kind)).look is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a JPEG, PNG or WebP"),
        (photo_bytes(kind="GIF"), "is not a JPEG, PNG or WebP"),
        (photo_bytes()[:-500], "cannot be decoded: its picture data are broken or cut short"),
        (photo_bytes(kind="PNG")[:-500], "cannot be decoded: "),
    ],
)
def test_what_is_no_whole_photo_is_refused(content, message):
    with pytest.raises(PhotoError, match=message):
        photo_facts(content)


_WHOLE = [
    _saved(_picture(1).resize((64, 48)), kind, **options)
    for kind, options in (
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"restart_marker_blocks": 2}),
        ("PNG", {}),
    )
]


@st.composite
def _damaged(draw):
    """A photo's file cut short, with bytes changed, missing or put in, or something else altogether."""
    content = bytearray(draw(st.sampled_from(_WHOLE)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(content)))
        change = draw(st.sampled_from(["cut", "set", "set", "set", "drop", "insert", "replace"]))
        if change == "cut":
            del content[place:]
        elif change == "set":
            content[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif change == "drop":
            del content[place : place + draw(st.integers(1, 20))]
        elif change == "insert":
            content[place:place] = draw(st.binary(min_size=1, max_size=10))
        else:
            content[:] = draw(st.binary(max_size=60))
    return bytes(content)


@given(_damaged())
@settings(deadline=None, derandomize=True, max_examples=400)
def test_a_damaged_photo_is_refused_or_decodes_where_it_is_used(content):
    try:
        facts = photo_facts(content)
    except PhotoError as error:
        assert "\n" not in str(error)
        return
    _, size, status = decode_photo(content, Config.max_pixels)
    assert status == 0
    assert facts.size == tuple(size.numpy())


def test_a_photo_that_only_a_lenient_decoder_reads_is_refused():
    # A baseline JPEG without its end marker: Pillow has all rows by then.
    content = _WHOLE[0][:-2]
    _, _, status = decode_photo(content, Config.max_pixels)
    assert status == 3
    with pytest.raises(PhotoError, match="cannot be decoded: its picture data"):
        photo_facts(content)


def test_a_photo_of_too_many_pixels_is_refused(monkeypatch):
    monkeypatch.setattr(Config, "max_pixels", 60 * 80)
    assert photo_facts(photo_bytes()).size == (80, 60)
    with pytest.raises(PhotoError, match="has more pixels than allowed: 4800, of a PNG half as many"):
        photo_facts(photo_bytes(width=61))


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        ((0, 0, 9, 9), None),
        ((-20, -20, 0, 0), None),  # a corner is inside
        ((59, 79, 90, 90), None),
        ((60, 0, 90, 9), "box 60 0 90 9 lies outside the photo of 60 x 80 pixels"),
        ((0, -9, 9, -1), "box 0 -9 9 -1 lies outside the photo of 60 x 80 pixels"),
    ],
)
def test_a_box_must_touch_the_photo(box, fault):
    garments = Garments.label(GarmentType.LOWER_BODY, box, np.zeros((8, 2), np.float32), np.zeros(8, np.int32))
    assert label_fault(garments, (80, 60)) == fault


@pytest.mark.parametrize(
    ("xy", "visibility", "fault"),
    [
        ((59, 79), 2, None),
        ((60.5, 80.5), 1, None),  # a pixel beyond the edge at 59.5, 79.5
        ((60.75, 10), 2, "right_hem 60.75 10 lies outside the photo of 60 x 80 pixels"),
        ((10, -1.75), 1, "right_hem 10 -1.75 lies outside the photo of 60 x 80 pixels"),
        ((500, 500), 0, None),  # not labelled
    ],
)
def test_a_keypoint_may_lie_a_pixel_outside(xy, visibility, fault):
    keypoints_xy = np.zeros((8, 2), np.float32)
    keypoints_xy[7] = xy
    garments = Garments.label(
        GarmentType.LOWER_BODY, (0, 0, 9, 9), keypoints_xy, np.array([0] * 7 + [visibility], np.int32)
    )
    assert label_fault(garments, (80, 60)) == fault


def test_the_first_garment_at_fault_is_told():
    assert label_fault(BOTH, (80, 60)) is None
    # The lower garment's first keypoint beyond the right edge; its box, and the upper garment, reach in.
    assert label_fault(BOTH, (80, 45)) == "right_waistline 51 42 lies outside the photo of 45 x 80 pixels"
    assert label_fault(BOTH, (80, 3)) == "left_sleeve 5 6 lies outside the photo of 3 x 80 pixels"
    assert label_fault(Garments.concatenate([]), (80, 60)) is None


@pytest.mark.parametrize(
    ("path", "kind", "reason"),
    [
        ("gone.jpg", "missing photo", "photo 'img/a.jpg' is missing: no file "),
        (".", "unreadable photo", "photo 'img/a.jpg' cannot be read: Is a directory"),
        ("text.jpg", "unreadable photo", "photo 'img/a.jpg' is not a JPEG, PNG or WebP"),
        ("small.jpg", "label outside the photo", "right_waistline 51 42 lies outside the photo of 20 x 80 pixels"),
    ],
)
def test_a_photo_that_cannot_be_used_is_told_by_kind(tmp_path, path, kind, reason):
    (tmp_path / "text.jpg").write_text("text")
    (tmp_path / "small.jpg").write_bytes(photo_bytes(width=20))
    sample = Sample("img/a.jpg", "train", LOWER, "list.txt:3", f"{tmp_path}/{path}")
    rejected = check_photo(sample)
    assert (rejected.kind, rejected.photo, rejected.where) == (kind, "img/a.jpg", "list.txt:3")
    assert reason in rejected.reason
    assert rejected.sample is sample


def test_labels_that_fit_the_photo_as_stored_are_told(tmp_path):
    (tmp_path / "a.jpg").write_bytes(photos.jpeg(photos.picture(80, 60), orientation=6))
    rejected = check_photo(Sample("a.jpg", "train", LOWER, "list.txt:3", str(tmp_path / "a.jpg")))
    assert rejected.reason == (
        "left_hem 12 70 lies outside the photo of 80 x 60 pixels; "
        "rotated, it contains all labels: were they made on the photo as stored?"
    )
    assert rejected.size == (60, 80)


def test_photos_are_judged_the_same_in_threads():
    files = [file for file, _ in photos.awkward().values()] * 4

    def judge(file):
        try:
            return photo_facts(file)
        except PhotoError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(judge, files)) == list(map(judge, files))


def test_a_good_photo_comes_with_its_bytes(tmp_path):
    (tmp_path / "a.jpg").write_bytes(photo_bytes())
    content, facts = check_photo(Sample("a.jpg", "train", UPPER, "list.txt:3", str(tmp_path / "a.jpg")))
    assert content == photo_bytes()
    assert facts == photo_facts(photo_bytes())


def test_a_webp_is_kept_as_a_png(tmp_path):
    pixels = photos.picture(90, 70)
    (tmp_path / "a.webp").write_bytes(photos.webp(pixels))
    content, facts = check_photo(Sample("a.webp", "train", UPPER, "list.txt:3", str(tmp_path / "a.webp")))
    assert facts == photo_facts(content) and facts.size == (90, 70)
    np.testing.assert_array_equal(pixels_as_displayed(content), pixels)
