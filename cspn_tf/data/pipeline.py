"""From TFRecords to batches for training and evaluation, one builder for each network.

An example is a dict; a step is a function from dict to dict whose docstring says which keys it needs, adds and
changes. Up to the crop and the detector's input, training and evaluation run what inference runs, `read_photo` and
`CanvasPyramid` of `cspn_tf.resampling`. Steps work on one photo or one garment, so that what only some examples draw
costs nothing for the others; the cores share the photos, not the work on one.

Randomness comes from (seed, epoch, place in the epoch) alone: neither the number of cores nor where a run was
interrupted changes what is seen.

Letters in shapes: B examples of a batch, G garments of a photo, M `MAX_LABELLED_GARMENTS`, D side of the detector's
input, C side of a crop.
"""

import functools

import numpy as np
import tensorflow as tf

from cspn_tf import geometry, resampling
from cspn_tf.console import UserError
from cspn_tf.data.augmentation import boxes, camera, colour, deformation, draws, flip, occlusion
from cspn_tf.data.tfrecords import parse_example, read_manifest, shard_paths
from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.resampling import CanvasPyramid

# Rows of the detector's labels; a photo with more garments keeps the largest.
MAX_LABELLED_GARMENTS = 16

# Photos are drawn at random from about so many bytes of records, from so many shards at a time.
SHUFFLE_BYTES = 256_000_000
OPEN_SHARDS = 8


# Builders ------------------------------------------------------------------------------------------------------------


def detector_dataset(data_dir, split, config, batch_size, *, training, seed, augment=True, first_epoch=0):
    """Build the dataset that trains or evaluates the detector: photos as it sees them, with boxes.

    In training the dataset never ends; an epoch is `steps_per_epoch` batches, exactly, in an order of its own, and
    leaves out the few photos that do not fill a batch. In evaluation it is one pass in the files' order.

    Args:
        data_dir: directory that `prepare` wrote.
        split: `train`, `val` or `test`.
        config: a `cspn_tf.config.Config`.
        batch_size: photos a batch, B.
        training: whether to shuffle, repeat, and give full batches only.
        seed: a whole number.
        augment: whether to change the photos at random; only in training.
        first_epoch: the epoch to begin with: a resumed run sees what the uninterrupted one would have seen.

    Returns:
        A dataset of (images, labels):
        images: float32 `(B, D, D, 3)`, 0 to 255.
        labels: a dict of
            boxes_xyxy: float32 `(B, M, 4)`, pixels of the images; zeros where there is no garment.
            garment_types: int32 `(B, M)`, `GarmentType` ids; 0 where there is no garment.

    Raises:
        UserError: if the data are missing, or too few to fill one batch in training.
    """
    augment = augment and training
    photos = examples(data_dir, split, batch_size, "photos", training, seed, first_epoch)
    if augment:
        photos = photos.map(chain(functools.partial(add_draws, seed=seed, what="photos")))
    photos = photos.map(detector_chain(config, augment=augment), num_parallel_calls=tf.data.AUTOTUNE)
    batches = photos.batch(batch_size, drop_remainder=training)
    return _finish(batches, data_dir, split, batch_size, "photos", training)


def detector_chain(config, *, augment):
    """Return the function that makes one photo of `parse_example` what the detector is fed.

    Args:
        config: a `cspn_tf.config.Config`.
        augment: whether to change the photo at random; it then needs ``draws`` of the photo.

    Returns:
        A function from example to (image, labels), as `detector_dataset` without the batch.
    """
    size = config.detector.input_size
    steps = [functools.partial(to_canvas, canvas_size=config.canvas_size, max_pixels=config.max_pixels)]
    steps += detector_augmentation(config) if augment else [functools.partial(to_detector_input, input_size=size)]
    # Boxes are clipped when they have their final places, so that only what the picture shows is clipped.
    steps += [functools.partial(to_detector_labels, input_size=size)]
    steps += [lambda example: (example["image"], {key: example[key] for key in ("boxes_xyxy", "garment_types")})]
    return chain(*steps)


def detector_augmentation(config):
    """Return the steps that cut the detector's input out of a photo's canvas and change it at random."""
    return [
        # The window is chosen before the one resampling, so that a close-up has the detail of the whole canvas.
        functools.partial(boxes.random_window, canvas_size=config.canvas_size),
        functools.partial(cut_detector_input, input_size=config.detector.input_size),
        flip.flip_image,
        *_looks("image"),
    ]


