"""Measures the viewer in a browser beside `gr.Slider` with `gr.AnnotatedImage`, in one run.

    python -m tests.benchmarks.viewer --out weights/viewer.json
    python -m liverseg publish

A time runs from the input event to the end of the frame in which the new slice was
painted. Milliseconds are this machine's, ratios travel. The scan is a phantom of 50 slices,
repeated.
"""

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import gradio as gr
import numpy as np
from playwright.sync_api import sync_playwright

from liverseg.evaluation.readme_tables import table_text
from liverseg.page.events import with_addresses
from liverseg.page.routes import script_address
from liverseg.page.viewer.component import LiverViewer
from liverseg.page.viewer.packing import pack_masks, pack_scan_steps
from liverseg.phantom import make_phantom
from liverseg.volume import Segmentation, Volume
from tests.helpers.browser import open_browser
from tests.helpers.packed import private_folder
from tests.helpers.page_server import served_blocks

COUNTS = (130, 400)
STEPS = 60
LATENCY_MS = 80
BURST_PAUSE_MS = 33
PHANTOM_SLICES = 50
WINDOW = (-150, 250)  # HU
LABELS = ("liver", "tumor")

# What the page is asked in JavaScript. `shown` names the slice on the screen; a step ends when
# that changed, all pictures are decoded and a frame has gone by.
WATCH = """(input) => {
  const pictures = () => [...document.querySelectorAll("#pictures img")];
  const shown = () => document.querySelector(".lv-slice")?.textContent ?? pictures()[0]?.src;
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  window.step = (event) => new Promise((done) => {
    const before = shown();
    // On the window, so that `look` comes after what the page itself does in a frame.
    window.addEventListener(event, ({ timeStamp }) => {
      const look = async () => {
        if (shown() === before) return requestAnimationFrame(look);
        const late = pictures().filter((picture) => !picture.complete);
        await Promise.all(late.map((picture) => picture.decode().catch(() => {})));
        if (late.length) await frame();
        setTimeout(() => done(performance.now() - timeStamp));
      };
      requestAnimationFrame(look);
    }, { once: true });
  });
  window.burst = async (send, count, pause) => {
    const seen = new Set();
    const before = shown();
    let running = true;
    const look = () => { seen.add(shown()); if (running) requestAnimationFrame(look); };
    look();
    for (let k = 0; k < count; k++) {
      send(k);
      await new Promise((done) => setTimeout(done, pause));
    }
    await new Promise((done) => setTimeout(done, 2000)); // what is late may still come
    running = false;
    seen.delete(before);
    return seen.size;
  };
}"""
WHEEL = """([count, pause]) => burst(() => {
  const canvas = document.querySelector("[data-plane=axial] canvas");
  canvas.dispatchEvent(new WheelEvent("wheel", { deltaY: 100, bubbles: true, cancelable: true }));
}, count, pause)"""
SLIDE = """([count, pause]) => burst((k) => {
  const slider = document.querySelector("#slider input[type=range]");
  slider.value = Number(slider.value) - 1;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
}, count, pause)"""
HAS_PICTURE = """() => {
  const canvas = document.querySelector("[data-plane=axial] canvas");
  if (!canvas) return Boolean(document.querySelector("#pictures img")?.naturalWidth);
  const { width, height } = canvas;
  const [gray] = canvas.getContext("2d").getImageData(width / 2, height / 2, 1, 1).data;
  return gray > 0;
}"""


def main(argv: list[str]) -> None:
    """Prints the tables as Markdown, and writes them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, help="a JSON file for the tables")
    arguments = parser.parse_args(argv)
    found = tables(measure(arguments.slices, arguments.size, arguments.steps))
    print("\n".join(map(table_text, found)))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measure(counts, size: int, steps: int) -> dict:
    """By (slices, "viewer" or "gradio", latency in ms): the findings of `measure_page`."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        for count in counts:
            scan = repeated_phantom(count, size)
            for name, build in (("viewer", viewer_page), ("gradio", gradio_page)):
                with served_blocks(build(*scan), Path(folder)) as url:
                    with contextlib.closing(open_browser(playwright)) as browser:
                        measure_page(browser, url, name, 0, 1)  # Gradio imports when first used
                    for latency in (0, LATENCY_MS):
                        with contextlib.closing(open_browser(playwright)) as browser:
                            one = measure_page(browser, url, name, latency, steps)
                            found[count, name, latency] = one
    return found


def repeated_phantom(count: int, size: int) -> tuple[Volume, Segmentation]:
    """A scan of any length and its labels."""
    volume, truth = make_phantom(0, shape=(PHANTOM_SLICES, size, size))
    z = np.arange(count) % PHANTOM_SLICES
    return Volume(volume.hu[z], volume.spacing), Segmentation(truth.labels[z])


def viewer_page(volume: Volume, labels: Segmentation) -> gr.Blocks:
    """The viewer alone, which shows the scan at a click, then its masks and its truth."""

    def load():
        folder = private_folder()
        for scan in pack_scan_steps(volume, folder):
            yield with_addresses(scan)
        masks = pack_masks(scan, labels, labels, (0.5, 0.5), folder=folder)
        yield with_addresses(masks)

    with gr.Blocks() as demo:
        viewer = LiverViewer(scripts=script_address(""))
        gr.Button("Load", elem_id="load").click(load, None, viewer)
    return demo


