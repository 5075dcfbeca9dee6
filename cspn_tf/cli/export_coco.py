"""Convert the output of `cspn-tf annotate` to a COCO keypoints file, with scores as extra keys.

    cspn-tf export-coco annotated --out annotated.coco.json

Its images are the photos with status 0, by their ids. The run must be finished. The file is written by atomic rename.
"""

from pathlib import Path

from cspn_tf.cli.answers import write_coco
from cspn_tf.console import Parser, UserError, require_extra


def main(argv=None):
    """Convert as the arguments say."""
    parts = __doc__.split("\n\n")
    parser = Parser(description=parts[0], epilog=parts[2])
    parser.add_argument("annotated", metavar="DIR", help="output folder of annotate, a path or URI")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="COCO file to write")
    args = parser.parse_args(argv)
    require_extra("bulk", with_tensorflow=False)
    from cspn_tf.bulk import blocks, table

    run = blocks.read_blocks(args.annotated)
    if run and (num_left := run.num_blocks - len(run.finished())):
        raise UserError(
            f"{args.annotated}: {num_left} of {run.num_blocks} blocks are not finished: run annotate again first"
        )
    write_coco(args.out, map(table.result_of, table.read_rows(args.annotated)), folder=None)
    print(f"written: {args.out}")
