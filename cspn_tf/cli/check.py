"""Check an exported model for what a serving platform relies on.

    cspn-tf check models/cspn

The exit code is 0 if every check is passed, else 1. What is checked: see `cspn_tf.export.check`.
"""

from cspn_tf.console import Parser


def main(argv=None):
    parser = Parser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", metavar="DIR", help="a version, or a model directory, of which the highest is checked")
    args = parser.parse_args(argv)
    from cspn_tf.export.check import check
    from cspn_tf.inference.versions import version_directory

    found = check(version_directory(args.model))
    width = max(len(what) for what, *_ in found)
    for what, detail, faults in found:
        print(f"{'FAILED' if faults else 'ok':6}  {what:{width}}  {'; '.join(faults) or detail}")
    return 1 if any(faults for *_, faults in found) else 0
