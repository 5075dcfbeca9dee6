"""The data report of `prepare`: counts, findings, rejected rows and contact sheets."""

import collections
import itertools
import json
import random
from pathlib import Path

from cspn_tf.data.doctor import KINDS, KINDS_OF_DATASETS, examine, examine_dataset, find_duplicates
from cspn_tf.data.samples import REJECTION_KINDS, SPLITS
from cspn_tf.files import write_json, write_picture, write_text
from cspn_tf.garment_set import Garments
from cspn_tf.garments import GARMENT_TYPE_NAMES, GarmentType, Variation, Visibility

CONTACT_SHEET = "contact_sheet.jpg"

MAX_LISTED = 10  # rejected rows, and groups of duplicates, listed in the summary
MAX_EXAMPLES = 20  # examples of each kind of finding in report.json; findings.jsonl has all
NUM_SHOWN = 24  # photos on a contact sheet

_TILE_SIZE = 320


def write_report(folder, photos, rejected, *, root, about, notes, seed) -> str:
    """Examine a dataset and write the report into its folder.

    `report.json` and `report.md` have the counts, `rejected.jsonl` the rejected rows and `findings.jsonl` suspicious
    labels and duplicates among the others, one JSON object per line. `contact_sheet.jpg` shows random photos with their
    labels, `rejected.jpg` some rejected ones; it is not written if none can be shown.

    Args:
        folder: folder of the dataset.
        photos: list of `WrittenPhoto`.
        rejected: list of `Rejected`, in the order in which to list them.
        root: folder of the source, in which photos of rejected rows are looked up.
        about: source, variant and splits of the dataset, as in its manifest.
        notes: as in `ReadResult`.
        seed: selects the photos on the contact sheets.

    Returns:
        The summary, as text.
    """
    findings = examine_dataset(photos)
    findings += [f for photo in photos for f in examine(photo.sample, photo.facts.size)]
    duplicates = find_duplicates(photos)
    report = make_report(photos, rejected, findings, duplicates, about=about, notes=notes)
    summary = describe_report(report, rejected)
    write_json(folder / "report.json", report)
    picture = f"![Random photos with labels]({CONTACT_SHEET})"
    write_text(folder / "report.md", f"# Data report\n\n```\n{summary}\n```\n\n{picture}\n")
    write_text(folder / "rejected.jsonl", "".join(json.dumps(fault.as_dict()) + "\n" for fault in rejected))
    lines = [json.dumps(found) + "\n" for found in [*map(vars, findings), *duplicates]]
    write_text(folder / "findings.jsonl", "".join(lines))
    _write_contact_sheets(folder, photos, rejected, root, seed)
    return summary


# Counting ------------------------------------------------------------------------------------------------------------


def make_report(photos, rejected, findings, duplicates, *, about, notes) -> dict:
    """Count the content of a dataset.

    Args:
        photos: list of `WrittenPhoto`.
        rejected: list of `Rejected`.
        findings: list of `Finding` of those photos and of the dataset.
        duplicates: groups of duplicates among those photos, from `find_duplicates`.
        about, notes: as for `write_report`.

    Returns:
        The content of report.json, a dict with
        every entry of `about`, and notes.
        num_rejected, and rejected: kind → number of rejected rows.
        splits: name of the split, or "all" → num_photos and num_garments; garment_types and variations, name → number
            of garments; visibility, name → number of keypoints.
        findings: kind → count, meaning, and examples, at most `MAX_EXAMPLES`.
        duplicates: num_groups, num_groups_across_splits, and examples, those across splits first.
    """
    samples = [photo.sample for photo in photos]
    in_splits = {split: [sample for sample in samples if sample.split == split] for split in SPLITS} | {"all": samples}
    by_kind = collections.Counter(fault.kind for fault in rejected)
    return {
        **about,
        "notes": notes,
        "num_rejected": len(rejected),
        "rejected": {kind: by_kind[kind] for kind in REJECTION_KINDS},
        "splits": {name: _count_samples(in_split) for name, in_split in in_splits.items()},
        "findings": _count_findings(findings),
        "duplicates": {
            "num_groups": len(duplicates),
            "num_groups_across_splits": sum(group["across_splits"] for group in duplicates),
            "examples": sorted(duplicates, key=lambda group: not group["across_splits"])[:MAX_EXAMPLES],
        },
    }


def _count_samples(samples) -> dict:
    def count(column):
        return collections.Counter(
            code for sample in samples for code in getattr(sample.garments, column).ravel().tolist()
        )

    types, variations, visibility = count("types"), count("variations"), count("visibility")
    return {
        "num_photos": len(samples),
        "num_garments": sum(types.values()),
        "garment_types": {GARMENT_TYPE_NAMES[t]: types[t] for t in GarmentType},
        "variations": {_words(v): variations[v] for v in Variation},
        "visibility": {_words(v): visibility[v] for v in sorted(Visibility, reverse=True)},
    }


def _count_findings(findings) -> dict:
    by_kind = {kind: [] for kind in KINDS}
    for finding in findings:
        by_kind[finding.kind].append(finding)
    return {
        kind: {"count": len(found), "meaning": KINDS[kind], "examples": [vars(f) for f in found[:MAX_EXAMPLES]]}
        for kind, found in by_kind.items()
    }


def _words(code) -> str:
    return code.name.lower().replace("_", " ")


# Telling -------------------------------------------------------------------------------------------------------------


