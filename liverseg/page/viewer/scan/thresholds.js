// From the networks' probabilities to masks at any threshold, and Dice for every threshold.

import { dice, voxels } from "./scores.js";
import { LIVER, TRUTH, TUMOR } from "./study.js";

// The 8-bit probability from which a voxel belongs to the mask; rounds half to even, as Python.
export function levelOf(threshold) {
  const exact = 255 * threshold;
  const below = Math.floor(exact);
  if (exact - below !== 0.5) return Math.round(exact);
  return below % 2 ? below + 1 : below;
}

// Replaces a slice's predicted labels by those at other thresholds.
export function relabel(study, z, thresholds) {
  const { liver, tumor } = study.probability;
  const masks = study.slice(study.masks, z);
  for (let i = 0; i < masks.length; i++) masks[i] &= ~3;
  const liverLevel = levelOf(thresholds.liver);
  eachInSlice(study, liver, z, (i, value) => {
    if (value >= liverLevel) masks[i] |= LIVER;
  });
  const tumorLevel = levelOf(thresholds.tumor);
  eachInSlice(study, tumor, z, (i, value) => {
    if (value >= tumorLevel && masks[i] & LIVER) masks[i] += TUMOR - LIVER;
  });
  study.recount(z);
}

// Calls `use(index in the slice, value)` for the part of a slice that lies in a map's box.
function eachInSlice(study, { corner, shape, values }, z, use) {
  const [depth, height, width] = shape;
  if (z < corner[0] || z >= corner[0] + depth) return;
  let from = (z - corner[0]) * height * width;
  for (let y = 0; y < height; y++) {
    let i = (corner[1] + y) * study.width + corner[2];
    for (let x = 0; x < width; x++) use(i++, values[from++]);
  }
}

// {liver, tumor}: (256,) Dice at each level; the tumor's inside the liver at its own threshold.
export function diceCurves(study, thresholds) {
  const joint = jointHistogram(study);
  const liver = histogram(study, study.probability.liver, (byte) => ((byte >> TRUTH) & 3) >= LIVER);
  const tumor = [new Float64Array(256), new Float64Array(256)];
  for (let k = levelOf(thresholds.liver) * 512; k < joint.length; k++) {
    tumor[k & 1][(k >> 1) & 255] += joint[k];
  }
  const total = study.total();
  return {
    liver: diceByLevel(liver, voxels(total, "liver", TRUTH)),
    tumor: diceByLevel(tumor, voxels(total, "tumor", TRUTH)),
  };
}

function histogram(study, map, isTrue) {
  const counts = [new Float64Array(256), new Float64Array(256)];
  for (let z = 0; z < study.slices; z++) {
    const masks = study.slice(study.masks, z);
    eachInSlice(study, map, z, (i, value) => counts[isTrue(masks[i]) ? 1 : 0][value]++);
  }
  return counts;
}

// Voxels by liver probability, tumor probability and whether they are tumor: (256 * 256 * 2,).
// Counted once for each result.
function jointHistogram(study) {
  if (study.probability.joint) return study.probability.joint;
  const joint = new Uint32Array(256 * 256 * 2);
  const liver = new Uint8Array(study.area);
  for (let z = 0; z < study.slices; z++) {
    const masks = study.slice(study.masks, z);
    liver.fill(0);
    eachInSlice(study, study.probability.liver, z, (i, value) => (liver[i] = value));
    eachInSlice(study, study.probability.tumor, z, (i, value) => {
      joint[(liver[i] << 9) | (value << 1) | (((masks[i] >> TRUTH) & 3) === TUMOR ? 1 : 0)]++;
    });
  }
  study.probability.joint = joint;
  return joint;
}

function diceByLevel([background, real], trueVoxels) {
  const byLevel = new Float64Array(256);
  let hits = 0;
  let found = 0;
  for (let level = 255; level >= 0; level--) {
    hits += real[level];
    found += real[level] + background[level];
    byLevel[level] = dice(hits, found, trueVoxels) ?? NaN;
  }
  return byLevel;
}