def keypoint_dataset(data_dir, split, config, batch_size, *, training, seed, augment=True, first_epoch=0):
    """Build the dataset that trains or evaluates the keypoint network: crops around labelled garments.

    Epochs are as in `detector_dataset`, counted in garments, of which training leaves out those without a labelled
    keypoint. The garments of a photo follow each other, because the photo is decoded once.

    Args:
        data_dir, split, config, training, seed, augment, first_epoch: as in `detector_dataset`.
        batch_size: garments a batch, B.

    Returns:
        A dataset of dicts:
        crops: float32 `(B, C, C, 3)`, 0 to 255.
        targets: float32 `(B, 8, 3)`: x, y in crop pixels, and the weight: 1 where the keypoint is labelled (it may
            be occluded) and inside the crop, else 0, with x and y 0.
        visibility: int32 `(B, 8)`, `Visibility` codes as labelled, in the slots of `targets`; keypoints that the
            augmentation covered are occluded.
        windows: float32 `(B, 3)`, canvas to crop, see `geometry.canvas_to_crop`; before any flip and rotation.
        transforms: float32 `(B, 3)`, photo to canvas, see `geometry.letterbox_transform`.
        image_sizes: int32 `(B, 2)`, height and width of the photos as displayed.
        boxes_xyxy_photo: float32 `(B, 4)`, as labelled.
        keypoints_xy_photo: float32 `(B, 8, 2)`, as labelled.
        garment_types, variations: int32 `(B,)`.
        photo_names: string `(B,)`.

    Raises:
        UserError: if the data are missing, or too few to fill one batch in training.
    """
    augment = augment and training
    photos = examples(data_dir, split, batch_size, "garments", training, seed, first_epoch)
    if augment:
        photos = photos.map(chain(functools.partial(add_draws, seed=seed, what="garments")))
    photos = photos.map(keypoint_chain(config, augment=augment), num_parallel_calls=tf.data.AUTOTUNE)
    batches = photos.rebatch(batch_size, drop_remainder=training)
    return _finish(batches, data_dir, split, batch_size, "garments", training)


def keypoint_chain(config, *, augment):
    """Return the function that makes one photo of `parse_example` what the keypoint network is fed.

    Args:
        config: a `cspn_tf.config.Config`.
        augment: whether to change the garments at random; it then needs ``draws`` of the garments.

    Returns:
        A function from example to dict, as `keypoint_dataset` with G garments in place of B.
    """
    size = config.keypoints.crop_size
    steps = [
        functools.partial(to_canvas, canvas_size=config.canvas_size, max_pixels=config.max_pixels),
        functools.partial(to_crops, steps=garment_steps(config, augment), crop_size=size),
        describe_garments,
        functools.partial(to_targets, crop_size=size),
    ]
    keep = ("crops", "targets", "visibility", "windows", "transforms", "image_sizes", "boxes_xyxy_photo")
    return chain(*steps, keep=(*keep, "keypoints_xy_photo", "garment_types", "variations", "photo_names"))


def garment_steps(config, augment):
    """Return the steps on one garment of a photo, from its box to its crop.

    Args:
        config: a `cspn_tf.config.Config`.
        augment: whether to change the garment at random; the steps then need its ``draws``.

    Returns:
        A list of functions from dict to dict, as `to_crops` takes them.
    """
    crop_size = config.keypoints.crop_size
    window = functools.partial(to_window, config=config)
    if not augment:
        return [window, functools.partial(cut_garment, crop_size=crop_size)]
    return [
        # The box moves before the window is cut, so that what comes into view is the photo and not padding.
        boxes.jitter_box,
        window,
        boxes.move_window,
        # What moves keypoints comes next,
        functools.partial(deformation.cut_garment, crop_size=crop_size),
        flip.flip_crop,
        # then what hides them, when they have their final places,
        occlusion.cover,
        # and at last what changes pixels in their places.
        *_looks("crop"),
    ]


def _looks(key):
    """Return the steps that change the pixels of a picture in their places, in the order in which a camera does."""
    return [functools.partial(step, key=key) for step in (colour.recolour, camera.blur, camera.compress)]


