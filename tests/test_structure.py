"""The package's shape: who may import what, and what a page must not wait for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "liverseg"
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported_libraries(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_page_knows_gradio(path):
    if path.relative_to(PACKAGE).parts[0] != "page":
        assert "gradio" not in imported_libraries(path)


def test_the_public_names_exist_and_cost_no_network_library():
    program = (
        "import sys, liverseg\n"
        "for name in liverseg.__all__: assert getattr(liverseg, name) is not None\n"
        "assert callable(liverseg.segment) and callable(liverseg.measure)\n"
        "assert not {'tensorflow', 'keras', 'torch', 'jax'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=PACKAGE.parent)
