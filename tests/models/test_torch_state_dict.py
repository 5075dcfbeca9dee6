"""Files written opcode by opcode, as PyTorch's older serialisation lays them out, and files that are something else."""

import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from cspn_tf.console import UserError
from cspn_tf.models.torch_state_dict import read_state_dict

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C


def body(value):
    """Return the opcodes that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]  # without PROTO and STOP


def tensor(key, shape, stride, *, offset=0, storage="FloatStorage"):
    """Return the opcodes that push a tensor, as `torch.save` writes them."""
    persistent_id = (
        b"(" + body("storage") + f"ctorch\n{storage}\n".encode() + body(key) + body("cpu") + body(1) + b"NtQ"
    )
    arguments = persistent_id + body(offset) + body(shape) + body(stride) + b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def state_dict(tensors):
    """Return the pickle of an ordered dict of tensors with the `_metadata` attribute that modules give it."""
    items = b"".join(body(name) + opcodes for name, opcodes in tensors.items())
    metadata = b"}" + body("_metadata") + b"}sb"
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u" + metadata + b"."


def file_bytes(tensors, storages, magic=MAGIC_NUMBER):
    """Return a whole file: four pickles, the storages' keys, and each storage as a count and its values."""
    head = pickle.dumps(magic, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    content = head + state_dict(tensors) + pickle.dumps(list(storages), 2)
    return content + b"".join(struct.pack("<q", len(v)) + v.tobytes() for v in storages.values())


def small_file():
    """Return a file with two storages and every way in which a tensor can lie in one."""
    tensors = {
        "whole": tensor("7", (2, 3), (3, 1)),
        "transposed": tensor("7", (3, 2), (1, 3)),
        "second_row": tensor("7", (3,), (1,), offset=3),
        "repeated": tensor("7", (2, 2), (0, 1), offset=4),
        "nothing": tensor("7", (0, 3), (3, 1)),
        "steps": tensor("3", (), (), storage="LongStorage"),
    }
    storages = {"3": np.array([-(2**40)], "<i8"), "7": np.arange(6, dtype="<f4") / 4}
    return file_bytes(tensors, storages)


def write(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    return path


def refusal(path):
    """Return the message with which a file is refused, after checking its form."""
    with pytest.raises(UserError) as caught:
        read_state_dict(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_reads_values_strides_and_offsets(tmp_path):
    arrays = read_state_dict(write(tmp_path, small_file()))
    assert list(arrays) == ["whole", "transposed", "second_row", "repeated", "nothing", "steps"]
    np.testing.assert_array_equal(arrays["whole"], np.float32([[0, 0.25, 0.5], [0.75, 1, 1.25]]))
    np.testing.assert_array_equal(arrays["transposed"], arrays["whole"].T)
    np.testing.assert_array_equal(arrays["second_row"], np.float32([0.75, 1, 1.25]))
    np.testing.assert_array_equal(arrays["repeated"], np.float32([[1, 1.25], [1, 1.25]]))
    assert arrays["nothing"].shape == (0, 3)
    assert arrays["steps"].shape == () and arrays["steps"] == -(2**40)
    assert arrays["whole"].dtype == np.float32 and arrays["steps"].dtype == np.int64


def test_gives_arrays_of_their_own(tmp_path):
    arrays = read_state_dict(write(tmp_path, small_file()))
    arrays["whole"][:] = 9.0
    assert arrays["transposed"].max() == 1.25


def test_refuses_a_file_cut_off_anywhere(tmp_path):
    content = small_file()
    for length in range(len(content)):
        assert "not a PyTorch state dict" in refusal(write(tmp_path, content[:length]))


def test_refuses_the_newer_zip_format(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", state_dict({"a": tensor("0", (1,), (1,))}))
        archive.writestr("archive/data/0", bytes(4))
    assert "older serialisation" in refusal(path)


@pytest.mark.parametrize("place", ["first", "in the dict"])
def test_runs_nothing_that_a_pickle_asks_for(tmp_path, place):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'touched'}",)

    attack = pickle.dumps(Attack(), 2)
    if place == "in the dict":
        attack = file_bytes({"a": attack[2:-1]}, {})
    assert f"holds a {os.system.__module__}.system" in refusal(write(tmp_path, attack))
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "tensors, message",
    [
        ({"a": tensor("0", (5,), (1,))}, "size of buffer"),
        ({"a": tensor("0", (2,), (1,), offset=3)}, "size of buffer"),
        ({"a": tensor("0", (2, 2), (3, 1))}, "size of buffer"),
        ({"a": tensor("0", (2,), (-1,))}, "size of buffer"),
        ({"a": tensor("0", (2,), (1,), offset=-1)}, "size of buffer"),
        ({"a": tensor("0", (2, 2), (1,))}, "same length as shape"),
        ({"a": tensor("0", (1,), (1,), storage="HalfStorage")}, "holds a torch.HalfStorage"),
        ({"epoch": body(3)}, "storage_key"),
        ({"a": tensor("1", (1,), (1,))}, "'0'"),
    ],
)
def test_refuses_tensors_that_are_not_as_they_should_be(tmp_path, tensors, message):
    assert message in refusal(write(tmp_path, file_bytes(tensors, {"0": np.ones(4, "<f4")})))


def test_refuses_other_files(tmp_path):
    assert "wrong magic number" in refusal(write(tmp_path, file_bytes({}, {}, magic=1)))
    refusal(write(tmp_path, b""))
    assert "No such file" in refusal(tmp_path / "nothing.pth")
    assert "directory" in refusal(tmp_path)


@pytest.mark.parametrize("byte", [b"\xff", b"0"])
def test_a_damaged_byte_gives_an_error_of_one_kind_or_other_values(tmp_path, byte):
    content = small_file()
    num_refused = 0
    for position in range(len(content)):
        path = write(tmp_path, content[:position] + byte + content[position + 1 :])
        try:
            arrays = read_state_dict(path)
        except UserError:
            num_refused += 1
        else:
            assert all(isinstance(array, np.ndarray) for array in arrays.values())
    # Damage to a value, a number or a name can go unseen, most other damage cannot.
    assert num_refused > len(content) / 3
