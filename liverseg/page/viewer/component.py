"""The Gradio component: its files, joined as `gr.HTML` wants them."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import GradioRootModel

from ...scores.glossary import EXPLANATIONS, STATUS_WORDS
from ...writing import colors

HERE = Path(__file__).parent
PALETTE = {name.lower(): value for name, value in vars(colors).items() if name.isupper()}
MEANINGS = {key: asdict(known) for key, known in EXPLANATIONS.items()}

# The scripts are ES modules; later ones use earlier ones. `gr.HTML` runs one function body, in
# which each becomes a function that returns what it exports.
SCRIPTS = (
    "store",
    "format",
    "scan/study",
    "scan/files",
    "scan/loader",
    "scan/scores",
    "scan/planes",
    "scan/masks3d",
    "scan/nifti",
    "picture/contours",
    "picture/look",
    "picture/view",
    "picture/gestures",
    "picture/snapshot",
    "picture/stage",
    "picture/strip",
    "panels/keys",
    "panels/numbers",
    "panels/layers",
    "panels/tabs",
    "panels/meanings",
    "panels/threshold",
    "panels/lesions",
    "lessons/lessons",
    "lessons/drawing",
    "lessons/links",
    "lessons/finding",
    "lessons/misleading",
    "main",
)


class ViewerValue(GradioRootModel):
    """What `packing` makes; a model of its own so that examples and the API keep it as JSON."""

    root: Any = None


class LiverViewer(gr.HTML):
    """Shows what `packing` made of a scan, its segmentation and the ground truth.

    Its event `open_case` asks for a synthetic case: number, size and contrast of `SyntheticCase`;
    its event `segment` asks for the networks' masks of the scan that it shows.
    """

    data_model = ViewerValue

    def __init__(self, value: dict | None = None, **settings):
        files = {
            "html_template": (HERE / "viewer.html").read_text(encoding="utf-8"),
            "css_template": (HERE / "viewer.css").read_text(encoding="utf-8"),
            "js_on_load": joined_scripts(),
            "apply_default_css": False,
        }
        words = {"meanings": MEANINGS, "statuses": STATUS_WORDS}
        super().__init__(value, palette=PALETTE, **{**words, **files, **settings})

    def preprocess(self, payload: Any) -> None:
        """The viewer is no input: what a browser sends back is dropped."""

    def postprocess(self, value: dict | None) -> ViewerValue:
        """What `packing` made; None empties the viewer."""
        return ViewerValue(root=value)

    def api_info(self) -> dict:
        """Any JSON object."""
        return {"type": "object"}


def joined_scripts() -> str:
    """The function body that `gr.HTML` runs when the viewer appears."""
    modules = [_as_function(name) for name in SCRIPTS]
    return "\n".join([*modules, f"{SCRIPTS[-1]}.start({{ element, props, watch, trigger }});"])


def _as_function(name: str) -> str:
    script = (HERE / f"{name}.js").read_text(encoding="utf-8")
    script = re.sub(r'import ({[^}]*}) from "[./\w]*?(\w+)\.js";', r"const \1 = \2;", script)
    exported = re.findall(
        r"^export (?:async )?(?:function|class|const) (\w+)", script, re.MULTILINE
    )
    script = re.sub(r"^export ", "", script, flags=re.MULTILINE)
    name = name.rpartition("/")[2]
    return f"const {name} = (() => {{\n{script}\nreturn {{ {', '.join(exported)} }};\n}})();"
