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
from .limits import LIMITS

ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
BIG = 100_000_000  # bytes from which a file's compression ratio is looked at
ENTRY_BYTES = 1_000  # of an archive's directory per file, generously

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
    """

    parts: tuple[str, ...] = field(repr=False)
    size: int
    _open: Callable[[], IO[bytes]] = field(repr=False)

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
            return stream.read(count)

    def read(self, limit: int = LIMITS.file_bytes) -> bytes:
        """The whole file; TooLarge beyond the limit, whatever was declared."""
        content = self.head(limit + 1)
        if len(content) > limit:
            raise TooLarge(say("archive.unpacked_file_too_large", mb=limit // 10**6))
        return content


@contextmanager
def open_upload(paths: str | Path | Iterable[str | Path]) -> Iterator[list[Member]]:
    """The files behind paths to files, folders and zip archives; a zip in a zip is opened once.

    Raises:
        TooLarge: over a limit of files or bytes.
        BrokenFile: a path or an archive cannot be read.
    """
    with ExitStack() as opened:
        members: list[Member] = []
        for member in _unpacked(_on_disk(paths), opened):
            members.append(member)
            if len(members) > LIMITS.files:
                raise _too_many()
        if sum(member.size for member in members) > LIMITS.upload_bytes:
            raise TooLarge(say("archive.upload_too_large", mb=LIMITS.upload_bytes // 10**6))
        yield members


def _unpacked(files: Iterable[Member], opened: ExitStack, depth: int = 0) -> Iterator[Member]:
    """The files, with those that are zip archives replaced by what they hold."""
    for member in files:
        if member.size > LIMITS.file_bytes:
            raise TooLarge(say("archive.file_too_large", mb=LIMITS.file_bytes // 10**6))
        if depth > 1 or not _is_zip(member):
            yield member
        elif depth == 0:
            stream = opened.enter_context(member.open())
            yield from _unpacked(_entries(stream, member.parts, opened), opened, depth=1)
        else:
            stream = BytesIO(member.read(LIMITS.inner_archive_bytes))
            yield from _unpacked(_entries(stream, member.parts, opened), opened, depth=2)


def _is_zip(member: Member) -> bool:
    try:
        return member.head(4) in ZIP_MAGIC
    except UploadError:
        return False  # unreadable as anything: counted as damaged later on


def _on_disk(paths: str | Path | Iterable[str | Path]) -> Iterator[Member]:
    """Every regular file; links inside folders are not followed."""
    for path in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(path)
        if not path.is_dir():
            yield _file(path, (path.absolute().parent.name, path.name))
            continue
        root = path.absolute()
        for folder, _, names in os.walk(root):
            for name in sorted(names):
                file = Path(folder, name)
                if stat.S_ISREG(file.lstat().st_mode):
                    yield _file(file, (root.name, *file.relative_to(root).parts))


def _file(path: Path, parts: tuple[str, ...]) -> Member:
    try:
        status = path.stat()
    except (OSError, ValueError):
        raise BrokenFile(say("archive.file_gone")) from None
    if not stat.S_ISREG(status.st_mode):
        raise BrokenFile(say("archive.changed_path"))
    return Member(parts, status.st_size, lambda: path.open("rb"))


def _entries(stream: IO[bytes], parts: tuple[str, ...], opened: ExitStack) -> Iterator[Member]:
    """The files in an archive; folders and links are passed over."""
    try:
        _check_directory(stream)
        archive = opened.enter_context(zipfile.ZipFile(stream))
    except (*_DAMAGED, ValueError):
        raise BrokenFile(say("archive.damaged_zip")) from None
    folder = (*parts[:-1], Path(parts[-1]).stem)  # liver.zip counts as a folder "liver"
    for entry in archive.infolist():
        if entry.filename.endswith("/") or stat.S_ISLNK(entry.external_attr >> 16):
            continue
        _check_entry(entry)
        names = entry.filename.replace("\\", "/").split("/")
        yield Member((*folder, *names), entry.file_size, _opener(archive, entry))


def _opener(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(entry)


def _check_directory(stream: IO[bytes]) -> None:
    """Refuses an archive of too many entries before its directory is parsed."""
    tail_start = max(0, stream.seek(0, os.SEEK_END) - 70_000)  # end record and its comment
    stream.seek(tail_start)
    tail = stream.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        raise zipfile.BadZipFile
    entries, size = struct.unpack_from("<HI", tail, end + 10)
    locator = tail.rfind(b"PK\x06\x07", 0, end)
    if locator >= 0:  # zip64
        stream.seek(struct.unpack_from("<Q", tail, locator + 8)[0])
        entries, size = struct.unpack_from("<QQ", stream.read(56), 32)
    if entries > LIMITS.files or size > LIMITS.files * ENTRY_BYTES:
        raise _too_many()


def _check_entry(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & 1:
        raise BrokenFile(say("archive.password"))
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NoDecoder(say("archive.method"))
    if entry.file_size > BIG and entry.file_size > LIMITS.ratio * entry.compress_size:
        raise TooLarge(say("archive.ratio", ratio=LIMITS.ratio))


def _too_many() -> TooLarge:
    return TooLarge(say("archive.too_many_files", files=LIMITS.files))


def natural_key(member: Member) -> tuple:
    """Sorts by names with numbers as numbers: image_2 before image_10."""
    return tuple(
        tuple(
            int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", part.lower())
        )
        for part in member.parts
    )
