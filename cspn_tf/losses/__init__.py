"""The losses of the keypoint networks in `cspn_tf.methods`.

Every output of every network gets the same targets, float32 `(B, 8, 4)`:

    x, y          crop pixels, 0 where the weight is 0
    weight        1 where the keypoint is labelled (it may be occluded) and inside the crop, else 0
    visibility    the keypoint's `cspn_tf.garments.Visibility` code as a float

heatmap             heatmaps, with hard-keypoint mining
offsets             offsets from heatmap pixels to keypoints
regression          regressed coordinates
visibility          visibility of keypoints

Letters in shapes: B garments of a batch, 8 keypoint slots, H side of a heatmap.
"""
