"""Small datasets of the four DeepFashion variants, written out in full, for tests to change."""

from cspn_tf.data.deepfashion import read_deepfashion

FLD, CATEGORY, IN_SHOP, CONSUMER = (
    f"DeepFashion {name}" for name in ("FLD", "Category & Attribute", "In-shop", "Consumer-to-shop")
)

KEYPOINTS = [f"landmark_{what}_{k}" for k in range(1, 9) for what in ("visibility", "location_x", "location_y")]
NAMES = [
    "img/img_1.jpg",
    "img/MEN/id_00000001/2.jpg",
    "img/MEN/id_00000001/3.jpg",
    "img/WOMEN/id_00000002/4.jpg",
    "img/grün.jpg",
]
ITEMS = ["id_00000009", "id_00000001", "id_00000001", "id_00000002", "id_00000002"]
TYPES = [1, 2, 3, 1, 2]
CORNERS = ["053 130 289 440", "45 040 299 449", "10 20 200 400", "0 0 1 1", "9.5 -3 900 900.25"]
# The first and the fourth have the values of rows of the dataset itself; the fourth is zero-padded to eight keypoints.
POINTS = [
    "0 144 156  0 221 159  0 086 218  1 250 238  0 111 408  2 000 000",
    "0 30 40 1 120 41 0 20 390 0 150 380",
    "0 11 21 1 12 22 2 0 0 0 14 24 0 15 25 0 16 26 0 17 27 0 18 28",
    "0 132 048 0 215 054 0 063 067 0 280 088 2 000 000 2 000 000 0 000 000 0 000 000",
    "0 1.5 -2 0 3 4 0 5 6 0 7 8",
]

# What each variant's files are called; the order is boxes, landmarks.
FILES = {
    FLD: ("Anno/list_bbox.txt", "Anno/list_landmarks.txt"),
    CATEGORY: ("Anno_coarse/list_bbox.txt", "Anno_coarse/list_landmarks.txt"),
    IN_SHOP: ("Anno/list_bbox_inshop.txt", "Anno/list_landmarks_inshop.txt"),
    CONSUMER: ("list_bbox_consumer2shop.txt", "list_landmarks_consumer2shop.txt"),
}
PARTITION = "Eval/list_eval_partition.txt"
# What they begin with; the order is boxes, landmarks, partition.
HEADERS = {
    FLD: ("image_name x_1 y_1 x_2 y_2", "image_name clothes_type variation_type", "image_name evaluation_status"),
    CATEGORY: ("image_name x_1 y_1 x_2 y_2", "image_name clothes_type", "image_name evaluation_status"),
    IN_SHOP: (
        "image_name clothes_type pose_type x_1 y_1 x_2 y_2",
        "image_name clothes_type variation_type",
        "image_name item_id evaluation_status",
    ),
    CONSUMER: (
        "image_name clothes_type source_type x_1 y_1 x_2 y_2",
        "image_name clothes_type variation_type",
        "image_pair_name_1 image_pair_name_2 item_id evaluation_status",
    ),
}
STATUSES = {variant: {"train": "train", "val": "val", "test": "test"} for variant in HEADERS}
STATUSES[IN_SHOP] = {"train": "train", "query": "test", "gallery": "test"}


def make_files(variant=FLD):
    """Return the files: name → list of lines, bytes. Photo n is in line n + 3, but for pairs."""
    headers, (box_file, landmark_file) = HEADERS[variant], FILES[variant]
    codes = [f"{t} {n % 2 + 1} " if "clothes_type" in headers[0] else "" for n, t in enumerate(TYPES)]
    boxes = [f"{name}  {code}{corners}" for name, code, corners in zip(NAMES, codes, CORNERS, strict=True)]
    variations = [f"{n + 1}  " if "variation_type" in headers[1] else "" for n in range(5)]
    landmarks = [f"{row[0]}  {row[1]}  {row[2]}{row[3]}" for row in zip(NAMES, TYPES, variations, POINTS, strict=True)]
    statuses = [list(STATUSES[variant])[n % 3] for n in range(5)]
    if "item_id" not in headers[2]:
        partition = [f"{name}    {status}" for name, status in zip(NAMES, statuses, strict=True)]
    elif "image_name" in headers[2]:
        partition = [f"{name} {item} {status}" for name, item, status in zip(NAMES, ITEMS, statuses, strict=True)]
    else:
        pairs = [(0, 0), (1, 2), (2, 1), (3, 4), (1, 2)]
        status = {ITEMS[0]: "train", ITEMS[1]: "val", ITEMS[3]: "test"}
        partition = [f"{NAMES[i]} {NAMES[j]} {ITEMS[i]} {status[ITEMS[i]]}" for i, j in pairs]
    tables = {
        box_file: [headers[0], *boxes],
        landmark_file: [" ".join([headers[1], *KEYPOINTS]), *landmarks],
        PARTITION: [headers[2], *partition],
    }
    return {file: [line.encode() for line in (str(len(rows) - 1), *rows)] for file, rows in tables.items()}


class Dataset:
    """A dataset in a folder, of which lines can be changed before it is read; lines are counted from 1.

    Texts may have bytes that are not UTF-8 as Python does: "\\udcff" is 0xff.
    """

    def __init__(self, root, variant=FLD):
        self.root, self.files = root, make_files(variant)
        self.boxes, self.landmarks, self.partition = self.files
        (root / "img").mkdir(parents=True, exist_ok=True)

    def path(self, file):
        return self.root / file

    def change(self, file, line, old, new):
        """Replace text in a line, where it is for the first time."""
        old, new = (text.encode("utf-8", "surrogateescape") for text in (old, new))
        assert old in self.files[file][line - 1]
        self.files[file][line - 1] = self.files[file][line - 1].replace(old, new, 1)

    def rename(self, old, new):
        """Give a photo another name in all files."""
        for file, lines in self.files.items():
            for line, content in enumerate(lines, start=1):
                if old.encode() in content:
                    self.change(file, line, old, new)

    def append(self, file, row):
        self.files[file].append(row.encode())
        self._count(file)

    def drop(self, file, line):
        del self.files[file][line - 1]
        self._count(file)

    def _count(self, file):
        self.files[file][0] = str(len(self.files[file]) - 2).encode()

    def write(self, newline=b"\n"):
        for file, lines in self.files.items():
            self.path(file).parent.mkdir(exist_ok=True)
            self.path(file).write_bytes(newline.join(lines) + newline)

    def read(self, **options):
        self.write()
        return read_deepfashion(self.root, **options)