def num_examples(data_dir, split, *, what="photos"):
    """Return how many photos or garments (`what`) a split has, from the manifest.

    Raises:
        UserError: if there is no manifest, or it lacks the split.
    """
    return _split_entry(data_dir, split, what)[f"num_{what}"]


def _split_entry(data_dir, split, what):
    if what not in ("photos", "garments"):
        raise ValueError(f"what must be 'photos' or 'garments'; received {what!r}")
    splits = read_manifest(data_dir)["splits"]
    if split not in splits:
        raise UserError(f"{data_dir} has no split {split!r}")
    return splits[split]


def _num_training_examples(data_dir, split, what):
    """Return how many photos or garments (`what`) training sees: garments without a labelled keypoint teach nothing.

    A manifest that does not count those with keypoints is of a dataset in which all garments have some.
    """
    entry = _split_entry(data_dir, split, what)
    if what == "garments":
        return entry.get("num_keypoint_garments", entry["num_garments"])
    return entry["num_photos"]


def steps_per_epoch(data_dir, split, batch_size, *, what="photos"):
    """Return how many full batches an epoch of training has; garments without a labelled keypoint are not in it.

    Args:
        data_dir, split, what: as in `num_examples`.
        batch_size: photos or garments a batch.

    Raises:
        UserError: if the split does not fill one batch.
    """
    num = _num_training_examples(data_dir, split, what)
    if num < batch_size:
        raise UserError(f"{data_dir} has {num} {what} in split {split!r}, fewer than one batch of {batch_size}")
    return num // batch_size


# Records -------------------------------------------------------------------------------------------------------------


def examples(data_dir, split, batch_size, what, training, seed, first_epoch):
    """Return the dataset of parsed photos, not decoded yet, with their ``epoch`` and ``place`` in it, int64.

    Shuffling happens here, where an example is a few ten kilobytes and costs nothing to make.
    """
    paths = [str(path) for path in shard_paths(data_dir, split)]
    if not training:
        photos = tf.data.TFRecordDataset(paths).map(parse_example)
        photos = photos.filter(_has_garments) if what == "garments" else photos
        return photos.enumerate().map(lambda place, example: {**example, "epoch": tf.zeros_like(place), "place": place})
    num = batch_size * steps_per_epoch(data_dir, split, batch_size, what=what)
    shuffle_buffer = _shuffle_buffer(data_dir, split)

    def examples_of_epoch(epoch):
        epoch_seed = tf.random.experimental.stateless_fold_in(tf.constant([seed, 0], tf.int64), epoch)
        # One number is enough for `shuffle`, and neither of the two is: the second is the epoch as it is.
        shuffle_seed = tf.random.stateless_uniform([], epoch_seed, maxval=2**31 - 1, dtype=tf.int64)
        # `shuffle` mixes in the seed of the graph, which here is that of this function and otherwise a global one.
        tf.compat.v1.set_random_seed(1)
        shards = tf.data.Dataset.from_tensor_slices(tf.random.experimental.stateless_shuffle(paths, epoch_seed))
        records = shards.interleave(tf.data.TFRecordDataset, cycle_length=OPEN_SHARDS, block_length=1)
        records = records.shuffle(shuffle_buffer, seed=shuffle_seed, reshuffle_each_iteration=False)
        photos = records.map(parse_example).enumerate()
        photos = photos.map(lambda place, example: {**example, "epoch": epoch, "place": place})
        return photos.take(num) if what == "photos" else _take_garments(photos.map(_drop_unlabelled), num)

    return tf.data.Dataset.counter(start=first_epoch).flat_map(examples_of_epoch)


