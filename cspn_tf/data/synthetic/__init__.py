"""The synthetic dataset: rendered 3D people and clothes, with exact labels.

For tests, for the demo and for experiments if no licensed photos are at hand. Modules, in the order of rendering:
`layout` samples the content; `poses` samples joint angles and `skeleton` computes joint positions from them; `body`
builds skin, hair and shoes around the joints and `clothes` fits garments to the body, both as grids of points (`mesh`)
with a `fabric` and `decals`; `props` adds accessories, furniture and foreground objects; `camera` projects everything;
`raster` is the z-buffer, from which `labels` computes boxes and visibility; `shading` renders over a background from
`scene`; `effects` adds camera effects. `photo` runs these, `writer` writes datasets.
"""

from .writer import write_synthetic_dataset

__all__ = ["write_synthetic_dataset"]
