"""Input pipelines: TFRecords to batches for training and evaluation, one builder for each network.

An example is a dict; a step is a function from dict to dict whose docstring lists the keys it needs, adds and changes.
Training and evaluation decode, resize and crop with the code that inference runs: `read_photo` and `CanvasPyramid` of
`cspn_tf.resampling`. Steps work on single photos or garments, not on batches, so that an augmentation costs nothing
for the examples it skips. Photos are processed in parallel; the work on one photo is not split over cores.

Randomness depends only on (seed, epoch, index in the epoch), not on the number of cores or on where a run was
interrupted.

Letters in shapes: B examples of a batch, G garments of a photo, M `MAX_LABELLED_GARMENTS`, D side of the detector's
input, C side of a crop.
"""

import functools

import numpy as np
import tensorflow as tf

from cspn_tf import geometry, resampling
from cspn_tf.console import UserError
from cspn_tf.data.augmentation import boxes, camera, colour, deformation, draws, flip, occlusion
from cspn_tf.data.tfrecords import GARMENT_KEYS, parse_example, read_manifest, shard_paths
from cspn_tf.garments import NUM_KEYPOINTS
from cspn_tf.resampling import CanvasPyramid

# Rows of the detector's labels; a photo with more garments keeps the largest.
MAX_LABELLED_GARMENTS = 16

# Size of the shuffle buffer in bytes of records (approximate), and how many shards are read in parallel to fill it.
SHUFFLE_BYTES = 256_000_000
OPEN_SHARDS = 8


# Builders ------------------------------------------------------------------------------------------------------------


def detector_dataset(data_dir, split, config, batch_size, *, training, seed, augment=True, first_epoch=0, share=(0, 1)):
    """Build the dataset that trains or evaluates the detector: its input images with boxes and garment types.

    The training dataset is infinite. Every epoch is exactly `steps_per_epoch` batches, is shuffled anew, and drops the
    few photos that do not fill a batch. The evaluation dataset is one pass in the order of the files.

    Args:
        data_dir: directory that `prepare` wrote.
        split: `train`, `val` or `test`.
        config: a `cspn_tf.config.Config`.
        batch_size: photos per batch, B.
        training: whether to shuffle, repeat, and yield full batches only.
        seed: an integer.
        augment: whether to augment the photos; ignored unless `training`.
        first_epoch: the first epoch to yield, so that a resumed run sees the same data as an uninterrupted one.
        share: (w, W) if this process is worker w of W that train together: it gets its own batch_size examples of every
            W x batch_size. Together these are the batches of a single process with batch size W x batch_size. Only for
            training.

    Returns:
        A dataset of (images, labels):
        images: float32 `(B, D, D, 3)`, 0 to 255.
        labels: a dict of
            boxes_xyxy: float32 `(B, M, 4)`, pixels of the images; zeros in padding rows.
            garment_types: int32 `(B, M)`, `GarmentType` ids; 0 in padding rows.

    Raises:
        UserError: the dataset is missing, or has too few photos to fill one training batch.
    """
    return _batches("photos", data_dir, split, config, batch_size, training, seed, augment, first_epoch, share)


def detector_chain(config, *, augment):
    """Return the function that turns one photo of `parse_example` into a training example of the detector.

    Args:
        config: a `cspn_tf.config.Config`.
        augment: whether to augment the photo; the example must then have the photo's ``draws``.

    Returns:
        A function from example to (image, labels), as in `detector_dataset` without the batch dimension.
    """
    size = config.detector.input_size
    steps = [functools.partial(to_canvas, canvas_size=config.canvas_size, max_pixels=config.max_pixels)]
    steps += detector_augmentation(config) if augment else [functools.partial(to_detector_input, input_size=size)]
    # Boxes are clipped last, when the augmentation no longer moves them.
    steps += [functools.partial(to_detector_labels, input_size=size)]
    steps += [lambda example: (example["image"], {key: example[key] for key in ("boxes_xyxy", "garment_types")})]
    return chain(*steps)


