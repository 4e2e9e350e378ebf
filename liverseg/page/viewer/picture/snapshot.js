// The picture as a file: as it is on screen, sharper, with a line of text and a legend below.

import { PlaneView } from "./view.js";

const DENSITY = 2;
const LINE = 26;
const FONT = "13px system-ui, sans-serif";
const NOTICE = "liverseg: a teaching demo, not for diagnosis";

// words: lines of text; legend: [color, name]; returns a PNG Blob.
export function takePicture(view, slice, scene, marks, { words, legend }) {
  const { width, height } = view;
  const lines = [...words, NOTICE];
  const picture = new PlaneView(document.createElement("canvas"));
  picture.setPlane(view.study, view.plane);
  Object.assign(picture, { zoom: view.zoom, middle: { ...view.middle } });
  picture.setSize(width, height, DENSITY);
  picture.paint(slice, scene, marks);

  const canvas = document.createElement("canvas");
  canvas.width = width * DENSITY;
  canvas.height = (height + LINE * (lines.length + 1) + 12) * DENSITY;
  const context = canvas.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture.canvas, 0, 0);
  context.scale(DENSITY, DENSITY);
  context.font = FONT;
  context.textBaseline = "middle";
  drawLegend(context, legend, height + LINE / 2 + 6);
  context.fillStyle = "#ddd";
  lines.forEach((line, k) => context.fillText(line, 14, height + LINE * (k + 1.5) + 6));
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

function drawLegend(context, legend, y) {
  let x = 14;
  for (const [color, name] of legend) {
    context.fillStyle = color;
    context.fillRect(x, y - 6, 12, 12);
    context.fillStyle = "#ddd";
    context.fillText(name, x + 18, y);
    x += 18 + context.measureText(name).width + 20;
  }
}

// Hands a Blob to the person as a file.
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
