"""What the system says of processes, where it has /proc."""

import re
from contextlib import suppress
from pathlib import Path


def descendants(process: int) -> set[int]:
    """The processes that one has started, and theirs; those that have ended do not count."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    parents[int(entry.name)] = int(parent)
    found, new = set(), {process}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        found |= new
    return found


def resident_mb(process: int) -> float:
    """Memory that a process holds; 0 for one that is gone."""
    return _told_mb(process, "status", "VmRSS")


def shared_mb(process: int) -> float:
    """Its part of the memory that processes share, and what is its own; 0 for one that is gone."""
    return _told_mb(process, "smaps_rollup", "Pss")


def _told_mb(process: int, file: str, name: str) -> float:
    try:
        text = Path(f"/proc/{process}/{file}").read_text()
    except OSError:
        return 0.0
    found = re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
