"""Write synthetic datasets in the layout of DeepFashion's Landmark Detection Benchmark (FLD), or as COCO.

FLD's conventions: visibility 0 visible, 1 occluded, 2 cut off with coordinates 0 0; integer pixel coordinates; one
labelled garment a photo; every list starts with its row count and its column names. COCO datasets have photos with
several garments, all of them labelled.
"""

import dataclasses
import functools
import multiprocessing
import signal
from pathlib import Path

import numpy as np
from PIL import Image

from ...console import UserError
from ...files import staged_directory, write_picture
from ...garments import KEYPOINT_SLOTS, GarmentType, Visibility
from ...machine import num_cores
from ..samples import SPLITS, Sample
from .labels import inside
from .layout import MAX_GARMENTS, check_variation_shares
from .photo import render

NUM_JOINTS = 14
_FLD_VISIBILITY = {Visibility.VISIBLE: 0, Visibility.OCCLUDED: 1, Visibility.CUT_OFF: 2}


@dataclasses.dataclass(frozen=True)
class _Task:
    """One photo to render: the dataset's folder, its name in it, and the arguments of `render`.

    `options` are those that all photos have in common.
    """

    folder: Path
    name: str
    split: str
    index: int
    num_garments: int | None
    options: dict

    @property
    def path(self):
        return str(self.folder / self.name)

    def render(self):
        """Render and save the photo."""
        rendering = render(split=self.split, index=self.index, num_garments=self.num_garments, **self.options)
        write_picture(self.path, Image.fromarray(rendering.image), quality=rendering.jpeg_quality)
        return rendering


def write_synthetic_dataset(
    root,
    *,
    num_train: int,
    num_val: int,
    num_test: int,
    seed: int,
    max_garments: int = 1,
    size: int = 512,
    workers: int | None = None,
    progress=None,
    variation_shares: dict | None = None,
) -> None:
    """Render a dataset and write it: in FLD's layout if a photo has one labelled garment, else as COCO.

    Files are written to a staging directory that is renamed to `root` at the end, so that an interrupted run leaves no
    partial dataset. The same arguments give the same bytes for any number of workers.

    Args:
        root: folder to create: in FLD's layout with Anno/, Eval/ and img/; as COCO with images/<split>/ and
            annotations/<split>.json.
        num_train, num_val, num_test: photos of each split; in FLD's layout ids run through train, val and test in that
            order.
        seed: not negative.
        max_garments: 1 for FLD's layout; with more, the number of labelled garments of a photo is uniform in 1 to
            this, at most `layout.MAX_GARMENTS`.
        size: largest long side, pixels; at least 64.
        workers: processes; None for one per CPU. With more than one, processes are spawned, so a script that calls
            this needs the usual `if __name__ == "__main__"` guard.
        progress: called with (photos done, photos in total) after each photo, or None.
        variation_shares: `Variation` -> share of the photos; None for `layout.VARIATION_SHARES`.

    Raises:
        UserError: `root` exists and is not an empty folder.
        ValueError: a count, the seed, the size, a share or another argument is out of range.
    """
    root, counts = Path(root), dict(zip(SPLITS, (num_train, num_val, num_test), strict=True))
    if min(counts.values()) < 0 or seed < 0 or size < 64:
        raise ValueError(
            f"counts and seed must not be negative, size at least 64. Received: {counts}, {seed=}, {size=}"
        )
    if not 1 <= max_garments <= MAX_GARMENTS:
        raise ValueError(f"max_garments must be 1..{MAX_GARMENTS}. Received: max_garments={max_garments}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1. Received: workers={workers}")
    if variation_shares is not None:
        check_variation_shares(variation_shares)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(f"{root.absolute()}: exists and is not an empty folder; the synthetic dataset needs a new one")

    photos = [(split, index) for split in SPLITS for index in range(counts[split])]
    options = {"seed": seed, "size": size, "variation_shares": variation_shares}
    run_all = functools.partial(_run_all, workers=workers, progress=progress)
    with staged_directory(root, resumable=False) as folder:
        if max_garments == 1:
            _write_fld(folder, photos, options, run_all)
        else:
            _write_coco(folder, photos, options, run_all, max_garments)