def _shuffle_buffer(data_dir, split):
    """Return how many records are `SHUFFLE_BYTES`."""
    shards = read_manifest(data_dir)["splits"][split]["shards"]
    num_records, num_bytes = (sum(shard[key] for shard in shards) for key in ("num_records", "bytes"))
    return max(num_records * SHUFFLE_BYTES // num_bytes, 1)


_OF_GARMENTS = ("garment_types", "variations", "boxes_xyxy_photo", "keypoints_xy_photo", "visibility")


def _drop_unlabelled(example):
    """Leave out the garments without a single labelled keypoint."""
    labelled = tf.reduce_any(example["visibility"] > 0, axis=-1)
    return {**example, **{key: tf.boolean_mask(example[key], labelled) for key in _OF_GARMENTS}}


def _has_garments(example):
    """Tell whether a photo gives the keypoint network anything; it is not decoded otherwise."""
    return tf.size(example["garment_types"]) > 0


def _take_garments(photos, num):
    """Return the photos that hold the first `num` garments; the last photo may lose some of its own."""

    def count(num_before, example):
        num_after = num_before + tf.size(example["garment_types"], out_type=tf.int64)
        return num_after, (num_before, example)

    def drop_beyond(num_before, example):
        return {**example, **{key: example[key][: num - num_before] for key in _OF_GARMENTS}}

    photos = photos.filter(_has_garments).scan(tf.constant(0, tf.int64), count)
    return photos.take_while(lambda num_before, _: num_before < num).map(drop_beyond)


def label_configurations(data_dir, split, config):
    """Return where the keypoints of all garments of a split are in their crops, without looking at photos.

    Args:
        data_dir, split, config: as in `keypoint_dataset`.

    Returns:
        points_xy_unit: float32 `(N, 8, 2)`, shares of the crop's side, see `geometry.crop_to_unit`.
        weights: float32 `(N, 8)`, 1 where the keypoint is labelled and inside the crop, else 0.
    """
    size = config.keypoints.crop_size

    def run(example):
        height, width = tf.unstack(example["photo_size"])
        labels = labels_on_canvas(example, geometry.letterbox_transform(height, width, config.canvas_size))
        windows = geometry.keypoint_windows(labels["boxes_xyxy_canvas"], config)
        points = geometry.canvas_to_crop(labels["keypoints_xy_canvas"], windows, size)
        targets = to_targets({"keypoints_xy_crop": points, "visibility": example["visibility"]}, crop_size=size)
        return geometry.crop_to_unit(points, size), targets["targets"][..., 2]

    records = tf.data.TFRecordDataset([str(path) for path in shard_paths(data_dir, split)])
    labels = records.map(lambda record: run(parse_example(record)), num_parallel_calls=tf.data.AUTOTUNE)
    points_xy_unit, weights = zip(*labels.as_numpy_iterator(), strict=True)
    return np.concatenate(points_xy_unit), np.concatenate(weights)


def chain(*steps, keep=None):
    """Return the function that runs steps one after the other and keeps some keys, or all."""

    # The steps hold no Python control flow over tensors: looking for some only makes building slow.
    @tf.autograph.experimental.do_not_convert
    def run(example):
        for step in steps:
            example = step(example)
        return example if keep is None else {key: example[key] for key in keep}

    return run


def _finish(batches, data_dir, split, batch_size, what, training):
    """Return the dataset with its length known, its order fixed and the next batches made in advance."""
    if training:
        num_batches = tf.data.INFINITE_CARDINALITY
    else:
        num_batches = -(-num_examples(data_dir, split, what=what) // batch_size)
    options = tf.data.Options()
    options.deterministic = True
    # The cores share the examples; sharing out one example's operations too only costs.
    options.threading.max_intra_op_parallelism = 1
    batches = batches.apply(tf.data.experimental.assert_cardinality(num_batches))
    return batches.with_options(options).prefetch(tf.data.AUTOTUNE)


# Steps on one photo --------------------------------------------------------------------------------------------------


def to_canvas(example, *, canvas_size, max_pixels):
    """Read the photo to its canvas, as inference does, and take the labels along.

    A photo that does not decode stops the run: `prepare` decoded them all.

    Needs:
        photo_bytes, photo_name: scalar strings.
        boxes_xyxy_photo: float32 `(G, 4)`.
        keypoints_xy_photo: float32 `(G, 8, 2)`.

    Adds:
        pyramid: `CanvasPyramid` of the one canvas.
        transform: float32 `(3,)`, photo to canvas, of `geometry.letterbox_transform`.
        boxes_xyxy_canvas: float32 `(G, 4)`.
        keypoints_xy_canvas: float32 `(G, 8, 2)`.
    """
    canvas, transform, _, status = resampling.read_photo(example["photo_bytes"], canvas_size, max_pixels)
    message = ["photo", example["photo_name"], "does not decode: status", status, "(see cspn_tf.decoding)"]
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(status, 0), message)]):
        canvas = tf.identity(canvas)
    return {**example, "pyramid": CanvasPyramid.of(canvas[tf.newaxis]), **labels_on_canvas(example, transform)}


