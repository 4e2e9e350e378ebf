// Find the tumors: click where one is; then hits, misses and false calls are counted.

import { fixed } from "../format.js";
import { components } from "../scan/masks3d.js";
import { TRUTH, TUMOR } from "../scan/study.js";
import { stroke, write } from "../picture/view.js";
import { lesionRow, slicesOf } from "../panels/lesions.js";
import { copied, linkTo } from "./links.js";

const NEAR_MM = 5; // a click this near to a tumor counts
const NEAR_SLICES = 2; // clicks stay visible on slices around

// page: openCase({number, size, contrast}) asks for a synthetic case, segment() for the networks.
// statuses: see `createLesions`.
export function createFinding(root, store, palette, actions, page, statuses) {
  const { state } = store;
  const panel = root.querySelector('.lv-lesson[data-lesson="find"]');
  const text = (name) => panel.querySelector(`.lv-${name}`);
  const button = (action) => panel.querySelector(`[data-action=${action}]`);
  const running = { found: 0, lesions: 0, wrong: 0, rounds: 0 };
  let clicks = []; // {z, y, x, lesion: index, null for none, undefined before the end}
  let lesions = [];
  let started = 0;
  let ended = 0;
  let timer = null;

  const numberField = panel.querySelector("[name=lv-case]");
  const choice = (name) => panel.querySelector(`[name=lv-${name}]`);
  button("find-case").addEventListener("click", () => {
    ask(numberField.valueAsNumber + (isOpen() ? 1 : 0));
  });
  button("find-link").addEventListener("click", async () => {
    const link = linkTo(state.value.case, location);
    text("link").textContent = (await copied(link)) ? "The link is copied." : link;
  });
  for (const field of [numberField, choice("size"), choice("contrast")]) {
    field.addEventListener("input", () => {
      text("link").textContent = "";
      writeCase();
    });
  }
  store.on(["study"], () => {
    if (state.value?.case) numberField.value = state.value.case.number;
    if (state.study) text("link").textContent = "";
    writeCase();
  });
  button("find-start").addEventListener("click", begin);
  button("find-undo").addEventListener("click", undo);
  button("find-network").addEventListener("click", () => {
    button("find-network").disabled = true; // until a value says how far it is
    page.segment();
  });
  button("find-done").addEventListener("click", finish);
  store.on(["value", "masked"], () => state.lesson === "find" && changed());

  function begin() {
    const { study } = state;
    clicks = [];
    lesions = tumorsOf(study);
    started = Date.now();
    ended = 0;
    timer = setInterval(writeTime, 500);
    store.set({ allowed: [], tool: { click, undo } });
    keepSecret(true);
    changed();
  }

  // While somebody searches, the page shows nothing that tells where.
  const keepSecret = (secret) => (root.dataset.secret = secret);

  function ask(number) {
    page.openCase({ number, size: choice("size").value, contrast: choice("contrast").value });
  }

  // Whether the chosen case is the one on screen, so that only the next is left to open.
  function isOpen() {
    const open = state.value?.case;
    if (open?.number !== numberField.valueAsNumber) return false;
    return ["size", "contrast"].every((name) => open[name] === choice(name).value);
  }

  function writeCase() {
    const { value } = state;
    button("find-case").textContent = isOpen() ? "Next" : "Open";
    button("find-case").disabled = !numberField.validity.valid || !numberField.value;
    text("case").textContent = value?.case ? inWords(value.case) : value ? "Your own scan." : "";
    button("find-link").hidden = !value?.case;
  }

  function click(voxel) {
    clicks.push(voxel);
    changed();
  }

  function undo() {
    clicks.pop();
    changed();
  }

  function finish() {
    clearInterval(timer);
    ended = Date.now();
    for (const place of clicks) place.lesion = lesionNear(state.study, lesions, place);
    const result = count();
    running.found += result.found;
    running.lesions += lesions.length;
    running.wrong += result.wrong;
    running.rounds++;
    store.set({ allowed: null, tool: null });
    keepSecret(false);
    changed();
  }

  function count() {
    const hit = new Set(clicks.map(({ lesion }) => lesion).filter((lesion) => lesion !== null));
    const wrong = clicks.filter(({ lesion }) => lesion === null).length;
    return { found: hit.size, wrong, missed: lesions.length - hit.size };
  }

  function changed() {
    const isRunning = started && !ended;
    button("find-start").hidden = Boolean(isRunning);
    const { study, value } = state;
    button("find-start").disabled = !value?.result?.truth || study.maskedBy !== value;
    button("find-done").hidden = button("find-undo").hidden = !isRunning;
    writeTime();
    text("outcome").textContent = ended ? outcome() : whyNot(state);
    button("find-network").hidden = !ended || Boolean(value?.result?.predicted);
    button("find-network").disabled = Boolean(value?.progress);
    text("network").textContent = ended ? networksOutcome() : "";
    text("answers").replaceChildren(...(ended ? lesions.map(answer) : []));
    text("running").textContent = running.rounds ? runningScore() : "";
    store.touch("marks");
  }

  function writeTime() {
    const seconds = started ? Math.round(((ended || Date.now()) - started) / 1000) : 0;
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    text("time").textContent = started ? `${time}, ${plural(clicks.length, "mark")}` : "";
  }

  function outcome() {
    const { found, wrong, missed } = count();
    const called = plural(wrong, "false call");
    if (!lesions.length) return `The truth has no tumors; ${called}`;
    return `${found} of ${lesions.length} found, ${missed} missed, ${called}`;
  }

  // "The network: 3 found, 1 missed"
  function networksOutcome() {
    const { predicted, lesions: listed } = state.value?.result || {};
    if (!predicted || !listed) return "";
    const counts = Object.entries(statuses).map(([status, word]) => {
      return [listed.filter((lesion) => lesion.status === status).length, word.toLowerCase()];
    });
    const words = counts.filter(([count]) => count).map((pair) => pair.join(" "));
    return `The network: ${words.join(", ") || "no tumors marked"}`;
  }

  // A tumor of the truth in words; a click leads to it.
  function answer({ places, center, first, last }, index) {
    const found = clicks.some(({ lesion }) => lesion === index);
    const { voxelMl } = state.study;
    const volume = voxelMl === null ? "" : `${(places.length * voxelMl).toFixed(2)} mL`;
    const where = slicesOf(first, last);
    const status = found ? "detected" : "missed";
    return lesionRow(index + 1, status, statuses[status], volume, where, () => {
      actions.goTo(Math.round((first + last) / 2));
      store.set({ y: Math.round(center.y), x: Math.round(center.x) });
    });
  }

  function runningScore() {
    const { found, lesions: all, wrong, rounds } = running;
    return `${plural(rounds, "round")}: ${found} of ${all} found, ${plural(wrong, "false call")}; score ${fixed(found - wrong, 0)}`;
  }

  function stop() {
    clearInterval(timer);
    clicks = [];
    started = ended = 0;
  }

  return {
    // Opens the case that a link asks for; what there is not in it is chosen for it.
    open({ number, size, contrast }) {
      numberField.value = number;
      for (const [name, value] of Object.entries({ size, contrast })) {
        choice(name).value = value;
        if (!choice(name).value) choice(name).value = "any";
      }
      writeCase();
      if (!button("find-case").disabled) return ask(numberField.valueAsNumber);
      const { min, max } = numberField;
      text("link").textContent =
        `There is no such case. Choose a number from ${min} to ${max}.`;
    },
    // The tumors stay hidden until the search is over, also in the next scan.
    enter() {
      stop();
      store.set({ allowed: [], tool: null });
      changed();
    },
    leave() {
      stop();
      keepSecret(false);
    },
    mark(view, slice) {
      if (view.plane.name !== "axial" || state.lesson !== "find") return;
      clicks.forEach((place, k) => {
        if (Math.abs(place.z - slice) <= NEAR_SLICES) ring(view, place, k + 1);
      });
      if (ended) markLesions(view, slice);
    },
  };

  function ring(view, place, number) {
    const [x, y] = view.pointAt(place);
    const circle = new Path2D();
    circle.arc(x, y, 12, 0, 2 * Math.PI);
    const color = { undefined: "#fff", null: palette.false_positive }[place.lesion];
    stroke(view.context, circle, color || palette.true_positive, 2, 1);
    write(view.context, String(number), x, y - 22);
  }

  // A square around what nobody clicked on.
  function markLesions(view, slice) {
    const hit = new Set(clicks.map(({ lesion }) => lesion));
    lesions.forEach(({ center, first, last, radius }, index) => {
      if (hit.has(index) || slice < first || slice > last) return;
      const [x, y] = view.pointAt({ ...center, z: slice });
      const half = radius * view.stepX + 8;
      const square = new Path2D();
      square.rect(x - half, y - half, 2 * half, 2 * half);
      stroke(view.context, square, palette.false_negative, 2, 1);
      write(view.context, "missed", x, y - half - 10);
    });
  }
}

