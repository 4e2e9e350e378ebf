// The list of tumors: a click shows one on its slice, with its axes.

import { fixed, NONE } from "../format.js";
import { stroke, write } from "../picture/view.js";

const LABEL_PX = [30, 16]; // from an axis' end to its words' middle, across and down

// statuses: the words for what became of a tumor, by its status.
export function createLesions(root, store, actions, statuses) {
  const { state } = store;
  const list = root.querySelector(".lv-lesions");
  const hint = root.querySelector("#lv-panel-tumors .lv-hint");

  // None while a lesson hides where they are.
  function lesions() {
    return (!state.allowed && state.value?.result?.lesions) || [];
  }

  function show(index) {
    const lesion = lesions()[index];
    if (!lesion) return;
    const [[z], [, y, x]] = [lesion.long_axis[0], lesion.center];
    actions.goTo(z);
    store.set({ lesion: index, y: Math.round(y), x: Math.round(x) });
  }

  store.on(["value", "allowed"], () => {
    list.replaceChildren(...lesions().map((lesion, index) => item(lesion, statuses, () => show(index))));
    hint.textContent = hintFor(state);
  });
  store.on(["study"], () => store.set({ lesion: null }));
  store.on(["value", "allowed", "lesion"], () => {
    [...list.children].forEach((row, index) => {
      row.firstChild.setAttribute("aria-current", index === state.lesion);
    });
  });

  actions.nextLesion = (step) => {
    const count = lesions().length;
    if (count) show(((state.lesion ?? (step > 0 ? -1 : 0)) + step + count) % count);
  };
  return {
    // Draws the axes of the chosen tumor where they were measured.
    mark(view, slice) {
      const lesion = lesions()[state.lesion];
      if (!lesion || state.hidden || view.plane.name !== "axial") return;
      if (lesion.long_axis[0][0] !== slice) return;
      drawAxis(view, lesion.long_axis, lesion.long_axis_mm);
      drawAxis(view, lesion.short_axis, lesion.short_axis_mm);
    },
  };
}

function hintFor({ value, allowed }) {
  if (allowed) return "This list is hidden during the lesson.";
  if (!value?.result?.lesions) return "Tumors are listed here once they are measured.";
  return value.result.lesions.length ? "" : "No tumor was found.";
}

function item(lesion, statuses, choose) {
  const { number, status } = lesion;
  const density = lesion.hu_mean === null ? "" : densityOf(lesion);
  const shown = status === "missed" ? NONE : number;
  return lesionRow(shown, status, statuses[status], sizeOf(lesion), density, choose);
}

// A line of a list of tumors, which calls `choose` when it is clicked.
//   status, word: what became of the tumor, and the word for it; null where that is not known.
export function lesionRow(number, status, word, words, more, choose) {
  const row = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.status = status || "";
  button.addEventListener("click", choose);
  const add = (tag, text) => {
    button.append(Object.assign(document.createElement(tag), { textContent: text }));
  };
  add("b", number);
  add("span", words);
  add("em", word || "");
  add("small", more);
  row.append(button);
  return row;
}

function sizeOf({ volume_ml: ml, long_axis_mm: long, short_axis_mm: short }) {
  const volume = ml === null ? "" : `${ml.toFixed(ml < 10 ? 2 : 1)} mL`;
  const axes = long === null ? "" : `${long.toFixed(0)} × ${short.toFixed(0)} mm`;
  return [volume, axes].filter(Boolean).join("  ") || NONE;
}

function densityOf({ hu_mean: mean, hu_sd: sd, first_slice: first, last_slice: last }) {
  return `${fixed(mean, 0)} ± ${fixed(sd, 0)} HU   ${slicesOf(first, last)}`;
}

export function slicesOf(first, last) {
  return first === last ? `slice ${first + 1}` : `slices ${first + 1}–${last + 1}`;
}

function drawAxis(view, ends, mm) {
  const [from, to] = ends.map(([z, y, x]) => view.pointAt({ z, y, x }));
  const line = new Path2D();
  line.moveTo(...from);
  line.lineTo(...to);
  stroke(view.context, line, "#fff", 1.5, 1);
  if (mm === null) return;
  // beyond the right end, so that the words of two crossing axes stay apart
  const [end, start] = to[0] > from[0] ? [to, from] : [from, to];
  const length = Math.hypot(end[0] - start[0], end[1] - start[1]) || 1;
  const away = (k) => end[k] + (LABEL_PX[k] * (end[k] - start[k])) / length;
  write(view.context, `${mm.toFixed(0)} mm`, away(0), away(1), "#fff");
}
