// The viewer's beginning: puts its parts together.

import { fixed } from "./format.js";
import { createStore } from "./store.js";
import { createLoader } from "./scan/loader.js";
import { agreement, mostLiver, nextError, worstSlice } from "./scan/scores.js";
import { PREDICTION } from "./scan/study.js";
import { isThere, PRESETS, showsErrors } from "./picture/look.js";
import { download } from "./picture/snapshot.js";
import { createStage, hasThreePlanes, legendOf } from "./picture/stage.js";
import { createStrip } from "./picture/strip.js";
import { keyList, listenToKeys, writeKeySheet } from "./panels/keys.js";
import { change, createLayerControls, FIRST_LAYERS, STYLES } from "./panels/layers.js";
import { createLesions } from "./panels/lesions.js";
import { writeMeanings } from "./panels/meanings.js";
import { createNumbers } from "./panels/numbers.js";
import { createTabs } from "./panels/tabs.js";
import { createThresholds } from "./panels/threshold.js";
import { createDrawing } from "./lessons/drawing.js";
import { createFinding } from "./lessons/finding.js";
import { createLessons } from "./lessons/lessons.js";
import { linkedCase } from "./lessons/links.js";
import { createMisleading } from "./lessons/misleading.js";

const PLAY_MS = 90;

// Takes what `gr.HTML` gives to a script; any other page can give the same.
//   element: contains viewer.html; props: {value, palette, meanings, statuses}; watch(name, call):
//   calls back when that prop has changed; trigger(event, detail): sends an event to Python.
export function start({ element, props, watch, trigger }) {
  const root = element.querySelector(".lv");
  const { palette } = props;
  for (const [name, color] of Object.entries(palette)) {
    if (typeof color === "string") root.style.setProperty(`--lv-${name.replace("_", "-")}`, color);
  }
  const store = createStore({
    phase: "empty",
    value: null,
    study: null,
    z: 0,
    y: 0,
    x: 0,
    window: PRESETS[0],
    layers: FIRST_LAYERS,
    structure: "liver",
    thresholds: null,
    hidden: false,
    playing: false,
    planes: "one",
    tab: "view",
    lesion: null,
    pointer: null,
    tool: null,
    lesson: null,
    allowed: null,
    compared: false,
  });
  const actions = createActions(root, store);
  const lesions = createLesions(root, store, actions, props.statuses);
  const page = {
    openCase: (wanted) => trigger("open_case", wanted),
    segment: () => trigger("segment"),
  };
  const lessons = {
    draw: createDrawing(root, store),
    find: createFinding(root, store, palette, actions, page, props.statuses),
    why: createMisleading(root, store),
  };
  const marks = [lesions.mark, lessons.draw.mark, lessons.find.mark];
  const stage = createStage(root, store, palette, actions, marks);
  const openLesson = createLessons(root, store, lessons);
  Object.assign(actions, { stage, save: () => save(stage, store, palette) });
  createStrip(root, store, palette, actions.goTo);
  createNumbers(root, store);
  createLayerControls(root, store, actions);
  createTabs(root, store);
  writeMeanings(root, props.meanings);
  createThresholds(root, store, palette);
  const keys = keyList(actions);
  writeKeySheet(keys, root.querySelector(".lv-keys"));
  listenToKeys(root, keys, actions);
  linkToPage(root, store, actions);
  const loader = createLoader(store);
  watch("value", () => loader.show(props.value));
  loader.show(props.value);
  store.touch(...Object.keys(store.state)); // everything is drawn once, an empty viewer too
  // Until now the controls in the template could not have responded.
  for (const part of root.querySelectorAll("[inert]")) part.inert = false;
  const linked = linkedCase(location);
  if (!linked) return;
  store.set({ tab: "teach" });
  openLesson("find");
  lessons.find.open(linked);
}

