// One plane's picture on its canvas: voxels, outlines, and what is drawn on top of them.

import { toPicture, toVoxel, voxelIndex } from "../scan/planes.js";
import { outlines } from "./contours.js";
import { pixel } from "./look.js";

const FONT = "system-ui, sans-serif";
const INK = "rgba(255, 255, 255, 0.85)";
const HALO = "rgba(0, 0, 0, 0.6)";
const ZOOM_MAX = 16;
const NARROW = 260; // CSS pixels, in which the words at the top leave no room for a letter

export class PlaneView {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.voxels = document.createElement("canvas");
    this.zoom = 1;
  }

  setPlane(study, plane) {
    this.study = study;
    this.plane = plane;
    this.voxels.width = plane.columns;
    this.voxels.height = plane.rows;
    this.voxelContext = this.voxels.getContext("2d");
    this.image = this.voxelContext.createImageData(plane.columns, plane.rows);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.resetZoom();
  }

  // Back to the whole body in the middle.
  resetZoom() {
    this.zoom = 1;
    if (!this.plane) return;
    const { home } = this.plane;
    this.middle = { column: (home.left + home.right) / 2, row: (home.top + home.bottom) / 2 };
  }

  clear() {
    this.canvas.width = this.canvas.width; // assigning a size empties it
  }

  // Takes the canvas's size on the page; returns whether there is room to draw.
  fit() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !this.plane) return false;
    this.setSize(clientWidth, clientHeight, Math.min(window.devicePixelRatio || 1, 2));
    return true;
  }

  setSize(width, height, density) {
    Object.assign(this, { width, height, density });
    const [w, h] = [Math.round(width * density), Math.round(height * density)];
    if (this.canvas.width !== w) this.canvas.width = w;
    if (this.canvas.height !== h) this.canvas.height = h;
    this.place();
  }

  // Works out where pixel (0, 0) begins and how large pixels are, in CSS pixels.
  place() {
    const { columns, rows, columnMm, rowMm, home } = this.plane;
    const fit = (across, down) =>
      Math.min(this.width / (across * columnMm), this.height / (down * rowMm));
    const homeFit = fit(home.right - home.left, home.bottom - home.top);
    this.zoom = Math.max(fit(columns, rows) / homeFit, Math.min(ZOOM_MAX, this.zoom));
    this.perMm = homeFit * this.zoom;
    this.stepX = this.perMm * columnMm;
    this.stepY = this.perMm * rowMm;
    this.middle.column = Math.max(0, Math.min(columns, this.middle.column));
    this.middle.row = Math.max(0, Math.min(rows, this.middle.row));
    this.left = this.width / 2 - this.middle.column * this.stepX;
    this.top = this.height / 2 - this.middle.row * this.stepY;
  }

  pan(x, y) {
    this.middle.column -= x / this.stepX;
    this.middle.row -= y / this.stepY;
    this.place();
  }

  // Zooms so that the point (x, y) of the canvas stays where it is.
  zoomAt(x, y, factor) {
    const before = this.pixelAt(x, y);
    this.zoom *= factor;
    this.place();
    const after = this.pixelAt(x, y);
    this.middle.column += before.column - after.column;
    this.middle.row += before.row - after.row;
    this.place();
  }

  // The picture's pixel at a point of the canvas, in fractions of pixels.
  pixelAt(x, y) {
    return { column: (x - this.left) / this.stepX, row: (y - this.top) / this.stepY };
  }

  // The {z, y, x} of the voxel at a point of the canvas, or null outside the picture.
  //   place: {z, y, x}, of which this plane shows one slice.
  voxelAt(x, y, place) {
    const at = this.pixelAt(x, y);
    const [column, row] = [Math.floor(at.column), Math.floor(at.row)];
    const { columns, rows } = this.plane;
    if (column < 0 || row < 0 || column >= columns || row >= rows) return null;
    return toVoxel(this.plane, place[this.plane.through], column, row);
  }

  // The point of the canvas over a voxel's center; voxel may have fractions.
  pointAt(voxel) {
    const { column, row } = toPicture(this.plane, voxel);
    return [this.left + (column + 0.5) * this.stepX, this.top + (row + 0.5) * this.stepY];
  }

  // Paints a slice.
  //   scene: {grays, table, shown, heat} from look.js; marks: functions that draw on top.
  paint(slice, scene, marks = []) {
    const { context, density } = this;
    this.paintVoxels(slice, scene);
    context.setTransform(density, 0, 0, density, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.width, this.height);
    context.imageSmoothingEnabled = this.stepX < 6; // beyond that single voxels are looked at
    const { columns, rows } = this.plane;
    const size = [columns * this.stepX, rows * this.stepY];
    context.drawImage(this.voxels, this.left, this.top, ...size);
    this.paintOutlines(slice, scene.shown);
    this.paintFrame();
    for (const mark of marks) mark(this, slice);
  }

  paintVoxels(slice, { grays, table, heat }) {
    const { plane, pixels } = this;
    const { ct, masks } = this.study;
    for (let row = 0, k = 0; row < plane.rows; row++) {
      let i = voxelIndex(plane, slice, 0, row);
      for (let column = 0; column < plane.columns; column++, k++, i += plane.columnStep) {
        pixels[k] = table[(masks[i] << 8) | grays[ct[i]]];
      }
    }
    if (heat) this.paintHeat(slice, heat);
    this.voxelContext.putImageData(this.image, 0, 0);
  }

  // Mixes in the heat map where the probability's box is cut by this slice.
  paintHeat(slice, { box, colors, opacity }) {
    const { plane, pixels } = this;
    const axes = { z: 0, y: 1, x: 2 };
    const range = (axis) => [box.corner[axes[axis]], box.shape[axes[axis]]];
    const [first, depth] = range(plane.through);
    if (slice < first || slice >= first + depth) return;
    const [left, across] = range(plane.across);
    const [start, down] = range(plane.down);
    const steps = { z: box.shape[1] * box.shape[2], y: box.shape[2], x: 1 };
    for (let r = 0; r < down; r++) {
      const row = plane.down === "z" ? plane.rows - 1 - (start + r) : start + r;
      let from = (slice - first) * steps[plane.through] + r * steps[plane.down];
      let k = row * plane.columns + left;
      for (let c = 0; c < across; c++, k++, from += steps[plane.across]) {
        const value = box.values[from];
        if (value > 2) pixels[k] = mixed(pixels[k], colors[value], opacity);
      }
    }
  }

  paintOutlines(slice, shown) {
    const { context } = this;
    const place = new DOMMatrix([this.stepX, 0, 0, this.stepY, this.left, this.top]);
    const layers = shown.filter((layer) => layer.outline);
    const members = layers.map((layer) => layer.member);
    outlines(this.study.masks, this.plane, slice, members).forEach((lines, k) => {
      const placed = new Path2D();
      placed.addPath(lines, place);
      stroke(context, placed, layers[k].color, 1.75, layers[k].outline);
    });
  }

  // Letters at the edges and the scale bar.
  paintFrame() {
    const { context, width, height, study, plane } = this;
    context.font = `600 13px ${FONT}`;
    if (!study.windowed) {
      const { left, right, top, bottom } = plane.letters;
      write(context, left, 12, height / 2);
      write(context, right, width - 12, height / 2);
      if (width > NARROW) write(context, top, width / 2, 14);
      write(context, bottom, width / 2, height - 14);
    }
    if (study.spacing) this.paintScale();
  }

  paintScale() {
    const { context, width, height, perMm } = this;
    const fits = [200, 100, 50, 20, 10, 5, 2, 1].find((mm) => mm * perMm <= width / 4) || 1;
    const length = fits * perMm;
    const [right, y] = [width - 16, height - 16];
    const bar = new Path2D();
    bar.moveTo(right - length, y - 5);
    bar.lineTo(right - length, y);
    bar.lineTo(right, y);
    bar.lineTo(right, y - 5);
    stroke(context, bar, INK, 1.5, 1);
    write(context, `${fits} mm`, right - length / 2, y - 12);
  }
}

// A line with a dark edge, visible on bright and dark tissue.
export function stroke(context, path, color, width, opacity) {
  context.globalAlpha = opacity;
  context.strokeStyle = HALO;
  context.lineWidth = width + 1.5;
  context.stroke(path);
  context.strokeStyle = color;
  context.lineWidth = width;
  context.stroke(path);
  context.globalAlpha = 1;
}

// Text centered on a point.
export function write(context, text, x, y, color = INK) {
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = 3;
  context.strokeStyle = HALO;
  context.strokeText(text, x, y);
  context.fillStyle = color;
  context.fillText(text, x, y);
}

function mixed(under, [red, green, blue], opacity) {
  const rest = 1 - opacity;
  return pixel(
    (under & 255) * rest + red * opacity,
    ((under >> 8) & 255) * rest + green * opacity,
    ((under >> 16) & 255) * rest + blue * opacity,
  );
}
