"""How the viewer's scripts reach a browser: who imports whom, as served, inside a file."""

import base64
import json
import os
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from graphlib import TopologicalSorter
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import pytest
import uvicorn
from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.routing import Mount

from liverseg.page.events import with_addresses
from liverseg.page.routes import Routes, script_address
from liverseg.page.server import application
from liverseg.page.service import Service
from liverseg.page.viewer import scripts
from liverseg.page.viewer.component import HERE, MEANINGS, PALETTE, STATUS_WORDS, LiverViewer
from liverseg.page.viewer.packing import pack_masks
from liverseg.volume import Segmentation, Spacing, Volume
from tests.helpers.packed import pack_scan, private_folder
from tests.helpers.page_server import answers, free_port, served_blocks, wait_until

pytestmark = pytest.mark.slow

ORDER = ("", "scan", "picture", "panels", "lessons", "main.js")
SHAPE = (5, 64, 64)
COULD_NOT_START = "The viewer could not start. Reload the page"
SECONDS = 60  # for a browser on a busy machine


# Who imports whom


def rank(name: str) -> int:
    """The place of a script's folder in `ORDER`; every script may use those beside main.js."""
    return ORDER.index(name if name in ORDER else name.rpartition("/")[0])


@pytest.mark.parametrize("name", scripts.SCRIPTS)
def test_a_script_imports_only_from_its_own_folder_and_those_before(name):
    for imported in scripts.imports_of(name):
        assert rank(imported) <= rank(name), f"{name} imports {imported}"


def test_imports_run_in_no_circle_and_every_script_is_used():
    graph = {name: scripts.imports_of(name) for name in scripts.SCRIPTS}
    order = list(TopologicalSorter(graph).static_order())  # raises where there is a circle
    assert order[-1] == "main.js"
    assert set(order) == set(scripts.SCRIPTS)
    assert {name for imported in graph.values() for name in imported} == set(order) - {"main.js"}


@pytest.fixture
def other_scripts(monkeypatch, tmp_path):
    """A function that writes scripts, which then take the place of the viewer's."""

    def write(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.js").write_text(text, encoding="utf-8")
        monkeypatch.setattr(scripts, "HERE", tmp_path)
        monkeypatch.setattr(scripts, "SCRIPTS", tuple(f"{name}.js" for name in texts))

    return write


@pytest.mark.parametrize(
    "statement",
    [
        'import * as store from "./store.js";',
        'import store from "./store.js";',
        'import "./store.js";',
        'import {\n  store,\n} from "./store.js";',
        "import { store } from './store.js';",
        'const { store } = await import("./store.js");',
        'export { store } from "./store.js";',
        'export * from "./store.js";',
        "const here = import.meta.url;",
        'import { store } from "./other.js";',
        'import { store } from "../store.js";',
        'import { store } from "store.js";',
        'import { store } from "https://example.org/store.js";',
    ],
)
def test_an_import_of_any_other_form_is_refused(other_scripts, statement):
    other_scripts(store="export const store = 1;\n", main=f"{statement}\n")
    with pytest.raises(ValueError, match=r"main\.js imports"):
        scripts.import_map()


def test_the_import_map_changes_nothing_but_the_names_in_imports(other_scripts):
    text = '// Größe\nimport { store } from "./store.js";\nexport const start = () => store;\n'
    other_scripts(store="export const store = 1;\n", main=text)
    urls = json.loads(scripts.import_map())["imports"]
    kind, _, content = urls["main.js"].partition(",")
    assert kind == "data:text/javascript;base64"
    expected = text.replace("./store.js", "store.js")
    assert base64.b64decode(content).decode("utf-8") == expected


def test_a_change_in_a_script_changes_the_address(other_scripts):
    versions = set()
    for text in ("export const start = 1;\n", "export const start = 2;\n"):
        other_scripts(main=text)
        versions.add(scripts.version())
    assert len(versions) == 2


# Served with the page


def a_value(folder: Path) -> dict:
    """A scan with masks; every voxel has the HU that the first window shows as middle gray."""
    volume = Volume(np.full(SHAPE, 50, np.int16), Spacing(2, 1, 1))
    labels = np.zeros(SHAPE, np.uint8)
    labels[2, 4:12, 4:12] = 1
    labels = Segmentation(labels)
    return pack_masks(pack_scan(volume, folder), labels, labels, (0.5, 0.5), folder=folder)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A page with the viewer; its `asked` lists the cases that were asked for."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("served")
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        value = with_addresses(a_value(private_folder()))
        asked = []

        def open_case(event: gr.EventData):
            asked.append(int(event.number))
            return value

        with gr.Blocks() as blocks:
            viewer = LiverViewer(scripts=script_address(""))
            viewer.open_case(open_case, None, viewer)
            said = gr.Textbox(label="said")
            gr.Button("show").click(lambda: (value, "shown"), None, [viewer, said])
        blocks.asked, blocks.folder = asked, folder
        yield blocks


@pytest.fixture(scope="module")
def served(demo):
    with served_blocks(demo, demo.folder) as url:
        yield url


@pytest.mark.parametrize("packing", ["gzip", "identity"])
@pytest.mark.parametrize("name", scripts.SCRIPTS)
def test_every_script_is_served_as_javascript_and_kept_by_browsers(served, name, packing):
    address = served + script_address(name)
    answer = httpx.get(address, headers={"accept-encoding": packing})
    assert answer.status_code == 200
    assert answer.headers.get("content-encoding", "identity") == packing
    assert answer.headers["content-type"].partition(";")[0] == "text/javascript"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.content == (HERE / name).read_bytes()


@pytest.mark.parametrize("name", ["component.py", "viewer.html", "../widgets/progress.js"])
def test_nothing_else_of_the_folder_is_served(served, name):
    assert httpx.get(served + script_address(name)).status_code == 404


@pytest.fixture
def page(chromium):
    """The page of a first-time visitor; `problems` collects its errors."""
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(1000 * SECONDS)
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda m: m.type == "error" and page.problems.append(m.text))
    yield page
    context.close()


