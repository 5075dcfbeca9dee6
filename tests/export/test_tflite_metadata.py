"""Metadata in a TensorFlow Lite file, read by the slots of its schema; interpreters are not disturbed by it."""

import io
import json
import zipfile

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from flatbuffers.number_types import Float32Flags, Uint32Flags
from tensorflow.lite.tools import flatbuffer_utils

import cspn_tf
from cspn_tf.config import preset
from cspn_tf.contract import CANVAS_OUTPUTS, Output
from cspn_tf.export.saved_model import description
from cspn_tf.export.tflite_metadata import with_metadata

SIZE = 32
OUTPUTS = ("num_garments", "scores", "classes", "boxes")
IMAGE = Output("uint8", (1, SIZE, SIZE, 3), "the letterboxed photo, RGB")


@pytest.fixture(scope="module")
def about():
    return json.loads(
        json.dumps(
            description(preset("mobile"), {key: CANVAS_OUTPUTS[key] for key in OUTPUTS}, inputs={"image": IMAGE})
        )
    )


@pytest.fixture(scope="module")
def described(about, tmp_path_factory):
    """A small model with outputs of the contract's names: the image's mean, times 1 to 4."""

    @tf.function(input_signature=[tf.TensorSpec(IMAGE.shape, IMAGE.dtype, "image")])
    def function(image):
        mean = tf.reduce_mean(tf.cast(image, tf.float32))
        return {name: mean * (1 + number) for number, name in enumerate(OUTPUTS)}

    folder = str(tmp_path_factory.mktemp("small"))
    tf.saved_model.save(tf.Module(), folder, signatures={"serving_default": function})
    return with_metadata(tf.lite.TFLiteConverter.from_saved_model(folder).convert(), "cspn", about)


def test_interpreter_answers_as_without_metadata(described):
    found = tf.lite.Interpreter(model_content=described).get_signature_runner()(
        image=np.full(IMAGE.shape, 10, np.uint8)
    )
    assert {name: float(value) for name, value in found.items()} == dict(zip(OUTPUTS, (10, 20, 30, 40), strict=True))


def test_description_is_attached_and_does_not_depend_on_the_clock(described, about):
    with zipfile.ZipFile(io.BytesIO(described)) as attached:
        assert json.loads(attached.read("cspn.json")) == about
        assert {info.date_time for info in attached.infolist()} == {(1980, 1, 1, 0, 0, 0)}


class Table:
    """A FlatBuffer table; slots are numbered as in the schema."""

    def __init__(self, data, position):
        self.table = flatbuffers.table.Table(bytearray(data), position)

    @classmethod
    def root(cls, data):
        return cls(data, int.from_bytes(data[:4], "little"))

    def _at(self, slot):
        offset = self.table.Offset(4 + 2 * slot)
        return self.table.Pos + offset if offset else None

    def text(self, slot):
        return self.table.String(self._at(slot)).decode()

    def number(self, slot, kind):
        at = self._at(slot)
        return 0 if at is None else self.table.Get(kind, at)

    def table_in(self, slot):
        return Table(self.table.Bytes, self.table.Indirect(self._at(slot)))

    def tables(self, slot):
        at = self._at(slot)
        if at is None:
            return []
        offset = at - self.table.Pos
        first = self.table.Vector(offset)
        places = [first + 4 * index for index in range(self.table.VectorLen(offset))]
        return [Table(self.table.Bytes, self.table.Indirect(place)) for place in places]


def test_metadata_names_tensors_in_the_models_order_and_their_thresholds(described):
    model = flatbuffer_utils.convert_bytearray_to_object(described)
    (entry,) = (entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    data = bytes(model.buffers[entry.buffer].data)
    assert data[4:8] == b"M001"
    root = Table.root(data)
    assert (root.text(0), root.text(2), root.text(5)) == ("cspn-tf cspn", cspn_tf.__version__, "Apache-2.0")
    (graph,) = root.tables(3)
    (image,) = graph.tables(2)
    assert image.text(0) == "image"
    size = image.table_in(3).table_in(1).table_in(1)
    assert size.number(0, Uint32Flags) == SIZE
    outputs = graph.tables(3)
    (signature,) = model.signatureDefs
    names = {tensor.tensorIndex: tensor.name.decode() for tensor in signature.outputs}
    assert [output.text(0) for output in outputs] == [names[tensor] for tensor in model.subgraphs[0].outputs]
    by_name = {output.text(0): output for output in outputs}
    (threshold,) = by_name["scores"].tables(4)
    wanted = preset("mobile").detector.score_threshold
    assert threshold.table_in(1).number(0, Float32Flags) == pytest.approx(wanted) and wanted > 0
    assert by_name["classes"].tables(6)[0].text(0) == "garment_types.txt"
