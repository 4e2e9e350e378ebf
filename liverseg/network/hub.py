"""Weights to and from the Hugging Face Hub; nothing else in liverseg knows the Hub.

A repository holds what `weights/` holds and a model card. `weights.load_config` calls `pull` where
LIVERSEG_WEIGHTS names a repository at a revision:

    revision = push("weights", "someone/liverseg")
    folder = pull("someone/liverseg", revision)

A token comes from the environment (HF_TOKEN) or from `hf auth login`, never from a file of ours.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from httpx2 import TransportError  # what huggingface_hub speaks HTTP with
from huggingface_hub import CommitOperationAdd, HfApi, get_token, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..errors import WeightsError
from ..evaluation.model_card import RESULTS, model_card
from .weights import CONFIG, FOLDER, load_config

log = logging.getLogger(__name__)


class HubUnreachable(WeightsError):
    """The Hub does not answer."""


def push(folder: str | Path, repo_id: str, *, token: str | None = None) -> str:
    """Publishes a weights folder and its model card as one commit.

    Args:
        folder: config.json, the files it names and, where scores were measured, results.json.
        repo_id: "owner/name"; the repository is made where there is none.
        token: of someone who may write there; by default the environment's or the login's.

    Returns:
        The commit's hash, the revision to `pull`.

    Raises:
        WeightsError: where a file is not what config.json says, or the Hub refuses.
    """
    weights = load_config(folder)
    files = [weights.path(key) for key in weights.files]
    files += [path for name in (CONFIG, RESULTS) if (path := weights.folder / name).is_file()]
    if not (token or get_token()):
        raise WeightsError(
            "Publishing needs a Hugging Face token that may write. "
            "Set HF_TOKEN or run `hf auth login`."
        )
    # create_commit, since upload_folder may split one upload into several commits
    additions = [CommitOperationAdd(path.name, path) for path in files]
    additions.append(CommitOperationAdd("README.md", str(model_card(weights)).encode()))
    api = HfApi(token=token)
    with _refusals_as_sentences(repo_id):
        api.create_repo(repo_id, exist_ok=True)
        return api.create_commit(repo_id, additions, commit_message="Publish weights").oid


def pull(repo_id: str, revision: str) -> Path:
    """Downloads weights once; later calls take them from the Hub's own cache.

    Where the Hub cannot be reached and the cache does not have them, the weights in `weights/` are
    used and a warning is logged. Everything else that is wrong is refused.

    Args:
        repo_id: "owner/name".
        revision: a commit's hash, which cannot change, or a tag or branch.

    Returns:
        A folder as `weights.load_config` reads it, every file's sha256 checked.

    Raises:
        WeightsError: where there is no such repository, revision or file, or a file is not what
            config.json says.
    """
    try:
        with _refusals_as_sentences(repo_id, revision):
            folder = Path(hf_hub_download(repo_id, CONFIG, revision=revision)).parent
            weights = load_config(folder)
            for file in weights.files.values():  # all of config.json's commit: the folder's name
                hf_hub_download(repo_id, file["name"], revision=folder.name)
            with suppress(EntryNotFoundError):  # weights may come without scores
                hf_hub_download(repo_id, RESULTS, revision=folder.name)
    except HubUnreachable as error:
        if not (FOLDER / CONFIG).is_file():
            raise
        log.warning("%s The weights that came with liverseg are used instead.", error)
        return FOLDER
    for key in weights.files:
        weights.path(key)
    return folder


@contextmanager
def _refusals_as_sentences(repo_id: str, revision: str = "main") -> Iterator[None]:
    """Turns what the Hub's client raises into WeightsError."""
    try:
        yield
    except (LocalEntryNotFoundError, TransportError) as error:
        raise HubUnreachable(
            "The Hugging Face Hub cannot be reached. Check the connection and try again."
        ) from error
    except (EntryNotFoundError, HfHubHTTPError, RuntimeError, ValueError) as error:
        raise WeightsError(_refusal(error, repo_id, revision)) from error


def _refusal(error: Exception, repo_id: str, revision: str) -> str:
    match error:
        case HFValidationError():
            return f"{repo_id!r} is not the name of a Hub repository, which is owner/name."
        case RevisionNotFoundError():
            return f"{repo_id} has no revision {revision}. Name a commit, tag or branch of it."
        case EntryNotFoundError():
            return f"{repo_id} at {revision} lacks a file that liverseg's weights consist of."
        case RepositoryNotFoundError():
            return (
                f"There is no repository {repo_id} on the Hub, or the token that is set does not "
                "open it. Check its name and the token."
            )
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            return f"The Hub refuses the token for {repo_id}. Use one that has access."
        case HfHubHTTPError():
            return f"The Hub answered with error {error.response.status_code}. Try again later."
    return "The exchange with the Hub broke off and changed nothing there. Try again later."
