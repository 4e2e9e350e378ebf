// Why Dice misleads: change the truth in a known way and watch what each number says.

import { fixed } from "../format.js";
import { boxOf, components, grown, hd95 } from "../scan/masks3d.js";
import { confusion, FIRST_LABEL, overlap } from "../scan/scores.js";
import { DRAWN, LIVER, TRUTH, TUMOR } from "../scan/study.js";

const FRAME_MS = 10;
const PAUSE_MS = 200; // without a change, before distances are measured
const HD_VOXELS = 1e6; // larger boxes are looked at with fewer pixels

export function createMisleading(root, store) {
  const { state } = store;
  const panel = root.querySelector('.lv-lesson[data-lesson="why"]');
  const field = (name) => panel.querySelector(`[name=lv-why-${name}]`);
  const cell = (name) => panel.querySelector(`[data-score=${name}]`);
  let lesions = [];
  let dropped = new Set(); // voxels of the lesion that is left out
  let waiting = []; // slices that still have the change before
  let later = null;

  for (const name of ["grow", "across", "down"]) field(name).addEventListener("input", change);
  field("drop").addEventListener("change", change);
  for (const radio of panel.querySelectorAll("[type=radio]")) radio.addEventListener("change", begin);
  panel.querySelector("[data-action=why-reset]").addEventListener("click", begin);
  store.on(["z"], () => state.lesson === "why" && write());
  store.on(["masked"], () => state.lesson === "why" && begin());

  const chosen = (name) => panel.querySelector(`[name=lv-why-${name}]:checked`).value;
  const structure = () => chosen("structure");
  const numberOf = (name) => Number(field(name).value);

  function begin() {
    if (!state.study || !state.value?.result?.truth) return;
    for (const name of ["grow", "across", "down"]) field(name).value = 0;
    lesions = listLesions(state.study);
    const options = lesions.map((voxels, k) => new Option(`Tumor ${k + 1}`, k));
    field("drop").replaceChildren(new Option("None", ""), ...options);
    store.set({ structure: structure() });
    change();
  }

  function change() {
    const { study, z } = state;
    for (const name of ["grow", "across", "down"]) {
      const amount = fixed(numberOf(name), 0);
      field(name).nextElementSibling.textContent = `${amount} ${study.spacing ? "mm" : "px"}`;
    }
    dropped = new Set(field("drop").value === "" ? [] : lesions[Number(field("drop").value)]);
    const running = waiting.length > 0;
    const all = Array.from({ length: study.slices }, (_, k) => k);
    waiting = all.sort((a, b) => Math.abs(a - z) - Math.abs(b - z));
    if (!running) work();
  }

  function work() {
    const { study } = state;
    if (state.lesson !== "why" || !study) waiting = [];
    const end = performance.now() + FRAME_MS;
    const isNews = chosen("scope") === "scan" || waiting.includes(state.z);
    while (waiting.length && performance.now() < end) changeSlice(study, waiting.shift());
    store.touch("masks");
    if (isNews) write();
    if (waiting.length) requestAnimationFrame(work);
  }

  // The truth of a slice, changed as the controls say, as the drawn layer.
  function changeSlice(study, z) {
    const { width, height, area } = study;
    const first = FIRST_LABEL[structure()];
    const truth = study.getLabels(z, TRUTH);
    const mask = truth.map((label, i) => (label >= first && !dropped.has(z * area + i) ? 1 : 0));
    const { x: xMm, y: yMm } = study.spacing || { x: 1, y: 1 };
    const moved = new Uint8Array(area);
    if (mask.includes(1)) {
      const shape = grown(mask, [height, width], [yMm, xMm], numberOf("grow"));
      const [dx, dy] = [Math.round(numberOf("across") / xMm), Math.round(numberOf("down") / yMm)];
      shift(shape, moved, width, height, dx, dy);
    }
    const bits = structure() === "liver" ? LIVER : TUMOR;
    study.setLabels(z, DRAWN, moved.map((one) => one * bits));
  }

  function write() {
    const { study, z } = state;
    const ofSlice = chosen("scope") === "slice";
    const counts = ofSlice ? study.table(z) : study.total();
    const scores = overlap(confusion(counts, structure(), DRAWN, TRUTH));
    for (const name of ["dice", "precision", "recall"]) cell(name).textContent = fixed(scores[name], 3);
    cell("hd95").textContent = "…";
    clearTimeout(later);
    later = setTimeout(() => {
      if (state.lesson !== "why" || state.study !== study || (waiting.length && !ofSlice)) return;
      const mm = distance(study, ofSlice ? [z, z + 1] : [0, study.slices], structure());
      cell("hd95").textContent = fixed(mm, 1);
    }, PAUSE_MS);
  }

  return {
    enter() {
      store.set({ allowed: ["truth"], tool: null });
      begin();
    },
    leave() {
      waiting = [];
      clearTimeout(later);
    },
  };
}

function listLesions(study) {
  const indices = [];
  study.masks.forEach((byte, i) => ((byte >> TRUTH) & 3) === TUMOR && indices.push(i));
  return components(indices, study.area, study.width);
}

function shift(from, to, width, height, dx, dy) {
  for (let y = Math.max(0, dy); y < Math.min(height, height + dy); y++) {
    for (let x = Math.max(0, dx); x < Math.min(width, width + dx); x++) {
      to[y * width + x] = from[(y - dy) * width + x - dx];
    }
  }
}

// HD95 between the drawn and the true mask on some slices; null where it is undefined.
function distance(study, [from, to], structure) {
  const { spacing, width, height, area } = study;
  if (!spacing || (to - from > 1 && !spacing.z)) return null;
  const first = FIRST_LABEL[structure];
  const masks = study.masks.subarray(from * area, to * area);
  const either = (i) => ((masks[i] >> TRUTH) & 3) >= first || masks[i] >> DRAWN > 0;
  const box = boxOf(either, to - from, height, width);
  if (!box) return null;
  const size = box.reduce((product, [start, end]) => product * (end - start), 1);
  const step = Math.ceil(Math.sqrt(size / HD_VOXELS));
  const shape = box.map(([start, end], axis) => Math.ceil((end - start) / (axis ? step : 1)));
  const truth = new Uint8Array(shape[0] * shape[1] * shape[2]);
  const changed = new Uint8Array(truth.length);
  let k = 0;
  for (let z = box[0][0]; z < box[0][1]; z++) {
    for (let y = box[1][0]; y < box[1][1]; y += step) {
      for (let x = box[2][0]; x < box[2][1]; x += step, k++) {
        const byte = masks[z * area + y * width + x];
        truth[k] = ((byte >> TRUTH) & 3) >= first ? 1 : 0;
        changed[k] = byte >> DRAWN ? 1 : 0;
      }
    }
  }
  return hd95(truth, changed, shape, [spacing.z || 1, spacing.y * step, spacing.x * step]);
}
