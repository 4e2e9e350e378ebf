"""A scan as the viewer has it once all of it is there."""

from liverseg.page.viewer import pack_scan_steps


def pack_scan(*args) -> dict:
    """The last value of `pack_scan_steps`."""
    *_, value = pack_scan_steps(*args)
    return value
