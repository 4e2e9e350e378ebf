"""Publishing and downloading with the real huggingface_hub client over HTTP, against `LocalHub`."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import ModelCard, constants

from liverseg.errors import WeightsError
from liverseg.evaluation.hub import push
from liverseg.network import weights
from liverseg.network.recipe import Recipe
from liverseg.network.weights import BESIDES, load_config, pull, write_config
from tests.helpers import local_hub

pytestmark = pytest.mark.slow

REPO = "someone/liverseg"
NAMES = {"liver": "liver.weights.h5", "tumor": "tumor.weights.h5", "liver_fast": "liver.onnx"}


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A local Hub that the client in this process talks to, with an empty cache and a token."""
    with local_hub.serve() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-login"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", local_hub.TOKEN)
        huggingface_hub.close_session()
        yield server
    huggingface_hub.close_session()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A weights folder whose files are of the right names, not of networks."""
    return make_folder(tmp_path / "weights")


@pytest.fixture
def no_shipped_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "nothing")


def make_folder(folder: Path, content: str = "first") -> Path:
    folder.mkdir()
    for name in NAMES.values():
        (folder / name).write_bytes(f"{content} {name}".encode() * 1000)
    write_config(folder, Recipe(size=32, filters=(4, 8)), NAMES, {})
    return folder


def stop(server):
    """Takes the Hub off the network: the client finds nobody listening."""
    server.shutdown()
    server.server_close()
    huggingface_hub.close_session()


def test_what_is_pushed_is_pulled(server, folder):
    revision = push(folder, REPO)
    pulled = pull(REPO, revision)
    assert pulled != folder
    for name in ("config.json", *NAMES.values()):
        assert (pulled / name).read_bytes() == (folder / name).read_bytes()
    assert load_config(pulled).recipe == Recipe(size=32, filters=(4, 8))


def test_a_push_is_one_commit_of_weights_config_results_and_card(server, folder):
    for name in BESIDES:
        (folder / name).write_text("{}")
    (folder / "notes.txt").write_text("not for others")
    revision = push(folder, REPO)
    assert list(server.commits[REPO]) == [revision]
    files = server.commits[REPO][revision]
    assert set(files) == {*NAMES.values(), "config.json", *BESIDES, "README.md"}
    assert "liverseg" in ModelCard(files["README.md"].decode()).text


def test_weights_travel_as_large_files_and_arrive_once(server, folder):
    push(folder, REPO)
    contents = [(folder / name).read_bytes() for name in NAMES.values()]
    assert set(server.objects) == {hashlib.sha256(content).hexdigest() for content in contents}


def test_an_older_revision_stays_what_it_was(server, folder, tmp_path):
    first = push(folder, REPO)
    second = push(make_folder(tmp_path / "later", "second"), REPO)
    assert first != second
    for revision, content in ((first, b"first"), (second, b"second"), ("main", b"second")):
        assert (pull(REPO, revision) / NAMES["liver"]).read_bytes().startswith(content)


def test_the_environment_may_name_a_repository_at_a_revision(server, folder, monkeypatch):
    monkeypatch.setenv("LIVERSEG_WEIGHTS", f"{REPO}@{push(folder, REPO)}")
    assert load_config().path("tumor").read_bytes() == (folder / NAMES["tumor"]).read_bytes()


def test_scores_are_pulled_where_there_are_some(server, folder):
    (folder / "results.json").write_text('{"test": {}}')
    pulled = pull(REPO, push(folder, REPO))
    assert (pulled / "results.json").read_text() == '{"test": {}}'


def test_a_second_pull_of_a_commit_asks_nobody(server, folder):
    for name in BESIDES:
        (folder / name).write_text("{}")
    revision = push(folder, REPO)
    pull(REPO, revision)
    server.requests.clear()
    pull(REPO, revision)
    assert server.requests == []


def test_a_file_that_is_not_what_config_says_is_refused(server, folder):
    revision = push(folder, REPO)
    server.commits[REPO][revision][NAMES["tumor"]] = b"something else"
    with pytest.raises(WeightsError, match="for tumor is damaged or was replaced"):
        pull(REPO, revision)


def test_a_changed_file_is_not_published(server, folder):
    (folder / NAMES["liver"]).write_bytes(b"something else")
    with pytest.raises(WeightsError, match="for liver is damaged or was replaced"):
        push(folder, REPO)
    assert server.requests == []


def test_weights_of_another_version_are_refused(server, folder):
    revision = push(folder, REPO)
    files = server.commits[REPO][revision]
    stored = json.loads(files["config.json"])
    stored["recipe"]["wings"] = 2
    files["config.json"] = json.dumps(stored).encode()
    with pytest.raises(WeightsError, match="does not fit this version of liverseg"):
        pull(REPO, revision)


@pytest.mark.parametrize(
    ("repo", "revision", "sentence"),
    [
        (REPO, "0" * 40, "has no revision 0000"),
        (REPO, "v9", "has no revision v9"),
        ("someone/else", "main", "no repository someone/else on the Hub"),
        ("some one/liver@seg", "main", "not the name of a Hub repository"),
    ],
)
def test_what_the_hub_does_not_have_is_refused(server, folder, repo, revision, sentence):
    push(folder, REPO)
    with pytest.raises(WeightsError, match=sentence):
        pull(repo, revision)


def test_a_repository_without_weights_is_refused(server):
    revision = server.commit(REPO, {"README.md": b"nothing here"})
    with pytest.raises(WeightsError, match="lacks a file"):
        pull(REPO, revision)


def test_publishing_needs_a_token(server, folder, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(WeightsError, match="needs a Hugging Face token"):
        push(folder, REPO)
    assert server.requests == []


def test_a_wrong_token_is_refused(server, folder):
    with pytest.raises(WeightsError, match="refuses the token"):
        push(folder, REPO, token="hf_wrong")
    assert server.commits == {}


def test_an_upload_that_breaks_off_publishes_nothing(server, folder):
    server.accepts_uploads = False
    with pytest.raises(WeightsError, match="broke off and changed nothing"):
        push(folder, REPO)
    assert server.commits == {REPO: {}}


def test_without_a_network_the_cache_serves(server, folder, no_shipped_weights, patience):
    revision = push(folder, REPO)
    pulled = pull(REPO, revision)
    stop(server)
    assert pull(REPO, revision) == pulled


def test_without_network_and_cache_the_shipped_weights_serve(
    server, folder, tmp_path, monkeypatch, caplog, patience
):
    shipped = make_folder(tmp_path / "shipped")
    monkeypatch.setattr(weights, "FOLDER", shipped)
    stop(server)
    assert pull(REPO, "main") == shipped
    assert "weights that came with liverseg are used instead" in caplog.text


def test_without_network_cache_and_shipped_weights_there_is_a_sentence(
    server, folder, no_shipped_weights, patience
):
    stop(server)
    with pytest.raises(WeightsError, match="cannot be reached"):
        pull(REPO, "main")
    with pytest.raises(WeightsError, match="cannot be reached"):
        push(folder, REPO)


def test_offline_mode_needs_no_waiting(server, folder, no_shipped_weights, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()
    with pytest.raises(WeightsError, match="cannot be reached"):
        pull(REPO, "main")


@pytest.fixture
def patience(monkeypatch):
    """The client's own pauses between its attempts, skipped."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)


def test_the_documented_variables_are_enough(folder, tmp_path):
    """A fresh process, configured only as a person would: HF_ENDPOINT, HF_HOME, HF_TOKEN."""
    program = (
        "import sys; from liverseg.evaluation.hub import push\n"
        "from liverseg.network.weights import pull\n"
        "print(pull(sys.argv[2], push(sys.argv[1], sys.argv[2])))\n"
    )
    with local_hub.serve() as server:
        environment = {
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": local_hub.TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HOME": str(tmp_path),
        }
        done = subprocess.run(
            [sys.executable, "-c", program, str(folder), REPO],
            env=environment,
            cwd=Path(weights.__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
    pulled = Path(done.stdout.strip())
    assert pulled.is_relative_to(tmp_path / "home")
    assert (pulled / NAMES["liver"]).read_bytes() == (folder / NAMES["liver"]).read_bytes()
