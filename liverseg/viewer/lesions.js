// The list of tumors: a click shows one on its slice, with its axes.

import { fixed, NONE } from "./numbers.js";
import { stroke, write } from "./view.js";

const STATUS = { detected: "Found", touched: "Partly found", missed: "Missed", false: "False" };

export function createLesions(root, store, actions) {
  const { state } = store;
  const list = root.querySelector(".lv-lesions");
  const hint = root.querySelector("#lv-panel-tumors .lv-hint");

  function lesions() {
    return state.value?.result?.lesions || [];
  }

  function show(index) {
    const lesion = lesions()[index];
    if (!lesion) return;
    const [[z], [, y, x]] = [lesion.long_axis[0], lesion.center];
    actions.goTo(z);
    store.set({ lesion: index, y: Math.round(y), x: Math.round(x) });
  }

  store.on(["value"], () => {
    list.replaceChildren(...lesions().map((lesion, index) => item(lesion, () => show(index))));
    hint.textContent = hintFor(state.value);
  });
  store.on(["study"], () => store.set({ lesion: null }));
  store.on(["value", "lesion"], () => {
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
      for (const [ends, mm] of [
        [lesion.long_axis, lesion.long_axis_mm],
        [lesion.short_axis, lesion.short_axis_mm],
      ]) {
        if (ends[0][0] === slice) drawAxis(view, ends, mm);
      }
    },
  };
}

function hintFor(value) {
  if (!value?.result?.lesions) return "Tumors are listed here once they are measured.";
  return value.result.lesions.length ? "" : "No tumor was found.";
}

function item(lesion, choose) {
  const row = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.status = lesion.status || "";
  button.addEventListener("click", choose);
  const add = (tag, text) => {
    button.append(Object.assign(document.createElement(tag), { textContent: text }));
  };
  add("b", `${lesion.status === "missed" ? "–" : lesion.number}`);
  add("span", sizeOf(lesion));
  add("em", STATUS[lesion.status] || "");
  add("small", lesion.hu_mean === null ? "" : densityOf(lesion));
  row.append(button);
  return row;
}

function sizeOf({ volume_ml: ml, long_axis_mm: long, short_axis_mm: short }) {
  const volume = ml === null ? "" : `${ml.toFixed(ml < 10 ? 2 : 1)} mL`;
  const axes = long === null ? "" : `${long.toFixed(0)} × ${short.toFixed(0)} mm`;
  return [volume, axes].filter(Boolean).join("   ") || NONE;
}

function densityOf({ hu_mean: mean, hu_sd: sd, first_slice: first, last_slice: last }) {
  return `${fixed(mean, 0)} ± ${fixed(sd, 0)} HU   slices ${first + 1}–${last + 1}`;
}

function drawAxis(view, ends, mm) {
  const [from, to] = ends.map(([z, y, x]) => view.pointAt({ z, y, x }));
  const line = new Path2D();
  line.moveTo(...from);
  line.lineTo(...to);
  stroke(view.context, line, "#fff", 1.5, 1);
  if (mm !== null) write(view.context, `${mm.toFixed(0)} mm`, to[0], to[1] - 10, "#fff");
}