def detector_augmentation(config):
    """Return the steps that cut the detector's input out of a photo's canvas and augment it."""
    return [
        # The window is chosen before the only resampling, so that a close-up keeps the full resolution of the canvas.
        functools.partial(boxes.random_window, canvas_size=config.canvas_size),
        functools.partial(to_detector_input, input_size=config.detector.input_size),
        flip.flip_image,
        flip.turn_image,
        colour.recolour,
        camera.blur,
        camera.compress,
    ]


def keypoint_dataset(data_dir, split, config, batch_size, *, training, seed, augment=True, first_epoch=0, share=(0, 1)):
    """Build the dataset that trains or evaluates the keypoint network: crops around labelled garments.

    Epochs are as in `detector_dataset`, counted in garments. Training skips garments without a labelled keypoint.
    The garments of a photo follow each other, because the photo is decoded once.

    Args:
        data_dir, split, config, training, seed, augment, first_epoch, share: as in `detector_dataset`.
        batch_size: garments per batch, B.

    Returns:
        A dataset of dicts:
        crops: float32 `(B, C, C, 3)`, 0 to 255.
        targets: float32 `(B, 8, 3)`: x, y in crop pixels, and the weight: 1 where the keypoint is labelled (it may
            be occluded) and inside the crop, else 0, with x and y 0.
        visibility: int32 `(B, 8)`, `Visibility` codes as labelled, in the slots of `targets`; keypoints that the
            occlusion augmentation covered are OCCLUDED.
        windows: float32 `(B, 3)`, canvas to crop, see `geometry.canvas_to_crop`; without flip and rotation.
        transforms: float32 `(B, 3)`, photo to canvas, see `geometry.letterbox_transform`.
        image_sizes: int32 `(B, 2)`, height and width of the photos as displayed.
        boxes_xyxy_photo: float32 `(B, 4)`, as labelled.
        keypoints_xy_photo: float32 `(B, 8, 2)`, as labelled.
        garment_types, variations: int32 `(B,)`.
        photo_names: string `(B,)`.

    Raises:
        UserError: the dataset is missing, or has too few garments to fill one training batch.
    """
    return _batches("garments", data_dir, split, config, batch_size, training, seed, augment, first_epoch, share)


