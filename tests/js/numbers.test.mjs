// The viewer's scripts that compute, against what Python says of the same made-up scans.
// VECTORS names the JSON file that tests/js/vectors.py describes; tests/test_viewer_numbers.py
// writes it and runs this.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import test from "node:test";

import { linkedCase, linkTo } from "../../liverseg/page/viewer/lessons/links.js";
import { components, grown, hd95 } from "../../liverseg/page/viewer/scan/masks3d.js";
import { niftiFile } from "../../liverseg/page/viewer/scan/nifti.js";
import { planesOf, toPicture, toVoxel, voxelIndex } from "../../liverseg/page/viewer/scan/planes.js";
import { agreement, confusion, mostLiver, nextError, overlap, voxels, worstSlice } from "../../liverseg/page/viewer/scan/scores.js";
import { diceCurves, levelOf, relabel } from "../../liverseg/page/viewer/scan/thresholds.js";
import { middleOut, PREDICTION, Study, TRUTH } from "../../liverseg/page/viewer/scan/study.js";
import { outlines } from "../../liverseg/page/viewer/picture/contours.js";

const vectors = JSON.parse(readFileSync(process.env.VECTORS, "utf-8"));
const { shape, spacing } = vectors;
const [slices, height, width] = shape;

function studyOf() {
  return new Study({
    id: "made",
    shape,
    spacing_mm: [spacing.z, spacing.y, spacing.x],
    slice_mm: null,
    windowed: null,
    hu_range: vectors.hu.range,
  });
}

function near(found, expected, what) {
  if (expected === null) return assert.equal(found, null, what);
  const error = Math.abs(found - expected);
  assert.ok(error <= 1e-6 * Math.max(1, Math.abs(expected)), `${what}: ${found}, not ${expected}`);
}

test("Dice, precision and recall of slices and of the scan", () => {
  for (const vector of vectors.scores) {
    const study = studyOf();
    for (let z = 0; z < slices; z++) {
      const part = (labels) => labels.slice(z * study.area, (z + 1) * study.area);
      study.setLabels(z, PREDICTION, part(vector.prediction));
      study.setLabels(z, TRUTH, part(vector.truth));
    }
    const check = (counts, expected, where) => {
      for (const structure of ["liver", "tumor"]) {
        const found = overlap(confusion(counts, structure, PREDICTION, TRUTH));
        for (const [name, value] of Object.entries(found)) {
          near(value, expected[structure][name], `${where}, ${structure} ${name}`);
        }
      }
    };
    check(study.total(), vector.scan, "scan");
    vector.slices.forEach((expected, z) => check(study.table(z), expected, `slice ${z}`));
    const inLiver = vector.prediction.filter((label) => label > 0).length;
    assert.equal(voxels(study.total(), "liver", PREDICTION), inLiver);
  }
});

test("HD95, also of the contours of a single slice", () => {
  for (const vector of vectors.hd95) {
    const [first, second] = [vector.first, vector.second].map((mask) => Uint8Array.from(mask));
    const mm = [spacing.z, spacing.y, spacing.x];
    near(hd95(first, second, vector.shape, mm), vector.mm, "HD95");
    near(hd95(second, first, vector.shape, mm), vector.mm, "HD95, the other way");
    assert.equal(hd95(first, second.fill(0), vector.shape, mm), null);
  }
});

test("masks grow and shrink by millimeters", () => {
  for (const { mm, mask, moved } of vectors.grown) {
    const found = grown(Uint8Array.from(mask), [height, width], [spacing.y, spacing.x], mm);
    assert.deepEqual(Array.from(found, Boolean), moved, `${mm} mm`);
  }
});

test("lesions are the parts that share faces, the largest first", () => {
  const parts = components(vectors.components.indices, height * width, width);
  assert.deepEqual(parts.map((part) => part.length), vectors.components.voxels);
});

test("a threshold means the same 8-bit value", () => {
  for (const [threshold, level] of vectors.levels) assert.equal(levelOf(threshold), level);
});

test("moved thresholds give the masks and the Dice that Python gives", () => {
  const { truth, corner, box, liver, tumor, moved, curves } = vectors.thresholds;
  const study = studyOf();
  for (let z = 0; z < slices; z++) {
    study.setLabels(z, TRUTH, truth.slice(z * study.area, (z + 1) * study.area));
  }
  const map = (values) => ({ corner, shape: box, values: Uint8Array.from(values) });
  study.probability = { liver: map(liver), tumor: map(tumor) };
  for (const { thresholds, labels } of moved) {
    for (let z = 0; z < slices; z++) relabel(study, z, thresholds);
    const found = Array.from({ length: slices }, (_, z) => [...study.getLabels(z, PREDICTION)]);
    assert.deepEqual(found.flat(), labels);
  }
  const found = diceCurves(study, curves.thresholds);
  for (const structure of ["liver", "tumor"]) {
    curves[structure].forEach((value, k) => near(found[structure][k + 1], value, structure));
  }
});

test("slices come from the middle outwards", () => {
  for (const [count, order] of Object.entries(vectors.middle_out)) {
    assert.deepEqual(middleOut(Number(count)), order);
  }
});

