"""What was freed goes back to the system, where the C library would keep it for later."""

from ..reading.workers import LIBC

# glibc, that is, Linux. It keeps what each thread has freed in an arena of that thread's, without
# bound: after two minutes of visitors who come and go 1 GB of which nothing was in use.
_TRIM = getattr(LIBC, "malloc_trim", None)


def return_freed_memory() -> None:
    """Takes milliseconds; other threads go on."""
    if _TRIM:
        _TRIM(0)
