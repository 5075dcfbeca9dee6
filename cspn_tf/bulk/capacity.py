"""How many machines and hours a catalogue takes, computed from a measured rate."""

import math

# Share of a core's rate that is left when many work together: what one node measures against a plain loop, see
# docs/bulk.md.
EFFICIENCY = 0.9


def plan(num_photos, rate, photo_kb, hours, cores, gbit, core_price) -> str:
    """Return a plan in words.

    Args:
        num_photos: photos of the catalogue.
        rate: photos/s of one core, measured.
        photo_kb: mean size of a photo's file, kilobytes.
        hours: time to finish in.
        cores: cores of one machine.
        gbit: bandwidth from the photos' store to one machine, Gbit/s.
        core_price: price of one core for an hour.
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
            f"(cores {by_cores:.0f} at {rate:g} a core and {EFFICIENCY:g} of that together, "
            f"network {by_network:.0f} at {gbit:g} Gbit/s)",
            f"{machines} machines, {taken:.1f} hours, {machines * cores * taken * core_price:.0f} USD "
            f"at {core_price:g} USD per core and hour",
            f"the store must deliver {machines * of_machine * photo_kb / 1e6:.2f} GB/s in all",
        ]
    )
