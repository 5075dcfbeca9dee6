"""The served contract: inputs and outputs of an exported model; `cspn_tf.result` wraps the outputs for one photo.

An exported model has two signatures. `serving_default` takes photo files, `pixels` takes decoded photos; both return
`OUTPUTS`, batch first. Photos whose `status` is not 0, and rows beyond `num_garments`, are all zeros.

Letters in shapes: B photos, N garment rows per photo, H and W height and width of a photo, S canvas side.
"""

import dataclasses

import numpy as np

from cspn_tf.garments import GARMENT_TYPE_NAMES, NUM_KEYPOINTS

DEFAULT_MODEL_NAME = "cspn"

BYTES_SIGNATURE = "serving_default"
BYTES_INPUT = "image_bytes"  # string (B,): JPEG or PNG files
PIXELS_SIGNATURE = "pixels"
PIXELS_INPUT = "images"  # uint8 (B, H, W, 3): upright photos of equal size

# Limits of a request, part of the graph: beyond them it is rejected as a whole (INVALID_ARGUMENT) before any photo is
# decoded. They bound time and memory: a few bytes can stand for a tensor of any size.
MAX_PHOTOS = 64
# In the error of a request to the signature `pixels` for a photo beyond the limit: its name and this.
TOO_MANY_PIXELS = f"{PIXELS_INPUT} must be of at most"
PNG_PIXEL_COST = 2  # a PNG may have `Config.max_pixels` divided by this many pixels
MAX_PIXELS_FACTOR = 4  # times `Config.max_pixels`, the limit of one photo: all photos of a request to `pixels` together

# What a photo file may be, for each decoder of photos.
JPEG_MAGIC = b"\xff\xd8\xff"
JPEG_MAX_SCANS = 32  # progressive JPEGs have about 10, and each costs as much as a photo
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_MAX_SIDE = 2**31 - 1  # sizes in a PNG header have 31 bits

# Value of pixels outside a photo, in every frame: mid-grey on the 0 to 255 scale.
PAD_VALUE = 128.0

# File names that are taken for photos when a folder is searched.
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp")
# How the names of pictures end that commands draw of photos; they are not taken for photos.
PICTURE_SUFFIX = ".keypoints.jpg"

STATUS_OK = 0
STATUS_NOT_A_PHOTO = 1  # neither JPEG nor PNG, by its first bytes
STATUS_TOO_LARGE = 2  # more pixels than the cap, by its header; not decoded
STATUS_UNDECODABLE = 3  # truncated, corrupt, or with an invalid size
STATUS_MEANINGS = {
    STATUS_OK: "ok",
    STATUS_NOT_A_PHOTO: "not a JPEG or PNG",
    STATUS_TOO_LARGE: "more pixels than the cap",
    STATUS_UNDECODABLE: "could not be decoded",
}


@dataclasses.dataclass(frozen=True)
class Output:
    """One output tensor of both signatures."""

    dtype: str  # NumPy name
    shape: tuple  # letters are variable sizes
    meaning: str


OUTPUTS = {
    "status": Output("int32", ("B",), "; ".join(f"{code} {words}" for code, words in STATUS_MEANINGS.items())),
    "image_size": Output("int32", ("B", 2), "height, width after EXIF orientation, pixels; 0 where status is not 0"),
    "num_garments": Output("int32", ("B",), "how many of the N rows are real"),
    "boxes": Output("float32", ("B", "N", 4), "x_min, y_min, x_max, y_max, pixels of the photo"),
    "classes": Output("int32", ("B", "N"), "1 upper-body, 2 lower-body, 3 full-body, 0 padding"),
    "scores": Output("float32", ("B", "N"), "detection confidence, descending"),
    "keypoints": Output("float32", ("B", "N", NUM_KEYPOINTS, 2), "x, y, pixels of the photo"),
    "keypoint_scores": Output("float32", ("B", "N", NUM_KEYPOINTS), "confidence in [0, 1]; 0 where the type has none"),
}

# A TensorFlow Lite model takes a canvas instead of a photo file. It has these outputs, for one photo, in canvas pixels.
CANVAS_INPUT = "image"  # uint8 (1, S, S, 3)
CANVAS_OUTPUTS = {name: output for name, output in OUTPUTS.items() if name not in ("status", "image_size")}


def is_webp(photo_bytes) -> bool:
    """Check whether a file is a WebP, by its first bytes: a model does not decode it, `cspn_tf.pillow_photos` does."""
    return photo_bytes[:4] == b"RIFF" and photo_bytes[8:12] == b"WEBP"


def check_outputs(outputs) -> None:
    """Check a batch of model outputs against the contract; additional outputs are ignored.

    Args:
        outputs: dict of NumPy arrays, see `OUTPUTS`.

    Raises:
        ValueError: an output is missing or violates the contract; the message names it.
    """
    missing = [name for name in OUTPUTS if name not in outputs]
    if missing:
        raise ValueError(f"outputs must contain {', '.join(OUTPUTS)}; missing: {', '.join(missing)}")
    for name, output in OUTPUTS.items():
        if outputs[name].ndim != len(output.shape):
            raise ValueError(_mismatch(name, outputs[name]))
    sizes = {"B": len(outputs["status"]), "N": outputs["classes"].shape[1]}
    for name, output in OUTPUTS.items():
        array = outputs[name]
        if array.dtype != output.dtype or array.shape != tuple(sizes.get(size, size) for size in output.shape):
            raise ValueError(_mismatch(name, array))
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, received NaN or infinity")
    num_garments, num_rows = outputs["num_garments"], sizes["N"]
    if not ((num_garments >= 0) & (num_garments <= num_rows)).all():
        raise ValueError(f"num_garments must be 0 to {num_rows}, received {num_garments.tolist()}")
    real = np.arange(num_rows) < num_garments[:, np.newaxis]
    known = np.isin(outputs["classes"], list(GARMENT_TYPE_NAMES))
    if (real & ~known).any():
        raise ValueError(
            f"classes must be {list(map(int, GARMENT_TYPE_NAMES))} in real rows, received "
            f"{outputs['classes'][real & ~known][0]}"
        )


def _mismatch(name, array):
    output = OUTPUTS[name]
    return f"{name} must be {output.dtype} ({', '.join(map(str, output.shape))}), received {array.dtype} {array.shape}"
