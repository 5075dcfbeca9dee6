"""Fits the scores of two trainings to what is right of them, on photos that they were not trained on.

cspn-tf calibrate --data DIR --detector DIR --keypoints DIR

See `cspn_tf.train.calibrate`.
"""

import sys

from cspn_tf.console import Parser, run


def main(argv=None):
    """Calibrate, and print how far the scores were off before and after."""
    parser = Parser(description="Fit the scores of two trainings to what is right of them; replaces their weights.")
    parser.add_argument("--data", required=True, metavar="DIR", help="a folder that prepare wrote")
    parser.add_argument("--split", default="val", choices=("val", "test"), help="the photos to fit on")
    parser.add_argument("--detector", metavar="DIR", help="the detector's training")
    parser.add_argument("--keypoints", metavar="DIR", help="the keypoint network's training")
    args = parser.parse_args(argv)
    if not (args.detector or args.keypoints):
        parser.error("give --detector, --keypoints or both")
    from cspn_tf.train import calibrate

    for directory, fit in (
        (args.detector, calibrate.calibrate_detector),
        (args.keypoints, calibrate.calibrate_keypoints),
    ):
        if directory:
            found = fit(directory, args.data, args.split)
            print(
                f"{directory}: calibration error {found['before']:.3f} before, {found['after']:.3f} after, of "
                f"{found['count']} scores; logits times {found['scale']:.3f}, shifted by {found['shift']:.3f}"
            )


if __name__ == "__main__":
    sys.exit(run(main))
