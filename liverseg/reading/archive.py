"""The files of an upload, from disk or inside zip archives, read with bounds and never extracted.

An archive is only ever read member by member into memory, so no path in it can reach the disk. Its
headers may lie; what counts is what is read. Of its two lists of names the central directory's
counts. An archive that cannot be opened is one file of the upload: what lies beside it is read.
"""

import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import BrokenFile, NoDecoder, TooLarge, UploadError
from ..sentences import say
from .budget import Budget
from .kinds import LeftOut, Readable
from .limits import LIMITS

Paths = str | Path | Iterable[str | Path]

SPLIT_MARKS = (b"PK\x07\x08", b"PK00")  # before an archive that was split, or could have been
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", *SPLIT_MARKS)
MS_DOS_FOLDER = 0x10
LOCAL_HEADER = struct.Struct("<6xH18xHH")  # flags, lengths of name and extra field
NAME_IS_UTF_8 = 0x800
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
        left_out: as what it is counted without a look into it, or None.
        refusal: why it could not be opened as an archive, for an upload without anything else.
        format: what it is, once looked into.
        data: the file that holds its voxels, where it is not itself.
        place: of a NIfTI that belongs to another, whatever its header prefers: (4, 4) voxel of the
            stored array to RAS mm.
    """

    parts: tuple[str, ...] = field(repr=False)
    size: int
    _open: Callable[[], IO[bytes]] = field(repr=False)
    budget: Budget = field(repr=False)
    left_out: LeftOut | None = None
    refusal: UploadError | None = field(default=None, repr=False)
    format: Readable = Readable.NIFTI
    data: "Member | None" = field(default=None, repr=False)
    place: np.ndarray | None = field(default=None, repr=False)

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
    paths: Paths, budget: Budget | None = None, *, follow_links: bool = False
) -> Iterator[list[Member]]:
    """The files behind paths to files, folders and zip archives; a zip in a zip is opened once.

    Args:
        paths: one or several.
        budget: of the upload; a new one by default.
        follow_links: whether links to files count as these, which only the command line wants;
            links to folders never do.

    Raises:
        TooLarge: over a limit of files or bytes.
        BrokenFile: a path cannot be read.
    """
    with ExitStack() as opened:
        members: list[Member] = []
        files = _on_disk(paths, budget or Budget(), follow_links)
        for member in _unpacked(_not_too_many(files), opened):
            members.append(member)
        if sum(member.size for member in members) > LIMITS.upload_bytes:
            raise _upload_too_large()
        yield members


def _not_too_many(files: Iterable[Member]) -> Iterator[Member]:
    """The files; those in archives are bounded by their directories, images by `upload`."""
    for number, file in enumerate(files, start=1):
        if number > LIMITS.files:
            raise too_many()
        yield file


def _unpacked(files: Iterable[Member], opened: ExitStack, depth: int = 0) -> Iterator[Member]:
    """The files, with those that are zip archives replaced by what they hold."""
    left = LIMITS.inner_archive_bytes  # which stay in memory
    for member in files:
        if member.size > LIMITS.file_bytes:
            raise TooLarge(say("archive.file_too_large", mb=LIMITS.file_bytes // 10**6))
        if depth > 1 or not _is_zip(member):
            yield member
            continue
        try:
            if depth == 0:
                stream = opened.enter_context(member.open())
            elif member.size > left:
                raise _too_large_unpacked(LIMITS.inner_archive_bytes)
            else:
                content = member.read(left)
                left -= len(content)
                stream = BytesIO(content)
            entries = list(_entries(stream, member, opened))
        except UploadError as refusal:
            yield replace(member, left_out=LeftOut.ARCHIVE, refusal=refusal)
        else:
            yield from _unpacked(entries, opened, depth + 1)


def _is_zip(member: Member) -> bool:
    try:
        return member.head(4) in ZIP_MAGIC
    except UploadError:
        return False  # unreadable as anything: counted as damaged later on


def _on_disk(paths: Paths, budget: Budget, follow_links: bool) -> Iterator[Member]:
    """Every regular file; links inside folders only where they are to be followed."""
    for path in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(path)
        if not path.is_dir():
            yield _file(path, (path.absolute().parent.name, path.name), budget)
            continue
        root = path.absolute()
        for folder, _, names in os.walk(root):
            for name in sorted(names):
                file = Path(folder, name)
                parts = (root.name, *file.relative_to(root).parts)
                mode = file.lstat().st_mode
                if stat.S_ISREG(mode):
                    yield _file(file, parts, budget)
                elif stat.S_ISLNK(mode) and follow_links:
                    yield from _linked(file, parts, budget)


def _linked(link: Path, parts: tuple[str, ...], budget: Budget) -> Iterator[Member]:
    """The file behind a link, as DataLad and git-annex lay out data sets, under the link's name."""
    if link.is_file():
        yield _file(link, parts, budget)
    elif not link.exists():  # git-annex: not fetched yet
        yield Member(parts, 0, BytesIO, budget, left_out=LeftOut.BROKEN_LINK)


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
        budget.reserve("entries", announced)
        archive = opened.enter_context(zipfile.ZipFile(stream))
    except (*_DAMAGED, ValueError):
        raise BrokenFile(say("archive.damaged_zip")) from None
    entries = archive.infolist()
    budget.reserve("entries", max(0, len(entries) - announced))
    if sum(entry.file_size for entry in entries) > LIMITS.upload_bytes:
        raise _upload_too_large()
    folder = (*parts[:-1], Path(parts[-1]).stem)  # liver.zip counts as a folder "liver"
    for entry in entries:
        name = entry.filename.replace("\\", "/")
        if _is_folder(entry, name) or stat.S_ISLNK(entry.external_attr >> 16):
            continue
        _check_entry(entry)
        yield Member((*folder, *name.split("/")), entry.file_size, _opener(archive, entry), budget)


