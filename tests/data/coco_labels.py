"""Files of COCO keypoints made for tests."""

import json

UPPER_NAMES = ["left collar", "right collar", "left sleeve", "right sleeve", "left hem", "right hem"]
LOWER_NAMES = ["left waistline", "right waistline", "left hem", "right hem"]
FULL_NAMES = UPPER_NAMES[:4] + LOWER_NAMES

UPPER = [10, 11, 2, 20, 21, 2, 30, 31, 1, 40, 41, 2, 70, 71, 2, 0, 0, 0]
LOWER = [50, 51, 2, 60, 61, 1, 70, 71, 2, 80, 81, 2]
FULL = [10, 11, 2, 20, 21, 2, 30, 31, 1, 40, 41, 2, 50, 51, 2, 60, 61, 1, 70, 71, 2, 80, 81, 2]


def make_annotation(number, image_id, keypoints, **changes):
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "bbox": [5, 6, 100, 200],
        "area": 20000,
        "iscrowd": 0,
        "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
        "keypoints": keypoints,
        **changes,
    }


def make_category(names, number=1, name="fashion"):
    return {"supercategory": "person", "id": number, "name": name, "keypoints": names, "skeleton": []}


def make_images(*names):
    return [{"id": n, "file_name": name, "height": 300, "width": 200} for n, name in enumerate(names, start=1)]


def make_labels(names=FULL_NAMES, keypoints=FULL, num_photos=1, **changes):
    """One annotation a photo, 1.jpg and so on, of one category."""
    return {
        "info": {"description": "a test"},
        "categories": [make_category(names)],
        "images": make_images(*(f"{n}.jpg" for n in range(1, num_photos + 1))),
        "annotations": [make_annotation(n, n, keypoints) for n in range(1, num_photos + 1)],
        **changes,
    }


def write_labels(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(labels if isinstance(labels, str) else json.dumps(labels))
