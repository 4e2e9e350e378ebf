"""A private folder for everything that touches the disk, gone when the process is.

liverseg-XXXX/       in the system's temporary folder, readable by its owner only
├── .lock           held as long as the process lives
├── arrived/        uploads that nobody has asked for yet
├── reading/        one folder for each upload that is read, or waits for a choice or its scan
├── served/         one folder for each scan that is open, and result of a program
└── gradio/         what Gradio itself writes: nothing, as far as we know
"""

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import CannotStart
from ..sentences import say

PREFIX = "liverseg-"


class TempFolder:
    """The process's own temporary folder; a context manager.

    Folders that processes left behind which are no longer alive are removed at the start.

    Args:
        parent: where to make it; the system's temporary folder by default.

    Raises:
        CannotStart: nothing can be written there.
    """

    def __init__(self, parent: Path | None = None):
        parent = Path(parent or os.environ.get("TMPDIR") or tempfile.gettempdir())
        remove_abandoned(parent)
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # mode 0700
        except OSError:
            raise CannotStart(say("page.no_temp_folder", folder=str(parent))) from None
        self._lock = FileLock(self.folder / ".lock")
        self._lock.acquire(timeout=0)
        names = ("arrived", "reading", "served", "gradio")
        self.arrived, self.reading, self.served, self.gradio = (self.folder / n for n in names)
        for part in (self.arrived, self.reading, self.served, self.gradio):
            part.mkdir(mode=0o700)

    def __enter__(self) -> "TempFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def sweep(self, max_age_s: float, keep: set[Path], max_bytes: int | None = None) -> None:
        """Removes of what is served, but for the folders to keep, what is too old or too much.

        Args:
            max_age_s: since the last change.
            keep: folders of open studies.
            max_bytes: of all that is left, the oldest goes first; by default half of what the disk
                has for it.
        """
        served = [path for part in (self.served, self.gradio) for path in part.glob("*")]
        newest_first = sorted(set(served) - keep, key=_changed, reverse=True)
        sizes = {path: _size(path) for path in newest_first}
        if max_bytes is None:
            max_bytes = (shutil.disk_usage(self.folder).free + sum(sizes.values())) // 2
        total = 0
        for path in newest_first:
            total += sizes[path]
            if total > max_bytes or time.time() - _changed(path) > max_age_s:
                shutil.rmtree(path, ignore_errors=True)
                with suppress(OSError):  # a folder, or gone meanwhile
                    path.unlink()


def _changed(path: Path) -> float:
    """When it was last changed, in seconds; 0 for what is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    """Bytes of a file, or of the files in a folder; 0 for what is gone meanwhile."""
    try:
        files = path.iterdir() if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files)
    except OSError:
        return 0


def remove_abandoned(parent: Path) -> None:
    """Removes the folders of processes that have ended without tidying up."""
    for folder in parent.glob(f"{PREFIX}*"):
        lock = FileLock(folder / ".lock")
        if folder.is_symlink() or not Path(lock.lock_file).exists():
            continue  # not one of ours
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue  # in use, or another user's
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)