def describe_report(report, rejected) -> str:
    """Format a report as text: a table of counts by split, then notes, findings, duplicates and rejected rows."""
    splits = report["splits"]
    rows = [("", splits)]
    rows += [(name, [counts[f"num_{name}"] for counts in splits.values()]) for name in ("photos", "garments")]
    for group in ("garment_types", "variations", "visibility"):
        title = {"visibility": "keypoints"}.get(group, group.replace("_", " "))
        rows.append((title, [""] * len(splits)))
        for name in splits["all"][group]:
            values = [counts[group][name] for counts in splits.values()]
            if any(values):
                rows.append((f"  {name}", values))
    lines = [f"{report['source']}: {report['variant']}", f"splits: {describe_splits(report['splits_from'])}"]
    lines += [f"{label:<18}" + "".join(f"{value:>10}" for value in values) for label, values in rows]
    lines += [f"note: {what}: {count}" for what, count in report["notes"].items()]
    lines += _describe_findings(report)
    lines += describe_rejected(rejected)
    return "\n".join(line.rstrip() for line in lines)


def describe_splits(splits_from) -> str:
    """Describe where the splits come from."""
    if splits_from == "source":
        return "the dataset's own"
    fractions = " / ".join(f"{fraction:g}" for fraction in splits_from["fractions"])
    return f"random, {fractions} of the photos, seed {splits_from['seed']}"


def _describe_findings(report):
    found = {kind: finding for kind, finding in report["findings"].items() if finding["count"]}
    if found:
        yield "findings (these photos are still used)"
    for kind, finding in found.items():
        first = finding["examples"][0]
        if kind in KINDS_OF_DATASETS:
            for example in finding["examples"]:
                yield f"  {kind} ({example['split']}): {example['detail']}: {finding['meaning']}"
            continue
        yield f"  {kind:<32}{finding['count']:>8}   {finding['meaning']}; for example {Path(first['where']).name}"
    duplicates = report["duplicates"]
    if duplicates["num_groups"]:
        across = duplicates["num_groups_across_splits"]
        yield f"duplicates: {duplicates['num_groups']} groups of photos that are the same, {across} across splits"
        for group in duplicates["examples"][:MAX_LISTED]:
            if group["across_splits"]:
                names = ", ".join(f"{photo['split']} {photo['photo']}" for photo in group["photos"][:4])
                yield f"  {group['kind']}: {names}"


def describe_rejected(rejected) -> list[str]:
    """List the first rejected rows with file and line, after the counts by kind."""
    kinds = collections.Counter(fault.kind for fault in rejected)
    counts = ", ".join(f"{kinds[kind]} {kind}" for kind in REJECTION_KINDS if kinds[kind])
    lines = [f"rejected rows     {len(rejected):>10}" + (f"   {counts}" if counts else "")]
    lines += [f"  {fault.where}: {fault.reason}" for fault in rejected[:MAX_LISTED]]
    if len(rejected) > MAX_LISTED:
        lines.append(f"  and {len(rejected) - MAX_LISTED} more")
    return lines


# Showing -------------------------------------------------------------------------------------------------------------


def _write_contact_sheets(folder, photos, rejected, root, seed):
    """Draw random photos with their labels, and random photos of rejected rows; arguments as for `write_report`."""
    rng = random.Random(seed)
    chosen = rng.sample(photos, min(NUM_SHOWN, len(photos)))
    samples = sorted((photo.sample for photo in chosen), key=lambda sample: SPLITS.index(sample.split))
    drawn = ((_draw(sample.path, sample.garments), _caption(sample)) for sample in samples)
    _save_sheet(folder / CONTACT_SHEET, drawn)
    mixed = rng.sample(rejected, len(rejected))
    drawn = ((_draw_rejected(fault, root), _caption_of_rejected(fault)) for fault in mixed)
    _save_sheet(folder / "rejected.jpg", drawn)


def _caption(sample) -> str:
    variations = {_words(Variation(v)) for v in sample.garments.variations if v != Variation.UNKNOWN}
    return ", ".join([sample.split, *sorted(variations), Path(sample.photo).name])


def _caption_of_rejected(fault) -> str:
    return f"{Path(fault.photo).name}: {fault.reason.removeprefix(f'photo {fault.photo!a} ')}"


def _draw(path, garments):
    """Return a photo with its labels drawn; None if it cannot be read, for example because it was deleted since."""
    from PIL import Image

    from cspn_tf.decoding import pixels_as_displayed
    from cspn_tf.drawing import draw_garments

    try:
        photo = Image.fromarray(pixels_as_displayed(Path(path).read_bytes()))
    except (OSError, ValueError):
        return None
    return draw_garments(photo, garments)


def _draw_rejected(fault, root):
    """Return the photo of a rejected row, with labels if they could be parsed; None if it cannot be drawn."""
    try:
        if fault.sample:
            return _draw(fault.sample.path, fault.sample.garments)
        path = (root / fault.photo).resolve()
        return _draw(path, Garments.concatenate([])) if path.is_relative_to(root.resolve()) else None
    except Exception:  # a rejected photo may be broken in any way
        return None


def _save_sheet(path, drawn):
    """Write a sheet of the first `NUM_SHOWN` pictures of an iterable of (picture or None, caption), skipping None."""
    from cspn_tf.drawing import contact_sheet

    shown = list(itertools.islice((one for one in drawn if one[0] is not None), NUM_SHOWN))
    if not shown:
        return
    pictures, captions = zip(*shown, strict=True)
    sheet = contact_sheet(list(pictures), 6, _TILE_SIZE, list(captions))
    write_picture(path, sheet, quality=90)