test("every HU as Python packs it, and less exact ones where memory is short", (context) => {
  const { hu, bytes } = vectors.hu;
  const packed = Uint8Array.from(bytes);
  const order = middleOut(slices);
  const unpacked = () => {
    const study = studyOf();
    for (let k = 0; k < slices; k++) {
      study.unpack(order[k], packed.subarray(2 * k * study.area, 2 * (k + 1) * study.area));
    }
    return study;
  };
  const exact = unpacked();
  assert.ok(exact.isExact);
  hu.forEach((value, i) => assert.equal(exact.huAt(i), value));
  assert.equal(exact.huOfNumbers().at(-1), vectors.hu.range[1]);

  const { Uint16Array: roomy } = globalThis;
  globalThis.Uint16Array = class {
    constructor() {
      throw new RangeError("Array buffer allocation failed");
    }
  };
  context.after(() => (globalThis.Uint16Array = roomy));
  const short = unpacked();
  assert.ok(!short.isExact);
  hu.forEach((value, i) => assert.ok(value - short.huAt(i) >= 0 && value - short.huAt(i) < 16));
});

test("voxels have a size in millimeters and milliliters", () => {
  const study = studyOf();
  near(study.pixelMm2, spacing.y * spacing.x, "pixel");
  near(study.voxelMl, (spacing.z * spacing.y * spacing.x) / 1000, "voxel");
  near(study.positionMm(3), 3 * spacing.z, "position");
});

test("pixels of three planes are the voxels that radiologists expect there", () => {
  const planes = planesOf(studyOf());
  for (const { plane: name, slice, row, column, index, voxel } of vectors.planes) {
    const plane = planes[name];
    assert.equal(voxelIndex(plane, slice, column, row), index, name);
    assert.deepEqual({ ...toVoxel(plane, slice, column, row) }, voxel, name);
    assert.deepEqual(toPicture(plane, voxel), { column, row, slice }, name);
  }
});

test("outlines are closed and enclose what marching squares enclose", () => {
  const lines = [];
  globalThis.Path2D = class {
    moveTo(x, y) {
      lines.push([[x, y]]);
    }
    lineTo(x, y) {
      lines.at(-1).push([x, y]);
    }
    closePath() {}
  };
  const plane = { columns: width, rows: height, rowStart: 0, sliceStep: 0, rowStep: width, columnStep: 1 };
  for (const vector of vectors.outlines) {
    lines.length = 0;
    outlines(Uint8Array.from(vector.mask), plane, 0, [(byte) => byte > 0]);
    assert.equal(lines.length, vector.count);
    const area = lines.reduce((sum, line) => sum + areaOf(line), 0);
    near(Math.abs(area), vector.area, "area");
  }
});

function areaOf(line) {
  return line.reduce((sum, [x, y], k) => {
    const [nextX, nextY] = line[(k + 1) % line.length];
    return sum + (x * nextY - y * nextX) / 2;
  }, 0);
}

test("a case is an address, and an address a case", () => {
  for (const { case: number, size, contrast, search } of vectors.links) {
    const here = { origin: "https://example.org", pathname: "/page" };
    assert.equal(linkTo({ number, size, contrast }, here), `https://example.org/page${search}`);
    assert.deepEqual(linkedCase({ search }), { number, size, contrast });
  }
  assert.equal(linkedCase({ search: "?key=secret" }), null);
});

test("a label volume is a NIfTI file, which Python reads afterwards", async () => {
  const { labels, affine } = vectors.nifti;
  for (const [name, where] of [["placed", affine], ["unplaced", null]]) {
    const file = await niftiFile(Uint8Array.from(labels), shape, where);
    writeFileSync(`${process.env.VECTORS}.${name}.nii.gz`, Buffer.from(await file.arrayBuffer()));
  }
});

test("a truth without tumors says nothing about tumors unless it was said that there are none", () => {
  const counts = new Uint32Array(64);
  counts[(1 << TRUTH) | 2] = 5; // liver in the truth, tumor in the prediction
  const of = (structure, result) => agreement(counts, structure, PREDICTION, result).dice;
  assert.equal(of("tumor", { tumors_scored: false }), null);
  assert.equal(of("tumor", { tumors_scored: true }), 0);
  assert.equal(of("liver", { tumors_scored: false }), 1);
});

test("the slices with the most liver, the next error and the lowest Dice", () => {
  const study = new Study({ id: "made", shape: [4, 2, 2], spacing_mm: null, slice_mm: null, windowed: null, hu_range: [-1024, 3071] });
  assert.equal(mostLiver(study), 2); // none: the middle one
  assert.equal(nextError(study, "liver", 0), null);
  assert.equal(worstSlice(study, "liver"), null);
  const set = (z, found, real) => {
    study.setLabels(z, PREDICTION, found);
    study.setLabels(z, TRUTH, real);
  };
  set(0, [1, 1, 1, 1], [1, 1, 1, 1]);
  set(1, [1, 1, 1, 0], [1, 1, 1, 1]);
  set(3, [0, 1, 0, 0], [1, 1, 0, 0]);
  assert.equal(mostLiver(study), 0);
  assert.deepEqual([0, 1, 2, 3].map((z) => nextError(study, "liver", z)), [1, 3, 3, 1]);
  assert.equal(worstSlice(study, "liver"), 3);
  assert.equal(nextError(study, "tumor", 0), null);
});
