// The pictures and the words on them.

import { listenToGestures } from "./gestures.js";
import { pixelTable, shownLayers } from "./look.js";
import { planesOf } from "./planes.js";
import { PlaneView } from "./view.js";

const MESSAGES = {
  empty: "No scan yet",
  loading: "Loading the scan …",
  error: "The scan could not be loaded. Reload the page and upload it again.",
};
const LABELS = ["", "Liver", "Tumor"];

export function createStage(root, store, palette, actions) {
  const { state } = store;
  const views = {};
  for (const holder of root.querySelectorAll(".lv-plane")) {
    const view = new PlaneView(holder.querySelector("canvas"));
    views[holder.dataset.plane] = view;
    listenToGestures(view.canvas, gesturesOn(view));
  }
  let scene = null;

  store.on(["study", "body"], () => {
    if (!state.study) return;
    const planes = planesOf(state.study);
    for (const [name, view] of Object.entries(views)) view.setPlane(state.study, planes[name]);
  });
  store.on(["study", "window", "layers", "structure", "hidden"], () => {
    if (!state.study) return;
    const shown = shownLayers(state, palette);
    scene = { shown, table: pixelTable(state.study, state.window, shown) };
    store.touch("scene");
  });
  store.on(["study", "scene", "z", "y", "x", "voxels", "masks", "size", "place"], paint);
  new ResizeObserver(() => store.touch("size")).observe(root.querySelector(".lv-stage"));
  writeWords(root, store);

  function paint() {
    for (const view of Object.values(views)) {
      if (!state.study) view.clear();
      else if (scene && view.fit()) view.paint(state[view.plane.through], scene);
    }
  }

  function gesturesOn(view) {
    const moved = () => store.touch("place");
    return {
      scroll: (slices) => actions.scroll(slices),
      pan: (dx, dy) => (view.pan(dx, dy), moved()),
      zoom: (x, y, factor) => (view.zoomAt(x, y, factor), moved()),
      window(dx, dy) {
        const { width, level } = state.window;
        store.set({ window: { width: Math.max(1, width + 2 * dx), level: level - dy } });
      },
      hover(x, y) {
        const there = state.study && x !== null;
        store.set({ cursor: there ? view.voxelAt(x, y, state[view.plane.through]) : null });
      },
      click() {},
      reset: () => actions.reset(),
      draws: () => false,
      draw() {},
    };
  }

  return {
    zoom(factor) {
      const view = views.axial;
      if (!state.study) return;
      view.zoomAt(view.width / 2, view.height / 2, factor);
      store.touch("place");
    },
    resetZoom() {
      for (const view of Object.values(views)) view.resetZoom();
      store.touch("place");
    },
  };
}

function writeWords(root, store) {
  const { state } = store;
  const part = (name) => root.querySelector(`.lv-${name}`);
  store.on(["study", "z"], () => {
    const { study, z } = state;
    part("slice").textContent = study ? `Slice ${z + 1} / ${study.slices}` : "";
    const mm = study ? study.positionMm(z) : null;
    part("position").textContent = mm === null ? "" : `${mm.toFixed(1)} mm`;
  });
  store.on(["study"], () => (part("unknown").textContent = whatIsUnknown(state.study)));
  store.on(["study", "window"], () => {
    const { width, level } = state.window;
    part("window-text").textContent = state.study ? `W ${width.toFixed(0)}  L ${level.toFixed(0)}` : "";
  });
  store.on(["study", "cursor", "z", "masks"], () => {
    part("cursor").textContent = state.study && state.cursor ? wordsFor(state) : "";
  });
  store.on(["phase", "value"], () => {
    const progress = state.value?.progress;
    part("message").textContent = MESSAGES[state.phase] || progress?.stage || "";
    part("progress").hidden = !progress;
    if (!progress) return;
    const done = progress.total ? progress.done / progress.total : 0;
    part("progress").setAttribute("aria-valuenow", Math.round(100 * done));
    part("progress").firstElementChild.style.width = `${100 * done}%`;
  });
}

function whatIsUnknown(study) {
  if (!study) return "";
  const { spacing, slices } = study;
  if (!spacing) return "Pixel size unknown: no mm";
  return spacing.z || slices === 1 ? "" : "Slice distance unknown: no mL";
}

// HU, place and label under the cursor.
function wordsFor({ study, cursor, z }) {
  const voxel = { ...cursor, z: cursor.z ?? z };
  const index = voxel.z * study.area + voxel.y * study.width + voxel.x;
  const hu = Math.round(study.hu[study.ct[index]]);
  const words = [study.windowed ? `grey ${study.ct[index]}` : `${String(hu).replace("-", "−")} HU`];
  const { spacing } = study;
  if (spacing) {
    words.push(`x ${(voxel.x * spacing.x).toFixed(1)}  y ${(voxel.y * spacing.y).toFixed(1)} mm`);
  } else words.push(`x ${voxel.x}  y ${voxel.y}`);
  const byte = study.masks[index];
  if (byte & 3) words.push(LABELS[byte & 3]);
  if ((byte >> 2) & 3) words.push(`truth: ${LABELS[(byte >> 2) & 3].toLowerCase()}`);
  return words.join("   ");
}
