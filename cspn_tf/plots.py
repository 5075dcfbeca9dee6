"""Plots as PNG files."""

import contextlib
import io

from cspn_tf.files import write_bytes


@contextlib.contextmanager
def saved_plot(file, *grid, size, **options):
    """Create a matplotlib figure, and save it when the `with` block succeeds; needs no display.

    Args:
        file: path to write, by atomic rename, or binary file.
        grid, options: arguments of `Figure.subplots`.
        size: of the whole figure, inches.

    Yields:
        The axes, as returned by `Figure.subplots`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    yield figure.subplots(*grid, **options)
    content = io.BytesIO()
    figure.savefig(content, dpi=110, format="png")
    if hasattr(file, "write"):
        file.write(content.getvalue())
    else:
        write_bytes(file, content.getvalue())
