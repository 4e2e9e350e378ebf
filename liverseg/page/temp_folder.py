"""A private folder for everything that touches the disk, gone when the process is.

liverseg-XXXX/       in the system's temporary folder, readable by its owner only
├── .lock           held as long as the process lives
├── gradio/         uploads until they are parsed, and what the browser fetches
└── visitors/       one folder for each open study
"""

import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "liverseg-"
MAX_BYTES = 20_000_000_000  # a small Space has 50 GB of disk


class TempFolder:
    """The process's own temporary folder; a context manager.

    Folders that processes left behind which are no longer alive are removed at the start.

    Args:
        parent: where to make it; the system's temporary folder by default.
    """

    def __init__(self, parent: Path | None = None):
        parent = Path(parent or tempfile.gettempdir())
        remove_abandoned(parent)
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # mode 0700
        self._lock = FileLock(self.folder / ".lock")
        self._lock.acquire(timeout=0)
        self.gradio, self.visitors = self.folder / "gradio", self.folder / "visitors"
        self.gradio.mkdir(mode=0o700)
        self.visitors.mkdir(mode=0o700)

    def __enter__(self) -> "TempFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def sweep(self, max_age_s: float, keep: set[Path], max_bytes: int = MAX_BYTES) -> None:
        """Removes from `gradio`, but for the folders to keep, what is too old or too much.

        Args:
            max_age_s: since the last change.
            keep: folders of open studies.
            max_bytes: of all that is left; the oldest goes first.
        """
        newest_first = sorted(set(self.gradio.iterdir()) - keep, key=_changed, reverse=True)
        total = 0
        for path in newest_first:
            total += _size(path)
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
