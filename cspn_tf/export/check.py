"""Check an exported version for what a serving platform relies on, without the networks it was made from.

`cspn-tf check` prints the findings; every export ends with the same checks and fails with them.
"""

import json
import re
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from cspn_tf import contract
from cspn_tf.console import UserError, one_line
from cspn_tf.files import plain_path
from cspn_tf.inference.versions import DESCRIPTION_FILE, read_served_graph
from cspn_tf.result import results_of_outputs
from cspn_tf.serve import wire
from cspn_tf.serve.warmup import MAX_WARMUP_RECORDS, read_warmup_records, warmup_file

# Operations of TensorFlow's core that exports of this package use; `make test-runtimes` verifies that every TensorFlow
# version of docs/compatibility.md has them. Another one may be added if it is in TensorFlow's core and harmless.
_OPS = """
Abs AddN AddV2 All Any ArgMax Assert AssignVariableOp AvgPool BatchMatMulV2 BiasAdd Cast Ceil ConcatV2
ConcatenateDataset Const Conv2D Conv2DBackpropInput CropAndResize Cumsum DatasetToSingleElement DecodeCompressed
DecodeJpeg DecodePaddedRaw DecodePng DepthwiseConv2dNative EnsureShape Equal Exp ExpandDims ExtractJpegShape
FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod FusedBatchNormV3 GatherNd
GatherV2 Greater GreaterEqual Identity IdentityN If IgnoreErrorsDataset LeakyRelu LeftShift Less LessEqual Log
LogicalAnd LogicalNot LogicalOr MapDataset MatMul Max MaxPool Maximum Mean MergeV2Checkpoints Min Minimum Mul Neg NoOp
NonMaxSuppressionV4 NonMaxSuppressionV5 NotEqual OneHot Pack Pad PadV2 PartitionedCall Placeholder Pow Prod Range
ReadVariableOp RealDiv Reciprocal ReduceJoin Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor RestoreV2
ReverseV2 Round Rsqrt SaveV2 ScaleAndTranslate ScatterNd Select SelectV2 Shape ShardedFilename Sigmoid Size Slice
Softmax Softplus Split SplitV Sqrt Square SquaredDifference Squeeze StatefulPartitionedCall StatelessCase StatelessIf
StatelessWhile StaticRegexFullMatch StaticRegexReplace StridedSlice StringJoin StringLength StringSplitV2
StringToNumber Sub Substr Sum TakeDataset Tanh TensorDataset TensorListFromTensor TensorListGetItem TensorListReserve
TensorListSetItem TensorListStack TensorSliceDataset Tile TopKV2 Transpose Unpack VarHandleOp VarIsInitializedOp Where
ZerosLike
"""
ALLOWED_OPS = frozenset(_OPS.split())
# TensorFlow version whose exports are known to be served.
WRITTEN_BY = "2.15"
# Shorter paths, such as `/` and `/w`, are in large weights by chance.
_SHORTEST_PLACE = 4
_DESCRIPTION_KEYS = ("cspn_tf", "config", "precision", "limits", "outputs", "keypoint_order", "pixel_rule")


def check(version_dir) -> list:
    """Check an exported version.

    Args:
        version_dir: the version directory.

    Returns:
        A list of (what is checked, detail, faults), in the order of the checks: two strings, and a list of strings,
        empty if the check is passed. The checks that follow depend on the first: if it fails, it is the only one.
    """
    version_dir = Path(version_dir)
    try:
        graph = read_served_graph(version_dir)
    except UserError as error:
        return [("saved model", str(version_dir), [str(error)])]
    writer = graph.meta_info_def.tensorflow_version
    faults = []
    if writer.rsplit(".", 1)[0] != WRITTEN_BY:
        faults.append(f"written by TensorFlow {writer}; exports are known to be served if written by {WRITTEN_BY}")
    found = [("saved model", f"written by TensorFlow {writer}", faults), _check_operations(graph.graph_def)]
    try:
        found.append(_check_signatures(graph.signature_def))
        found.append(_check_answer_size(graph.signature_def))
    except (TypeError, ValueError) as error:  # a dtype or a shape that there is not
        return [*found, ("signatures", "", [f"cannot be read: {one_line(error)}"])]
    found.append(_check_description(version_dir / DESCRIPTION_FILE))
    found.append(_check_paths(version_dir))
    if not any(faults for *_, faults in found):
        found.append(_check_warmup(version_dir))
    return found


def _check_operations(graph_def):
    functions = {function.signature.name: function for function in graph_def.library.function}
    nodes = [*graph_def.node, *(node for function in functions.values() for node in function.node_def)]
    used = {node.op for node in nodes} - set(functions)
    faults = [f"operation {name} is not in the allow-list" for name in sorted(used - ALLOWED_OPS)]
    holders = [*functions.values(), *nodes]
    if any(holder.attr["_XlaMustCompile"].b for holder in holders if "_XlaMustCompile" in holder.attr):
        faults.append("a function must be compiled by XLA, which TF Serving does not do by default")
    return "operations", f"{len(used)} kinds, all of TensorFlow's core, none in Python, none forced into XLA", faults


