"""Networks whose convolutions can run in 8 bits: how far each tensor between them reaches is measured and written down.

TensorFlow Lite's converter turns what lies between two such `FakeQuant` nodes into an int8 operation, and rounds the
weights, channel by channel, itself. Its own calibration does not go into loops, in which the keypoint network runs.
"""

import numpy as np
import tensorflow as tf

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
# What is computed together with the convolution before it.
_AFTER_CONVOLUTION = ("BiasAdd", "Relu", "Relu6")
# What else has 8-bit inputs and outputs, each with a range of its own, and how many of its inputs are pictures.
_JOINS = {"AddV2": 2, "ResizeBilinear": 1}
_BATCH_SIZE = 16


def quantize_activations(graph_def, input_name, examples):
    """Round every tensor that a convolution reads or gives to 256 levels of the range that it has on examples.

    Args:
        graph_def: a `GraphDef` in which weights are constants, as `cspn_tf.inference.frozen` makes it.
        input_name: its one input, a tensor's name.
        examples: float32 `(M, ...)`, inputs to measure the ranges on; a few dozen will do.

    Returns:
        The same `GraphDef`, changed in place.
    """
    graph = _Graph(graph_def)
    names = _names_to_round(graph)
    ranges = _measure(graph_def, input_name, names, examples)
    for name, (low, high) in zip(names, ranges.tolist(), strict=True):
        rounded = graph_def.node.add(op="FakeQuantWithMinMaxArgs", name=name + "/int8", input=[name])
        rounded.attr["min"].f, rounded.attr["max"].f = low, high
        for reader, place in graph.readers.get(name, ()):
            reader.input[place] = rounded.name
    return graph_def


class _Graph:
    """A `GraphDef` by name; `readers` has, for each node, the nodes that read its first result, and as which input."""

    def __init__(self, graph_def):
        self.nodes = {node.name: node for node in graph_def.node}
        self.readers = {}
        for node in graph_def.node:
            for place, name in enumerate(node.input):
                self.readers.setdefault(name.removesuffix(":0"), []).append((node, place))

    def source(self, node, place):
        return self.nodes[node.input[place].split(":")[0]]

    def end_of_convolution(self, node):
        """Return the last of what is computed together with a convolution."""
        while True:
            readers = self.readers.get(node.name, [])
            if len(readers) != 1 or readers[0][0].op not in _AFTER_CONVOLUTION:
                return node
            node = readers[0][0]


def _names_to_round(graph):
    """Return the names of the nodes whose results are rounded: what convolutions read and give, and joins of that."""
    found = {}
    for node in graph.nodes.values():
        if node.op in _CONVOLUTIONS:
            source = graph.source(node, 0)
            # Padding changes no range; what it pads is rounded.
            found[(graph.source(source, 0) if source.op == "Pad" else source).name] = True
            found[graph.end_of_convolution(node).name] = True
    num_found = 0
    while num_found < len(found):
        num_found = len(found)
        for node in graph.nodes.values():
            places = range(_JOINS.get(node.op, 0))
            if places and all(graph.source(node, place).name in found for place in places):
                found[node.name] = True
    return list(found)


def _measure(graph_def, input_name, names, examples):
    """Return the least and greatest value of each node's result over the examples, 0 among them, `(len(names), 2)`."""
    spec = tf.TensorSpec([None, *examples.shape[1:]], tf.float32)
    outputs = [name + ":0" for name in names]
    function = tf.compat.v1.wrap_function(
        lambda x: tf.import_graph_def(graph_def, input_map={input_name: x}, return_elements=outputs, name=""), [spec]
    )
    limits = np.zeros([len(names), 2])
    for first in range(0, len(examples), _BATCH_SIZE):
        for limit, values in zip(limits, function(tf.constant(examples[first : first + _BATCH_SIZE])), strict=True):
            limit[:] = min(limit[0], np.min(values)), max(limit[1], np.max(values))
    return limits
