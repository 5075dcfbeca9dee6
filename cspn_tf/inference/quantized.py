"""Calibrate activation ranges for int8: insert `FakeQuant` nodes with measured ranges around convolutions.

TensorFlow Lite's converter turns an operation between two `FakeQuant` nodes into an int8 operation, and quantizes the
weights per channel itself. Its own calibration does not enter loops, and the keypoint network runs in one.
"""

import collections

import numpy as np
import tensorflow as tf

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
# Operations fused into the convolution before them.
_AFTER_CONVOLUTION = ("BiasAdd", "Relu", "Relu6")
# Other operations that run in 8 bits, each output with its own range → number of inputs that are feature maps.
_JOINS = {"AddV2": 2, "ResizeBilinear": 1}
_BATCH_SIZE = 16


def quantize_activations(graph_def, input_name, examples):
    """Quantize every input and output of a convolution to 256 levels over its range on the examples.

    Args:
        graph_def: a `GraphDef` with constant weights, from `cspn_tf.inference.frozen`; changed in place.
        input_name: tensor name of its only input.
        examples: float32 `(M, ...)`, calibration inputs; a few dozen are enough.
    """
    nodes = {node.name: node for node in graph_def.node}
    readers = collections.defaultdict(list)  # node → consumers of its first output, each with the input index
    for node in graph_def.node:
        for place, name in enumerate(node.input):
            readers[name.removesuffix(":0")].append((node, place))
    names = _names_to_round(nodes, readers)
    ranges = _measure(graph_def, input_name, names, examples)
    for name, (low, high) in zip(names, ranges.tolist(), strict=True):
        rounded = graph_def.node.add(op="FakeQuantWithMinMaxArgs", name=name + "/int8", input=[name])
        rounded.attr["min"].f, rounded.attr["max"].f = low, high
        for reader, place in readers[name]:
            reader.input[place] = rounded.name


def _names_to_round(nodes, readers):
    """Return the names of nodes to quantize: inputs and outputs of convolutions, and joins of quantized nodes."""

    def source(node, place):
        return nodes[node.input[place].split(":")[0]]

    def end_of_convolution(node):
        """Return the last node fused into a convolution, or the convolution itself."""
        while len(readers[node.name]) == 1 and readers[node.name][0][0].op in _AFTER_CONVOLUTION:
            node = readers[node.name][0][0]
        return node

    found = {}
    for node in nodes.values():
        if node.op in _CONVOLUTIONS:
            before = source(node, 0)
            # Padding does not change the range: quantize its input.
            found[(source(before, 0) if before.op == "Pad" else before).name] = True
            found[end_of_convolution(node).name] = True
    num_found = 0
    while num_found < len(found):
        num_found = len(found)
        for node in nodes.values():
            places = range(_JOINS.get(node.op, 0))
            if places and all(source(node, place).name in found for place in places):
                found[node.name] = True
    return list(found)


def _measure(graph_def, input_name, names, examples):
    """Return each node's minimum and maximum over the examples, extended to include 0, `(len(names), 2)`.

    A node that is 0 on all examples, such as a ReLU that never fires, gets the range 0 to 1: a range cannot be empty.
    """
    spec = tf.TensorSpec([None, *examples.shape[1:]], tf.float32)
    outputs = [name + ":0" for name in names]
    function = tf.compat.v1.wrap_function(
        lambda x: tf.import_graph_def(graph_def, input_map={input_name: x}, return_elements=outputs, name=""), [spec]
    )
    limits = np.zeros([len(names), 2])
    for first in range(0, len(examples), _BATCH_SIZE):
        for limit, values in zip(limits, function(tf.constant(examples[first : first + _BATCH_SIZE])), strict=True):
            limit[:] = min(limit[0], np.min(values)), max(limit[1], np.max(values))
    limits[limits[:, 0] == limits[:, 1], 1] = 1.0
    return limits