IS_PAINTED = """() => {
  const canvas = document.querySelector("[data-plane=axial] canvas");
  if (!canvas || document.querySelector(".lv").dataset.phase !== "result") return false;
  const { width, height } = canvas;
  const [gray] = canvas.getContext("2d").getImageData(width / 2, height / 2, 1, 1).data;
  return Math.abs(gray - 127.5) < 2;
}"""


def go_and_hold_scripts(page, url: str) -> list:
    """Opens a page but holds back its scripts; returns their requests once all are made."""
    held = []

    def hold(route):
        if "/scripts/" in route.request.url:
            held.append(route)
        else:
            route.continue_()

    page.route("**/*.js", hold)
    page.goto(url)
    expect(page.locator(".lv-message")).to_have_text("Starting the viewer …")
    while len(held) < len(scripts.SCRIPTS):
        page.wait_for_timeout(20)
    return held


def release(held: list) -> None:
    for route in held:
        route.continue_()


def test_a_value_that_arrives_before_the_scripts_is_shown(page, served):
    held = go_and_hold_scripts(page, served)
    page.get_by_role("button", name="show").click()
    expect(page.get_by_label("said")).to_have_value("shown")
    assert page.evaluate(IS_PAINTED) is False
    release(held)
    page.wait_for_function(IS_PAINTED)
    assert page.problems == []


def test_all_scripts_are_requested_at_once_and_each_only_once(page, served):
    held = go_and_hold_scripts(page, served)
    asked = [route.request.url.split("/", 5)[5] for route in held]
    assert sorted(asked) == sorted(scripts.SCRIPTS)
    release(held)
    expect(page.locator(".lv-message")).to_have_text("Open a CT scan or a synthetic case")
    page.wait_for_load_state("networkidle")
    assert len(held) == len(scripts.SCRIPTS)


def test_an_event_after_a_late_start_reaches_python(page, served, demo):
    held = go_and_hold_scripts(page, f"{served}?case=7&size=any&contrast=any")
    demo.asked.clear()
    release(held)
    wait_until(lambda: demo.asked == [7], SECONDS)
    assert page.problems == []


def test_a_control_takes_no_click_until_it_can_respond(page, served):
    held = go_and_hold_scripts(page, served)
    assert page.locator(".lv-side[inert], .lv-strip[inert]").count() == 2
    release(held)
    page.click("#lv-tab-teach")  # waits until it can be clicked
    expect(page.locator("#lv-panel-teach")).to_be_visible()
    assert page.locator(".lv [inert]").count() == 0


@pytest.mark.parametrize("name", ["main.js", "scan/files.js"])
@pytest.mark.parametrize("trouble", ["is not there", "is too new for the browser"])
def test_the_viewer_says_so_when_a_script_does_not_load(page, served, name, trouble):
    def fail(route):
        if not route.request.url.endswith(f"{scripts.version()}/{name}"):
            route.continue_()
        elif trouble == "is not there":
            route.abort()
        else:
            route.fulfill(content_type="text/javascript", body="export syntax of tomorrow;")

    page.route("**/*.js", fail)
    page.goto(served)
    expect(page.locator(".lv-message")).to_contain_text(COULD_NOT_START)
    assert page.problems != []


def test_the_viewer_starts_below_a_path_of_another_app(page, demo):
    port = free_port()
    url = f"http://127.0.0.1:{port}/my/app/"
    routes = Routes(Service(demo.folder, demo.folder, demo.folder))
    app = Starlette(routes=[Mount("/my/app", application(demo, routes))])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: answers(url), SECONDS)
        page.goto(url)
        page.get_by_role("button", name="show").click()
        page.wait_for_function(IS_PAINTED)
    finally:
        server.should_exit = True
        thread.join()


