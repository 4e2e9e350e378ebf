"""Installs what training needs beside what a machine has already, as in a notebook on Colab.

    %run tests/tools/install_notebook.py

A GPU machine keeps its own TensorFlow, JAX or torch, and the NumPy that these were built with. Run
inside the notebook's process, it knows which packages are in use there.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
TENSORFLOW = frozenset({"tensorflow", "tensorflow-cpu", "tf-nightly"})
KEPT = TENSORFLOW | {"keras", "jax", "torch", "numpy", "scipy", "h5py"}
NOTEBOOK = ("matplotlib", "pandas")


def main() -> None:
    """Installs; ends with a sentence where the notebook has to be restarted."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    requirements, constraints = plan(project, installed())
    in_use = loaded()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "constraints.txt"
        file.write_text("\n".join(constraints), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", file]
        done = subprocess.run([*pip, *requirements])
    if done.returncode:
        sys.exit(done.returncode)  # pip has said why
    from liverseg.sentences import say

    now = installed()
    changed = sorted(name for name, version in in_use.items() if now.get(name) != version)
    if changed:
        sys.exit(str(say("notebook.restart", packages=tuple(changed))))


def plan(project: Mapping[str, Any], there: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What pip is asked for.

    Args:
        project: the table of that name in pyproject.toml.
        there: versions of the packages that are installed, by name.

    Returns:
        Requirements, without those that `KEPT` keeps as they are, and constraints that keep them.
    """
    kept = KEPT & set(there)
    if kept & TENSORFLOW:
        kept |= TENSORFLOW
    needed = [*project["dependencies"], *project["optional-dependencies"]["train"], *NOTEBOOK]
    requirements = [one for one in needed if _name(one) not in kept]
    return requirements, [f"{name}=={there[name]}" for name in sorted(kept & set(there))]


def installed() -> dict[str, str]:
    """Versions by name."""
    return {_name(one.metadata["Name"]): one.version for one in metadata.distributions()}


def loaded() -> dict[str, str]:
    """Versions of the packages that this process has imported."""
    there, names = installed(), metadata.packages_distributions()
    tops = {module.split(".")[0] for module in sys.modules}
    found = {_name(name) for top in tops for name in names.get(top, ())}
    return {name: there[name] for name in found & set(there)}


def _name(requirement: str) -> str:
    """A package's name as PEP 503 writes it."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", match[0] if match else requirement).lower()


if __name__ == "__main__":
    main()
