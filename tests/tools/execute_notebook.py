"""Runs train.ipynb from top to bottom; the command writes its outputs into it.

    LIVERSEG_DATA=DIR LIVERSEG_QUICK=1 python -m tests.tools.execute_notebook

Outputs of cells tagged `patients` are removed, since pictures of the data must not be passed on.
"""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "train.ipynb"
MINUTES = 30  # for one cell, on a busy machine
PATIENTS = "patients"  # tag of the cells that show scans


def execute() -> nbformat.NotebookNode:
    """The executed notebook; settings come from the environment."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": ROOT}}
    NotebookClient(notebook, timeout=60 * MINUTES, resources=resources).execute()
    return notebook


def without_pictures(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook as it may be committed: no scans, no progress, no time stamps."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if PATIENTS in cell.metadata.get("tags", ()):
            cell.outputs = []
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    return notebook


if __name__ == "__main__":
    nbformat.write(without_pictures(execute()), NOTEBOOK)
