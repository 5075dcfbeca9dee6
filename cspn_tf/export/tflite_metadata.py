"""Describe a TensorFlow Lite file inside the file: TFLite metadata, and the description as an attached JSON file.

Metadata is a FlatBuffer of its own in a buffer of the model; attached files are a ZIP archive behind the model, so
`unzip -p cspn.tflite cspn.json` reads them. Interpreters ignore both.

Source: TensorFlow Lite Support, `metadata_schema.fbs`, file identifier M001, from which the slot numbers below are.
"""

import io
import json
import zipfile

import numpy as np

from cspn_tf.garments import GARMENT_TYPE_NAMES

_LABELS = "garment_types.txt"
_BUFFER_NAME = b"TFLITE_METADATA"
_IDENTIFIER = b"M001"
# Members of the schema's enumerations and unions.
_RGB, _IMAGE, _BOUNDING_BOX, _BOUNDARIES, _PIXEL, _VALUE_LABELS, _NORMALIZATION, _THRESHOLDING = 1, 2, 3, 1, 1, 3, 1, 3
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP can hold: the file does not depend on the clock


def with_metadata(content: bytes, name: str, about: dict) -> bytes:
    """Return a TensorFlow Lite file with metadata.

    Args:
        content: the file without metadata.
        name: name of the file without its suffix.
        about: its description, see `saved_model.description`; it must have `inputs` and `outputs`.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(content)
    (signature,) = model.signatureDefs
    names = {tensor.tensorIndex: tensor.name.decode() for tensor in (*signature.inputs, *signature.outputs)}
    graph = model.subgraphs[0]
    buffer = schema.BufferT()
    buffer.data = _metadata(
        name, about, *([names[tensor] for tensor in side] for side in (graph.inputs, graph.outputs))
    )
    entry = schema.MetadataT()
    entry.name, entry.buffer = _BUFFER_NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    file = io.BytesIO(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))
    with zipfile.ZipFile(file, "a") as archive:
        labels = "".join(f"{label}\n" for label in ("padding", *GARMENT_TYPE_NAMES.values()))
        archive.writestr(zipfile.ZipInfo(_LABELS, _ZIP_TIME), labels)
        archive.writestr(zipfile.ZipInfo(f"{name}.json", _ZIP_TIME), json.dumps(about, indent=2))
    return file.getvalue()


def _metadata(name, about, input_names, output_names) -> bytes:
    """Return the metadata; tensors in the order of the model's inputs and outputs."""
    import flatbuffers

    write = _Writer(flatbuffers.Builder(4096))
    threshold = about["config"]["detector"]["score_threshold"]
    inputs = [write.input_tensor(key, about["inputs"][key]) for key in input_names]
    outputs = [write.output_tensor(key, about["outputs"][key], threshold) for key in output_names]
    graph = write.table({2: write.tables(inputs), 3: write.tables(outputs)})
    model = write.table(
        {
            0: write.text(f"cspn-tf {name}"),
            1: write.text(f"Clothing keypoints; {about['precision']}. Integer coordinates are pixel centres."),
            2: write.text(about["cspn_tf"]),
            3: write.tables([graph]),
            4: write.text("The cspn-tf authors"),
            5: write.text("Apache-2.0"),
            6: write.tables([write.table({0: write.text(f"{name}.json"), 1: write.text("config, inputs, outputs")})]),
            7: write.text("1.0.0"),
        }
    )
    write.builder.Finish(model, file_identifier=_IDENTIFIER)
    return bytes(write.builder.Output())


class _Writer:
    """Writes the schema's tables; tables, texts and vectors are offsets into the buffer."""

    def __init__(self, builder):
        self.builder = builder

    def text(self, text):
        return self.builder.CreateString(text)

    def tables(self, offsets):
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return self.builder.EndVector()

    def numbers(self, values, dtype):
        return self.builder.CreateNumpyVector(np.array(values, dtype))

    def table(self, offsets, small=(), wide=()):
        """Write a table: slot → offset, and slot → value for 8-bit integers (`small`) and 32-bit ones (`wide`)."""
        small, wide = dict(small), dict(wide)
        self.builder.StartObject(1 + max((*offsets, *small, *wide), default=-1))
        for slot, offset in offsets.items():
            self.builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, value in wide.items():
            self.builder.PrependUint32Slot(slot, value, 0)
        for slot, value in small.items():
            self.builder.PrependUint8Slot(slot, value, 0)
        return self.builder.EndObject()

    def input_tensor(self, name, tensor):
        parts = {0: self.text(name), 1: self.text(tensor["meaning"])}
        if tensor["dtype"] == "uint8":  # the image: taken as it is, which mean 0 and deviation 1 say
            height, width = tensor["shape"][1:3]
            image = self.table({1: self.table({}, wide={0: width, 1: height})}, small={0: _RGB})
            parts[3] = self.table({1: image}, small={0: _IMAGE})
            options = self.table({0: self.numbers([0.0], np.float32), 1: self.numbers([1.0], np.float32)})
            parts[4] = self.tables([self.table({1: options}, small={0: _NORMALIZATION})])
            parts[5] = self.table({0: self.numbers([255.0], np.float32), 1: self.numbers([0.0], np.float32)})
        return self.table(parts)

    def output_tensor(self, name, tensor, score_threshold):
        parts = {0: self.text(name), 1: self.text(tensor["meaning"])}
        if name == "boxes":
            order = self.numbers([0, 1, 2, 3], np.uint32)
            parts[3] = self.table(
                {1: self.table({0: order}, small={1: _BOUNDARIES, 2: _PIXEL})}, small={0: _BOUNDING_BOX}
            )
        if name == "scores":
            self.builder.StartObject(1)
            self.builder.PrependFloat32Slot(0, score_threshold, 0.0)
            options = self.builder.EndObject()
            parts[4] = self.tables([self.table({1: options}, small={0: _THRESHOLDING})])
        if name == "classes":
            labels = {0: self.text(_LABELS), 1: self.text("a line per class, from 0")}
            parts[6] = self.tables([self.table(labels, small={2: _VALUE_LABELS})])
        return self.table(parts)
