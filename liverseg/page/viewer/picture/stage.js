// The pictures and the words on them.

import { fixed } from "../format.js";
import { planesOf } from "../scan/planes.js";
import { DRAWN, PREDICTION } from "../scan/study.js";
import { listenToGestures } from "./gestures.js";
import { errorLayers, grayTable, heatTable, isThere, pixelTable, shownLayers, showsErrors } from "./look.js";
import { takePicture } from "./snapshot.js";
import { PlaneView, stroke, write } from "./view.js";

const MESSAGES = {
  empty: "Open a CT scan or a synthetic case",
  loading: "Loading the scan …",
  error: "The scan could not be loaded. Reload the page and upload it again.",
};
const LABELS = ["", "Liver", "Tumor"];

export function createStage(root, store, palette, actions, marks) {
  const { state } = store;
  const stage = root.querySelector(".lv-stage");
  const heatColors = heatTable(palette.probability);
  const views = {};
  for (const holder of root.querySelectorAll(".lv-plane")) {
    const view = new PlaneView(holder.querySelector("canvas"));
    views[holder.dataset.plane] = view;
    listenToGestures(view.canvas, gesturesOn(view));
  }
  // The picture beside the axial one, for comparing; what is done to it is done to the other.
  const second = new PlaneView(root.querySelector(".lv-second canvas"));
  listenToGestures(second.canvas, gesturesOn(views.axial));
  const allMarks = [...marks, markCrosshair];
  let scene = null;
  let compared = null; // the scenes of a drawing's and the result's errors

  store.on(["study", "body"], () => {
    if (!state.study) return;
    const planes = planesOf(state.study);
    for (const [name, view] of Object.entries(views)) view.setPlane(state.study, planes[name]);
    second.setPlane(state.study, planes.axial);
  });
  const looks = ["study", "window", "layers", "structure", "hidden", "probability", "allowed"];
  store.on([...looks, "value", "compared"], () => {
    if (!state.study) return;
    const grays = grayTable(state.study, state.window);
    const sceneOf = (shown) => ({ shown, grays, table: pixelTable(shown) });
    scene = { ...sceneOf(shownLayers(state, palette)), heat: heat() };
    compared = [DRAWN, PREDICTION].map((mask) => {
      if (state.hidden) return sceneOf([]);
      return sceneOf(errorLayers(state.layers.errors, state.structure, palette, mask));
    });
    store.touch("scene");
  });
  store.on(["study", "scene", "z", "y", "x", "voxels", "masks", "size", "place", "marks"], paint);
  store.on(["planes", "study", "compared"], () => {
    const three = state.planes === "three" && hasThreePlanes(state.study);
    stage.dataset.planes = state.compared ? "two" : three ? "three" : "one";
    store.touch("size");
  });
  new ResizeObserver(() => store.touch("size")).observe(stage);
  writeWords(root, store);
  writeLegend(root, store, palette);

  function heat() {
    const { on, opacity } = state.layers.probability;
    const box = state.study.probability?.[state.structure];
    return on && box && !state.hidden && !state.allowed ? { box, colors: heatColors, opacity } : null;
  }

  function paint() {
    if (state.compared && compared) return paintBoth();
    for (const view of Object.values(views)) {
      if (!state.study) view.clear();
      else if (scene && view.fit()) view.paint(sliceOf(view), scene, allMarks);
    }
  }

  // The errors of a drawing and those of the network, side by side.
  function paintBoth() {
    const title = (text) => (view) => write(view.context, text, view.width / 2, 58);
    second.zoom = views.axial.zoom;
    second.middle = { ...views.axial.middle };
    for (const [view, side, text] of [
      [views.axial, compared[0], "You"],
      [second, compared[1], "Network"],
    ]) {
      if (view.fit()) view.paint(state.z, side, [title(text)]);
    }
  }

  const sliceOf = (view) => state[view.plane.through];

  // Where the three planes meet.
  function markCrosshair(view) {
    if (stage.dataset.planes !== "three" || state.hidden) return;
    const [x, y] = view.pointAt({ z: state.z, y: state.y, x: state.x });
    const gap = 12; // what is at the crossing stays visible
    const lines = new Path2D();
    for (const [x0, y0, x1, y1] of [
      [0, y, x - gap, y],
      [x + gap, y, view.width, y],
      [x, 0, x, y - gap],
      [x, y + gap, x, view.height],
    ]) {
      lines.moveTo(x0, y0);
      lines.lineTo(x1, y1);
    }
    stroke(view.context, lines, "#fff", 0.75, 0.6);
  }

  function gesturesOn(view) {
    const moved = () => store.touch("place");
    const voxelAt = (x, y) => (state.study ? view.voxelAt(x, y, state) : null);
    return {
      scroll: (slices) => actions.scrollPlane(view.plane, slices),
      pan: (dx, dy) => state.study && (view.pan(dx, dy), moved()),
      zoom: (x, y, factor) => state.study && (view.zoomAt(x, y, factor), moved()),
      window(dx, dy) {
        const { width, level } = state.window;
        store.set({ window: { width: Math.max(1, width + 2 * dx), level: level - dy } });
      },
      hover: (x, y) => store.set({ pointer: x === null ? null : { view, x, y } }),
      click(x, y) {
        const voxel = voxelAt(x, y);
        if (!voxel) return;
        if (state.tool?.click) state.tool.click(voxel);
        else if (stage.dataset.planes === "three") store.set(voxel);
      },
      reset: () => actions.reset(),
      draws: () => Boolean(state.tool?.draw && view.plane?.name === "axial"),
      draw: (x, y, phase) => state.tool?.draw(view.pixelAt(x, y), phase, view),
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
    // The plane whose canvas has the focus, else the axial one.
    focused() {
      const view = Object.values(views).find(({ canvas }) => canvas === document.activeElement);
      return (view || views.axial).plane;
    },
    picture: (words) => takePicture(views.axial, state.z, scene, allMarks, words),
  };
}

// Coronal and sagittal pictures need the distance between slices: it is not guessed.
export function hasThreePlanes(study) {
  return Boolean(study?.spacing?.z && study.slices > 1);
}

function writeLegend(root, store, palette) {
  const list = root.querySelector(".lv-legend");
  store.on(["layers", "value", "structure", "lesson", "allowed", "compared"], () => {
    const entries = legendOf(store.state, palette).map(([color, name]) => {
      const entry = document.createElement("li");
      const swatch = document.createElement("i");
      swatch.style.background = color;
      entry.append(swatch, name);
      return entry;
    });
    list.replaceChildren(...entries);
  });
}

// [color, name] of what needs explaining on the picture itself.
export function legendOf(state, palette) {
  const { layers, value, structure, lesson, allowed, compared } = state;
  const entries = [];
  if (compared || showsErrors(state)) {
    entries.push([palette.true_positive, `${structure}: found`]);
    entries.push([palette.false_positive, `${structure}: false positive`]);
    entries.push([palette.false_negative, `${structure}: missed`]);
  }
  if (layers.probability.on && !allowed && isThere("probability", value)) {
    const ramp = `linear-gradient(90deg, ${palette.probability.join(", ")})`;
    entries.push([ramp, `probability of ${structure}, 0 to 1`]);
  }
  if (lesson === "draw" && !compared) {
    entries.push([palette.drawn_liver, "your liver"], [palette.drawn_tumor, "your tumor"]);
  }
  if (lesson === "why") {
    const color = structure === "liver" ? palette.drawn_liver : palette.drawn_tumor;
    entries.push([palette.truth, "truth"], [color, "truth, changed"]);
  }
  return entries;
}

function writeWords(root, store) {
  const { state } = store;
  const part = (name) => root.querySelector(`.lv-${name}`);
  store.on(["study", "z"], () => {
    const { study, z } = state;
    part("name").textContent = study ? study.name : "";
    part("slice").textContent = study ? `Slice ${z + 1} / ${study.slices}` : "";
    const mm = study ? study.positionMm(z) : null;
    part("position").textContent = mm === null ? "" : `${fixed(mm, 1)} mm`;
  });
  store.on(["study"], () => (part("unknown").textContent = whatIsUnknown(state.study)));
  store.on(["study", "window"], () => {
    const { width, level } = state.window;
    part("window-text").textContent = state.study ? `W ${width.toFixed(0)}  L ${level.toFixed(0)}` : "";
  });
  store.on(["study", "pointer", "z", "y", "x", "masks", "place", "allowed"], () => {
    const { study, pointer, z, allowed } = state;
    const voxel = study && pointer && pointer.view.voxelAt(pointer.x, pointer.y, state);
    part("cursor").textContent = voxel ? wordsFor(study, voxel, z, !allowed) : "";
  });
  store.on(["phase", "value"], () => {
    const progress = state.value?.progress;
    part("message").textContent = MESSAGES[state.phase] || "";
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

// The gray value (0 to 255) of a picture's pixel.
function grayOf({ windowed: [black, white] }, hu) {
  return Math.round(((hu - black) / (white - black)) * 255);
}

// HU, place and, unless a lesson hides them, labels under the cursor.
function wordsFor(study, voxel, z, withLabels) {
  const index = voxel.z * study.area + voxel.y * study.width + voxel.x;
  const about = study.isExact ? "" : "≈ ";
  const words = [about + (study.windowed ? `gray ${grayOf(study, study.huAt(index))}` : `${fixed(study.huAt(index), 0)} HU`)];
  const { spacing } = study;
  if (spacing) {
    const depth = voxel.z === z ? "" : `  z ${study.positionMm(voxel.z).toFixed(1)}`;
    const [xMm, yMm] = [voxel.x * spacing.x, voxel.y * spacing.y];
    words.push(`x ${xMm.toFixed(1)}  y ${yMm.toFixed(1)}${depth} mm`);
  } else words.push(`x ${voxel.x}  y ${voxel.y}`);
  const byte = withLabels ? study.masks[index] : 0;
  if (byte & 3) words.push(LABELS[byte & 3]);
  if ((byte >> 2) & 3) words.push(`truth: ${LABELS[(byte >> 2) & 3].toLowerCase()}`);
  return words.join("   ");
}