def keypoint_chain(config, *, augment):
    """Return the function that turns one photo of `parse_example` into examples of the keypoint network.

    Args:
        config: a `cspn_tf.config.Config`.
        augment: whether to augment the garments; the example must then have the ``draws`` of each garment.

    Returns:
        A function from example to dict, as in `keypoint_dataset` with G garments in place of B.
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
    """Return the steps that `to_crops` runs on each garment of a photo, from its box to its crop.

    Args:
        config: a `cspn_tf.config.Config`.
        augment: whether to augment the garment; the steps then need its ``draws``.

    Returns:
        A list of functions from dict to dict.
    """
    if not augment:
        return [functools.partial(cut_garment, config=config)]
    return [
        # The window is chosen before cropping, so that the crop's edges show more of the photo and not padding.
        functools.partial(boxes.garment_window, config=config),
        # Geometric steps, which move keypoints,
        functools.partial(deformation.cut_garment, crop_size=config.keypoints.crop_size),
        flip.flip_crop,
        flip.turn_crop,
        # then occlusion, which needs the final keypoints,
        occlusion.cover,
        # then photometric steps, which move nothing, in the order in which a camera applies them.
        colour.recolour,
        camera.blur,
        camera.compress,
    ]


def _batches(what, data_dir, split, config, batch_size, training, seed, augment, first_epoch, share):
    """Build the dataset of the detector or the keypoint network, whose examples are `photos` or `garments` (`what`)."""
    augment = augment and training
    index, num_workers = share
    photos = examples(data_dir, split, batch_size * num_workers, what, training, seed, first_epoch)
    if augment:
        photos = photos.map(chain(functools.partial(add_draws, seed=seed, what=what)))
    # Shares are taken after the random numbers, which are then the same for any number of workers.
    if num_workers > 1 and what == "photos":
        photos = photos.filter(lambda example: example["place"] // batch_size % num_workers == index)
    elif num_workers > 1:
        # Counted through all epochs, each of which is a whole number of batches of all workers.
        photos = _select_garments(photos, lambda numbers: numbers // batch_size % num_workers == index)
    make_chain, batch = (
        (detector_chain, tf.data.Dataset.batch) if what == "photos" else (keypoint_chain, tf.data.Dataset.rebatch)
    )
    photos = photos.map(make_chain(config, augment=augment), num_parallel_calls=tf.data.AUTOTUNE)
    batches = batch(photos, batch_size, drop_remainder=training)
    num_batches = tf.data.INFINITE_CARDINALITY
    if not training:
        num_batches = -(-num_examples(data_dir, split, what=what) // batch_size)
    options = tf.data.Options()
    options.deterministic = True
    # Examples run in parallel already; splitting single operations over cores as well only adds overhead.
    options.threading.max_intra_op_parallelism = 1
    batches = batches.apply(tf.data.experimental.assert_cardinality(num_batches))
    return batches.with_options(options).prefetch(tf.data.AUTOTUNE)


def num_examples(data_dir, split, *, what="photos"):
    """Return the number of photos or garments (`what`) of a split, from the manifest.

    Raises:
        UserError: the manifest is missing, or lacks the split.
    """
    return _split_entry(data_dir, split)[f"num_{what}"]


def require_examples(data_dir, split, *, what="photos"):
    """Check that a split has photos or garments (`what`).

    Raises:
        UserError: it has none, or the manifest is missing, or lacks the split.
    """
    if not num_examples(data_dir, split, what=what):
        raise UserError(f"{data_dir} has no {what} in its split {split!r}")


def _split_entry(data_dir, split):
    splits = read_manifest(data_dir)["splits"]
    if split not in splits:
        raise UserError(f"{data_dir} has no split {split!r}")
    return splits[split]


def steps_per_epoch(data_dir, split, batch_size, *, what="photos"):
    """Return the number of full batches in a training epoch, which has no garments without a labelled keypoint.

    Args:
        data_dir, split, what: as in `num_examples`.
        batch_size: photos or garments per batch.

    Raises:
        UserError: the split does not fill one batch.
    """
    entry = _split_entry(data_dir, split)
    num = entry[f"num_{what}"]
    if what == "garments":
        # Old datasets lack the number of garments with a labelled keypoint: theirs have one each.
        num = entry.get("num_keypoint_garments", num)
    if num < batch_size:
        raise UserError(f"{data_dir} has {num} {what} in split {split!r}, fewer than one batch of {batch_size}")
    return num // batch_size


# Records -------------------------------------------------------------------------------------------------------------


def examples(data_dir, split, batch_size, what, training, seed, first_epoch):
    """Return the dataset of parsed photos, not yet decoded, with int64 ``epoch`` and ``place``, the index in the epoch.

    Photos are shuffled here, while an example is an encoded file of some ten kilobytes.
    """
    paths = shard_paths(data_dir, split)
    if not training:
        photos = tf.data.TFRecordDataset(paths).map(parse_example)
        photos = photos.filter(_has_garments) if what == "garments" else photos
        return photos.enumerate().map(lambda place, example: {**example, "epoch": tf.zeros_like(place), "place": place})
    num = batch_size * steps_per_epoch(data_dir, split, batch_size, what=what)
    # As many records as `SHUFFLE_BYTES` hold on average.
    shards = _split_entry(data_dir, split)["shards"]
    num_records, num_bytes = (sum(shard[key] for shard in shards) for key in ("num_records", "bytes"))
    shuffle_buffer = max(num_records * SHUFFLE_BYTES // num_bytes, 1)

    def examples_of_epoch(epoch):
        epoch_seed = tf.random.experimental.stateless_fold_in(tf.constant([seed, 0], tf.int64), epoch)
        # `shuffle` takes one number; neither half of `epoch_seed` will do, since the second is the plain epoch.
        shuffle_seed = tf.random.stateless_uniform([], epoch_seed, maxval=2**31 - 1, dtype=tf.int64)
        # `shuffle` mixes in the graph-level seed. Fix that of this function's graph, or the global one would count.
        tf.compat.v1.set_random_seed(1)
        shards = tf.data.Dataset.from_tensor_slices(tf.random.experimental.stateless_shuffle(paths, epoch_seed))
        records = shards.interleave(tf.data.TFRecordDataset, cycle_length=OPEN_SHARDS, block_length=1)
        records = records.shuffle(shuffle_buffer, seed=shuffle_seed, reshuffle_each_iteration=False)
        photos = records.map(parse_example).enumerate()
        photos = photos.map(lambda place, example: {**example, "epoch": epoch, "place": place})
        if what == "photos":
            return photos.take(num)
        return _select_garments(photos.map(_drop_unlabelled), lambda numbers: numbers < num)

    return tf.data.Dataset.counter(start=first_epoch).flat_map(examples_of_epoch)


def _drop_unlabelled(example):
    """Remove the garments without a labelled keypoint."""
    return _keep_garments(example, tf.reduce_any(example["visibility"] > 0, axis=-1))


def _keep_garments(example, kept):
    """Remove the garments for which `kept`, bool `(G,)`, is false."""
    garments = {key: example[key] for key in (*GARMENT_KEYS, "draws") if key in example}
    return {**example, **tf.nest.map_structure(lambda values: tf.boolean_mask(values, kept), garments)}


def _has_garments(example):
    """Check that a photo has garments; the keypoint pipeline does not decode the others."""
    return tf.size(example["garment_types"]) > 0


def _select_garments(photos, is_selected):
    """Return the photos with selected garments, with only those garments.

    Args:
        photos: dataset of examples.
        is_selected: function from the numbers of garments, int64 `(G,)`, counted through all photos, to bool `(G,)`.
    """

    def select(num_before, example):
        num = tf.size(example["garment_types"], out_type=tf.int64)
        return num_before + num, _keep_garments(example, is_selected(num_before + tf.range(num)))

    return photos.scan(tf.constant(0, tf.int64), select).filter(_has_garments)


def label_configurations(data_dir, split, config):
    """Return the labels of all N garments of a split, keypoints in crop coordinates; no photo is decoded.

    Args:
        data_dir, split, config: as in `keypoint_dataset`.

    Returns:
        points_xy_unit: float32 `(N, 8, 2)`, fractions of the crop's side, see `geometry.crop_to_unit`.
        weights: float32 `(N, 8)`, 1 where the keypoint is labelled and inside the crop, else 0.
        garment_types: int32 `(N,)`, `GarmentType` ids.
    """
    size = config.keypoints.crop_size

    def run(example):
        height, width = tf.unstack(example["photo_size"])
        labels = labels_on_canvas(example, geometry.letterbox_transform(height, width, config.canvas_size))
        windows = geometry.keypoint_windows(labels["boxes_xyxy_canvas"], config)
        points = geometry.canvas_to_crop(labels["keypoints_xy_canvas"], windows, size)
        targets = to_targets({"keypoints_xy_crop": points, "visibility": example["visibility"]}, crop_size=size)
        return geometry.crop_to_unit(points, size), targets["targets"][..., 2], example["garment_types"]

    records = tf.data.TFRecordDataset(shard_paths(data_dir, split))
    labels = records.map(lambda record: run(parse_example(record)), num_parallel_calls=tf.data.AUTOTUNE)
    return tuple(map(np.concatenate, zip(*labels.as_numpy_iterator(), strict=True)))


def chain(*steps, keep=None):
    """Return a function that runs the steps in order and returns the keys in `keep`, or all if it is None."""

    # The steps have no Python control flow over tensors; AutoGraph would only slow down graph building.
    @tf.autograph.experimental.do_not_convert
    def run(example):
        for step in steps:
            example = step(example)
        return example if keep is None else {key: example[key] for key in keep}

    return run


# Steps on one photo --------------------------------------------------------------------------------------------------


def to_canvas(example, *, canvas_size, max_pixels):
    """Decode the photo and letterbox it to its canvas, as inference does, and map the labels to canvas pixels.

    A photo that does not decode is an error, because `prepare` has decoded every photo.

    Needs:
        photo_bytes, photo_name: scalar strings.
        boxes_xyxy_photo: float32 `(G, 4)`.
        keypoints_xy_photo: float32 `(G, 8, 2)`.

    Adds:
        pyramid: `CanvasPyramid` of this one canvas.
        transform: float32 `(3,)`, photo to canvas, see `geometry.letterbox_transform`.
        boxes_xyxy_canvas: float32 `(G, 4)`.
        keypoints_xy_canvas: float32 `(G, 8, 2)`.
    """
    canvas, transform, _, status = resampling.read_photo(example["photo_bytes"], canvas_size, max_pixels)
    message = ["photo", example["photo_name"], "does not decode: status", status, "(see cspn_tf.contract)"]
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(status, 0), message)]):
        canvas = tf.identity(canvas)
    return {**example, "pyramid": CanvasPyramid.of(canvas[tf.newaxis]), **labels_on_canvas(example, transform)}


def labels_on_canvas(example, transform):
    """Return a photo's labels in canvas pixels: the keys that `to_canvas` adds, except the pyramid."""
    corners = geometry.photo_to_canvas(geometry.boxes_to_corners(example["boxes_xyxy_photo"]), transform)
    return {
        "transform": transform,
        "boxes_xyxy_canvas": geometry.corners_to_boxes(corners),
        "keypoints_xy_canvas": geometry.photo_to_canvas(example["keypoints_xy_photo"], transform[tf.newaxis]),
    }


