// The lessons: one at a time, each with its panel; what they draw over the scan is kept apart.

import { DRAWN } from "../scan/study.js";

// lessons: {name: {enter(), leave(), ...}}; returns a function that opens one, or with null none.
export function createLessons(root, store, lessons) {
  const { state } = store;
  const menu = root.querySelector(".lv-menu");
  const drawings = new Map(); // by lesson: {id: of the study, slices: Map of z to labels}

  for (const button of menu.querySelectorAll("button")) {
    button.addEventListener("click", () => open(button.dataset.lesson));
  }
  for (const button of root.querySelectorAll("[data-action=close-lesson]")) {
    button.addEventListener("click", () => open(null));
  }
  store.on(["study"], () => state.lesson && lessons[state.lesson].enter());
  store.on(["value", "study"], () => {
    const truth = Boolean(state.value?.result?.truth);
    for (const button of menu.querySelectorAll("button")) {
      const { lesson } = button.dataset;
      button.disabled = { draw: !state.study, find: false, why: !truth }[lesson];
    }
    root.querySelector(".lv-menu + .lv-hint").hidden = truth;
  });
  return open;

  function open(name) {
    const { study, lesson } = state;
    if (lesson) {
      lessons[lesson].leave();
      drawings.set(lesson, { id: study?.id, slices: takeDrawing(study) });
    }
    const kept = drawings.get(name);
    if (name && study && kept?.id === study.id) putDrawing(study, kept.slices);
    store.set({ lesson: name, lesion: null, allowed: null, compared: false, tool: null });
    root.dataset.openLesson = name || "";
    store.touch("masks");
    for (const panel of root.querySelectorAll(".lv-lesson")) {
      panel.hidden = panel.dataset.lesson !== name;
    }
    menu.parentElement.hidden = Boolean(name);
    if (name) lessons[name].enter();
    (root.querySelector(".lv-lesson:not([hidden]) button") || menu.querySelector("button")).focus();
  }
}

// Removes what is drawn from the study and returns it, by slice.
function takeDrawing(study) {
  const slices = new Map();
  for (let z = 0; study && z < study.slices; z++) {
    const labels = study.getLabels(z, DRAWN);
    if (!labels.some(Boolean)) continue;
    slices.set(z, labels);
    study.setLabels(z, DRAWN, new Uint8Array(study.area));
  }
  return slices;
}

function putDrawing(study, slices) {
  for (const [z, labels] of slices) study.setLabels(z, DRAWN, labels);
}