def _run_all(function, tasks, workers, progress):
    """Map a function over the tasks, in order."""

    def reported(results):
        for done, result in enumerate(results, start=1):
            if progress is not None:
                progress(done, len(tasks))
            yield result

    workers = min(workers or num_cores(), max(1, len(tasks)))
    if workers == 1:
        return list(reported(map(function, tasks)))
    # Spawned, not forked: the caller may have TensorFlow's threads running.
    with multiprocessing.get_context("spawn").Pool(workers, initializer=_ignore_interrupts) as pool:
        return list(reported(pool.imap(function, tasks, chunksize=4)))


def _ignore_interrupts():
    """Ignore Ctrl-C in a worker; the parent terminates it and prints the only message."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


# COCO ----------------------------------------------------------------------------------------------------------------


def _write_coco(folder, photos, options, run_all, max_garments):
    from ..coco import write_coco

    for name in ("annotations", *(f"images/{split}" for split in SPLITS)):
        (folder / name).mkdir(parents=True)
    tasks = []
    for split, index in photos:
        rng = np.random.default_rng([options["seed"], SPLITS.index(split), index, 1])
        num_garments = 1 + int(rng.integers(max_garments))
        tasks.append(_Task(folder, f"images/{split}/{index + 1:08d}.jpg", split, index, num_garments, options))
    labels = run_all(_labels, tasks)
    for split in SPLITS:
        path = folder / "annotations" / f"{split}.json"
        labelled = [
            (Sample(task.name, split, garments, f"{path.name}:{task.name}", task.path), height, width)
            for task, (garments, height, width) in zip(tasks, labels, strict=True)
            if task.split == split
        ]
        write_coco(path, labelled)


def _labels(task):
    """Render and save one photo; return its labelled garments, height and width."""
    rendering = task.render()
    return rendering.garments, *rendering.image.shape[:2]


# FLD -----------------------------------------------------------------------------------------------------------------


def _write_fld(folder, photos, options, run_all):
    def numbered(stem, count):
        return " ".join(
            f"{stem}_visibility_{k} {stem}_location_x_{k} {stem}_location_y_{k}" for k in range(1, count + 1)
        )

    for name in ("Anno", "Eval", "img"):
        (folder / name).mkdir()
    tasks = [
        _Task(folder, f"img/img_{number:08d}.jpg", split, index, None, options)
        for number, (split, index) in enumerate(photos, start=1)
    ]
    rows = run_all(_fld_rows, tasks)
    kind = "image_name clothes_type variation_type"
    headers = {
        "Anno/list_bbox.txt": "image_name x_1 y_1 x_2 y_2",
        "Anno/list_landmarks.txt": f"{kind} {numbered('landmark', 8)}",
        "Anno/list_joints.txt": f"{kind} {numbered('joint', NUM_JOINTS)}",
        "Eval/list_eval_partition.txt": "image_name evaluation_status",
    }
    for column, (name, header) in enumerate(headers.items()):
        lines = [f"{task.name}  {row[column]}" for task, row in zip(tasks, rows, strict=True)]
        (folder / name).write_text("\n".join([str(len(lines)), header, *lines]) + "\n", encoding="utf-8")


def _fld_rows(task):
    """Render and save one photo; return its rows of the four lists, without the name."""
    rendering = task.render()
    garments, joints_xy = rendering.garments, rendering.plan.joints_xy  # one garment
    garment_type = GarmentType(garments.types[0])
    kind = f"{garment_type:d}  {garments.variations[0]}"
    box = "  ".join(f"{int(c):03d}" for c in garments.boxes_xyxy[0])
    points = []
    for slot in KEYPOINT_SLOTS[garment_type]:
        code = _FLD_VISIBILITY[Visibility(garments.visibility[0, slot])]
        points.append(_group(code, garments.keypoints_xy[0, slot]))
    height, width = rendering.image.shape[:2]
    joints = [_group(2, (0, 0))] * NUM_JOINTS
    if joints_xy is not None:
        seen = inside(joints_xy, width, height)
        joints = [_group(0, xy) if ok else _group(2, (0, 0)) for ok, xy in zip(seen, joints_xy, strict=True)]
    return box, f"{kind}  {'  '.join(points)}", f"{kind}  {'  '.join(joints)}", task.split


def _group(code, xy):
    """Format a point as in FLD, rounded to the nearest pixel centre; 0 0 if cut off."""
    x, y = (0, 0) if code == 2 else (int(np.floor(c + 0.5)) for c in xy)
    return f"{code} {x:03d} {y:03d}"
