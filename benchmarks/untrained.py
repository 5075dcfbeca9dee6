"""Write checkpoints of a preset with random weights, to measure the cost of a preset that is not trained yet.

Predictions are meaningless. Batch-normalisation statistics are estimated on noise, so that activations stay in the
range of trained networks. With the default overrides exactly one garment is found on each photo.
"""

import sys
from pathlib import Path

from cspn_tf.console import Parser, UserError, run

# One garment per photo, whatever its score.
_ONE_GARMENT = ("detector.max_garments=1", "detector.score_threshold=0.0")
_STEPS, _BATCH_SIZE = 12, 2
# Momentum of the moving averages of batch normalisation while the statistics are estimated.
_MOMENTUM = 0.5


def main(argv=None):
    parser = Parser(description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n")[1])
    parser.add_argument("--preset", required=True, help="the preset to build")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="override a field")
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder for detector/ and keypoints/")
    args = parser.parse_args(argv)
    from cspn_tf import config as configs

    fields = ("detector.weights=none", "keypoints.weights=none", *_ONE_GARMENT, *args.set)
    write(configs.override(configs.preset(args.preset), fields), args.out)


def write(config, out_dir) -> None:
    """Write both networks of a config with random weights.

    Args:
        config: a `Config`.
        out_dir: folder to write `detector` and `keypoints` into, in the form of training directories.

    Raises:
        UserError: if either exists already.
    """
    import keras

    from cspn_tf.methods import method_of
    from cspn_tf.models import checkpoints
    from cspn_tf.models.faster_rcnn import build_detector

    directories = {name: Path(out_dir) / name for name in (checkpoints.DETECTOR, checkpoints.KEYPOINTS)}
    for directory in directories.values():
        if directory.exists():
            raise UserError(f"{directory} exists; choose another --out")
    keras.utils.set_random_seed(1)
    networks = (
        (checkpoints.DETECTOR, build_detector(config.detector), config.detector.input_size),
        (checkpoints.KEYPOINTS, method_of(config.keypoints).build(), config.keypoints.crop_size),
    )
    for name, network, side in networks:
        directory = directories[name]
        directory.mkdir(parents=True)
        _set_statistics(network, side)
        checkpoints.write_description(directory, name, config, {})
        checkpoints.save_weights(network, directory)
        print(directory)


def _set_statistics(network, side):
    import keras
    import tensorflow as tf

    layers = [layer for layer in network._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = _MOMENTUM
    for step in range(_STEPS):
        network(tf.random.stateless_uniform([_BATCH_SIZE, side, side, 3], [step, 0], 0.0, 255.0), training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


if __name__ == "__main__":
    sys.exit(run(main))
