"""Networks as constants: the same numbers from fewer operations, and only where that is sound."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cspn_tf.inference.frozen import fold_batch_norms, fold_casts, freeze

IMAGES = np.random.default_rng(0).normal(size=(2, 12, 10, 3)).astype(np.float32)
ANY_BATCH = tf.TensorSpec([None, 12, 10, 3])
# Folding rounds weights once more: values of about 1 differ by a few of float32's last places.
ROUNDING = 2e-5


def with_statistics(model, seed=0):
    """Give a model's normalisations the statistics of a trained one: none is zero or one."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            num = layer.moving_mean.shape[0]
            gamma = [random.uniform(0.5, 1.5, num)] if layer.scale else []
            beta = [random.normal(size=num)] if layer.center else []
            layer.set_weights([*gamma, *beta, random.normal(size=num), random.uniform(0.2, 2.0, num)])
    return model


def inference(model):
    return lambda images: model(images, training=False)


def operations(function, spec=ANY_BATCH):
    """Return the nodes of a frozen function's graph, those of the functions it calls included."""
    graph_def = tf.function(function, autograph=False).get_concrete_function(spec).graph.as_graph_def()
    return [*graph_def.node, *(node for called in graph_def.library.function for node in called.node_def)]


def count(function, op, spec=ANY_BATCH):
    return sum(node.op == op for node in operations(function, spec))


def kernels_of(function):
    constants = [node for node in operations(function) if node.op == "Const"]
    return [node for node in constants if len(node.attr["value"].tensor.tensor_shape.dim) == 4]


def assert_same(frozen, function, images=IMAGES, tolerance=ROUNDING):
    expected = function(tf.constant(images))
    found = frozen(tf.constant(images))
    tf.nest.assert_same_structure(found, expected)
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        # Neither is one number everywhere, which would hide a mistake.
        assert np.std(other) > 0.01
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=tolerance)


def network(*layers):
    images = outputs = keras.Input((12, 10, 3))
    for layer in layers:
        outputs = layer(outputs)
    return with_statistics(keras.Model(images, outputs))


def norm(**options):
    return keras.layers.BatchNormalization(**options)


def conv(*args, **options):
    return keras.layers.Conv2D(*args, use_bias=False, **options)


def depthwise(*args, **options):
    return keras.layers.DepthwiseConv2D(*args, use_bias=False, **options)


# What is folded ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [conv(5, 3), norm()],
        lambda: [conv(5, 3, strides=2, padding="same"), norm(), keras.layers.ReLU(6.0)],
        lambda: [depthwise(3, padding="same"), norm()],
        lambda: [depthwise(3, depth_multiplier=2), norm(), keras.layers.ReLU()],
        lambda: [conv(4, 1), norm(scale=False)],
        lambda: [conv(4, 1), norm(center=False)],
        lambda: [conv(4, 1), norm(epsilon=0.1)],
    ],
    ids=[
        "convolution", "with stride and activation", "depthwise", "depthwise, two channels each",
        "without a scale", "without a shift", "of a large epsilon",
    ],
)  # fmt: skip
def test_convolution_does_the_normalisation_that_follows_it(layers):
    model = network(*layers())
    frozen = freeze(inference(model), ANY_BATCH)
    assert_same(frozen, inference(model))
    assert count(frozen, "FusedBatchNormV3") == 0 and count(frozen, "BiasAdd") == 1
    assert count(frozen, "ReadVariableOp") == 0


def test_a_chain_of_blocks_keeps_its_numbers_and_no_normalisation():
    model = network(
        conv(8, 3, padding="same"),
        norm(),
        keras.layers.ReLU(),
        depthwise(3, depth_multiplier=2, padding="same"),
        norm(),
        conv(6, 1),
        norm(),
        keras.layers.Conv2D(2, 1),
    )
    frozen = freeze(inference(model), ANY_BATCH)
    assert_same(frozen, inference(model), tolerance=5 * ROUNDING)
    assert count(frozen, "FusedBatchNormV3") == 0


def test_weights_are_held_once():
    model = network(conv(8, 3), norm(), depthwise(3), norm(), conv(6, 1))
    assert len(kernels_of(freeze(inference(model), ANY_BATCH))) == 3


def test_layers_that_share_a_convolution_are_each_folded_with_their_own_statistics():
    images, shared = keras.Input((12, 10, 3)), conv(4, 3)
    model = with_statistics(keras.Model(images, [norm()(shared(images)), norm()(shared(2.0 * images))]))
    frozen = freeze(inference(model), ANY_BATCH)
    assert_same(frozen, inference(model))
    assert count(frozen, "FusedBatchNormV3") == 0


