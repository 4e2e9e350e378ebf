"""How the viewer's scripts reach a browser: as files that Gradio serves, or inside a page.

They are ES modules and stay what they are; nothing is joined.
"""

import base64
import hashlib
import json
import posixpath
import re
from pathlib import Path
from urllib.parse import quote

HERE = Path(__file__).parent
SCRIPTS = tuple(path.relative_to(HERE).as_posix() for path in sorted(HERE.rglob("*.js")))

IMPORT = re.compile(r'^(import \{ [\w, ]+ \} from )"(\.[./\w]+)";$', re.MULTILINE)
ANY_IMPORT = re.compile(r"""\bimport\b|\bfrom\s*["'`]""")


def address() -> str:
    """Where the folder of the scripts is on a Gradio page, relative to that page.

    The address changes with the scripts. Gradio does not say how long a file may be cached, so
    each browser decides for itself, file by file, and after an update it would mix old scripts
    with new ones. A version in the query would not help: a script does not hand it on to the
    scripts that it imports. A version in the path would have to be a real folder. But the same
    path can be spelled in many ways: the digest of the scripts, bit by bit, says which of its
    letters are percent-encoded. To the server it is one folder, to a browser another one.
    """
    content = "".join(f"{name}\n{_text(name)}" for name in SCRIPTS)
    digest = hashlib.blake2b(content.encode(), digest_size=16).digest()
    bits = int.from_bytes(digest, "big")
    path = HERE.as_posix()
    spelled = (_spelled(character, bits >> k & 1) for k, character in enumerate(path))
    return f"gradio_api/file={''.join(spelled)}/"


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


def _spelled(character: str, encoded: int) -> str:
    if encoded and character.isascii() and character.isalnum():
        return f"%{ord(character):02X}"
    return quote(character, safe="/:")


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
