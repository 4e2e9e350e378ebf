// The thresholds, live: from the networks' probabilities to masks, and Dice for every threshold.

import { fixed } from "../format.js";
import { fetchProbability } from "../scan/loader.js";
import { diceCurves, levelOf, relabel } from "../scan/thresholds.js";

const FRAME_MS = 10; // of each frame for masks; the rest is for painting
const AXES = { left: 26, right: 8, top: 8, bottom: 20 };

export function createThresholds(root, store, palette) {
  const { state } = store;
  const panel = root.querySelector("#lv-panel-threshold");
  const canvas = panel.querySelector("canvas");
  let waiting = []; // slices that still have the masks of an earlier threshold

  for (const row of panel.querySelectorAll("[data-threshold]")) {
    const name = row.dataset.threshold;
    const slider = row.querySelector("input");
    slider.addEventListener("input", () => set({ [name]: Number(slider.value) }));
    store.on(["thresholds", "probability", "study", "value"], () => {
      slider.disabled = !state.study?.probability;
      slider.value = state.thresholds?.[name] ?? 0.5;
      row.querySelector("output").textContent = fixed(state.thresholds?.[name], 2);
    });
  }
  panel.querySelector("button").addEventListener("click", () => set(state.value.result.thresholds));
  store.on(["tab", "layers", "value", "phase"], () => {
    const wanted = state.tab === "threshold" || state.layers.probability.on;
    if (wanted && state.phase === "result") fetchProbability(store);
  });
  store.on(["thresholds"], () => {
    if (!state.study?.probability) return;
    const running = waiting.length > 0;
    waiting = nearestFirst(state.study.slices, state.z);
    if (!running) work();
  });
  store.on(["thresholds", "probability", "study", "value", "tab", "size"], draw);

  // Those that the page's other numbers are of may not be the ones on screen.
  store.on(["thresholds", "value"], () => {
    const { thresholds, value } = state;
    const own = value?.result?.thresholds;
    const moved = own && thresholds && Object.keys(own).some((k) => thresholds[k] !== own[k]);
    root.querySelector(".lv-own").hidden = !moved;
  });

  function set(changes) {
    if (state.study?.probability) store.set({ thresholds: { ...state.thresholds, ...changes } });
  }

  function work() {
    const { study, thresholds } = state;
    if (!study?.probability) waiting = [];
    const end = performance.now() + FRAME_MS;
    while (waiting.length && performance.now() < end) relabel(study, waiting.shift(), thresholds);
    store.touch("masks");
    if (waiting.length) requestAnimationFrame(work);
  }

  function draw() {
    const { study, thresholds, value } = state;
    const known = study?.probability && value?.result?.truth;
    if (state.tab !== "threshold") return;
    const curves = known ? diceCurves(study, thresholds) : {};
    if (known && !value.result.tumors_scored) delete curves.tumor;
    const best = Object.entries(curves).map(([name, dice]) => bestOf(name, dice));
    drawCurves(canvas, curves, thresholds, palette);
    panel.querySelector(".lv-hint").textContent = known
      ? `Best: ${best.join(", ")}`
      : "With a result and a ground truth, Dice appears here.";
  }
}

function nearestFirst(slices, z) {
  const all = Array.from({ length: slices }, (_, k) => k);
  return all.sort((a, b) => Math.abs(a - z) - Math.abs(b - z));
}

// The threshold with the highest Dice, in words; the lowest of several.
function bestOf(name, dice) {
  let best = 0.01;
  for (let percent = 1; percent < 100; percent++) {
    if (dice[levelOf(percent / 100)] > dice[levelOf(best)]) best = percent / 100;
  }
  const value = dice[levelOf(best)];
  return value > 0 ? `${name} ${value.toFixed(3)} at ${best.toFixed(2)}` : `no ${name}`;
}

function drawCurves(canvas, curves, thresholds, palette) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const density = Math.min(window.devicePixelRatio || 1, 2);
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  const context = canvas.getContext("2d");
  context.scale(density, density);
  const x = (threshold) => AXES.left + threshold * (width - AXES.left - AXES.right);
  const y = (dice) => height - AXES.bottom - dice * (height - AXES.top - AXES.bottom);
  drawGrid(context, x, y, getComputedStyle(canvas).color);
  for (const [name, dice] of Object.entries(curves)) {
    context.strokeStyle = palette[name];
    context.lineWidth = 2;
    context.beginPath();
    for (let level = 1; level < 255; level++) context.lineTo(x(level / 255), y(dice[level]));
    context.stroke();
    context.fillStyle = palette[name];
    context.beginPath();
    context.arc(x(thresholds[name]), y(dice[levelOf(thresholds[name])]), 5, 0, 2 * Math.PI);
    context.fill();
  }
}

function drawGrid(context, x, y, ink) {
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = context.strokeStyle = ink;
  context.lineWidth = 1;
  context.textBaseline = "middle";
  for (const value of [0, 0.5, 1]) {
    context.globalAlpha = 0.25;
    context.strokeRect(x(0), y(value), x(1) - x(0), 0);
    context.globalAlpha = 0.8;
    context.textAlign = "right";
    context.fillText(value.toFixed(1), x(0) - 5, y(value));
    context.textAlign = "center";
    context.fillText(value.toFixed(1), x(value), y(0) + 11);
  }
  context.globalAlpha = 1;
}
