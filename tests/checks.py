"""All that looks at the code without running it, in one command; the tests are another.

python -m tests.checks
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CHECKS = (
    (BIN / "ruff", "check", "."),
    (BIN / "ruff", "format", "--check", "."),
    (BIN / "mypy",),
    (BIN / "lint-imports",),
    (BIN / "deptry", "."),
)


def main() -> int:
    """Runs them all; 1 where one finds something."""
    failed = []
    for command in CHECKS:
        words = " ".join([Path(command[0]).name, *command[1:]])
        print(f"+ {words}", flush=True)
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(words)
    print(f"Found something: {'; '.join(failed)}" if failed else "All checks passed.")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
