"""Pre- and postprocessing of the peers with OpenCV and NumPy, as in their usual deployments.

Letters in shapes: H, W size of a photo, A candidates, K keypoints, N garments, h, w size of a heatmap.
"""

import cv2
import numpy as np

NUM_TYPES, NUM_KEYPOINTS = 3, 8
BATCH_SIZE = 8
# Number of candidates kept, in place of a confidence threshold, which is meaningless with random weights.
NUM_KEPT = 4
_NMS_IOU = 0.7
# Ratio of crop size to box size.
_CROP_MARGIN = 1.25


def decode(photo):
    """Decode a photo file to uint8 `(H, W, 3)`, BGR."""
    return cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)


def letterbox(pixels, size, stride=None):
    """Letterbox a photo on grey, as Ultralytics does.

    Args:
        pixels: uint8 `(H, W, 3)`, BGR.
        size: long side of the result, pixels.
        stride: None for a square; else the smallest rectangle whose sides are multiples of it.

    Returns:
        float32 `(1, 3, h, w)`, RGB, 0 to 1; and the transform (scale, left, top) for mapping points back.
    """
    height, width = pixels.shape[:2]
    scale = size / max(height, width)
    new_height, new_width = round(height * scale), round(width * scale)
    if (new_height, new_width) != (height, width):
        pixels = cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    rows, columns = size - new_height, size - new_width
    if stride:
        rows, columns = rows % stride, columns % stride
    top, left = rows // 2, columns // 2
    padding = (top, rows - top, left, columns - left)
    pixels = cv2.copyMakeBorder(pixels, *padding, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    return cv2.dnn.blobFromImage(pixels, 1 / 255.0, swapRB=True), (scale, left, top)


def yolo_batch(infer, size):
    """Return a function that finds the keypoints of several photos in one call of YOLO-pose.

    Args:
        infer: the network, float32 `(B, 3, S, S)` to one output row per photo, see `yolo_keypoints`.
        size: S; photos of different shapes fit in one batch only as squares.
    """

    def batch(photos):
        read = [letterbox(decode(photo), size) for photo in photos]
        outputs = infer(np.concatenate([tensor for tensor, _ in read]))
        return [yolo_keypoints(row, place) for row, (_, place) in zip(outputs, read, strict=True)]

    return batch


def yolo_keypoints(output, transform):
    """Decode the output of YOLO-pose for one photo to keypoints in photo pixels.

    Args:
        output: float32, of YOLO11 `(4 + NUM_TYPES + 3 K, A)`: boxes (centre, size), scores, keypoints with visibility,
            which need NMS; of YOLO26, which needs none, `(N', 6 + 3 K)`: box, score, type, keypoints, best first.
        transform: the transform returned by `letterbox`.

    Returns:
        list of N arrays float32 `(K, 3)`.
    """
    if output.shape[1] == 6 + 3 * NUM_KEYPOINTS:
        return _on_photo(output[:NUM_KEPT, 6:], transform)
    scores = output[4 : 4 + NUM_TYPES].max(axis=0)
    kept = np.argpartition(-scores, NUM_KEPT)[:NUM_KEPT]
    kept = kept[np.argsort(-scores[kept])]
    centres, sizes = output[:2, kept].T, output[2:4, kept].T
    boxes = np.concatenate([centres - sizes / 2, sizes], axis=1)
    chosen = cv2.dnn.NMSBoxes(boxes.tolist(), scores[kept].tolist(), 0.0, _NMS_IOU)
    return _on_photo(output[4 + NUM_TYPES :, kept[np.asarray(chosen, int)]].T, transform)


def _on_photo(keypoints, transform):
    keypoints = keypoints.reshape(-1, NUM_KEYPOINTS, 3).copy()
    scale, left, top = transform
    keypoints[..., :2] = (keypoints[..., :2] - (left, top)) / scale
    return list(keypoints)


def crop(pixels, box_xyxy, size_wh):
    """Crop a garment with a margin, as MMPose's TopdownAffine does.

    Args:
        pixels: uint8 `(H, W, 3)`.
        box_xyxy: float `(4,)`, pixels.
        size_wh: width and height of the crop.

    Returns:
        uint8 `(height, width, 3)`, and the affine map from crop to photo, float `(2, 3)`.
    """
    width, height = size_wh
    left, top, right, bottom = box_xyxy
    scale = max((right - left) / width, (bottom - top) / height, 1e-3) * _CROP_MARGIN
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    back = np.array([[scale, 0, 0], [0, scale, 0]])
    back[:, 2] = centre - scale * (np.array([width, height]) - 1) / 2
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(pixels, back, (width, height), flags=flags), back


def peaks(heatmaps, back, stride):
    """Return the heatmap peaks, shifted a quarter of a pixel towards the higher neighbour, in photo pixels.

    Args:
        heatmaps: float32 `(K, h, w)` of one crop.
        back: the affine map from crop to photo.
        stride: crop pixels per heatmap pixel.

    Returns:
        float `(K, 2)`.
    """
    num, height, width = heatmaps.shape
    y, x = np.unravel_index(heatmaps.reshape(num, -1).argmax(axis=1), (height, width))
    row = np.arange(num)
    x_inner, y_inner = np.clip(x, 1, width - 2), np.clip(y, 1, height - 2)
    shift_x = np.sign(heatmaps[row, y, x_inner + 1] - heatmaps[row, y, x_inner - 1])
    shift_y = np.sign(heatmaps[row, y_inner + 1, x] - heatmaps[row, y_inner - 1, x])
    xy = np.stack([x + 0.25 * shift_x, y + 0.25 * shift_y], axis=1) * stride
    return xy @ back[:, :2].T + back[:, 2]
