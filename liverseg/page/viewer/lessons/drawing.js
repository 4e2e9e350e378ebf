// Draw and compare: outline liver or tumor yourself, then see who is nearer to the truth.
//
// A drawn voxel has two bits, 1 for liver and 2 for tumor, so that either can be erased alone.

import { fixed } from "../format.js";
import { niftiFile } from "../scan/nifti.js";
import { agreement } from "../scan/scores.js";
import { DRAWN, LIVER, PREDICTION, TUMOR } from "../scan/study.js";
import { download } from "../picture/snapshot.js";
import { stroke } from "../picture/view.js";

const UNDO = 50;
const CLOSE = 8; // CSS pixels from the first or last corner at which a polygon is closed

export function createDrawing(root, store) {
  const { state } = store;
  const panel = root.querySelector('.lv-lesson[data-lesson="draw"]');
  const compare = panel.querySelector("[data-action=compare]");
  const chosen = (name) => panel.querySelector(`[name=lv-${name}]:checked`).value;
  const size = panel.querySelector("[name=lv-brush]");
  let undo = [];
  let polygon = [];
  let before = null; // where the brush was

  const on = (action, call) =>
    panel.querySelector(`[data-action=${action}]`).addEventListener("click", call);
  on("undo", back);
  on("clear", clear);
  on("compare", () => show(!state.compared));
  on("download", save);
  for (const radio of panel.querySelectorAll("[name=lv-drawn]")) {
    radio.addEventListener("change", () => store.set({ structure: chosen("drawn") }));
  }
  for (const radio of panel.querySelectorAll("[name=lv-pen]")) {
    radio.addEventListener("change", () => setPolygon([]));
  }
  store.on(["z", "study"], () => polygon.length && setPolygon([]));
  store.on(["study"], () => (undo = []));
  store.on(["pointer"], () => state.tool?.draw && store.touch("marks"));
  store.on(["masks", "value", "compared", "structure"], write);

  function draw(point, phase, view) {
    if (chosen("pen") === "polygon") return phase === "start" && addCorner(point, view);
    if (phase === "cancel") return back();
    if (phase === "start") keep();
    if (phase === "end") return finish();
    dab(phase === "start" ? point : before, point);
    before = point;
    store.touch("voxels");
  }

  // Everything within the brush's radius of the line between two points.
  function dab(from, to) {
    const { study, z } = state;
    const { x: xMm, y: yMm } = study.spacing || { x: 1, y: 1 };
    const radius = Number(size.value);
    const masks = study.slice(study.masks, z);
    const change = pen();
    const [across, down] = [radius / xMm, radius / yMm];
    const clip = (value, limit) => Math.max(0, Math.min(limit, value));
    const left = clip(Math.floor(Math.min(from.column, to.column) - across), study.width);
    const right = clip(Math.ceil(Math.max(from.column, to.column) + across), study.width);
    const top = clip(Math.floor(Math.min(from.row, to.row) - down), study.height);
    const bottom = clip(Math.ceil(Math.max(from.row, to.row) + down), study.height);
    const inMm = ({ column, row }) => [column * xMm, row * yMm];
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const away = distanceToLine([(x + 0.5) * xMm, (y + 0.5) * yMm], inMm(from), inMm(to));
        if (away <= Math.max(radius, xMm / 2)) masks[y * study.width + x] = change(masks[y * study.width + x]);
      }
    }
  }

  // What the chosen pen does to a mask byte.
  function pen() {
    const bit = (chosen("drawn") === "liver" ? LIVER : TUMOR) << DRAWN;
    return chosen("pen") === "eraser" ? (byte) => byte & ~bit : (byte) => byte | bit;
  }

  function addCorner(point, view) {
    const near = (corner) =>
      Math.hypot((corner.column - point.column) * view.stepX, (corner.row - point.row) * view.stepY) <
      CLOSE;
    const closes = polygon.length > 2 && (near(polygon[0]) || near(polygon.at(-1)));
    if (closes) fillPolygon();
    else setPolygon([...polygon, point]);
  }

  function fillPolygon() {
    if (polygon.length < 3) return;
    keep();
    const { study, z } = state;
    const masks = study.slice(study.masks, z);
    const change = pen();
    for (let y = 0; y < study.height; y++) {
      const crossings = crossingsOf(polygon, y + 0.5);
      for (let k = 0; k + 1 < crossings.length; k += 2) {
        const last = Math.min(study.width - 0.5, crossings[k + 1]);
        for (let x = Math.max(0, Math.ceil(crossings[k] - 0.5)); x + 0.5 <= last; x++) {
          masks[y * study.width + x] = change(masks[y * study.width + x]);
        }
      }
    }
    setPolygon([]);
    finish();
  }

  function setPolygon(corners) {
    polygon = corners;
    store.touch("marks");
  }

  function keep() {
    undo.push({ z: state.z, labels: state.study.getLabels(state.z, DRAWN) });
    if (undo.length > UNDO) undo.shift();
  }

  function back() {
    if (polygon.length) return setPolygon(polygon.slice(0, -1));
    const last = undo.pop();
    if (!last) return;
    state.study.setLabels(last.z, DRAWN, last.labels);
    store.set({ z: last.z });
    store.touch("masks");
  }

  function clear() {
    keep();
    state.study.setLabels(state.z, DRAWN, new Uint8Array(state.study.area));
    store.touch("masks");
  }

  function finish() {
    state.study.recount(state.z);
    store.touch("masks");
  }

  // While comparing a drag scrolls, else it draws.
  function show(compared) {
    const tool = compared ? null : { draw, undo: back, finish: fillPolygon };
    store.set({ compared, tool, allowed: [] });
  }

  // Scores on the slices that were drawn on: nobody draws a whole scan.
  function write() {
    const { study, value, structure, lesson } = state;
    if (lesson !== "draw" || !study) return;
    const table = panel.querySelector("table");
    const counts = new Float64Array(64);
    let slices = 0;
    for (let z = 0; z < study.slices; z++) {
      const ofSlice = study.table(z);
      if (!ofSlice.some((count, byte) => count && byte >> DRAWN)) continue;
      ofSlice.forEach((count, byte) => (counts[byte] += count));
      slices++;
    }
    compare.disabled = !slices || !value?.result?.truth;
    compare.setAttribute("aria-pressed", state.compared);
    table.hidden = panel.querySelector(".lv-meanings").hidden = !state.compared;
    table.caption.textContent = `${structure === "liver" ? "Liver" : "Tumors"}, ${slices} slice${slices === 1 ? "" : "s"} you drew on`;
    for (const [who, mask] of [["you", DRAWN], ["network", PREDICTION]]) {
      const known = mask === DRAWN || value?.result?.predicted;
      const scores = agreement(counts, structure, mask, value?.result);
      for (const cell of table.querySelectorAll(`[data-who=${who}] td`)) {
        cell.textContent = fixed(known ? scores[cell.dataset.score] : null, 3);
      }
    }
  }

  async function save() {
    const { study, value } = state;
    const labels = study.masks.map((byte) => Math.min(TUMOR, byte >> DRAWN));
    const shape = [study.slices, study.height, study.width];
    download(await niftiFile(labels, shape, value.affine), "liverseg-drawing.nii.gz");
  }

  return {
    enter() {
      store.set({ structure: chosen("drawn") });
      show(false);
    },
    leave: () => setPolygon([]),
    mark(view) {
      if (!state.tool?.draw || view.plane.name !== "axial") return;
      if (chosen("pen") === "polygon") markPolygon(view);
      else if (state.pointer?.view === view) markBrush(view, state.pointer);
    },
  };

  function markPolygon(view) {
    const lines = new Path2D();
    for (const { column, row } of polygon) {
      lines.lineTo(view.left + column * view.stepX, view.top + row * view.stepY);
    }
    stroke(view.context, lines, "#fff", 1.5, 1);
  }

  function markBrush(view, { x, y }) {
    const circle = new Path2D();
    circle.arc(x, y, Number(size.value) * view.perMm, 0, 2 * Math.PI);
    stroke(view.context, circle, "#fff", 1, 0.8);
  }
}

function distanceToLine([x, y], [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = dx * dx + dy * dy;
  const along = length ? Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / length)) : 0;
  return Math.hypot(x - x0 - along * dx, y - y0 - along * dy);
}

// Where a row crosses a polygon's sides, in ascending order.
function crossingsOf(corners, row) {
  const found = [];
  corners.forEach((from, k) => {
    const to = corners[(k + 1) % corners.length];
    if (from.row <= row === to.row <= row) return;
    found.push(from.column + ((row - from.row) / (to.row - from.row)) * (to.column - from.column));
  });
  return found.sort((a, b) => a - b);
}