def add_draws(example, *, seed, what):
    """Draw the random numbers for the photo, or for each of its garments (`what`: `photos` or `garments`).

    Needs:
        epoch, place: int64 scalars.
        garment_types: int32 `(G,)`.

    Adds:
        draws: as `draws.draw` returns them, for the photo or for G garments.
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
    """Resize the canvas, or the window of it that the augmentation chose, to the detector's input.

    Needs:
        pyramid: from `to_canvas`.
        boxes_xyxy_canvas: float32 `(G, 4)`.
        window: float32 `(3,)`, canvas pixels, from `boxes.random_window`; if missing, the whole canvas is resized.

    Adds:
        image: float32 `(D, D, 3)`, 0 to 255.
        boxes_xyxy: float32 `(G, 4)`, pixels of the image, not clipped to it.
    """
    pyramid = example["pyramid"]
    if "window" in example:
        window = example["window"]
        image = pyramid.crop(window, input_size)
    else:
        window = geometry.whole_window(pyramid.size)
        image = pyramid.detector_input(input_size)[0]
    corners = geometry.boxes_to_corners(example["boxes_xyxy_canvas"])
    boxes_xyxy = geometry.corners_to_boxes(geometry.canvas_to_crop(corners, window, input_size))
    return {**example, "image": image, "boxes_xyxy": boxes_xyxy}


def to_detector_labels(example, *, input_size):
    """Clip the boxes to the image and pad or cut to M rows: the garments in their order, then zeros.

    Of more than M, the largest M stay.

    Needs and changes:
        boxes_xyxy: float32 `(G, 4)`, becomes `(M, 4)`.
        garment_types: int32 `(G,)`, becomes `(M,)`.
    """
    boxes_xyxy = geometry.clip_boxes(example["boxes_xyxy"], input_size, input_size)
    sizes = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    num = tf.minimum(tf.shape(sizes)[0], MAX_LABELLED_GARMENTS)
    rows = tf.sort(tf.math.top_k(sizes[:, 0] * sizes[:, 1], num).indices)
    boxes_xyxy = tf.pad(tf.gather(boxes_xyxy, rows), [[0, MAX_LABELLED_GARMENTS - num], [0, 0]])
    types = tf.pad(tf.gather(example["garment_types"], rows), [[0, MAX_LABELLED_GARMENTS - num]])
    return {
        **example,
        "boxes_xyxy": tf.ensure_shape(boxes_xyxy, [MAX_LABELLED_GARMENTS, 4]),
        "garment_types": tf.ensure_shape(types, [MAX_LABELLED_GARMENTS]),
    }


def to_crops(example, *, steps, crop_size):
    """Run the per-garment steps on every garment of the photo.

    Needs:
        pyramid, keypoints_xy_canvas, boxes_xyxy_canvas: from `to_canvas`.
        visibility: int32 `(G, 8)`.
        draws: for G garments, if a step needs them.

    Adds:
        windows: float32 `(G, 3)`, canvas pixels, see `geometry.crop_windows`.
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
    run = chain(*steps, keep=("window", "image", "keypoints_xy_crop", "visibility"))
    garments = tf.map_fn(
        lambda garment: run({**garment, "pyramid": example["pyramid"]}),
        of_garment,
        fn_output_signature={
            "window": tf.TensorSpec([3], tf.float32),
            "image": tf.TensorSpec([crop_size, crop_size, 3], tf.float32),
            "keypoints_xy_crop": tf.TensorSpec([NUM_KEYPOINTS, 2], tf.float32),
            "visibility": tf.TensorSpec([NUM_KEYPOINTS], tf.int32),
        },
    )
    return {**example, **garments, "windows": garments["window"], "crops": garments["image"]}


