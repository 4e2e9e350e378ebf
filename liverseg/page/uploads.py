"""Files that the page received, from the request that brought them until they are read.

Each lies in one private folder under a handle of 256 random bits. The answer to an upload tells
the handles to its sender and to nobody else, and a handle is good for one use. So what an event
names is never a path: it is looked up here, or there is nothing.
"""

import os
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, FormParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from ..errors import BrokenFile, NoRoom, NotAScan, TooLarge, UploadGone
from ..reading.archive import natural_parts
from ..reading.detached import safe_part
from ..reading.limits import LIMITS
from ..sentences import say
from .visitors import GRACE_S

IDLE_S = 10 * 60  # a program may upload many files before it asks for its result
SPARE_BYTES = 500_000_000  # of the disk, for what the page writes itself
CHUNK_BYTES = 1 << 20
LONGEST_PART = 240  # bytes of a file's name; disks take 255
_FORM = {
    "MAX_FIELDS": 10,
    "MAX_FIELD_SIZE": 10_000,
    "MAX_MEMORY_FILE_SIZE": -1,  # all go to the disk
    "UPLOAD_DELETE_TMP": False,
}


@dataclass(frozen=True)
class Arrived:
    """A file that nobody has read yet.

    Attributes:
        path: where it lies.
        name: that the sender gave it; decides what a mask shows, and is never shown.
        owner: the public half of the visitor that sent it; None for a program.
        address: that it came from.
        nbytes: its size.
        at: when, on the monotonic clock.
    """

    path: Path
    name: str = field(repr=False)
    owner: str | None
    address: str
    nbytes: int
    at: float = field(default_factory=time.monotonic)


class Upload:
    """Files that were taken from where they arrived, on their way to where they are read.

    Args:
        paths: of the files.
        names: where each belongs in the person's folder.
    """

    def __init__(self, paths: list[Path], names: list[str]):
        self.paths, self.names = paths, safe_names(names)

    def move_to(self, folder: Path) -> None:
        """Moves the files into an empty folder."""
        for path, name in zip(self.paths, self.names, strict=True):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)


