"""Voxels in another file than their header: only in one of the same upload, found by its name.

A header's text never becomes a path: its name is looked up among the files that were uploaded.
"""

import unicodedata
from collections.abc import Iterable
from contextlib import ExitStack
from typing import IO

from ..errors import BrokenFile, NotAScan
from ..sentences import say
from .archive import Member

LONGEST_NAME = 1024
MOST_LETTERS = 2000  # of a name that count


def checked_name(name: str, format: str) -> str:
    """The name of a file of voxels as a header gives it.

    Raises:
        NotAScan: it is no name of one file beside the header or in a folder there.
    """
    first = name.split()[0] if name.strip() else ""
    if first == "LIST" or "%" in name:
        raise NotAScan(say("volume_file.data_in_parts", format=format))
    parts = _parts(name)
    is_absolute = name.startswith(("/", "\\", "~")) or ":" in name
    if not parts or is_absolute or ".." in parts or len(name) > LONGEST_NAME:
        raise NotAScan(say("volume_file.data_elsewhere", format=format))
    return name


def find_data(name: str, header: Member, members: Iterable[Member]) -> Member | None:
    """The file of an upload that a header means; None where there is none, or several could be.

    Programs upload each file into a folder of its own, so a file's name counts where its folder
    says nothing.

    Args:
        name: as `checked_name` gives it.
        header: the file that says it.
        members: of the upload.
    """
    wanted = (*header.parts[:-1], *_parts(name))
    others = [one for one in members if one is not header and not one.left_out]
    for part in (str, safe_part):  # as it is, and as the page has stored it
        places = [tuple(map(part, one.parts)) for one in others]
        place = tuple(map(part, wanted))
        beside = [one for one, its in zip(others, places, strict=True) if its == place]
        named = [one for one, its in zip(others, places, strict=True) if its[-1] == place[-1]]
        found = beside or named
        if found:
            return found[0] if len(found) == 1 else None
    return None


def safe_part(name: str) -> str:
    """A folder's or a file's name as the page stores it."""
    return "".join(one if _is_safe(one) else "_" for one in name[:MOST_LETTERS]).lstrip(".")


def _is_safe(letter: str) -> bool:
    """Letters, their marks, digits, and four signs."""
    return letter in " ._-" or unicodedata.category(letter)[0] in "LMN"


def open_data(member: Member, format: str, opened: ExitStack) -> IO[bytes]:
    """The stream of a header's voxels; BrokenFile where their file was not uploaded."""
    if member.data is None:
        raise BrokenFile(say("volume_file.data_missing", format=format))
    return opened.enter_context(member.data.open())


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
