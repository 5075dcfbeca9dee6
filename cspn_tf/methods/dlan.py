"""The Deep Landmark Network (DLAN): dilated convolutions, and spatial transformers that zoom in on the garment.

::

    fused features -> selective dilated convolution -> x
    the garment's window on x: the whole map, then corrected twice from its own view   (recurrent)
    the garment's view -> a heatmap of each keypoint ------ mapped back ------+
        -> each keypoint's window on that view                  (hierarchical) |
             -> the keypoint's view -> its heatmap --- mapped back twice --- + -> the prediction

Selective dilated convolution: one 3x3 kernel at dilations 1, 2 and 4; at each position and channel the largest of the
three responses is selected, so that a garment's size in the crop matters less.

Hierarchical recurrent spatial transformer: windows with a scale and a shift for each axis, predicted from the view of
the previous window. Untrained, every window covers the whole map. A correction at most halves or doubles a window's
sides and moves it by at most half a side; this replaces the paper's regularised scales. Heatmaps are computed in the
views and resampled to the crop's frame, where they are summed and compared with the labels. That loss alone trains the
windows.

Source: Unconstrained Fashion Landmark Detection via Hierarchical Recurrent Transformer Networks (Yan et al., ACM MM
2017).

Simplified here: the original dilates VGG16's convolutions and reads whole photos, where it also estimates the garment's
box and is trained on it. Here the network reads crops, as all methods do, and applies one selective dilated convolution
to any backbone's levels summed at stride 8 (`cspn_tf.models.fused_features`); windows have no labels of their own.
Keypoints are decoded from heatmaps at stride 4, by the codec that all heatmap methods share.

Letters in shapes: B crops, C side of a crop, h = C / 8, H = C / 4, 8 keypoint slots.
"""

import functools

import keras
import tensorflow as tf

from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.methods.base import RefinedHeatmaps
from cspn_tf.models.blocks import BATCH_NORM_MOMENTUM, named_output, normalised_conv, small_conv
from cspn_tf.models.fused_features import LEVELS, fused_features
from cspn_tf.models.window_sampling import WHOLE, WindowSampling, compose, invert

_DILATIONS = (1, 2, 4)
# Number of corrections of the garment's window.
_ROUNDS = 2
# Approximate side of the map that windows are predicted from.
_POOLED_SIDE = 4


class SelectiveDilatedConv(keras.layers.Layer):
    """The largest response of one 3x3 kernel over several dilations, `(B, H, W, channels)` to `(B, H, W, width)`.

    Args:
        width: channels of the result.
        separable: use a depthwise kernel; the result then has the channels of the input, and `width` is ignored.
    """

    def __init__(self, width, separable=False, **kwargs):
        super().__init__(**kwargs)
        self.width, self.separable = width, separable

    def build(self, input_shape):
        channels = input_shape[-1]
        shape = (3, 3, channels, 1 if self.separable else self.width)
        # A depthwise kernel has a fan-in of 9, which "he_normal" does not compute.
        initializer = keras.initializers.RandomNormal(stddev=(2 / 9) ** 0.5) if self.separable else "he_normal"
        self.kernel = self.add_weight("kernel", shape, initializer=initializer)
        super().build(input_shape)

    def call(self, x):
        def convolved(dilation):
            if self.separable:
                return tf.nn.depthwise_conv2d(x, self.kernel, [1, 1, 1, 1], "SAME", dilations=[dilation, dilation])
            return tf.nn.convolution(x, self.kernel, padding="SAME", dilations=dilation)

        return functools.reduce(tf.maximum, map(convolved, _DILATIONS))


