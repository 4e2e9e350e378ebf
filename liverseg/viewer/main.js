// The viewer's beginning: puts its parts together. `host` is what `gr.HTML` gives a script.

import { listenToGestures } from "./gestures.js";
import { keyList, listenToKeys, writeKeySheet } from "./keys.js";
import { change, createLayerControls, FIRST_LAYERS, isThere, STYLES } from "./layers.js";
import { createLoader } from "./loader.js";
import { PRESETS } from "./look.js";
import { createNumbers } from "./numbers.js";
import { createStage } from "./stage.js";
import { createStore } from "./store.js";
import { createStrip } from "./strip.js";

const PLAY_MS = 90;

export function start({ element, props, watch }) {
  const root = element.querySelector(".lv");
  const { palette } = props;
  for (const [name, color] of Object.entries(palette)) {
    root.style.setProperty(`--lv-${name.replace("_", "-")}`, color);
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
  });
  const actions = createActions(root, store);
  const stage = createStage(root, store, palette, actions);
  actions.zoom = stage.zoom;
  actions.resetZoom = stage.resetZoom;
  createStrip(root, store, palette, actions.goTo);
  createNumbers(root, store);
  createLayerControls(root, store, actions);
  const keys = keyList(actions);
  writeKeySheet(keys, root.querySelector(".lv-keys"));
  listenToKeys(root, keys, actions);
  linkToPage(root, store, actions);
  const loader = createLoader(store);
  watch("value", () => loader.show(props.value));
  loader.show(props.value);
}

// What keys, buttons and gestures can do.
function createActions(root, store) {
  const { state } = store;
  const actions = {
    goTo(z) {
      if (!state.study) return;
      store.set({ z: Math.max(0, Math.min(state.study.slices - 1, z)) });
    },
    scroll: (slices) => actions.goTo(state.z + slices),
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
    play: () => store.set({ playing: !state.playing }),
    help: () => root.querySelector(".lv-help").showModal(),
    reset() {
      actions.resetZoom();
      store.set({ window: firstWindow(state.study) });
    },
  };
  for (const button of root.querySelectorAll("[data-action]")) {
    button.addEventListener("click", () => actions[button.dataset.action]());
  }
  store.on(["study"], () => store.set({ window: firstWindow(state.study), playing: false }));
  playWhenAsked(root, store, actions);
  return actions;
}

// A picture has been windowed already: all its grey values are shown.
function firstWindow(study) {
  if (!study?.windowed) return PRESETS[0];
  const [low, high] = study.windowed;
  return { width: high - low, level: (low + high) / 2 };
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

// Other parts of the page steer and follow by events on the document.
function linkToPage(root, store, actions) {
  document.addEventListener("lv:goto", ({ detail }) => root.isConnected && actions.goTo(detail));
  store.on(["z"], () => {
    document.dispatchEvent(new CustomEvent("lv:slice", { detail: store.state.z }));
  });
  store.on(["phase"], () => (root.dataset.phase = store.state.phase));
}