def labels_on_canvas(example, transform):
    """Return the labels of a photo on its canvas: what `to_canvas` adds besides the pyramid."""
    corners = geometry.photo_to_canvas(geometry.boxes_to_corners(example["boxes_xyxy_photo"]), transform)
    return {
        "transform": transform,
        "boxes_xyxy_canvas": geometry.corners_to_boxes(corners),
        "keypoints_xy_canvas": geometry.photo_to_canvas(example["keypoints_xy_photo"], transform[tf.newaxis]),
    }


def add_draws(example, *, seed, what):
    """Draw the random numbers of the photo, or of each of its garments (`what`).

    Needs:
        epoch, place: int64 scalars.
        garment_types: int32 `(G,)`.

    Adds:
        draws: of `draws.draw`, of the photo, or of G garments.
    """
    photo_seed = tf.constant([seed, 1], tf.int64)
    for number in (example["epoch"], example["place"]):
        photo_seed = tf.random.experimental.stateless_fold_in(photo_seed, number)
    if what == "photos":
        numbers = {name: values[0] for name, values in draws.draw(photo_seed, 1).items()}
    else:
        numbers = draws.draw(photo_seed, tf.size(example["garment_types"]))
    return {**example, "draws": numbers}


def to_detector_input(example, *, input_size):
    """Make the detector's input of the whole canvas; `cut_detector_input` is the random counterpart.

    Needs:
        pyramid: of `to_canvas`.
        boxes_xyxy_canvas: float32 `(G, 4)`.
        garment_types: int32 `(G,)`.

    Adds:
        image: float32 `(D, D, 3)`, 0 to 255.
        boxes_xyxy: float32 `(G, 4)`, pixels of the image; they may reach beyond it.
        kept: bool `(G,)`, all true.
    """
    pyramid = example["pyramid"]
    return {
        **example,
        "image": pyramid.detector_input(input_size)[0],
        "boxes_xyxy": _boxes_in_window(example, geometry.whole_window(pyramid.size), input_size),
        "kept": tf.ones_like(example["garment_types"], tf.bool),
    }


def cut_detector_input(example, *, input_size):
    """Cut the detector's input out of the canvas.

    Needs:
        pyramid, boxes_xyxy_canvas: of `to_canvas`.
        window: float32 `(3,)`, canvas pixels, of `boxes.random_window`.

    Adds:
        image, boxes_xyxy: as `to_detector_input`.
    """
    window = example["window"]
    image = example["pyramid"].crop(window, input_size)
    return {**example, "image": image, "boxes_xyxy": _boxes_in_window(example, window, input_size)}


def _boxes_in_window(example, window, input_size):
    corners = geometry.boxes_to_corners(example["boxes_xyxy_canvas"])
    return geometry.corners_to_boxes(geometry.canvas_to_crop(corners, window, input_size))


def to_detector_labels(example, *, input_size):
    """Clip the boxes to the image and bring them to M rows: the kept ones in their order, then zeros.

    Needs and changes:
        boxes_xyxy: float32 `(G, 4)`, becomes `(M, 4)`.
        garment_types: int32 `(G,)`, becomes `(M,)`.

    Needs:
        kept: bool `(G,)`.
    """
    boxes_xyxy = geometry.clip_boxes(example["boxes_xyxy"], input_size, input_size)
    sizes = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    areas = tf.where(example["kept"], sizes[:, 0] * sizes[:, 1], -1.0)
    num = tf.minimum(tf.reduce_sum(tf.cast(example["kept"], tf.int32)), MAX_LABELLED_GARMENTS)
    rows = tf.sort(tf.math.top_k(areas, num).indices)
    boxes_xyxy = tf.pad(tf.gather(boxes_xyxy, rows), [[0, MAX_LABELLED_GARMENTS - num], [0, 0]])
    types = tf.pad(tf.gather(example["garment_types"], rows), [[0, MAX_LABELLED_GARMENTS - num]])
    return {
        **example,
        "boxes_xyxy": tf.ensure_shape(boxes_xyxy, [MAX_LABELLED_GARMENTS, 4]),
        "garment_types": tf.ensure_shape(types, [MAX_LABELLED_GARMENTS]),
    }


