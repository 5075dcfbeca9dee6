"""The synthetic dataset: photos of drawn people and clothes in three dimensions, with exact labels.

For tests, for the demo and for experiments where no licensed photos are at hand. Modules, in the order in which a photo
comes about: `layout` decides what is shown; `poses` draws joint angles and `skeleton` turns them into joints; `body`
puts skin, hair and shoes around those and `clothes` cuts garments along them, both as grids of points (`mesh`) made of
a `fabric` with `decals` sewn on; `props` adds what is carried or lies about; `camera` projects it all; `raster` finds
who is front-most at each pixel, from which `labels` reads boxes and visibility; `shading` paints it over a background
of `scene`; `effects` makes the picture look taken. `photo` runs these, `writer` writes datasets.
"""

from .photo import SyntheticPhoto, render_photo
from .writer import write_coco_dataset, write_fld_dataset

__all__ = ["SyntheticPhoto", "render_photo", "write_coco_dataset", "write_fld_dataset"]
