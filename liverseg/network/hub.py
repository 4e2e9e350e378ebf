"""Files from the Hugging Face Hub, and what its client refuses as sentences.

A token comes from the environment (HF_TOKEN) or from `hf auth login`, never from a file of ours.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from httpx2 import TransportError  # what huggingface_hub speaks HTTP with
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..errors import WeightsError
from ..sentences import Sentence, say


class HubUnreachable(WeightsError):
    """The Hub does not answer."""


def download(repo_id: str, revision: str, name: str, commit: str | None = None) -> Path:
    """One file of a repository, from the Hub's own cache where that has it.

    Args:
        repo_id: "owner/name".
        revision: a commit's hash, a tag or a branch.
        name: of the file.
        commit: the hash of what `revision` was when the first file came, if another came before.

    Raises:
        HubUnreachable: the Hub does not answer and the cache does not have the file.
        WeightsError: there is no such repository, revision or file.
    """
    with refusals_as_sentences(repo_id, revision):
        return Path(hf_hub_download(repo_id, name, revision=commit or revision))


def download_if_there(repo_id: str, revision: str, name: str, commit: str) -> None:
    """As `download`, of a file that the repository may lack."""
    with refusals_as_sentences(repo_id, revision), suppress(EntryNotFoundError):
        hf_hub_download(repo_id, name, revision=commit)


@contextmanager
def refusals_as_sentences(repo_id: str, revision: str = "main") -> Iterator[None]:
    """Turns what the Hub's client raises into WeightsError."""
    try:
        yield
    except (LocalEntryNotFoundError, TransportError) as error:
        raise HubUnreachable(say("hub.unreachable")) from error
    except (EntryNotFoundError, HfHubHTTPError, RuntimeError, ValueError) as error:
        raise WeightsError(_refusal(error, repo_id, revision)) from error


def _refusal(error: Exception, repository: str, revision: str) -> Sentence:
    match error:
        case HFValidationError():
            return say("hub.bad_name", repository=repository)
        case RevisionNotFoundError():
            return say("hub.no_revision", repository=repository, revision=revision)
        case EntryNotFoundError():
            return say("hub.file_missing", repository=repository, revision=revision)
        case RepositoryNotFoundError():
            return say("hub.no_repository", repository=repository)
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            return say("hub.token_refused", repository=repository)
        case HfHubHTTPError():
            return say("hub.error", status=error.response.status_code)
    return say("hub.broken_off")
