"""Arguments shared by commands: those of the two training commands, and those that name two trained networks."""

import dataclasses
from pathlib import Path

from cspn_tf import config as configs
from cspn_tf.console import CallError, Parser, UserError, positive_int, seed_number
from cspn_tf.models.checkpoints import SHIPPED
from cspn_tf.train.distribution import STRATEGIES
from cspn_tf.train.fitting import Run

# Arguments that override the preset's training settings.
_OF_TRAINING = ("epochs", "batch_size", "learning_rate", "ema_momentum")


def add_pair(parser) -> None:
    """Add the arguments that name two trained networks to a parser."""
    for name, network in (("detector", "detector"), ("keypoints", "keypoint network")):
        parser.add_argument(
            f"--{name}",
            default=SHIPPED,
            metavar="DIR",
            help=f"training directory of the {network}; `shipped` is the one included in the package",
        )


def build_parser(description: str, network: str) -> Parser:
    """Return the parser of a training command."""
    parser = Parser(description=description)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder written by prepare")
    parser.add_argument("--out", required=True, metavar="DIR", help="directory for the run's checkpoints and logs")
    parser.add_argument("--preset", default="mobile", choices=list(configs.PRESETS), help="base config")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help=f"override a field of the config, such as {network}.backbone=resnet50; repeatable",
    )
    parser.add_argument("--epochs", type=positive_int, help="passes over the training split (default: the preset's)")
    parser.add_argument("--batch-size", type=positive_int, help="examples per step (default: the preset's)")
    parser.add_argument("--learning-rate", type=float, help="peak learning rate (default: the preset's)")
    parser.add_argument(
        "--ema-momentum",
        type=float,
        help="save an exponential moving average of the weights with this momentum, such as 0.999",
    )
    parser.add_argument(
        "--init",
        metavar="DIR",
        help="initial weights: training directory of the same kind of network, or `shipped` for the package's weights",
    )
    parser.add_argument("--no-augment", action="store_true", help="train without augmentation")
    parser.add_argument("--seed", type=seed_number, default=1, help="seed for weights, shuffling and augmentation")
    parser.add_argument("--resume", action="store_true", help="resume after the last finished epoch in --out, if any")
    parser.add_argument(
        "--precision",
        default="float32",
        choices=["float32", "mixed_float16", "mixed_bfloat16"],
        help="compute precision of the layers; mixed_float16 needs a GPU",
    )
    parser.add_argument(
        "--strategy",
        default="none",
        choices=STRATEGIES,
        help="mirrored: all GPUs of this machine; multi-worker: several machines, each of which runs the same command "
        "with TF_CONFIG set, and processes --batch-size examples of every batch",
    )
    return parser


def parse_run(arguments, training_presets) -> Run:
    """Return the `Run` described by parsed arguments; raise `CallError` if they contradict each other."""
    try:
        config = configs.override(configs.preset(arguments.preset), arguments.set)
        training = training_presets[arguments.preset]
        given = {name: getattr(arguments, name) for name in _OF_TRAINING}
        changes = {name: value for name, value in given.items() if value is not None}
        training = dataclasses.replace(training, augment=not arguments.no_augment, **changes)
    except (UserError, ValueError) as error:
        raise CallError(str(error)) from error
    return Run(
        data_dir=arguments.data,
        directory=Path(arguments.out),
        config=config,
        training=training,
        seed=arguments.seed,
        resume=arguments.resume,
        precision=arguments.precision,
        strategy=arguments.strategy,
        init=arguments.init,
    )
