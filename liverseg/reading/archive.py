"""The files of an upload, from disk or inside zip archives, read with bounds and never extracted.

An archive is only ever read member by member into memory, so no path in it can reach the disk. Its
headers may lie; what counts is what is read.
"""

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO

from ..errors import BrokenFile, NoDecoder, TooLarge, UploadError
from ..sentences import say
from .budget import Budget
from .limits import LIMITS

ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
BIG = 100_000_000  # bytes from which a file's compression ratio is looked at
LOCATOR_BYTES, END_64_BYTES = 20, 56  # of the records behind a zip64 archive's directory

_DAMAGED = (
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    UnicodeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, eq=False)
class Member:
    """One file of an upload, wherever it lies.

    Attributes:
        parts: folder names and file name; they decide a mask's structure and the order of pictures,
            and are never shown.
        size: bytes, as declared.
        budget: of the upload.
    """

    parts: tuple[str, ...] = field(repr=False)
    size: int
    _open: Callable[[], IO[bytes]] = field(repr=False)
    budget: Budget = field(repr=False)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The file as a stream; BrokenFile if reading fails."""
        try:
            with self._open() as stream:
                yield stream
        except _DAMAGED:
            raise BrokenFile(say("archive.damaged_file")) from None

    def head(self, count: int) -> bytes:
        """The first bytes, at most `count`."""
        with self.open() as stream:
            content = stream.read(count)
        self.budget.spend("decoded_bytes", len(content))
        return content

    def read(self, limit: int = LIMITS.file_bytes) -> bytes:
        """The whole file; TooLarge beyond the limit, whatever was declared."""
        content = self.head(limit + 1)
        if len(content) > limit:
            raise _too_large_unpacked(limit)
        return content


@contextmanager
def open_upload(
    paths: str | Path | Iterable[str | Path], budget: Budget | None = None
) -> Iterator[list[Member]]:
    """The files behind paths to files, folders and zip archives; a zip in a zip is opened once.

    Args:
        paths: one or several.
        budget: of the upload; a new one by default.

    Raises:
        TooLarge: over a limit of files or bytes.
        BrokenFile: a path or an archive cannot be read.
    """
    with ExitStack() as opened:
        members: list[Member] = []
        for member in _unpacked(_on_disk(paths, budget or Budget()), opened):
            members.append(member)
            if len(members) > LIMITS.files:
                raise _too_many()
        if sum(member.size for member in members) > LIMITS.upload_bytes:
            raise TooLarge(say("archive.upload_too_large", mb=LIMITS.upload_bytes // 10**6))
        yield members


def _unpacked(files: Iterable[Member], opened: ExitStack, depth: int = 0) -> Iterator[Member]:
    """The files, with those that are zip archives replaced by what they hold."""
    left = LIMITS.inner_archive_bytes  # which stay in memory
    for member in files:
        if member.size > LIMITS.file_bytes:
            raise TooLarge(say("archive.file_too_large", mb=LIMITS.file_bytes // 10**6))
        if depth > 1 or not _is_zip(member):
            yield member
        elif depth == 0:
            stream = opened.enter_context(member.open())
            yield from _unpacked(_entries(stream, member, opened), opened, depth=1)
        else:
            if member.size > left:
                raise _too_large_unpacked(LIMITS.inner_archive_bytes)
            content = member.read(left)
            left -= len(content)
            yield from _unpacked(_entries(BytesIO(content), member, opened), opened, depth=2)


def _is_zip(member: Member) -> bool:
    try:
        return member.head(4) in ZIP_MAGIC
    except UploadError:
        return False  # unreadable as anything: counted as damaged later on


def _on_disk(paths: str | Path | Iterable[str | Path], budget: Budget) -> Iterator[Member]:
    """Every regular file; links inside folders are not followed."""
    for path in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(path)
        if not path.is_dir():
            yield _file(path, (path.absolute().parent.name, path.name), budget)
            continue
        root = path.absolute()
        for folder, _, names in os.walk(root):
            for name in sorted(names):
                file = Path(folder, name)
                if stat.S_ISREG(file.lstat().st_mode):
                    yield _file(file, (root.name, *file.relative_to(root).parts), budget)


def _file(path: Path, parts: tuple[str, ...], budget: Budget) -> Member:
    try:
        status = path.stat()
    except (OSError, ValueError):
        raise BrokenFile(say("archive.file_gone")) from None
    if not stat.S_ISREG(status.st_mode):
        raise BrokenFile(say("archive.changed_path"))
    return Member(parts, status.st_size, lambda: path.open("rb"), budget)


def _entries(stream: IO[bytes], zipped: Member, opened: ExitStack) -> Iterator[Member]:
    """The files in an archive; folders and links are passed over."""
    parts, budget = zipped.parts, zipped.budget
    try:
        announced = _checked_count(stream)
        budget.spend("entries", announced)
        archive = opened.enter_context(zipfile.ZipFile(stream))
    except (*_DAMAGED, ValueError):
        raise BrokenFile(say("archive.damaged_zip")) from None
    budget.spend("entries", max(0, len(archive.infolist()) - announced))
    folder = (*parts[:-1], Path(parts[-1]).stem)  # liver.zip counts as a folder "liver"
    for entry in archive.infolist():
        if entry.filename.endswith("/") or stat.S_ISLNK(entry.external_attr >> 16):
            continue
        _check_entry(entry)
        names = entry.filename.replace("\\", "/").split("/")
        yield Member((*folder, *names), entry.file_size, _opener(archive, entry), budget)


def _opener(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(entry)


def _checked_count(stream: IO[bytes]) -> int:
    """How many entries an archive announces; refuses too many before its directory is parsed.

    The records are looked for where `zipfile` looks for them, and where a locator says they are:
    its versions differ in which of the two they believe.
    """
    length = stream.seek(0, os.SEEK_END)
    tail_start = max(0, length - 70_000)  # end record and its comment
    stream.seek(tail_start)
    tail = stream.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        raise zipfile.BadZipFile
    announced = [struct.unpack_from("<HI", tail, end + 10)]
    locator = end - LOCATOR_BYTES
    if locator >= 0 and tail.startswith(b"PK\x06\x07", locator):  # zip64
        (said,) = struct.unpack_from("<Q", tail, locator + 8)
        for at in {said, max(0, tail_start + locator - END_64_BYTES)}:
            stream.seek(min(at, length))
            record = stream.read(END_64_BYTES)
            if record.startswith(b"PK\x06\x06"):
                announced.append(struct.unpack_from("<QQ", record, 32))
        announced = announced[1:] or announced
    count, size = (max(numbers) for numbers in zip(*announced, strict=True))
    if count > LIMITS.entries or size > LIMITS.directory_bytes:
        raise _too_many()
    return count


def _check_entry(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & 1:
        raise BrokenFile(say("archive.password"))
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NoDecoder(say("archive.method"))
    if entry.file_size > BIG and entry.file_size > LIMITS.ratio * entry.compress_size:
        raise TooLarge(say("archive.ratio", ratio=LIMITS.ratio))


def _too_large_unpacked(limit: int) -> TooLarge:
    return TooLarge(say("archive.unpacked_file_too_large", mb=limit // 10**6))


def _too_many() -> TooLarge:
    return TooLarge(say("archive.too_many_files", files=LIMITS.files))


def natural_key(member: Member) -> tuple:
    """Sorts by names with numbers as numbers: image_2 before image_10."""
    return tuple(
        tuple(
            _as_number(piece) if piece.isdecimal() else piece
            for piece in re.split(r"(\d+)", part.lower())
        )
        for part in member.parts
    )


def _as_number(digits: str) -> tuple[int, str]:
    """Sorts as the number does; Python makes none of thousands of digits."""
    significant = digits.lstrip("0")
    return len(significant), significant
