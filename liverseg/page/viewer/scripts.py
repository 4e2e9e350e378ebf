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

    It changes with the scripts. Gradio does not say how long a file may be kept, so a browser
    decides that on its own, file by file, and after an update it would mix old scripts with new
    ones. A version in a query would not help, since a script does not pass it on to those that it
    imports, and a version in the path would have to be a folder. But one path has many spellings:
    the bits of the scripts' digest say which of its letters are percent-encoded.
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
        ValueError: it imports what there is not, or in another way than scripts here do.
    """
    text = _text(name)
    if ANY_IMPORT.search(IMPORT.sub("", text)):
        raise ValueError(f"{name} imports in another way than scripts here do")
    return [_meant(name, specifier) for _, specifier in IMPORT.findall(text)]


def import_map() -> str:
    """The JSON of a `<script type="importmap">`, for a page that holds the scripts itself.

    A module of that page can `import { start } from "main.js"`, from the disk and without any
    network. In the map each script is a `data:` URL, which has no folder in which
    "../scan/study.js" could be found; there it asks for "scan/study.js", which the map knows.

    Raises:
        ValueError: as `imports_of`.
    """
    return json.dumps({"imports": {name: _data_url(name) for name in SCRIPTS}})


def _data_url(name: str) -> str:
    imports_of(name)  # what is not understood is refused here, not in somebody's browser
    text = IMPORT.sub(lambda found: f'{found[1]}"{_meant(name, found[2])}";', _text(name))
    return f"data:text/javascript;base64,{base64.b64encode(text.encode()).decode()}"


def _meant(importer: str, specifier: str) -> str:
    """The script that a path in an import means."""
    name = posixpath.normpath(posixpath.join(posixpath.dirname(importer), specifier))
    if name not in SCRIPTS:
        raise ValueError(f"{importer} imports {specifier}, which there is not")
    return name


def _spelled(character: str, encoded: int) -> str:
    if encoded and character.isascii() and character.isalnum():
        return f"%{ord(character):02X}"
    return quote(character, safe="/:")


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
