"""Limits that the system sets a process: those of readers, and of a cohort's studies."""

import resource


def set_limit(limit: int, most: int) -> None:
    """Sets a limit that can be raised again, as far as the system allows.

    Args:
        limit: one of `resource`, such as RLIMIT_AS.
        most: in its unit.
    """
    _, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def address_space() -> int | None:
    """Bytes that this process has mapped; None where the system does not say."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return None
