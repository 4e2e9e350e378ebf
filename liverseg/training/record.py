"""What is known of weights: of whom they learned, by what, from where; written beside them, last.

    train → <network>.json beside <network>.weights.h5 → release → "trained" in config.json

Thresholds are chosen, and scores measured, only on patients whom neither the weights nor the
teacher that labelled livers for them have learned.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError, WeightsError
from ..network.recipe import Recipe
from ..network.weights import CONFIG, Weights, sha256, write_config
from ..sentences import say
from .labelled_scan import LabelledScan
from .public_sets import traceable
from .split import patient_of


def write_record(folder: Path, network: str, made_of: dict[str, Any]) -> None:
    """Says what `<network>.weights.h5` in a work folder was made of.

    Args:
        folder: the work folder.
        network: which.
        made_of: JSON-ready.
    """
    record = made_of | {"sha256": sha256(weights_file(folder, network))}
    path = _record_file(folder, network)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_record(folder: Path, network: str) -> dict[str, Any]:
    """What `write_record` wrote.

    Raises:
        DataError: where there is none, or the network is not the one that it is about.
    """
    path = _record_file(folder, network)
    if not (path.is_file() and weights_file(folder, network).is_file()):
        raise DataError(say("data.not_trained", network=network, folder=folder))
    record = json.loads(path.read_text(encoding="utf-8"))
    if sha256(weights_file(folder, network)) != record["sha256"]:
        raise DataError(say("data.changed_network", network=network, folder=folder))
    return record


def weights_file(folder: Path, network: str) -> Path:
    """Where `train` leaves a network."""
    return Path(folder) / f"{network}.weights.h5"


def _record_file(folder: Path, network: str) -> Path:
    return Path(folder) / f"{network}.json"


def learned_by(weights: Weights) -> set[str]:
    """Patients that released weights, or the teachers before them, learned.

    Raises:
        WeightsError: where config.json does not say.
    """
    if "learned" not in weights.trained:
        raise WeightsError(say("weights.learned_unknown", config=CONFIG))
    teacher = weights.trained.get("teacher") or {}
    return {patient_of(name) for name in (*weights.trained["learned"], *teacher.get("learned", ()))}


def check_unseen(weights: Weights, cases: Iterable[LabelledScan]) -> None:
    """DataError where weights or their teacher learned one of these patients, or may have."""
    patients, learned = {patient_of(case.patient) for case in cases}, learned_by(weights)
    if not traceable(learned, patients):
        raise DataError(say("data.untraceable", folder=weights.folder))
    known = sorted(learned & patients)
    if known:
        raise DataError(say("data.learned_patient", patients=tuple(known), folder=weights.folder))


def change_config(
    weights: Weights, recipe: Recipe, trained: dict, names: Mapping[str, str] | None = None
) -> None:
    """Writes a weights folder's config.json anew, for the files that it was read for.

    Args:
        weights: as read before.
        recipe, trained: to be stored.
        names: of files made since, by key.

    Raises:
        WeightsError: where one of the other files was changed or lost meanwhile.
    """
    kept = {key: weights.path(key).name for key in weights.files if key not in (names or {})}
    write_config(weights.folder, recipe, kept | dict(names or {}), trained)