# Steps on one garment ------------------------------------------------------------------------------------------------


def cut_garment(example, *, config):
    """Cut a garment's crop out of its canvas, as in inference.

    Its augmented counterpart is `boxes.garment_window` followed by `deformation.cut_garment`.

    Needs:
        pyramid: from `to_canvas`.
        box_xyxy_canvas: float32 `(4,)`.
        keypoints_xy_canvas: float32 `(8, 2)`.

    Adds:
        window: float32 `(3,)`, canvas pixels, see `geometry.crop_windows`.
        image: float32 `(C, C, 3)`, 0 to 255.
        keypoints_xy_crop: float32 `(8, 2)`.
    """
    crop_size = config.keypoints.crop_size
    window = geometry.keypoint_windows(example["box_xyxy_canvas"], config)
    return {
        **example,
        "window": window,
        "image": example["pyramid"].crop(window, crop_size),
        "keypoints_xy_crop": geometry.canvas_to_crop(example["keypoints_xy_canvas"], window, crop_size),
    }


# Steps on all garments of a photo ------------------------------------------------------------------------------------


def describe_garments(example):
    """Repeat the photo's name, transform and size for each of its garments.

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
    """Join keypoints and visibility into the targets of the loss.

    Needs:
        keypoints_xy_crop: float32 `(G, 8, 2)`, crop pixels; ignored where the keypoint is not labelled.
        visibility: int32 `(G, 8)`.

    Adds:
        targets: float32 `(G, 8, 3)`: x, y, weight; see `keypoint_dataset`.
    """
    keypoints = example["keypoints_xy_crop"]
    inside = tf.reduce_all((keypoints >= -0.5) & (keypoints <= crop_size - 0.5), axis=-1)
    usable = (inside & (example["visibility"] > 0))[..., tf.newaxis]
    targets = tf.concat([tf.where(usable, keypoints, 0.0), tf.cast(usable, tf.float32)], axis=-1)
    return {**example, "targets": targets}
