// What every voxel looks like: one table from the CT's number to a gray level, which a window
// changes, and one from mask byte and gray level to a pixel, which layers change. So painting a
// slice is two look-ups a voxel, and both tables are small.

import { FIRST_LABEL } from "../scan/scores.js";
import { DRAWN, LIVER, PREDICTION, TRUTH, TUMOR } from "../scan/study.js";

export const PRESETS = [
  { name: "Abdomen", width: 400, level: 50 },
  { name: "Liver", width: 150, level: 70 },
  { name: "Liver, dark lesions", width: 150, level: 30 },
  { name: "Soft tissue", width: 350, level: 40 },
  { name: "Lung", width: 1500, level: -600 },
  { name: "Bone", width: 1800, level: 400 },
];

const isPart = (byte, mask, structure) => ((byte >> mask) & 3) >= FIRST_LABEL[structure];
const isLabel = (byte, mask, label) => ((byte >> mask) & 3) === label;

// Whether a scan has what a layer shows.
export function isThere(name, value) {
  if (!value) return false;
  const { result } = value;
  if (name === "truth") return Boolean(result?.truth);
  if (name === "errors") return Boolean(result?.truth && result.predicted && !value.progress);
  if (name === "probability") return Boolean(result?.probability);
  return Boolean(value.previews.length || result?.predicted);
}

// Whether errors take the place of the other layers.
export function showsErrors({ layers, allowed, value }) {
  return layers.errors.on && !allowed && isThere("errors", value);
}

// The layers that are on, in the order of painting: each {color, fill, outline, member}, with
// fill and outline as opacities and member a function of the mask byte.
//   allowed: the names of those that a lesson does not hide, or null for all.
export function shownLayers(state, palette) {
  const { layers, structure, hidden, allowed } = state;
  if (hidden) return [];
  const drawn = [
    { color: palette.drawn_liver, fill: 0.35, outline: 1, member: (b) => (b >> DRAWN) & LIVER },
    { color: palette.drawn_tumor, fill: 0.35, outline: 1, member: (b) => (b >> DRAWN) & TUMOR },
  ];
  if (showsErrors(state)) return [...errorLayers(layers.errors, structure, palette), ...drawn];
  const shown = [];
  const add = (name, member, inner = member) => {
    if (!layers[name].on || (allowed && !allowed.includes(name))) return;
    shown.push({ color: palette[name], member, inner, ...strengths(layers[name]) });
  };
  add("liver", (b) => isPart(b, PREDICTION, "liver"), (b) => isLabel(b, PREDICTION, LIVER));
  add("tumor", (b) => isLabel(b, PREDICTION, TUMOR));
  add("truth", (b) => isPart(b, TRUTH, "liver"), (b) => isLabel(b, TRUTH, LIVER));
  add("truth", (b) => isLabel(b, TRUTH, TUMOR));
  if (layers.probability.on) for (const layer of shown) layer.fill = 0;
  return [...shown, ...drawn];
}

// Where prediction (or, with `mask`, a drawing) and truth agree and differ.
export function errorLayers(layer, structure, palette, mask = PREDICTION) {
  const of = (color, found, real) => ({
    color,
    ...strengths(layer),
    member: (b) => isPart(b, mask, structure) === found && isPart(b, TRUTH, structure) === real,
  });
  return [
    of(palette.true_positive, true, true),
    of(palette.false_positive, true, false),
    of(palette.false_negative, false, true),
  ];
}

function strengths({ opacity, style }) {
  return {
    fill: style === "outline" ? 0 : opacity,
    outline: style === "fill" ? 0 : Math.min(1, opacity + 0.5),
  };
}

// (64 * 256,) pixels by mask byte and gray level.
export function pixelTable(shown) {
  const table = new Uint32Array(64 * 256);
  for (let byte = 0; byte < 64; byte++) {
    let [red, green, blue, through] = [0, 0, 0, 1];
    for (const { color, fill, member, inner = member } of shown) {
      if (!fill || !inner(byte)) continue;
      const rgb = rgbOf(color);
      red = red * (1 - fill) + rgb[0] * fill;
      green = green * (1 - fill) + rgb[1] * fill;
      blue = blue * (1 - fill) + rgb[2] * fill;
      through *= 1 - fill;
    }
    for (let level = 0; level < 256; level++) {
      const g = level * through;
      table[byte * 256 + level] = pixel(g + red, g + green, g + blue);
    }
  }
  return table;
}

// (study.numbers,) gray levels of what stands in study.ct, through a window.
export function grayTable(study, { width, level }) {
  const bright = (hu) => Math.round(((hu - level) / width + 0.5) * 255);
  return Uint8ClampedArray.from(study.huOfNumbers(), bright);
}

// (256,) pixels of the heat map by probability, without opacity.
export function heatTable(colors) {
  const stops = colors.map(rgbOf);
  return Array.from({ length: 256 }, (_, value) => {
    const at = (value / 255) * (stops.length - 1);
    const k = Math.min(Math.floor(at), stops.length - 2);
    return stops[k].map((from, c) => from + (stops[k + 1][c] - from) * (at - k));
  });
}

export function rgbOf(color) {
  return [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
}

// One opaque RGBA pixel as ImageData stores it.
export function pixel(red, green, blue) {
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
}
