"""The weights folder: what `config.json` promises and whether the files keep it.

`weights/config.json` holds the recipe both networks were trained with, and for each network file
its name and sha256:

    {"recipe": {...}, "files": {"liver": {"name": "liver.weights.h5", "sha256": "..."}, ...},
     "trained": {...}}
"""

import hashlib
import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..errors import WeightsError
from ..sentences import say
from .recipe import Recipe

PACKAGE = Path(__file__).resolve().parents[1]
BESIDE, INSIDE = PACKAGE.parent / "weights", PACKAGE / "shipped_weights"
FOLDER = INSIDE if INSIDE.is_dir() else BESIDE  # where it is installed, and in a checkout
CONFIG, RESULTS = "config.json", "results.json"  # what they are, and what they reach
FINGERPRINTS = "fingerprints.json"  # of the patients they learned from
BESIDES = (RESULTS, FINGERPRINTS)  # which a weights folder may lack
FOLDER_VARIABLE = "LIVERSEG_WEIGHTS"

Network = Literal["liver", "tumor"]
NETWORKS: tuple[Network, Network] = ("liver", "tumor")

log = logging.getLogger(__name__)


def fast_key(network: str) -> str:
    """Under which config.json stores a network's fast file."""
    return f"{network}_fast"


@dataclass(frozen=True)
class Weights:
    """A weights folder whose config.json has been read.

    Attributes:
        folder: where the files are.
        recipe: what they were trained with.
        files: {"liver": {"name": ..., "sha256": ...}, ...}.
        trained: how they were trained, for the model card.
    """

    folder: Path
    recipe: Recipe
    files: dict[str, dict[str, str]]
    trained: dict = field(default_factory=dict)

    def path(self, key: str) -> Path:
        """The file stored under `key`; WeightsError where it is missing or was changed."""
        if key not in self.files:
            raise WeightsError(say("weights.no_such_file", key=key))
        path = self.folder / self.files[key]["name"]
        if not path.is_file():
            raise WeightsError(say("weights.file_missing", key=key))
        if sha256(path) != self.files[key]["sha256"]:
            raise WeightsError(say("weights.file_changed", key=key, config=CONFIG))
        return path

    def measured(self, name: str) -> dict:
        """What a JSON file beside config.json holds; empty where there is none."""
        path = self.folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def identity(self, keys: tuple[str, ...]) -> str:
        """A short name of exactly these files and this recipe, for reports and caches."""
        joined = json.dumps([self.recipe.to_dict(), *(self.files[key]["sha256"] for key in keys)])
        return hashlib.sha256(joined.encode()).hexdigest()[:12]


def load_config(folder: str | Path | None = None) -> Weights:
    """Reads a weights folder's config.json.

    Args:
        folder: a folder, or a Hub repository as "owner/name@revision"; None for what the
            environment variable LIVERSEG_WEIGHTS names, else `weights/` beside the package.

    Raises:
        WeightsError: where there is none, or it is not of this version of liverseg.
    """
    folder = weights_folder(folder)
    try:
        stored = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        recipe, files = stored["recipe"], stored["files"]
        complete = all({"name", "sha256"} <= set(entry) for entry in files.values())
    except FileNotFoundError:
        raise WeightsError(say("weights.none", config=CONFIG, variable=FOLDER_VARIABLE)) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        complete = False
    if not complete:
        raise WeightsError(say("weights.config_unreadable", config=CONFIG))
    return Weights(folder, Recipe.from_dict(recipe), files, stored.get("trained", {}))


def weights_folder(folder: str | Path | None = None) -> Path:
    """The folder `load_config` reads; what is on the Hub is downloaded first."""
    named = folder or os.environ.get(FOLDER_VARIABLE) or FOLDER
    if Path(named).is_dir() or "@" not in str(named):
        return Path(named).resolve()
    return pull(*str(named).rsplit("@", 1))


def pull(repo_id: str, revision: str) -> Path:
    """Downloads weights once; later calls take them from the Hub's own cache.

    Where the Hub cannot be reached and the cache does not have them, the weights in `weights/` are
    used and a warning is logged. Everything else that is wrong is refused.

    Args:
        repo_id: "owner/name".
        revision: a commit's hash, which cannot change, or a tag or branch.

    Returns:
        A folder as `load_config` reads it, every file's sha256 checked.

    Raises:
        WeightsError: where there is no such repository, revision or file, or a file is not what
            config.json says.
    """
    # a second that most need not wait for
    from .hub import HubUnreachable, download, download_if_there

    try:
        folder = download(repo_id, revision, CONFIG).parent
        weights = load_config(folder)
        commit = folder.name  # all of config.json's commit, whatever a branch becomes meanwhile
        for file in weights.files.values():
            download(repo_id, revision, file["name"], commit)
        for name in BESIDES:
            download_if_there(repo_id, revision, name, commit)
    except HubUnreachable as error:
        if not (FOLDER / CONFIG).is_file():
            raise
        log.warning("%s The weights that came with liverseg are used instead.", error)
        return FOLDER
    for key in weights.files:
        weights.path(key)
    return folder


def write_config(folder: Path, recipe: Recipe, names: dict[str, str], trained: dict) -> None:
    """Writes config.json for files that are already in the folder.

    Args:
        folder: the weights folder.
        recipe: what the files were trained with.
        names: file names by key, e.g. {"liver": "liver.weights.h5"}.
        trained: how they were trained: JSON-ready.
    """
    files = {key: {"name": name, "sha256": sha256(folder / name)} for key, name in names.items()}
    stored = {"recipe": recipe.to_dict(), "files": files, "trained": trained}
    (folder / CONFIG).write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
