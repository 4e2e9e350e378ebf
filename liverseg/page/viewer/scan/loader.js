// Follows the value that Python sends: fetches what is new of scan and masks, as it comes.

import { readAll, readBlocks } from "./files.js";
import { DRAWN, middleOut, PREDICTION, Study } from "./study.js";

const KEEP_DRAWN = 3 << DRAWN;

// In the store: study, value, z, y, x; "voxels" and "masks" when their content changed, "masked"
// when the masks of a value are all here; phase, one of empty, loading, scan, preview, result,
// error.
export function createLoader(store) {
  let abort = new AbortController();
  let shownLabels = null; // path of the final masks that are in the study
  let previews = new Set(); // paths
  // Masks arrive in the order in which they were sent, and so do slices.
  let queue = Promise.resolve();
  let slices = Promise.resolve();

  function show(value) {
    if (!value) {
      abort.abort();
      store.set({ value: null, study: null, phase: "empty" });
      return;
    }
    const isNew = store.state.study?.id !== value.id;
    if (isNew) begin(value);
    store.set(isNew ? { value, phase: "loading" } : { value });
    const { study } = store.state;
    const { signal } = abort;
    const failed = (error) => fail(error, study);
    queue = queue.then(() => takeMasks(value, study, signal)).catch(failed);
    slices = slices.then(() => takeSlices(value, study, signal)).catch(failed);
  }

  function begin(value) {
    abort.abort();
    abort = new AbortController();
    shownLabels = null;
    previews = new Set();
    queue = slices = Promise.resolve();
    const study = new Study(value);
    const half = (count) => Math.floor(count / 2);
    store.set({ study, z: half(study.slices), y: half(study.height), x: half(study.width) });
  }

  async function takeSlices({ ct }, study, signal) {
    const order = middleOut(study.slices);
    for (const file of ct) {
      if (study.files.has(file.path)) continue;
      study.files.add(file.path);
      await readBlocks(file.url, 2 * study.area, signal, (_, block) => {
        const z = order[study.arrived++];
        study.unpack(z, block);
        if (study.arrived === 1) {
          study.findBody(z);
          store.touch("body");
        }
        store.touch("voxels");
      });
    }
    settle(study);
  }

  async function takeMasks(value, study, signal) {
    if (!value.result && !value.previews.length) clearMasks(study);
    for (const { z, labels } of value.previews) {
      if (previews.has(labels.path)) continue;
      previews.add(labels.path);
      shownLabels = null;
      await readBlocks(labels.url, study.area, signal, (index, block) => {
        study.setLabels(z[index], PREDICTION, block);
        store.touch("masks");
      });
    }
    if (value.result && !value.progress) await takeResult(value.result, study, signal);
    study.maskedBy = value;
    if (store.state.value === value) store.touch("masked");
    settle(study);
  }

  // Once scan and masks of the newest value are here, the phase is that of the value.
  function settle({ arrived, slices, maskedBy }) {
    const { value } = store.state;
    if (arrived === slices && maskedBy === value) store.set({ phase: value.state });
  }

  async function takeResult({ labels, thresholds }, study, signal) {
    if (shownLabels === labels.path) return;
    shownLabels = labels.path;
    study.probability = null;
    await readBlocks(labels.url, study.area, signal, (z, block) => {
      const masks = study.slice(study.masks, z);
      for (let i = 0; i < block.length; i++) masks[i] = (masks[i] & KEEP_DRAWN) | block[i];
      study.recount(z);
      store.touch("masks");
    });
    store.set({ thresholds });
  }

  // The work was stopped before there was a result.
  function clearMasks(study) {
    if (!shownLabels && !previews.size) return;
    shownLabels = null;
    previews = new Set();
    for (let z = 0; z < study.slices; z++) {
      const masks = study.slice(study.masks, z);
      for (let i = 0; i < masks.length; i++) masks[i] &= KEEP_DRAWN;
      study.recount(z);
    }
    store.touch("masks");
  }

  // What fails of a scan that is not shown any more is of no interest: its files may be gone.
  function fail(error, study) {
    if (error.name === "AbortError" || store.state.study !== study) return;
    console.error(error);
    store.set({ phase: "error" });
  }

  return { show };
}

// Fetches the probability maps of the result, once somebody wants them.
export async function fetchProbability(store) {
  const { study, value } = store.state;
  const packed = value?.result?.probability;
  if (!packed || study.probability || study.fetching === packed) return;
  study.fetching = packed;
  const maps = {};
  for (const [structure, { corner, shape, values }] of Object.entries(packed)) {
    const size = shape[0] * shape[1] * shape[2];
    maps[structure] = { corner, shape, values: await readAll(values.url, size) };
  }
  if (study.fetching !== packed) return;
  study.probability = maps;
  store.touch("probability");
}