# Inside a file


def embedded(value):
    """A value whose files are `data:` URLs."""
    if isinstance(value, list):
        return [embedded(one) for one in value]
    if isinstance(value, dict):
        return {key: embedded(one) for key, one in value.items()}
    if not isinstance(value, Path):
        return value
    content = base64.b64encode(value.read_bytes()).decode()
    return {"path": value.name, "url": f"data:application/gzip;base64,{content}"}


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>A case</title>
<style>{css}</style>
<script>
  const note = (...words) => (document.documentElement.dataset.problems = words.join(" "));
  addEventListener("error", ({{ message }}) => note(message), true);
  addEventListener("unhandledrejection", ({{ reason }}) => note(reason));
  console.error = note;
</script>
<script type="importmap">{imports}</script>
<body>{html}</body>
<script type="module">
  import {{ start }} from "main.js";
  start({{ element: document.body, props: {props}, watch() {{}}, trigger() {{}} }});
</script>
</html>
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A file that contains the viewer and a scan, and needs nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("served")
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        value = embedded(a_value(private_folder()))
    words = {"palette": PALETTE, "meanings": MEANINGS, "statuses": STATUS_WORDS}
    html, css = (
        (HERE / name).read_text(encoding="utf-8") for name in ("viewer.html", "viewer.css")
    )
    props = json.dumps({"value": value, **words}).replace("<", "\\u003c")
    page = PAGE.format(css=css, imports=scripts.import_map(), html=html, props=props)
    path = tmp_path_factory.mktemp("José's cases, 2026") / "A case.html"
    path.write_text(page, encoding="utf-8")
    return path


PRESS_END = """() => {
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "End", bubbles: true }));
}"""


def check_file(go_to, evaluate, written):
    """What holds in every browser; `evaluate` takes the text of a function and calls it."""
    go_to(written.as_uri())
    wait_until(lambda: evaluate(IS_PAINTED), SECONDS)
    shown = "() => document.querySelector('.lv-slice').textContent"
    assert evaluate(shown) == "Slice 3 / 5"
    evaluate(PRESS_END)
    wait_until(lambda: evaluate(shown) == "Slice 5 / 5", SECONDS)
    assert not evaluate("() => document.documentElement.dataset.problems")
    asked = evaluate("() => performance.getEntriesByType('resource').map(({ name }) => name)")
    assert [url[:40] for url in asked if not url.startswith("data:")] == []


def test_a_file_runs_in_chromium_without_a_network(page, written):
    page.context.set_offline(True)
    check_file(page.goto, page.evaluate, written)
    assert page.problems == []


def test_a_file_runs_in_firefox_without_a_network(written, tmp_path):
    with firefox(tmp_path) as browser:
        check_file(browser.go_to, browser.evaluate, written)


@contextmanager
def firefox(profile: Path):
    """Firefox, with a proxy for all its requests on a port where nobody listens."""
    program = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
    if not program:
        reason = "needs Firefox: apt-get install firefox-esr"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    settings = {"marionette.port": 0, "network.proxy.type": 1}  # 0 is any free port
    for scheme in ("http", "ssl"):
        settings[f"network.proxy.{scheme}"] = "127.0.0.1"
        settings[f"network.proxy.{scheme}_port"] = 9
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(value)});" for k, value in settings.items()]
    (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
    command = [program, "--headless", "--no-remote", "--marionette", "--profile", str(profile)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = profile / "MarionetteActivePort"
        wait_until(lambda: port.exists() and port.read_text(), SECONDS)
        with socket.create_connection(("127.0.0.1", int(port.read_text())), SECONDS) as connection:
            yield Marionette(connection)
    finally:
        process.terminate()
        process.wait(SECONDS)


class Marionette:
    """Firefox's remote control: JSON after its length, over a socket. Debian has no geckodriver."""

    def __init__(self, connection: socket.socket):
        self.connection, self.answers = connection, connection.makefile("rb")
        self._read()  # a greeting
        self._call("WebDriver:NewSession", capabilities={})

    def go_to(self, url: str) -> None:
        self._call("WebDriver:Navigate", url=url)

    def evaluate(self, function: str):
        script = f"return ({function})();"
        return self._call("WebDriver:ExecuteScript", script=script, args=[])["value"]

    def _call(self, command: str, **parameters):
        message = json.dumps([0, 1, command, parameters]).encode()
        self.connection.sendall(b"%d:%b" % (len(message), message))
        _, _, error, result = self._read()
        assert error is None, error
        return result

    def _read(self):
        length = b""
        while not length.endswith(b":"):
            length += self.answers.read(1)
        return json.loads(self.answers.read(int(length[:-1])))
