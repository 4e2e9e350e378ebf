"""The package's shape: who may import what, and what a page must not wait for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "liverseg"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_ROOMS = 16


def imported_libraries(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def lint_imports(config: Path) -> subprocess.CompletedProcess:
    """import-linter in a process of its own: in this one it closed pytest's captured stderr."""
    code = "from importlinter.cli import lint_imports_command as check; check()"
    command = [sys.executable, "-c", code, "--config", config, "--no-cache"]
    return subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, encoding="utf-8")


def test_the_contracts_in_pyproject_are_kept():
    found = lint_imports(PACKAGE.parent / "pyproject.toml")
    assert found.returncode == 0, found.stdout


def test_a_broken_contract_would_be_seen(tmp_path):
    settings = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    broken = settings.replace('"liverseg.scores",\n  "liverseg.reading | ', '"liverseg.reading | ')
    broken = broken.replace('  "liverseg.__main__",\n', '  "liverseg.scores",\n', 1)
    (tmp_path / "pyproject.toml").write_text(broken, encoding="utf-8")
    found = lint_imports(tmp_path / "pyproject.toml")
    assert found.returncode == 1
    assert "liverseg.scores" in found.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_page_knows_gradio(path):
    if path.relative_to(PACKAGE).parts[0] != "page":
        assert "gradio" not in imported_libraries(path)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_knows_the_page_s_script_or_imports_by_a_string(path):
    assert not {"app", "importlib"} & imported_libraries(path)
    assert path == PACKAGE / "__init__.py" or "lazy_loader" not in imported_libraries(path)


def test_the_rooms_can_be_counted_on_few_fingers():
    rooms = {path.relative_to(PACKAGE).parts[0] for path in MODULES} | {"app.py"}
    assert len(rooms) <= MOST_ROOMS


def test_the_public_names_exist_and_cost_no_network_library():
    program = (
        "import sys, liverseg\n"
        "for name in liverseg.__all__: assert getattr(liverseg, name) is not None\n"
        "assert callable(liverseg.segment) and callable(liverseg.measure)\n"
        "assert not {'tensorflow', 'keras', 'torch', 'jax'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=PACKAGE.parent)
