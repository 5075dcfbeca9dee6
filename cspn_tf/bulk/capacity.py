"""Estimate the machines and hours that a catalogue takes, from a measured rate."""

import math

# Scaling efficiency: fraction of a core's rate that remains when all cores of a machine work, from the measurements of
# one node against a plain loop in docs/bulk.md.
EFFICIENCY = 0.9


def plan(num_photos, rate, photo_kb, hours, cores, gbit, core_price) -> str:
    """Return the plan as text.

    Args:
        num_photos: number of photos in the catalogue.
        rate: photos/s of one core, measured.
        photo_kb: mean file size of a photo, kilobytes.
        hours: deadline: time in which to finish.
        cores: cores of one machine.
        gbit: bandwidth from the photos' store to one machine, Gbit/s.
        core_price: price of one core per hour, USD.
    """
    by_cores = cores * rate * EFFICIENCY
    by_network = gbit * 1e9 / 8 / (photo_kb * 1e3)
    of_machine = min(by_cores, by_network)
    machines = math.ceil(num_photos / (of_machine * 3600 * hours))
    taken = num_photos / (of_machine * machines) / 3600
    limit = "cores" if by_cores <= by_network else "network"
    return "\n".join(
        [
            f"{num_photos} photos of {photo_kb:g} kB, {num_photos * photo_kb / 1e9:.2f} TB",
            f"a machine of {cores} cores: {of_machine:.0f} photos/s, limited by its {limit} "
            f"(cores {by_cores:.0f} at {rate:g} per core and a scaling efficiency of {EFFICIENCY:g}, "
            f"network {by_network:.0f} at {gbit:g} Gbit/s)",
            f"{machines} machines, {taken:.1f} hours, {machines * cores * taken * core_price:.0f} USD "
            f"at {core_price:g} USD per core and hour",
            f"the store must deliver {machines * of_machine * photo_kb / 1e6:.2f} GB/s in all",
        ]
    )
