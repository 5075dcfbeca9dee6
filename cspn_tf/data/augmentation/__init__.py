"""Augmentation of training examples: image and labels together. Not used in evaluation.

    draws        the random numbers of each augmentation
    ranges       maps from uniform numbers to the ranges of the steps
    boxes        box jitter, scale and shift: the part of the photo that is cut out
    deformation  rotation, and smooth warping of the cloth
    flip         mirrored images, with swapped keypoint slots; quarter turns
    occlusion    rectangles that hide keypoints
    colour       brightness, contrast, saturation, colour cast
    camera       blur and JPEG artefacts

`draws.draw` draws all random numbers of an example at once from a per-photo seed, as named uniform numbers under
``draws``. A step is a deterministic function of its own numbers, so that the result depends neither on other examples
nor on the number of cores. Steps work on single examples, whose ``image`` is a garment's crop or the detector's input,
and not on batches, so that an augmentation costs nothing for the examples it skips.

To add a step: declare its numbers in `draws.AUGMENTATIONS`, write the step, and add it to the chains in
`cspn_tf.data.pipeline`.

Letters in shapes: N examples, G garments of a photo, C side of a crop or of the detector's input.
"""
