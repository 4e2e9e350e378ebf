"""The notebook is run from top to bottom, as a person without data would run it."""

import ast
import json
from pathlib import Path

import local_hub
import nbformat
import pytest
from nbclient import NotebookClient

from liverseg.weights import NETWORKS, load_config

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "train.ipynb"
REPOSITORY = "someone/liverseg"
MINUTES = 6  # for one cell, on a busy machine


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The executed notebook, the folder of its run and the local Hub that it published to."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": ROOT}}
    with pytest.MonkeyPatch.context() as environment, local_hub.serve() as hub:
        for name in ("LIVERSEG_DATA", "LIVERSEG_WEIGHTS", "KERAS_BACKEND"):
            environment.delenv(name, raising=False)
        settings = {
            "LIVERSEG_RUN": str(folder),
            "LIVERSEG_REPOSITORY": REPOSITORY,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(folder / "home"),
            "HF_TOKEN": local_hub.TOKEN,
            "HF_HUB_DISABLE_XET": "1",
        }
        for name, value in settings.items():
            environment.setenv(name, value)
        NotebookClient(notebook, timeout=60 * MINUTES, resources=resources).execute()
    return notebook, folder, hub


def code_cells(notebook) -> list[str]:
    """Their source, without the lines that are IPython's."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return ["\n".join(x for x in s.splitlines() if not x.startswith(("!", "%"))) for s in sources]


def outputs(notebook) -> str:
    return json.dumps([cell.get("outputs", []) for cell in notebook.cells])


def test_it_calls_the_package_and_defines_nothing(notebook):
    forbidden = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    for source in code_cells(notebook):
        assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, forbidden)]
        assert "layers" not in source and "import tensorflow" not in source


def test_every_cell_is_a_few_lines(notebook):
    for source in code_cells(notebook):
        lines = [line for line in source.splitlines() if line]
        assert len([x for x in lines if not x.startswith(("import ", "from "))]) <= 8


def test_committed_outputs_are_of_phantoms_and_name_no_machine(notebook):
    assert "phantom: 8 scans of 8 patients" in outputs(notebook)
    for left_behind in ("Traceback", "site-packages", "/home/", "/tmp/"):
        assert left_behind not in outputs(notebook)


def test_it_runs_from_top_to_bottom(run):
    notebook, _, _ = run
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    pictures = outputs(notebook).count("image/png")
    assert pictures == 5


def test_it_leaves_weights_and_scores_of_patients_never_seen(run):
    _, folder, _ = run
    weights = load_config(folder / "weights")
    results = json.loads((folder / "weights" / "results.json").read_text())
    found = results["test"]["reference"]
    assert found["weights"] == f"reference-{weights.identity(NETWORKS)}"
    scored = {patient["patient"] for patient in found["patients"]}
    assert scored == set(weights.trained["split"]["test"])
    assert not scored & set(weights.trained["split"]["train"])


def test_its_liver_network_has_learned_something(run):
    _, folder, _ = run
    results = json.loads((folder / "weights" / "results.json").read_text())
    assert results["test"]["reference"]["summary"]["liver"]["dice"]["mean"] > 0.7


def test_it_publishes_what_it_measured(run):
    notebook, _, hub = run
    (revision,) = hub.commits[REPOSITORY]
    files = hub.commits[REPOSITORY][revision]
    assert {"config.json", "results.json", "README.md"} < set(files)
    assert "phantom_" in files["README.md"].decode().split("## Results")[1]
    assert f"{REPOSITORY}@{revision}" in outputs(notebook)
