// The strip along the slices: Dice, area of the liver, area of the tumors; a slider on top of it.

import { agreement, voxels } from "../scan/scores.js";
import { PREDICTION, TRUTH } from "../scan/study.js";

const THUMB = 4; // CSS pixels, as in viewer.css

export function createStrip(root, store, palette, goTo) {
  const canvas = root.querySelector(".lv-strip canvas");
  const slider = root.querySelector(".lv-strip input");
  const context = canvas.getContext("2d");

  slider.addEventListener("input", () => goTo(Number(slider.value)));
  store.on(["study", "masks", "value", "size", "allowed"], draw);
  store.on(["study", "z"], () => {
    const { study, z } = store.state;
    slider.max = study ? study.slices - 1 : 0;
    slider.value = z;
    slider.disabled = !study;
    slider.setAttribute("aria-valuetext", study ? `Slice ${z + 1} of ${study.slices}` : "No scan");
  });

  function draw() {
    const { study, value, allowed } = store.state;
    const { clientWidth: width, clientHeight: height } = canvas;
    const density = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
    if (!study || !width || allowed) return; // a lesson's answer would be here
    context.scale(density, density);
    const x = (z) => THUMB / 2 + (z / Math.max(1, study.slices - 1)) * (width - THUMB);
    // The upper third is for Dice, the others for the areas, each with its own scale.
    const lane = (k) => ({ top: (k * height) / 3 + 3, bottom: ((k + 1) * height) / 3 - 1 });
    if (value?.result?.truth && value.result.predicted) drawDice(study, x, lane(0));
    drawArea("liver", study, x, lane(1));
    drawArea("tumor", study, x, lane(2));
  }

  function drawArea(structure, study, x, { top, bottom }) {
    const perSlice = (mask) =>
      Array.from({ length: study.slices }, (_, z) => voxels(study.table(z), structure, mask));
    const found = perSlice(PREDICTION);
    const real = perSlice(TRUTH);
    const most = Math.max(1, ...found, ...real);
    const y = (area) => bottom - (area / most) * (bottom - top);
    fillArea(found, x, y, palette[structure], 0.7);
    drawLine(real.map((area) => area || null), x, y, palette.truth);
  }

  function drawDice(study, x, { top, bottom }) {
    const y = (dice) => bottom - dice * (bottom - top);
    for (const structure of ["liver", "tumor"]) {
      const dice = Array.from({ length: study.slices }, (_, z) => {
        return agreement(study.table(z), structure, PREDICTION, store.state.value.result).dice;
      });
      drawLine(dice, x, y, palette[structure]);
    }
  }

  function fillArea(values, x, y, color, opacity) {
    context.beginPath();
    context.moveTo(x(0), y(0));
    values.forEach((value, z) => context.lineTo(x(z), y(value)));
    context.lineTo(x(values.length - 1), y(0));
    context.globalAlpha = opacity;
    context.fillStyle = color;
    context.fill();
    context.globalAlpha = 1;
  }

  // A line that breaks where there is no value; a value alone is a dot.
  function drawLine(values, x, y, color) {
    context.beginPath();
    values.forEach((value, z) => {
      if (value === null) return;
      const follows = z > 0 && values[z - 1] !== null;
      if (!follows) context.moveTo(x(z) - 0.5, y(value));
      context.lineTo(x(z) + (follows ? 0 : 0.5), y(value));
    });
    context.strokeStyle = color;
    context.lineWidth = 1.5;
    context.stroke();
  }
}