# What is not ---------------------------------------------------------------------------------------------------------


def test_normalisation_stays_where_the_convolution_is_read_elsewhere_too():
    images = keras.Input((12, 10, 3))
    convolved = conv(4, 3)(images)
    model = with_statistics(keras.Model(images, norm()(convolved) + convolved))
    frozen = freeze(inference(model), ANY_BATCH)
    assert_same(frozen, inference(model))
    assert count(frozen, "FusedBatchNormV3") == 1


def test_normalisation_stays_where_the_convolution_is_an_output_itself():
    images = keras.Input((12, 10, 3))
    convolved = conv(4, 3)(images)
    model = with_statistics(keras.Model(images, [convolved, norm()(convolved)]))
    frozen = freeze(inference(model), ANY_BATCH)
    assert_same(frozen, inference(model))
    assert count(frozen, "FusedBatchNormV3") == 1


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [norm()],
        lambda: [conv(4, 3), keras.layers.ReLU(), norm()],
        lambda: [keras.layers.Conv2D(4, 3, bias_initializer="ones"), norm()],
        # TensorFlow moves pixels around such a convolution, and back after it.
        lambda: [conv(4, 3, dilation_rate=2), norm()],
    ],
    ids=["of the input", "of an activation", "of a convolution with a bias", "of a dilated convolution"],
)
def test_normalisation_of_anything_else_stays(layers):
    model = network(*layers())
    frozen = freeze(inference(model), ANY_BATCH)
    assert_same(frozen, inference(model))
    assert count(frozen, "FusedBatchNormV3") == 1


def test_normalisation_by_the_batch_itself_stays():
    random = np.random.default_rng(1)
    kernel = tf.Variable(random.normal(size=(3, 3, 3, 4)), dtype=tf.float32)
    scale, shift = (tf.Variable(random.uniform(1, 2, 4), dtype=tf.float32) for _ in range(2))

    def normalised(images):
        convolved = tf.nn.conv2d(images, kernel, 1, "SAME")
        return tf.raw_ops.FusedBatchNormV3(
            x=convolved, scale=scale, offset=shift, mean=tf.zeros([0]), variance=tf.zeros([0]), is_training=True
        ).y

    frozen = freeze(normalised, ANY_BATCH)
    assert_same(frozen, normalised)
    assert count(frozen, "FusedBatchNormV3") == 1


def test_kernel_that_is_no_constant_stays():
    def normalised(images):
        kernel = tf.reshape(images[0, :3, :3, :], [3, 3, 3, 1])
        convolved = tf.nn.conv2d(images, kernel, 1, "SAME")
        return tf.raw_ops.FusedBatchNormV3(
            x=convolved, scale=[2.0], offset=[1.0], mean=[0.5], variance=[3.0], is_training=False
        ).y

    frozen = freeze(normalised, ANY_BATCH)
    assert_same(frozen, normalised)
    assert count(frozen, "FusedBatchNormV3") == 1


def test_graph_without_normalisations_is_left_as_it_is():
    function = tf.function(lambda x: tf.nn.relu(x) + 1.0).get_concrete_function(ANY_BATCH)
    graph_def = function.graph.as_graph_def()
    before = graph_def.SerializeToString(deterministic=True)
    assert fold_casts(fold_batch_norms(graph_def)).SerializeToString(deterministic=True) == before


# Inputs, outputs, variables ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arrange",
    [
        lambda one, two: one,
        lambda one, two: (two, one),
        lambda one, two: [one, two],
        lambda one, two: {"b": one, "a": two},
        lambda one, two: {"b": (one, two), "a": {"c": two}},
        lambda one, two: (one, one),
    ],
    ids=["tensor", "tuple", "list", "dict", "nested", "twice the same"],
)
def test_outputs_keep_their_structure(arrange):
    model = network(conv(5, 3), norm())

    def function(images):
        outputs = model(images, training=False)
        return arrange(outputs, tf.reduce_max(outputs, axis=[1, 2]))

    assert_same(freeze(function, ANY_BATCH), function)


