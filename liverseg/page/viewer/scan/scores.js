// Overlap of two masks, from counts by mask byte (see study.js). Undefined is null, as in Python.

import { LIVER, PREDICTION, TRUTH, TUMOR } from "./study.js";

// The smallest label that belongs to a structure: the tumors are part of the liver.
export const FIRST_LABEL = { liver: LIVER, tumor: TUMOR };

// Voxels of `structure` in one mask.
export function voxels(counts, structure, mask) {
  const first = FIRST_LABEL[structure];
  let sum = 0;
  for (let byte = 0; byte < counts.length; byte++) {
    if (((byte >> mask) & 3) >= first) sum += counts[byte];
  }
  return sum;
}

// True positives, false positives and false negatives of `mask` against the truth in `against`.
export function confusion(counts, structure, mask, against) {
  const first = FIRST_LABEL[structure];
  let tp = 0;
  let fp = 0;
  let fn = 0;
  for (let byte = 0; byte < counts.length; byte++) {
    const found = ((byte >> mask) & 3) >= first;
    const real = ((byte >> against) & 3) >= first;
    if (found && real) tp += counts[byte];
    else if (found) fp += counts[byte];
    else if (real) fn += counts[byte];
  }
  return { tp, fp, fn };
}

// Twice the shared voxels over the voxels of both masks.
export function dice(shared, found, real) {
  return ratio(2 * shared, found + real);
}

export function overlap({ tp, fp, fn }) {
  return {
    dice: dice(tp, tp + fp, tp + fn),
    precision: ratio(tp, tp + fp),
    recall: ratio(tp, tp + fn),
  };
}

// How a mask agrees with the truth. A truth without tumors says nothing about tumors, unless it was
// said that there are none (result.tumors_scored).
export function agreement(counts, structure, mask, result) {
  if (structure === "tumor" && !result?.tumors_scored) {
    return { dice: null, precision: null, recall: null };
  }
  return overlap(confusion(counts, structure, mask, TRUTH));
}

// The slice with the largest liver; the middle one where there is none.
export function mostLiver(study) {
  let most = 0;
  let best = Math.floor(study.slices / 2);
  for (let z = 0; z < study.slices; z++) {
    const count = voxels(study.table(z), "liver", PREDICTION);
    if (count > most) [most, best] = [count, z];
  }
  return best;
}

// The next slice after `z`, round and round, where prediction and truth differ; null where none does.
export function nextError(study, structure, z) {
  for (let k = 1; k <= study.slices; k++) {
    const next = (z + k) % study.slices;
    const { fp, fn } = confusion(study.table(next), structure, PREDICTION, TRUTH);
    if (fp + fn) return next;
  }
  return null;
}

// The slice with the lowest Dice; of several the one with the most voxels in error.
export function worstSlice(study, structure) {
  let worst = null;
  for (let z = 0; z < study.slices; z++) {
    const counts = confusion(study.table(z), structure, PREDICTION, TRUTH);
    const { dice: found } = overlap(counts);
    if (found === null) continue;
    const errors = counts.fp + counts.fn;
    const isWorse = !worst || found < worst.found || (found === worst.found && errors > worst.errors);
    if (isWorse) worst = { z, found, errors };
  }
  return worst && worst.z;
}

function ratio(part, whole) {
  return whole ? part / whole : null;
}
