"""Files that the page received, on their way to where they are read."""

import re
import shutil
from pathlib import Path


class Upload:
    """Files that Gradio received.

    Args:
        paths: where Gradio put them.
        received: the folder in which it keeps what it receives; ValueError for a path elsewhere.
        names: where each belongs in the person's folder; its own name where it is not said.
    """

    def __init__(self, paths: list[Path], received: Path, names: list[str] | None = None):
        received = received.resolve()
        self.paths = [path.resolve() for path in paths]
        if not all(path.is_relative_to(received) for path in self.paths):
            raise ValueError("not an uploaded file")
        named = names if names and len(names) == len(paths) else [path.name for path in paths]
        self.names = [_safe_name(name) for name in named]

    @classmethod
    def of_box(cls, value: dict, received: Path) -> "Upload":
        """From an upload box's value."""
        paths = [Path(file["path"]) for file in value["files"]]
        return cls(paths, received, [str(name) for name in value["names"]])

    def move_to(self, folder: Path) -> None:
        """Moves the files into an empty folder."""
        for k, (path, name) in enumerate(zip(self.paths, self.names, strict=True)):
            target = folder / name
            if target.exists():
                target = folder / str(k) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
            path.parent.rmdir()


def _safe_name(name: str) -> Path:
    """A relative path that stays where it is put, made of letters, digits, space, . _ and -."""
    parts = [re.sub(r"[^\w .-]", "_", part)[:100].lstrip(".") for part in name.split("/")]
    return Path(*[part for part in parts if part] or ["file"])


def said(sentence: str) -> dict:
    """An answer of an upload box: all is well."""
    return {"text": sentence, "state": "ready"}


def refused(sentence: str) -> dict:
    """An answer of an upload box: the upload cannot be used."""
    return {"text": sentence, "state": "refused"}
