"""Calibrate the confidence scores of trained networks on photos that they were not trained on.

cspn-tf calibrate --data DIR --detector DIR --keypoints DIR

See `cspn_tf.train.calibrate`.
"""

from cspn_tf.console import Parser


def main(argv=None):
    """Calibrate, and print the calibration error before and after."""
    parser = Parser(description="Calibrate the confidence scores of trained networks; replaces their weights.")
    parser.add_argument("--data", required=True, metavar="DIR", help="folder written by prepare")
    parser.add_argument("--split", default="val", choices=("val", "test"), help="photos to calibrate on")
    parser.add_argument("--detector", metavar="DIR", help="training directory of the detector")
    parser.add_argument("--keypoints", metavar="DIR", help="training directory of the keypoint network")
    args = parser.parse_args(argv)
    if not (args.detector or args.keypoints):
        parser.error("give --detector, --keypoints or both")
    from cspn_tf.train import calibrate

    for directory, fit in (
        (args.detector, calibrate.calibrate_detector),
        (args.keypoints, calibrate.calibrate_keypoints),
    ):
        if directory:
            try:
                found = fit(directory, args.data, args.split)
            except calibrate.LeftAsItIs as reason:
                print(f"{reason}: left as it is")
                continue
            print(
                f"{directory}: calibration error {found['before']:.3f} before, {found['after']:.3f} after, on "
                f"{found['count']} scores; logit scale {found['scale']:.3f}, shift {found['shift']:.3f}"
            )