def _check_signatures(signatures):
    """Check the names of the signatures, and their inputs and outputs."""
    wanted = {
        contract.BYTES_SIGNATURE: (contract.BYTES_INPUT, tf.string, 1),
        contract.PIXELS_SIGNATURE: (contract.PIXELS_INPUT, tf.uint8, 4),
    }
    faults = []
    served = {name for name in signatures if not name.startswith("__")}
    if served != set(wanted):
        faults.append(f"signatures must be {', '.join(wanted)}; received {', '.join(sorted(served))}")
    for name in sorted(served & set(wanted)):
        input_name, dtype, rank = wanted[name]
        signature = signatures[name]
        shapes = {input_name: (dtype, rank), **{key: (o.dtype, len(o.shape)) for key, o in contract.OUTPUTS.items()}}
        tensors = {**signature.inputs, **signature.outputs}
        if set(signature.inputs) != {input_name} or set(signature.outputs) != set(contract.OUTPUTS):
            faults.append(f"{name}: its inputs and outputs are {', '.join(sorted(tensors))}; not the contract's")
            continue
        for key, info in tensors.items():
            shape = tf.TensorShape(info.tensor_shape)
            if tf.as_dtype(info.dtype) != shapes[key][0] or shape.rank != shapes[key][1]:
                faults.append(f"{name}: {key} is {tf.as_dtype(info.dtype).name} {shape}; not the contract's")
            elif shape[0] is not None or (key != contract.PIXELS_INPUT and None in shape.as_list()[1:]):
                faults.append(
                    f"{name}: {key} must have a batch of any size first and static sizes after it; is {shape}"
                )
    return "signatures", f"{' and '.join(wanted)}, exactly the contract, batch first", faults


def _check_answer_size(signatures):
    """State the bytes that an answer has per photo; sizes that are not static are faults of the signatures."""
    outputs = signatures[contract.BYTES_SIGNATURE].outputs.values() if contract.BYTES_SIGNATURE in signatures else ()
    shapes = [[dim.size for dim in info.tensor_shape.dim[1:]] for info in outputs]
    sizes = [tf.as_dtype(info.dtype).size * np.prod(shape) for info, shape in zip(outputs, shapes, strict=True)]
    return "size of an answer", f"{int(sum(sizes))} bytes per photo", []


def _check_description(path):
    detail, faults = "", []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if missing := [key for key in _DESCRIPTION_KEYS if key not in content]:
            faults.append(f"{path.name} lacks {', '.join(missing)}")
        else:
            detail = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in content["limits"].items())
            if set(content["outputs"]) != set(contract.OUTPUTS):
                faults.append(f"{path.name} describes other outputs: {', '.join(content['outputs'])}")
    except (OSError, ValueError, TypeError, AttributeError) as error:  # no file, no JSON, or JSON of another form
        faults.append(f"{path.name} cannot be read: {error}")
    return "description", f"{path.parent.name}/{path.name}: {detail}", faults


def _check_paths(version_dir):
    """Check that no file tells where it was made."""
    folders = (Path.home(), Path.cwd(), tempfile.gettempdir(), version_dir)
    places = {str(Path(folder).resolve()).encode() for folder in folders}
    places = {place for place in places if len(place) >= _SHORTEST_PLACE}
    faults = [
        f"{path.relative_to(version_dir)} holds the path {place.decode()}"
        for path in sorted(version_dir.rglob("*"))
        if path.is_file()
        for content in [path.read_bytes()]
        for place in sorted(places)
        if re.search(_path_pattern(place), content)
    ]
    return "paths", "no absolute path of this machine in any file", faults


def _path_pattern(place):
    """Return a pattern of what lies in a folder; `/model/` within a longer name is a part of a graph, and no path."""
    return (rb"(?<![\w.-])" if place.count(b"/") == 1 else b"") + re.escape(place + b"/")


def _check_warmup(version_dir):
    """Load the model, and replay the warm-up requests, as TF Serving does: in a session, by the signatures' tensors."""
    path = warmup_file(version_dir)
    where = f"{path.parent.name}/{path.name}"
    try:
        records = read_warmup_records(version_dir)
        if not 0 < len(records) <= MAX_WARMUP_RECORDS:
            return "warm-up", where, [f"must have 1 to {MAX_WARMUP_RECORDS} requests, received {len(records)}"]
        sizes, faults = [], []
        with (
            plain_path(version_dir) as folder,
            tf.Graph().as_default() as graph,
            tf.compat.v1.Session() as session,
        ):
            signatures = tf.compat.v1.saved_model.loader.load(session, ["serve"], folder).signature_def
            for name in (contract.BYTES_SIGNATURE, contract.PIXELS_SIGNATURE):
                for info in (*signatures[name].inputs.values(), *signatures[name].outputs.values()):
                    graph.get_tensor_by_name(info.name)
            for record in records:
                request = wire.PredictionLog.FromString(record).predict_log.request
                signature = signatures[request.model_spec.signature_name]
                photos = list(request.inputs[contract.BYTES_INPUT].string_val)
                wanted = {key: info.name for key, info in signature.outputs.items()}
                outputs = session.run(wanted, {signature.inputs[contract.BYTES_INPUT].name: photos})
                sizes.append(len(photos))
                faults += [
                    f"photo of a request: {one.status_meaning}" for one in results_of_outputs(outputs) if not one.ok
                ]
    except Exception as error:  # whatever a damaged export does
        return "warm-up", where, [f"cannot be replayed: {one_line(error)[:300]}"]
    return "warm-up", f"{len(sizes)} requests replayed, of {', '.join(map(str, sizes))} photos", faults
