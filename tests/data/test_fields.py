import pytest

from cspn_tf.data import fields
from cspn_tf.data.fields import RowFault


@pytest.mark.parametrize(
    "value, whole",
    [
        (7, 7),
        (0, 0),
        (10**30, 10**30),
        (7.0, 7),
        (-0.0, 0),
        (2.0**53 - 1, 2**53 - 1),
        ("7", 7),
        ("007", 7),
        ("7.0", 7),
        ("9" * 30, 10**30 - 1),
    ],
)
def test_spellings_of_whole_numbers(value, whole):
    assert fields.whole_number(value, "it") == fields.identifier(value, "it") == whole
    assert fields.one_of(value, "it", (whole, -1)) == whole


@pytest.mark.parametrize(
    "value", [-1, 1.5, -7.0, 2.0**53, 1e300, float("nan"), float("inf"), True, False, None, [7], {"7": 7}]
)
def test_what_is_no_whole_number_is_no_id(value):
    for read in (fields.whole_number, fields.identifier):
        with pytest.raises(RowFault, match=r"it is .*, required a whole number"):
            read(value, "it")


@pytest.mark.parametrize("text", ["a7", "7.5", "-7", "+7", " 7", "7 ", "1e3", "0x7", "٧", "²", "9" * 5000])
def test_other_text_is_an_id_and_no_number(text):
    assert fields.identifier(text, "it") == text
    for read in (fields.whole_number, lambda value, what: fields.one_of(value, what, (7, 1, 2))):
        with pytest.raises(RowFault):
            read(text, "it")


@pytest.mark.parametrize(
    "value, number", [(12.5, 12.5), (-3, -3), ("12.5", 12.5), ("-3", -3), ("007.0", 7), ("1000000", 1e6)]
)
def test_spellings_of_coordinates(value, number):
    assert fields.number(value, "it") == number and type(fields.number(value, "it")) is float


@pytest.mark.parametrize("value", ["", " 1", "1e3", "nan", "inf", "+1", ".5", "1.", "1,5", "1_0", "0x5", "1.2.3", "٧"])
@pytest.mark.parametrize("read", [fields.number, lambda value, what: fields.keypoint(value, 1, 2, what, {2: 2})])
def test_other_text_is_no_coordinate(value, read):
    with pytest.raises(RowFault, match=r"it is '.*', required a number"):
        read(value, "it")


@pytest.mark.parametrize("value", [True, None, [1], {}])
def test_other_values_are_no_coordinate(value):
    with pytest.raises(RowFault, match=r"it is .*, required a number"):
        fields.number(value, "it")


@pytest.mark.parametrize("value", ["1000001", "9" * 200, 1e7, float("nan"), float("-inf"), 10**400])
def test_a_coordinate_beyond_all_photos_is_none(value):
    with pytest.raises(RowFault, match=r"it .* is not a number of pixels"):
        fields.number(value, "it")


def test_empty_text_is_no_id():
    with pytest.raises(RowFault, match="it is '', required a whole number or text"):
        fields.identifier("", "it")


@pytest.mark.parametrize("value", [3, 1.5, "1.5", "x", True, None, []])
def test_an_unknown_code_names_the_known_ones(value):
    with pytest.raises(RowFault, match=r"it is .*, required 2, 1, 0"):
        fields.one_of(value, "it", (2, 1, 0))


@pytest.mark.parametrize(
    "name, path",
    [
        ("img/1.jpg", "img/1.jpg"),
        ("./img//1.jpg", "img/1.jpg"),
        ("Screenshot 2024-05-01 at 9.41.00\u202fAM.png", "Screenshot 2024-05-01 at 9.41.00\u202fAM.png"),
        ("a\u00a0b\u3000c\u200b.jpg", "a\u00a0b\u3000c\u200b.jpg"),
        ("👩\u200d👧.jpg", "👩\u200d👧.jpg"),
        ("a\\b.jpg", "a\\b.jpg"),
        ("a%20b.jpg", "a%20b.jpg"),
        ("..a..jpg", "..a..jpg"),
    ],
)
def test_names_of_photos(name, path):
    assert fields.photo_name(name, "name") == path


@pytest.mark.parametrize(
    "name, words",
    [
        (None, "name is null, required text"),
        ("", "name '' is not a path inside the dataset"),
        (".", "name '.' is not a path inside the dataset"),
        ("../2.jpg", "name '../2.jpg' is not a path inside the dataset"),
        ("a/../2.jpg", "name 'a/../2.jpg' is not a path inside the dataset"),
        ("/2.jpg", "name '/2.jpg' is not a path inside the dataset"),
        ("2\0.jpg", "name '2\\x00.jpg' has control characters or is not UTF-8"),
        ("2\n.jpg", "name '2\\n.jpg' has control characters or is not UTF-8"),
        ("2\x85.jpg", "name '2\\x85.jpg' has control characters or is not UTF-8"),
        ("\ud800.jpg", "name '\\ud800.jpg' has control characters or is not UTF-8"),
    ],
)
def test_what_is_no_name_of_a_photo(name, words):
    with pytest.raises(RowFault) as fault:
        fields.photo_name(name, "name")
    assert str(fault.value) == words