// What keys, buttons and gestures can do.
function createActions(root, store) {
  const { state } = store;
  // Goes to a slice that is found in the masks, unless a lesson hides them.
  function goToFound(find) {
    const { study, structure, value, allowed } = state;
    if (allowed || !study || !isThere("errors", value)) return;
    const z = find(study, structure);
    if (z !== null) actions.goTo(z);
  }

  const actions = {
    goTo(z) {
      if (!state.study) return;
      store.set({ z: Math.max(0, Math.min(state.study.slices - 1, z)) });
    },
    scroll: (slices) => actions.scrollPlane(actions.stage.focused(), slices),
    scrollPlane(plane, slices) {
      if (!state.study) return;
      const { through, slices: count } = plane;
      store.set({ [through]: Math.max(0, Math.min(count - 1, state[through] + slices)) });
    },
    nextError: () => goToFound((study, structure) => nextError(study, structure, state.z)),
    worst: () => goToFound(worstSlice),
    zoom: (factor) => actions.stage.zoom(factor),
    planes() {
      if (hasThreePlanes(state.study)) {
        store.set({ planes: state.planes === "one" ? "three" : "one" });
      }
    },
    undo: () => state.tool?.undo?.(),
    finish: () => state.tool?.finish?.(),
    nextStructure: () => store.set({ structure: state.structure === "liver" ? "tumor" : "liver" }),
    hide: (hidden) => store.set({ hidden }),
    toggle(name) {
      if (isThere(name, state.value)) change(store, name, { on: !state.layers[name].on });
    },
    nextStyle() {
      const next = STYLES[(STYLES.indexOf(state.layers.liver.style) + 1) % STYLES.length];
      for (const name of ["liver", "tumor"]) change(store, name, { style: next });
    },
    fade(by) {
      for (const [name, { opacity }] of Object.entries(state.layers)) {
        change(store, name, { opacity: Math.max(0, Math.min(1, opacity + by)) });
      }
    },
    presetName: (index) => PRESETS[index].name,
    preset: (index) => store.set({ window: PRESETS[index] }),
    play: () => state.study && store.set({ playing: !state.playing }),
    help: () => root.querySelector(".lv-help").showModal(),
    reset() {
      actions.stage.resetZoom();
      store.set({ window: firstWindow(state.study) });
    },
  };
  for (const button of root.querySelectorAll("#lv-panel-view [data-action]")) {
    button.addEventListener("click", () => actions[button.dataset.action]());
  }
  store.on(["study"], () => store.set({ window: firstWindow(state.study), playing: false }));
  playWhenAsked(root, store, actions);
  goToLiver(store, actions);
  store.on(["study"], () => {
    for (const name of ["play", "save", "reset"]) {
      root.querySelector(`[data-action=${name}]`).disabled = !state.study;
    }
  });
  store.on(["planes", "study"], () => {
    const button = root.querySelector("[data-action=planes]");
    button.disabled = !hasThreePlanes(state.study);
    button.setAttribute("aria-pressed", state.planes === "three");
  });
  return actions;
}

// A picture has been windowed already: all its gray values are shown.
function firstWindow(study) {
  if (!study?.windowed) return PRESETS[0];
  const [low, high] = study.windowed;
  return { width: high - low, level: (low + high) / 2 };
}

// After a run the slice with the most liver is shown, unless the person has looked around.
function goToLiver({ state, on }, actions) {
  let first = null; // where the scan was before its run
  on(["study"], () => {
    const { study, value, z } = state;
    first = study && value.state === "scan" && !value.result?.predicted ? z : null;
  });
  on(["phase"], () => {
    const { study, phase, z, allowed } = state;
    if (phase === "scan" || phase === "preview") first ??= z;
    if (phase !== "result" || first === null) return;
    if (z === Math.floor(study.slices / 2) && z === first && !allowed) actions.goTo(mostLiver(study));
    first = null;
  });
}

function playWhenAsked(root, store, actions) {
  const button = root.querySelector("[data-action=play]");
  let timer = null;
  const step = () => {
    if (!root.isConnected) clearInterval(timer);
    const { z, study } = store.state;
    actions.goTo(z + 1 < study.slices ? z + 1 : 0);
  };
  store.on(["playing"], () => {
    clearInterval(timer);
    button.setAttribute("aria-pressed", store.state.playing);
    if (store.state.playing && store.state.study) timer = setInterval(step, PLAY_MS);
  });
}

// The axial picture as a PNG, with what it shows in words.
async function save(stage, { state }, palette) {
  const { study, z, window, value } = state;
  if (!study) return;
  const mm = study.positionMm(z);
  const place = `Slice ${z + 1} of ${study.slices}${mm === null ? "" : `, ${mm.toFixed(1)} mm`}`;
  const words = [study.name, `${place}   W ${window.width.toFixed(0)} L ${window.level.toFixed(0)}`];
  const layers = ["liver", "tumor", "truth"].filter((name) => {
    return state.layers[name].on && !showsErrors(state) && isThere(name, value);
  });
  const plain = ([color]) => !color.startsWith("linear");
  const legend = [
    ...layers.map((name) => [palette[name], { truth: "ground truth" }[name] || name]),
    ...legendOf(state, palette).filter(plain),
  ];
  if (value.result?.truth && value.result.predicted) words.push(diceInWords(study, z, value.result));
  const blob = await stage.picture({ words, legend });
  download(blob, `liverseg-slice-${z + 1}.png`);
}

function diceInWords(study, z, result) {
  const dice = (counts, structure) =>
    fixed(agreement(counts, structure, PREDICTION, result).dice, 3);
  const both = (counts) => `liver ${dice(counts, "liver")}, tumor ${dice(counts, "tumor")}`;
  return `Dice of this slice: ${both(study.table(z))}   of the scan: ${both(study.total())}`;
}

// Other parts of the page steer and follow by events on the document.
function linkToPage(root, store, actions) {
  document.addEventListener("lv:goto", ({ detail }) => root.isConnected && actions.goTo(detail));
  const tell = () => {
    document.dispatchEvent(new CustomEvent("lv:slice", { detail: store.state.z }));
  };
  store.on(["z"], tell);
  document.addEventListener("lv:where", () => root.isConnected && tell());
  store.on(["phase"], () => (root.dataset.phase = store.state.phase));
}
