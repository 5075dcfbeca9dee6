"""Maps from uniform numbers to the range of a random choice."""


def between(uniform, limits):
    """Map [0, 1) to [low, high)."""
    return limits[0] + uniform * (limits[1] - limits[0])


def around_zero(uniform, reach):
    """Map [0, 1) to [-reach, reach); 0.5 to zero."""
    return (2.0 * uniform - 1.0) * reach
