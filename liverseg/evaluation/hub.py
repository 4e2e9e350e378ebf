"""Weights to the Hugging Face Hub: what `weights/` holds, and a model card.

    revision = push("weights", "someone/liverseg")

`network.weights.pull` brings them back. A token comes from the environment (HF_TOKEN) or from
`hf auth login`, never from a file of ours.
"""

from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token

from ..errors import WeightsError
from ..network.hub import refusals_as_sentences
from ..network.weights import BESIDES, CONFIG, load_config
from ..sentences import say
from .model_card import model_card


def push(folder: str | Path, repo_id: str, *, token: str | None = None) -> str:
    """Publishes a weights folder and its model card as one commit.

    Args:
        folder: config.json, the files it names and, where they were made, results.json and
            fingerprints.json.
        repo_id: "owner/name"; the repository is made where there is none.
        token: of someone who may write there; by default the environment's or the login's.

    Returns:
        The commit's hash, the revision to `pull`.

    Raises:
        WeightsError: where a file is not what config.json says, or the Hub refuses.
    """
    weights = load_config(folder)
    files = [weights.path(key) for key in weights.files]
    files += [path for name in (CONFIG, *BESIDES) if (path := weights.folder / name).is_file()]
    if not (token or get_token()):
        raise WeightsError(say("hub.no_token"))
    # create_commit, since upload_folder may split one upload into several commits
    additions = [CommitOperationAdd(path.name, path) for path in files]
    additions.append(CommitOperationAdd("README.md", str(model_card(weights)).encode()))
    api = HfApi(token=token)
    with refusals_as_sentences(repo_id):
        api.create_repo(repo_id, exist_ok=True)
        return api.create_commit(repo_id, additions, commit_message="Publish weights").oid
