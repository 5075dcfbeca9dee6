"""Networks in 8 bits: which tensors are rounded, to which levels, and that TensorFlow Lite computes in int8 there."""

import keras
import numpy as np
import tensorflow as tf

from cspn_tf.inference.frozen import freeze

RANDOM = np.random.default_rng(0)
EXAMPLES = RANDOM.normal(size=(40, 12, 10, 3)).astype(np.float32)
ANY_BATCH = tf.TensorSpec([None, 12, 10, 3])


def network():
    """Convolution, padding, depthwise convolution, enlarging and a sum, as in our networks, with a dense end."""
    keras.utils.set_random_seed(1)
    images = keras.Input((12, 10, 3))
    stem = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(images)
    padded = keras.layers.ZeroPadding2D(1)(stem)
    small = keras.layers.DepthwiseConv2D(3, strides=2, padding="valid")(padded)
    large = keras.layers.UpSampling2D(2, interpolation="bilinear")(small)
    outputs = keras.layers.Add()([stem, large])
    means = keras.layers.GlobalAveragePooling2D()(outputs)
    model = keras.Model(images, [outputs, keras.layers.Dense(4)(means)])
    return lambda images: model(images, training=False)


def nodes_of(function, op):
    graph_def = tf.function(function, autograph=False).get_concrete_function(ANY_BATCH).graph.as_graph_def()
    nodes = [*graph_def.node, *(node for called in graph_def.library.function for node in called.node_def)]
    return [node for node in nodes if node.op == op]


def test_what_convolutions_read_and_give_and_joins_of_it_are_rounded_once():
    rounded = nodes_of(freeze(network(), ANY_BATCH, EXAMPLES), "FakeQuantWithMinMaxArgs")
    # The photos, the convolution's result, the depthwise one's, the enlarged and the sum; not the padded, not the end.
    assert len(rounded) == 5
    assert not nodes_of(freeze(network(), ANY_BATCH), "FakeQuantWithMinMaxArgs")


def test_results_are_near_those_without_rounding_and_on_256_levels():
    function = network()
    exact, exact_end = function(tf.constant(EXAMPLES))
    rounded, end = freeze(function, ANY_BATCH, EXAMPLES)(tf.constant(EXAMPLES))
    step = (np.max(exact) - min(np.min(exact), 0)) / 255
    assert len(np.unique(rounded)) <= 256 and len(np.unique(exact)) > 10_000
    # Five roundings of half a step each, of which the first two are multiplied by weights.
    error = np.abs(rounded - exact)
    assert 0 < error.mean() < step and error.max() < 6 * step
    np.testing.assert_allclose(end, exact_end, atol=2 * step)


def test_values_beyond_the_examples_are_cut_off_there():
    function = network()
    frozen = freeze(function, ANY_BATCH, EXAMPLES)
    limits = np.min(function(tf.constant(EXAMPLES))[0]), np.max(function(tf.constant(EXAMPLES))[0])
    far = frozen(tf.constant(100 * EXAMPLES[:2]))[0].numpy()
    step = (limits[1] - limits[0]) / 255
    assert far.min() >= limits[0] - step and far.max() <= limits[1] + step
    assert far.max() > 0.9 * limits[1]


def test_activation_that_is_zero_on_all_examples_gets_a_range_that_tensorflow_lite_accepts():
    kernel = tf.constant(RANDOM.normal(size=(3, 3, 3, 8)).astype(np.float32))

    def dead(images):
        return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(images, kernel, 1, "SAME"), [-1e3] * 8))

    frozen = freeze(dead, ANY_BATCH, EXAMPLES)
    ranges = [(node.attr["min"].f, node.attr["max"].f) for node in nodes_of(frozen, "FakeQuantWithMinMaxArgs")]
    assert len(ranges) == 2 and (0.0, 1.0) in ranges
    assert not np.any(frozen(tf.constant(EXAMPLES)))


def test_ranges_do_not_depend_on_how_many_examples_are_measured_at_once():
    def ranges(examples):
        rounded = nodes_of(freeze(network(), ANY_BATCH, examples), "FakeQuantWithMinMaxArgs")
        return [(node.attr["min"].f, node.attr["max"].f) for node in rounded]

    # 40 examples are measured in three parts.
    parts = np.array([ranges(EXAMPLES[:16]), ranges(EXAMPLES[16:32]), ranges(EXAMPLES[32:])])
    whole = np.array(ranges(EXAMPLES))
    np.testing.assert_allclose(whole, np.stack([parts[..., 0].min(0), parts[..., 1].max(0)], -1), rtol=1e-6)


def test_tensorflow_lite_makes_int8_operations_of_it_and_gives_the_same():
    frozen = freeze(network(), tf.TensorSpec([1, 12, 10, 3]), EXAMPLES)
    concrete = tf.function(frozen).get_concrete_function(tf.TensorSpec([1, 12, 10, 3], name="images"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = tf.lite.Interpreter(
        model_content=converter.convert(),
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    dtype_of = {detail["index"]: detail["dtype"] for detail in interpreter.get_tensor_details()}
    operations = {}
    for operation in interpreter._get_ops_details():
        operations[operation["op_name"]] = {dtype_of[index] for index in operation["outputs"]}
    for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "RESIZE_BILINEAR", "ADD", "PAD"):
        assert operations[name] == {np.int8}, name
    assert operations["FULLY_CONNECTED"] == {np.float32}

    expected = frozen(tf.constant(EXAMPLES[:1]))[0].numpy()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], EXAMPLES[:1])
    interpreter.invoke()
    (found,) = (
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_output_details()
        if tuple(detail["shape"]) == expected.shape
    )
    # The weights are rounded too, to 255 levels a channel.
    assert np.abs(found - expected).max() < 6 * (expected.max() - expected.min()) / 255