@pytest.mark.parametrize(
    "shape, outputs_shape",
    [
        ([2, 12, 10, 3], [2, 6, 5, 4]),
        ([None, 12, 10, 3], [None, 6, 5, 4]),
        ([None, None, None, 3], [None, None, None, 4]),
    ],
)
def test_static_shapes_are_kept_as_far_as_they_are_known(shape, outputs_shape):
    model = with_statistics(
        keras.Sequential([keras.Input((None, None, 3)), conv(4, 3, strides=2, padding="same"), norm()])
    )
    spec = tf.TensorSpec(shape)
    frozen = freeze(inference(model), spec)
    assert tf.function(frozen).get_concrete_function(spec).outputs[0].shape.as_list() == outputs_shape
    assert_same(frozen, inference(model))


def test_frozen_function_runs_inside_graphs_loops_and_branches():
    model = network(conv(5, 3), norm())
    frozen = freeze(inference(model), tf.TensorSpec([1, 12, 10, 3]))

    @tf.function
    def one_by_one(images):
        spec = tf.TensorSpec([10, 8, 5])
        return tf.map_fn(
            lambda image: tf.cond(
                image[0, 0, 0] > -9.0, lambda: frozen(image[tf.newaxis])[0], lambda: tf.zeros([10, 8, 5])
            ),
            images,
            fn_output_signature=spec,
        )

    np.testing.assert_allclose(one_by_one(IMAGES), inference(model)(IMAGES), atol=ROUNDING, rtol=ROUNDING)


def test_later_changes_of_the_variables_do_not_reach_it():
    model = network(conv(5, 3), norm())
    frozen = freeze(inference(model), ANY_BATCH)
    before = frozen(IMAGES).numpy()
    for variable in model.variables:
        variable.assign_add(tf.ones_like(variable))
    np.testing.assert_array_equal(frozen(IMAGES), before)
    assert np.abs(inference(model)(IMAGES) - before).max() > 0.1


# Narrower types ------------------------------------------------------------------------------------------------------


@pytest.fixture
def bfloat16():
    policy = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_global_policy(policy)


def blocks():
    return [
        conv(8, 3, padding="same"),
        norm(),
        keras.layers.ReLU(),
        depthwise(3, padding="same"),
        norm(),
        keras.layers.Conv2D(4, 1, bias_initializer="ones"),
        keras.layers.Activation("linear", dtype="float32"),
    ]


def casts_of_constants(function):
    nodes = {node.name: node for node in operations(function)}
    sources = [nodes.get(node.input[0].split(":")[0]) for node in nodes.values() if node.op == "Cast"]
    assert sources  # the images, at least, which are no node but an argument
    return sum(source is not None and source.op == "Const" for source in sources)


def test_weights_of_a_narrow_network_are_cast_once(bfloat16):
    model = network(*blocks())
    assert model.layers[1].kernel.dtype == tf.float32 and model.layers[1].compute_dtype == "bfloat16"
    frozen = freeze(inference(model), ANY_BATCH)
    assert casts_of_constants(frozen) == 0
    assert count(frozen, "FusedBatchNormV3") == 0
    assert {node.attr["dtype"].type for node in kernels_of(frozen)} == {tf.bfloat16.as_datatype_enum}


def test_a_narrow_network_is_close_to_the_wide_one(bfloat16):
    narrow = network(*blocks())
    keras.mixed_precision.set_global_policy("float32")
    wide = network(*blocks())
    wide.set_weights(narrow.get_weights())
    expected = inference(wide)(tf.constant(IMAGES)).numpy()
    found = freeze(inference(narrow), ANY_BATCH)(tf.constant(IMAGES))
    assert found.dtype == tf.float32
    # bfloat16 has 8 bits of mantissa, and there are a dozen roundings one after another.
    assert 0 < np.abs(found - expected).max() < 0.03 * np.abs(expected).max()


def test_casts_of_constants_are_constants_of_the_type_asked_for():
    @tf.function
    def function(x):
        whole = tf.cast(tf.constant([1.7, -2.2]), tf.int32)
        return x + tf.cast(whole, tf.float32), tf.cast(x, tf.int32)

    graph_def = fold_casts(function.get_concrete_function(tf.TensorSpec([2])).graph.as_graph_def())
    # That of the input stays.
    assert [node.op for node in graph_def.node].count("Cast") == 1
    (folded,) = [n for n in graph_def.node if n.op == "Const" and n.attr["dtype"].type == tf.float32.as_datatype_enum][
        1:
    ]
    np.testing.assert_array_equal(tf.make_ndarray(folded.attr["value"].tensor), [1, -2])
