// The controls of the layers and the window.

import { isThere, PRESETS, showsErrors } from "../picture/look.js";

const MASKS = ["liver", "tumor", "truth"]; // whose place errors take
export const STYLES = ["fill", "outline", "both"];

export const FIRST_LAYERS = {
  liver: { on: true, opacity: 0.35, style: "both" },
  tumor: { on: true, opacity: 0.45, style: "both" },
  truth: { on: true, opacity: 0.5, style: "outline" },
  errors: { on: false, opacity: 0.6, style: "fill" },
  probability: { on: false, opacity: 0.6, style: "fill" },
};

export function createLayerControls(root, store, actions) {
  for (const row of root.querySelectorAll("[data-layer]")) {
    const name = row.dataset.layer;
    const toggle = row.querySelector("button");
    const style = row.querySelector("select");
    const opacity = row.querySelector("input");
    toggle.addEventListener("click", () => actions.toggle(name));
    style?.addEventListener("change", () => change(store, name, { style: style.value }));
    opacity.addEventListener("input", () => change(store, name, { opacity: Number(opacity.value) }));
    store.on(["layers", "value", "allowed"], () => {
      const layer = store.state.layers[name];
      const isReplaced = MASKS.includes(name) && showsErrors(store.state);
      toggle.setAttribute("aria-pressed", layer.on && !isReplaced);
      toggle.title = isReplaced ? "Not shown while errors are" : "";
      if (style) style.value = layer.style;
      opacity.value = layer.opacity;
      const missing = !isThere(name, store.state.value);
      for (const control of [toggle, style, opacity]) if (control) control.disabled = missing;
    });
  }
  for (const radio of root.querySelectorAll("[name=lv-structure]")) {
    radio.addEventListener("change", () => store.set({ structure: radio.value }));
    const check = () => (radio.checked = radio.value === store.state.structure);
    store.on(["structure"], check);
    check();
  }
  createWindowControl(root, store, actions);
}

// Changes one layer; others keep their objects.
export function change(store, name, changes) {
  const { layers } = store.state;
  store.set({ layers: { ...layers, [name]: { ...layers[name], ...changes } } });
}

function createWindowControl(root, store, actions) {
  const select = root.querySelector(".lv-window");
  PRESETS.forEach(({ name, width, level }, index) => {
    select.add(new Option(`${name} ${width} / ${level}`, index));
  });
  const own = new Option("Your own", "own");
  own.hidden = true;
  select.add(own);
  select.addEventListener("change", () => actions.preset(Number(select.value)));
  store.on(["window"], () => {
    const { width, level } = store.state.window;
    const index = PRESETS.findIndex((p) => p.width === width && p.level === level);
    select.value = index < 0 ? "own" : index;
  });
}
