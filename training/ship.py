"""Install a trained pair as the package's weights: `python -m training.ship --detector DIR --keypoints DIR`.

Writes `cspn_tf/weights/mobile/detector` and `.../keypoints`: config, description, and the weights in half precision,
without optimizer state, with their SHA-256; and `cspn.tflite` beside them, the same pair in one TensorFlow Lite file in
float16, for Pythons without TensorFlow, phones and browsers. Existing files are replaced.
"""

import sys
from pathlib import Path

from cspn_tf.console import Parser, run


def main(argv=None):
    """Write the pair, and print its size."""
    parser = Parser(description="Install a trained pair as the package's weights.")
    for network in ("detector", "keypoints"):
        parser.add_argument(f"--{network}", required=True, metavar="DIR", help=f"training directory of the {network}")
    parser.add_argument("--out", type=Path, metavar="DIR", help="output folder (default: the package's weights)")
    args = parser.parse_args(argv)
    from cspn_tf.export import tflite
    from cspn_tf.inference.pipeline import load_pipeline
    from cspn_tf.models import checkpoints

    out = args.out or checkpoints.SHIPPED_PAIR
    networks = (checkpoints.DETECTOR, checkpoints.KEYPOINTS)
    config = load_pipeline(args.detector, args.keypoints).config  # which refuses a pair before half of it is replaced
    for network in networks:
        checkpoints.write_shippable(getattr(args, network), network, out / network, config)
    (file,) = tflite.export(load_pipeline(*(out / network for network in networks)), out, "float16")
    checkpoints.record_sha256_of_tflite(out)
    size = sum(path.stat().st_size for path in out.rglob("*.h5"))
    print(f"written to {out}: {size / 1e6:.1f} MB of weights, {file.name} of {file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(run(main))
