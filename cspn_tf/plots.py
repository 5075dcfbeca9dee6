"""Plots as PNG files."""

import contextlib


@contextlib.contextmanager
def saved_plot(file, *grid, size, **options):
    """Create a matplotlib figure, and save it when the `with` block succeeds; needs no display.

    Args:
        file: path or binary file to write.
        grid, options: arguments of `Figure.subplots`.
        size: of the whole figure, inches.

    Yields:
        The axes, as returned by `Figure.subplots`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    yield figure.subplots(*grid, **options)
    figure.savefig(file, dpi=110, format="png")
