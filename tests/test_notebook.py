"""The notebook is run from top to bottom, as a person without data would run it."""

import ast
import copy
import json
import re

import nbformat
import pytest

from liverseg.network.weights import NETWORKS, load_config
from tests.helpers import local_hub
from tests.tools.execute_notebook import NOTEBOOK, PATIENTS, execute, without_pictures

pytestmark = pytest.mark.slow

REPOSITORY = "someone/liverseg"


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The executed notebook, the folder of its run and the local Hub that it published to."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as environment, local_hub.serve() as hub:
        for name in ("LIVERSEG_DATA", "LIVERSEG_QUICK", "LIVERSEG_WEIGHTS", "KERAS_BACKEND"):
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
        notebook = execute()
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


def test_committed_outputs_are_of_real_data_without_its_pictures(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert "phantom_" not in outputs(notebook)
    for cell in code:
        shows_scans = "imshow" in cell.source
        assert shows_scans == (PATIENTS in cell.metadata.get("tags", ()))
        assert not (shows_scans and cell.outputs)
        if "image/png" in json.dumps(cell.outputs):
            assert "plot(" in cell.source
    folders = [f"/{name}/" for name in ("home", "root", "tmp")]
    for left_behind in ("Traceback", "site-packages", *folders):
        assert left_behind not in outputs(notebook)
    assert not re.search(r"""[\s"'(=]/\w+/\w""", outputs(notebook))  # no path of any machine


def test_it_runs_from_top_to_bottom(run):
    notebook, _, _ = run
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert outputs(notebook).count("image/png") == 7
    assert outputs(without_pictures(copy.deepcopy(notebook))).count("image/png") == 4


def test_the_paper_s_protocol_is_beside_it(run):
    notebook, _, _ = run
    (cell,) = [cell for cell in notebook.cells if "compare_protocols(" in cell.source]
    for column in ("reported", "copies", "never_seen", "whole_scans"):
        assert column in json.dumps(cell.outputs)


def test_its_thresholds_were_chosen_on_validation_patients(run):
    _, folder, _ = run
    weights = load_config(folder / "weights")
    curve = weights.trained["thresholds"]["curves"]["liver"]
    best = max(curve, key=lambda point: point["dice"])
    assert weights.recipe.liver_threshold == best["threshold"]


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
