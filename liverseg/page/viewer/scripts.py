"""How the viewer's scripts reach a browser: as files that are served, or inside a page.

They are ES modules and stay what they are; nothing is joined.
"""

import base64
import hashlib
import json
import posixpath
import re
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = tuple(path.relative_to(HERE).as_posix() for path in sorted(HERE.rglob("*.js")))

IMPORT = re.compile(r'^(import \{ [\w, ]+ \} from )"(\.[./\w]+)";$', re.MULTILINE)
ANY_IMPORT = re.compile(r"""\bimport\b|\bfrom\s*["'`]""")


def version() -> str:
    """Names what the scripts are now, so that a browser may keep each of them for good."""
    content = "".join(f"{name}\n{_text(name)}" for name in SCRIPTS)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def imports_of(name: str) -> list[str]:
    """The names of the scripts that a script imports.

    Raises:
        ValueError: it imports a script that does not exist, or not by `import { a } from "./b.js";`
            on a line of its own, the only form that is understood here.
    """
    text = _text(name)
    if ANY_IMPORT.search(IMPORT.sub("", text)):
        raise ValueError(f"{name} imports in a form that is not understood here")
    return [_meant(name, specifier) for _, specifier in IMPORT.findall(text)]


def import_map() -> str:
    """The content of a `<script type="importmap">` for a page that carries the scripts itself.

    A module of that page can `import { start } from "main.js"`, even from a file on disk and
    without a network. Each script in the map is a `data:` URL. Such a URL is in no folder, so that
    "../scan/study.js" would lead nowhere; there the script imports "scan/study.js", a name that
    the map knows.

    Raises:
        ValueError: as `imports_of`.
    """
    return json.dumps({"imports": {name: _data_url(name) for name in SCRIPTS}})


def _data_url(name: str) -> str:
    imports_of(name)  # refuses here what would fail only in a browser
    text = IMPORT.sub(lambda found: f'{found[1]}"{_meant(name, found[2])}";', _text(name))
    return f"data:text/javascript;base64,{base64.b64encode(text.encode()).decode()}"


def _meant(importer: str, specifier: str) -> str:
    """The name of the script that an import refers to."""
    name = posixpath.normpath(posixpath.join(posixpath.dirname(importer), specifier))
    if name not in SCRIPTS:
        raise ValueError(f"{importer} imports {specifier}, which does not exist")
    return name


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