def to_crops(example, *, steps, crop_size):
    """Run the steps on one garment for each garment of the photo.

    Needs:
        pyramid, keypoints_xy_canvas, boxes_xyxy_canvas: of `to_canvas`.
        visibility: int32 `(G, 8)`.
        draws: of G garments, where a step needs them.

    Adds:
        windows: float32 `(G, 3)`, of `geometry.crop_windows`, canvas pixels.
        crops: float32 `(G, C, C, 3)`, 0 to 255.
        keypoints_xy_crop: float32 `(G, 8, 2)`.

    Changes:
        visibility.
    """
    of_garment = {
        "box_xyxy_canvas": example["boxes_xyxy_canvas"],
        "keypoints_xy_canvas": example["keypoints_xy_canvas"],
        "visibility": example["visibility"],
        **({"draws": example["draws"]} if "draws" in example else {}),
    }
    run = chain(*steps, keep=("window", "crop", "keypoints_xy_crop", "visibility"))
    garments = tf.map_fn(
        lambda garment: run({**garment, "pyramid": example["pyramid"]}),
        of_garment,
        fn_output_signature={
            "window": tf.TensorSpec([3], tf.float32),
            "crop": tf.TensorSpec([crop_size, crop_size, 3], tf.float32),
            "keypoints_xy_crop": tf.TensorSpec([NUM_KEYPOINTS, 2], tf.float32),
            "visibility": tf.TensorSpec([NUM_KEYPOINTS], tf.int32),
        },
    )
    return {**example, **garments, "windows": garments["window"], "crops": garments["crop"]}


# Steps on one garment ------------------------------------------------------------------------------------------------


def to_window(example, *, config):
    """Choose the window that is cut out for a garment, as in inference.

    Needs:
        box_xyxy_canvas: float32 `(4,)`.

    Adds:
        window: float32 `(3,)`, of `geometry.crop_windows`.
    """
    return {**example, "window": geometry.keypoint_windows(example["box_xyxy_canvas"], config)}


def cut_garment(example, *, crop_size):
    """Cut a garment's crop out of its canvas; `deformation.cut_garment` is the random counterpart.

    Needs:
        pyramid: of `to_canvas`.
        window: float32 `(3,)`, canvas pixels.
        keypoints_xy_canvas: float32 `(8, 2)`.

    Adds:
        crop: float32 `(C, C, 3)`, 0 to 255.
        keypoints_xy_crop: float32 `(8, 2)`.
    """
    window = example["window"]
    return {
        **example,
        "crop": example["pyramid"].crop(window, crop_size),
        "keypoints_xy_crop": geometry.canvas_to_crop(example["keypoints_xy_canvas"], window, crop_size),
    }


# Steps on all garments of a photo ------------------------------------------------------------------------------------


def describe_garments(example):
    """Repeat for each garment what is said once for its photo.

    Needs:
        photo_name: scalar string.
        transform: float32 `(3,)`.
        photo_size: int32 `(2,)`.
        garment_types: int32 `(G,)`.

    Adds:
        photo_names: string `(G,)`.
        transforms: float32 `(G, 3)`.
        image_sizes: int32 `(G, 2)`.
    """
    num = tf.size(example["garment_types"])
    return {
        **example,
        "photo_names": tf.repeat(example["photo_name"], num),
        "transforms": tf.repeat(example["transform"][tf.newaxis], num, axis=0),
        "image_sizes": tf.repeat(example["photo_size"][tf.newaxis], num, axis=0),
    }


def to_targets(example, *, crop_size):
    """Join keypoints and what is known of them into what the loss takes.

    Needs:
        keypoints_xy_crop: float32 `(G, 8, 2)`, crop pixels, anything where there are no coordinates.
        visibility: int32 `(G, 8)`.

    Adds:
        targets: float32 `(G, 8, 3)`: x, y, weight; see `keypoint_dataset`.
    """
    keypoints = example["keypoints_xy_crop"]
    inside = tf.reduce_all((keypoints >= -0.5) & (keypoints <= crop_size - 0.5), axis=-1)
    usable = (inside & (example["visibility"] > 0))[..., tf.newaxis]
    targets = tf.concat([tf.where(usable, keypoints, 0.0), tf.cast(usable, tf.float32)], axis=-1)
    return {**example, "targets": targets}
