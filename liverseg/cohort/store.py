"""The results of each study in a folder of its own, which is there whole or not at all."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from .. import __version__

STUDIES, MANIFEST, ROW, THUMBNAIL = "studies", "run.json", "row.json", "thumbnail.webp"
DONE, FAILED = "done", "failed"
BEGUN = ".begun-"
FORGOTTEN_S = 24 * 3600  # from when on no process can still be writing


def folder_of(out: Path, key: str) -> Path:
    """Where the results of a study are."""
    return out / STUDIES / key


def is_done(out: Path, key: str, files: tuple[str, ...] = ()) -> bool:
    """Whether this version has finished the study, with these files; a failed one is not done."""
    manifest = read(folder_of(out, key) / MANIFEST)
    is_done = manifest.get("state") == DONE and manifest.get("version") == __version__
    return is_done and set(files) <= set(manifest["files"])


def read(path: Path) -> dict[str, Any]:
    """A file of ours; empty where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


@contextmanager
def writing(out: Path, key: str) -> Iterator[Path]:
    """A folder to write a study's results into, which then takes the place of older ones."""
    (out / STUDIES).mkdir(parents=True, exist_ok=True)
    begun = Path(mkdtemp(prefix=f"{BEGUN}{key}-", dir=out / STUDIES))
    try:
        yield begun
        begun.chmod(0o755)
        place = folder_of(out, key)
        if place.exists():
            shutil.rmtree(place)
        os.rename(begun, place)
    except BaseException:
        shutil.rmtree(begun, ignore_errors=True)
        raise


def write_manifest(folder: Path, state: str, **more: Any) -> None:
    """Says what became of a study."""
    manifest = {"version": __version__, "state": state, **more}
    write(folder / MANIFEST, manifest)


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON that a person can read too."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_failed(out: Path, key: str, reason: str, seconds: float) -> None:
    """Says in a sentence why a study has no results."""
    with writing(out, key) as folder:
        write_manifest(folder, FAILED, reason=reason, seconds=round(seconds, 2))


def remove_begun(out: Path) -> None:
    """Removes what processes that were killed long ago had begun."""
    for path in (out / STUDIES).glob(f"{BEGUN}*"):
        if time.time() - path.stat().st_mtime > FORGOTTEN_S:
            shutil.rmtree(path, ignore_errors=True)