class Uploads:
    """What has arrived and waits to be read.

    Args:
        folder: a private one, for these files only.
        max_bytes: of all of them together; by default what the disk has, but for a reserve.
    """

    def __init__(self, folder: Path, max_bytes: int | None = None):
        self._folder, self._max_bytes = folder, max_bytes
        self._waiting: dict[str, Arrived] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    async def receive(
        self,
        body: AsyncIterator[bytes],
        content_type: str,
        length: int | None,
        *,
        owner: str | None,
        address: str,
    ) -> list[str]:
        """Stores the files of a multipart request.

        Args:
            body: of the request.
            content_type: its header, with the boundary.
            length: of the body, as announced.
            owner, address: see `Arrived`.

        Returns:
            the files' handles, in their order.

        Raises:
            TooLarge: over a limit of files or bytes.
            NoRoom: the disk is full.
            BrokenFile: this is no multipart request, or it was cut.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # if somebody removed it
        if length is not None:
            if length > LIMITS.upload_bytes:
                raise TooLarge(say("upload.too_large", limits=LIMITS.sentence))
            self._make_room(length, address)
        files: list[File] = []
        try:
            # what is left in it when the request breaks off is removed with it
            with TemporaryDirectory(dir=self._folder) as arriving:
                try:
                    await _store(body, content_type, Path(arriving), files)
                finally:
                    for file in files:
                        if file.in_memory:  # an empty one
                            file.flush_to_disk()
                        file.close()
                return [self._arrived(file, owner, address) for file in files]
        except FormParserError:
            raise BrokenFile(say("upload.not_multipart")) from None
        except OSError:
            raise NoRoom(say("upload.no_room")) from None

    def _arrived(self, file: File, owner: str | None, address: str) -> str:
        handle = secrets.token_hex(32)
        path = self._folder / handle
        assert file.actual_file_name is not None  # all are on the disk
        os.replace(os.fsdecode(file.actual_file_name), path)
        name = (file.file_name or b"").decode("utf-8", "replace")
        with self._lock:
            self._waiting[handle] = Arrived(path, name, owner, address, file.size)
        return handle

    def take(self, handles: Iterable[object], names: list[str] | None, visitor: str) -> Upload:
        """Files for whoever knows their handles; a handle is good for one use.

        Args:
            handles: as an event names them, so they can be anything.
            names: where each belongs in the person's folder; the names they came with by default.
            visitor: the public half of who asks.

        Raises:
            NotAScan: there are none.
            UploadGone: one of them is no file that this visitor has uploaded and not used yet.
        """
        with self._lock:
            wanted = [self._waiting.get(handle) for handle in map(str, handles)]
            if not wanted:
                raise NotAScan(say("upload.empty"))
            if not all(one and one.owner in (None, visitor) for one in wanted):
                raise UploadGone(say("upload.gone"))
            found = [one for one in wanted if one]
            if len(set(map(id, found))) < len(found):
                raise UploadGone(say("upload.gone"))
            for one in found:
                del self._waiting[one.path.name]
        if not names or len(names) != len(found):
            names = [one.name for one in found]
        return Upload([one.path for one in found], names)

    def sweep(self, is_here: Callable[[str], bool]) -> None:
        """Removes what nobody will read: what visitors left who are gone, and what is old."""
        now = time.monotonic()
        with self._lock:
            stale = [
                handle
                for handle, one in self._waiting.items()
                if now - one.at > (IDLE_S if one.owner is None or is_here(one.owner) else GRACE_S)
            ]
            self._forget(stale)

    def _make_room(self, wanted: int, address: str) -> None:
        """Gives up uploads that nobody has read, the oldest of who has most first."""
        with self._lock:
            while self._room() < wanted:
                by_address: dict[str, int] = {}
                for one in self._waiting.values():
                    by_address[one.address] = by_address.get(one.address, 0) + one.nbytes
                most = max(by_address, key=by_address.__getitem__, default=None)
                if most is None or (most != address and by_address[most] < wanted):
                    raise NoRoom(say("upload.no_room"))
                oldest = next(k for k, one in self._waiting.items() if one.address == most)
                self._forget([oldest])

    def _room(self) -> int:
        free = shutil.disk_usage(self._folder).free - SPARE_BYTES
        if self._max_bytes is None:
            return free
        return min(free, self._max_bytes - sum(one.nbytes for one in self._waiting.values()))

    def _forget(self, handles: list[str]) -> None:
        for handle in handles:
            self._waiting.pop(handle).path.unlink(missing_ok=True)


async def _store(
    body: AsyncIterator[bytes], content_type: str, folder: Path, files: list[File]
) -> None:
    """Writes the files of a request into a folder; FormParserError for one that is none, or cut."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise FormParserError
    is_whole = False

    def end() -> None:
        nonlocal is_whole
        is_whole = True

    config = {**_FORM, "UPLOAD_DIR": str(folder)}
    parser = FormParser(
        "multipart/form-data", None, files.append, end, options[b"boundary"], config=config
    )
    total, chunk = 0, bytearray()
    async for some in body:
        total += len(some)
        _check(total, files)
        chunk += some
        if len(chunk) >= CHUNK_BYTES:
            await run_in_threadpool(parser.write, bytes(chunk))
            chunk.clear()
    await run_in_threadpool(parser.write, bytes(chunk))
    parser.finalize()
    if not is_whole:
        raise FormParserError
    _check(total, files)


def _check(total: int, files: list[File]) -> None:
    """TooLarge where a request is over a limit."""
    largest = max((file.size for file in files), default=0)
    if total > LIMITS.upload_bytes or largest > LIMITS.file_bytes or len(files) > LIMITS.files:
        raise TooLarge(say("upload.too_large", limits=LIMITS.sentence))


def safe_names(names: list[str]) -> list[Path]:
    """Different relative paths that stay where they are put, in the order of the names.

    They are made of letters and digits of any script, space, . _ - and ~, and no part is too long
    for a disk. The order of pictures is all that says how they lie.
    """
    paths = [
        [part for part in map(safe_part, name.split("/")) if part] or ["file"] for name in names
    ]
    long = {part for path in paths for part in path if len(part.encode()) > LONGEST_PART}
    short = {
        part: f"{_cut(part)} {place:05d} {_cut(part[::-1])[::-1]}"
        for place, part in enumerate(sorted(long, key=lambda part: natural_parts([part])))
    }
    wanted = [Path(*[short.get(part, part) for part in path]) for path in paths]
    taken = {folder for path in wanted for folder in path.parents}
    counts: Counter[Path] = Counter()
    found = []
    for path in wanted:
        place = path
        while place in taken:
            counts[path] += 1
            place = path.with_name(f"{path.stem}~{counts[path] + 1}{path.suffix}")
        taken.add(place)
        found.append(place)
    return found


def _cut(part: str) -> str:
    """The beginning of a name, not in the middle of a number."""
    kept = part[: LONGEST_PART // 3]
    while len(kept.encode()) > LONGEST_PART // 3:
        kept = kept[:-1]
    return kept.rstrip("0123456789") or kept


def said(sentence: str) -> dict:
    """An answer of an upload box: all is well."""
    return {"text": sentence, "state": "ready"}


def refused(sentence: str) -> dict:
    """An answer of an upload box: the upload cannot be used."""
    return {"text": sentence, "state": "refused"}