class Method(RefinedHeatmaps):
    """DLAN."""

    name = "dlan"
    levels = LEVELS
    first_heatmaps = "garment_heatmaps"

    def outputs(self, features: dict) -> dict:
        """Compute the network's outputs, see `KeypointMethod.outputs`.

        Returns:
            A dict of `"garment_heatmaps"`, from the garment's view alone, and `"heatmaps"`, both `(B, H, H, 8)` in the
            crop's frame.
        """
        config = self.config
        x = _selective(fused_features(features, config), config)
        side = x.shape[1]
        garment_windows = _whole_windows(x)
        look = _Look(side, config.width, 1, "garment_look")
        for index in range(_ROUNDS):
            view = WindowSampling(side, name=f"garment_view_{index}")([x, garment_windows])
            garment_windows = compose(garment_windows, look(view)[:, 0])
        view = WindowSampling(side, name="garment_view")([x, garment_windows])
        view = normalised_conv(view, config.width, 3, "garment_smooth", separable=config.separable)
        garment_maps = _to_crop_frame(
            small_conv(view, NUM_KEYPOINTS, "garment_maps", dtype="float32"), garment_windows, config, "garment_back"
        )

        windows, maps = _keypoint_maps(view, garment_windows, config)
        keypoint_maps = _to_crop_frame(maps, windows, config, "keypoint_back")
        # From (B * 8, H, H, 1) to (B, H, H, 8).
        size = config.heatmap_size
        keypoint_maps = tf.transpose(tf.reshape(keypoint_maps, [-1, NUM_KEYPOINTS, size, size]), [0, 2, 3, 1])

        added = keras.layers.Add(dtype="float32", name="heatmaps")
        return {
            "garment_heatmaps": named_output(garment_maps, "garment_heatmaps"),
            "heatmaps": added([garment_maps, keypoint_maps]),
        }


def _selective(x, config):
    """Apply the selective dilated convolution, batch normalisation and ReLU, `(B, h, h, width)`."""
    x = SelectiveDilatedConv(config.width, separable=config.separable, name="selective")(x)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name="selective_bn")(x)
    if config.separable:
        return normalised_conv(x, config.width, 1, "selective_mix")
    return keras.layers.Activation("relu", name="selective_activation")(x)


def _whole_windows(x):
    """Return for each map the window that covers all of it, float32 `(B, 4)`."""
    return tf.zeros_like(tf.cast(x[:, 0, 0, :1], tf.float32)) + tf.constant(WHOLE)


class _Look:
    """Predicts windows from a view; its Keras layers are shared by all rounds."""

    def __init__(self, side, width, num_windows, name):
        pool = max(side // _POOLED_SIDE, 1)
        self._pool = keras.layers.AveragePooling2D(pool, padding="same", name=f"{name}_pool")
        self._flatten = keras.layers.Flatten(name=f"{name}_flatten")
        self._reduce = keras.layers.Conv2D(width, 1, activation="relu", name=f"{name}_reduce")
        self._hidden = keras.layers.Dense(width, activation="relu", name=f"{name}_hidden")
        # Zeros: before training, the predicted window is the whole view.
        self._moves = keras.layers.Dense(
            4 * num_windows, kernel_initializer="zeros", dtype="float32", name=f"{name}_moves"
        )
        self._num_windows = num_windows

    def __call__(self, view):
        """Return windows on the view, float32 `(B, num_windows, 4)`."""
        x = self._flatten(self._pool(self._reduce(view)))
        moves = tf.tanh(self._moves(self._hidden(x)))
        shift, scale = tf.split(tf.reshape(moves, [-1, self._num_windows, 4]), 2, axis=-1)
        return tf.concat([0.5 + 0.5 * shift, tf.pow(2.0, scale)], axis=-1)


def _keypoint_maps(view, garment_windows, config):
    """Predict a window for each keypoint on the garment's view, and the keypoint's heatmap in it.

    Returns:
        windows: float32 `(B * 8, 4)`, each keypoint's window on the crop.
        maps: `(B * 8, h, h, 1)`, each keypoint's heatmap in its window.
    """
    side, group = view.shape[1], max(config.width // 4, 4)
    windows = _Look(side, config.width, NUM_KEYPOINTS, "keypoint_look")(view)
    x = normalised_conv(view, NUM_KEYPOINTS * group, 1, "keypoint_features")
    x = tf.reshape(x, [-1, side, side, NUM_KEYPOINTS, group])
    x = tf.reshape(tf.transpose(x, [0, 3, 1, 2, 4]), [-1, side, side, group])
    x = WindowSampling(side, name="keypoint_view")([x, tf.reshape(windows, [-1, 4])])
    x = normalised_conv(x, group, 3, "keypoint_smooth", separable=config.separable)
    windows = compose(garment_windows[:, tf.newaxis] + tf.zeros_like(windows), windows)
    return tf.reshape(windows, [-1, 4]), small_conv(x, 1, "keypoint_maps", dtype="float32")


def _to_crop_frame(maps, windows, config, name):
    """Resample maps from their views to the crop's frame, `(..., h, h, n)` to `(..., H, H, n)`."""
    return WindowSampling(config.heatmap_size, dtype="float32", name=name)([maps, invert(windows)])