def _is_folder(entry: zipfile.ZipInfo, name: str) -> bool:
    """Whether an entry is a folder; some writers only mark it as one."""
    return name.endswith("/") or bool(entry.external_attr & MS_DOS_FOLDER and not entry.file_size)


def _opener(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        entry.orig_filename = _local_name(archive, entry)
        return archive.open(entry)

    return opened


def _local_name(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    """The name that an entry has before its content, where `zipfile` wants that of the directory.

    Writers differ in the letters beyond ASCII there, in slashes, or leave it out.
    """
    stream = archive.fp
    if stream is None:
        raise zipfile.BadZipFile
    stream.seek(entry.header_offset)
    flags, length, _ = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))
    name = stream.read(length)
    return name.decode("utf-8" if flags & NAME_IS_UTF_8 else "cp437")


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
        raise too_many()
    return count


def _check_entry(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & 1:
        raise BrokenFile(say("archive.password"))
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NoDecoder(say("archive.method"))
    if entry.file_size > BIG and entry.file_size > LIMITS.ratio * entry.compress_size:
        raise TooLarge(say("archive.ratio", ratio=LIMITS.ratio))


def _upload_too_large() -> TooLarge:
    return TooLarge(say("archive.upload_too_large", mb=LIMITS.upload_bytes // 10**6))


def _too_large_unpacked(limit: int) -> TooLarge:
    return TooLarge(say("archive.unpacked_file_too_large", mb=limit // 10**6))


def too_many() -> TooLarge:
    """The refusal of an upload, or an archive, of more files than one scan has."""
    return TooLarge(say("archive.too_many_files", files=LIMITS.files))


def natural_key(member: Member) -> tuple:
    """Sorts by names with numbers as numbers: image_2 before image_10."""
    return natural_parts(member.parts)


def natural_parts(parts: Iterable[str]) -> tuple:
    """The same for the parts of a path."""
    return tuple(
        tuple(
            _as_number(piece) if piece.isdecimal() else piece
            for piece in re.split(r"(\d+)", part.lower())
        )
        for part in parts
    )


def _as_number(digits: str) -> tuple[int, str]:
    """Sorts as the number does, in any script; Python makes none of thousands of digits."""
    significant = "".join(str(unicodedata.decimal(one)) for one in digits).lstrip("0")
    return len(significant), significant
