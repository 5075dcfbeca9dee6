"""Random changes of training examples that move the labels with the pixels; evaluation never comes here.

    draws        the random numbers, and which of them belong to which change
    ranges       what a step makes of them
    boxes        box errors, scale and shift: what part of the photo is cut out
    deformation  rotation, and the smooth bending of the cloth
    flip         mirrored pictures, with swapped keypoint slots
    occlusion    rectangles that hide keypoints
    colour       brightness, contrast, saturation, the colour of the light
    camera       blur and JPEG artefacts

All randomness is drawn at once, by `draws.draw`, from a seed of the photo: uniform numbers by name, which travel in
the example under ``draws``. A step maps its own numbers to its range and is a plain function of them, so that what
happens to an example depends neither on its neighbours nor on how many cores work. Steps work on one example, a
garment's crop or the detector's input, so that what only some examples draw costs nothing for the others.

To add a step: name its numbers in `draws.AUGMENTATIONS`, write the step, and put it into the chains of
`cspn_tf.data.pipeline`.

Letters in shapes: N examples, G garments of a photo, C side of a crop or of the detector's input.
"""