def gradio_page(volume: Volume, labels: Segmentation) -> gr.Blocks:
    """The same from Gradio's own components: each slice is made by the server when it is asked."""

    def picture(z):
        low, high = WINDOW
        gray = np.clip((volume.hu[z].astype(np.float32) - low) * (255 / (high - low)), 0, 255)
        rgb = np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)
        return rgb, [(labels.labels[z] == k + 1, name) for k, name in enumerate(LABELS)]

    middle = len(volume.hu) // 2
    with gr.Blocks() as demo:
        slider = gr.Slider(0, len(volume.hu) - 1, middle, step=1, elem_id="slider")
        shown = gr.AnnotatedImage(elem_id="pictures")
        slider.change(picture, slider, shown, show_progress="hidden")
        gr.Button("Load", elem_id="load").click(lambda: picture(middle), None, shown)
    return demo


def measure_page(browser, url: str, name: str, latency_ms: int, steps: int) -> dict:
    """Loads a scan and scrolls it.

    Returns:
        first_s: from the click to the first slice; ms: {input: [of each step]}; painted: slices
        seen of as many inputs in quick succession; requests: while scrolling; memory_mb: of the
        browser's process for the page, before and with the scan.
    """
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.goto(url)
    page.wait_for_selector("#load")
    before = page_memory_mb(browser)
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    limits = {"latency": latency_ms, "downloadThroughput": -1, "uploadThroughput": -1}
    network.send("Network.emulateNetworkConditions", {"offline": False, **limits})
    start = time.perf_counter()
    page.click("#load")
    page.wait_for_function(HAS_PICTURE)
    found = {"first_s": time.perf_counter() - start}
    if name == "viewer":
        page.wait_for_selector(".lv[data-phase=result]")
    page.wait_for_load_state("networkidle")
    page.evaluate(WATCH)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    found["ms"] = {way: scroll(page, way, steps) for way in ways(name)}
    burst = WHEEL if name == "viewer" else SLIDE
    found["painted"] = page.evaluate(burst, [steps, BURST_PAUSE_MS])
    found["requests"] = len(requests)
    found["memory_mb"] = before, page_memory_mb(browser)
    page.close()
    return found


def ways(name: str) -> tuple[str, ...]:
    """The inputs by which a page can be scrolled."""
    return ("slider", "key", "wheel") if name == "viewer" else ("slider",)


def scroll(page, way: str, steps: int) -> list[float]:
    """Milliseconds of each of `steps` single steps."""
    if way == "wheel":
        box = page.locator("[data-plane=axial] canvas").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    else:
        slider = ".lv-strip input, #slider input[type=range]"
        page.focus("[data-plane=axial] canvas" if way == "key" else slider)
    times = []
    for k in range(steps):
        event = {"slider": "input", "key": "keydown", "wheel": "wheel"}[way]
        page.evaluate(f"() => {{ window.done = step('{event}'); }}")
        if way == "wheel":
            page.mouse.wheel(0, 100 if k % 2 else -100)
        else:
            page.keyboard.press("ArrowDown" if k % 2 else "ArrowUp")
        times.append(page.evaluate("window.done"))
    return times


def page_memory_mb(browser) -> float:
    """Resident memory of the browser's largest page process; Linux."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    pages = [Path(f"/proc/{one['id']}/statm") for one in processes if one["type"] == "renderer"]
    pages = [int(path.read_text().split()[1]) for path in pages]
    return max(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def tables(found: dict) -> list[dict]:
    """As {"title", "heads", "rows"}: each way to scroll, then the rest."""
    counts = sorted({count for count, _, _ in found})
    runs = list(itertools.product(counts, (0, LATENCY_MS)))
    heads = [f"{count} slices{f', +{latency} ms' if latency else ''}" for count, latency in runs]
    steps = [
        [f"{TITLES[name]}, {way}", *[two(found[count, name, ms]["ms"][way]) for count, ms in runs]]
        for name in ("viewer", "gradio")
        for way in ways(name)
    ]
    faster = ["times faster, slider, median", *[f"{speedup(found, *run):.1f}" for run in runs]]
    rest = [
        [f"{TITLES[name]}: {title}", *[str(key(found[count, name, ms])) for count, ms in runs]]
        for title, key in (
            ("load to first slice, s", lambda one: f"{one['first_s']:.1f}"),
            ("slices painted in a burst", lambda one: one["painted"]),
            ("requests while scrolling", lambda one: one["requests"]),
            ("browser without and with the scan, MB", lambda one: two_mb(one["memory_mb"])),
        )
        for name in ("viewer", "gradio")
    ]
    title = "Input to painted slice, median / p95, ms"
    return [
        {"title": title, "heads": ["", *heads], "rows": [*steps, faster]},
        {"title": "The rest", "heads": ["", *heads], "rows": rest},
    ]


TITLES = {"viewer": "liverseg", "gradio": "`gr.AnnotatedImage`"}


def two(times: list[float]) -> str:
    """Median and 95th percentile."""
    return f"{statistics.median(times):.0f} / {np.percentile(times, 95):.0f}"


def two_mb(memory) -> str:
    """Before and after."""
    return " / ".join(f"{mb:.0f}" for mb in memory)


def speedup(found: dict, count: int, latency: int) -> float:
    """How many times faster the slider is with the viewer."""
    medians = [
        statistics.median(found[count, name, latency]["ms"]["slider"])
        for name in ("gradio", "viewer")
    ]
    return medians[0] / medians[1]


if __name__ == "__main__":
    main(sys.argv[1:])