// Why the search cannot begin, if it cannot.
function whyNot({ study, value }) {
  if (!study) return "Open a scan with a ground truth, or one of the cases above.";
  if (value?.result?.truth) return "";
  return "This scan has no ground truth, so nobody could say what you found. Upload one, or open one of the cases above.";
}

// "Case 7: small tumors, faint"
function inWords({ number, size, contrast }) {
  const words = [size === "any" ? "" : `${size} tumors`, contrast === "any" ? "" : contrast];
  return [`This is case ${number}`, words.filter(Boolean).join(", ")].filter(Boolean).join(": ") + ".";
}

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

function tumorsOf(study) {
  const indices = [];
  study.masks.forEach((byte, i) => ((byte >> TRUTH) & 3) === TUMOR && indices.push(i));
  return components(indices, study.area, study.width).map((voxels) => {
    const places = voxels.map((i) => placeOf(study, i));
    const [[first, last], [top, bottom], [left, right]] = ["z", "y", "x"].map((axis) => {
      const values = places.map((place) => place[axis]);
      const outer = (pick) => values.reduce((one, other) => pick(one, other));
      return [outer(Math.min), outer(Math.max)];
    });
    return {
      places,
      first,
      last,
      center: { y: (top + bottom) / 2, x: (left + right) / 2 },
      radius: (right - left + 1) / 2,
    };
  });
}

function placeOf({ area, width }, i) {
  const inSlice = i % area;
  return { z: Math.floor(i / area), y: Math.floor(inSlice / width), x: inSlice % width };
}

// The index of the tumor nearest to a click, or null where all are too far away.
function lesionNear({ spacing }, lesions, click) {
  const mm = { z: spacing?.z || 5, y: spacing?.y || 1, x: spacing?.x || 1 };
  const away = ({ z, y, x }) =>
    Math.hypot((z - click.z) * mm.z, (y - click.y) * mm.y, (x - click.x) * mm.x);
  const distances = lesions.map(({ places }) => {
    return places.reduce((least, place) => Math.min(least, away(place)), Infinity);
  });
  const nearest = Math.min(...distances);
  return nearest <= NEAR_MM ? distances.indexOf(nearest) : null;
}
