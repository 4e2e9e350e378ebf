// How the viewer fetches scans, one of which takes the place of another. Fetching is made up:
// each request waits until the test answers it.

import assert from "node:assert/strict";
import test from "node:test";
import { gzipSync } from "node:zlib";

import { createStore } from "../../liverseg/page/viewer/store.js";
import { createLoader } from "../../liverseg/page/viewer/scan/loader.js";

globalThis.requestAnimationFrame = (call) => setImmediate(call);

function scan(id) {
  const file = { path: `${id}.bin`, url: `files/${id}.bin` };
  return {
    id,
    name: id,
    shape: [1, 2, 2],
    spacing_mm: null,
    slice_mm: null,
    windowed: [0, 255],
    hu_range: [-1024, 3071],
    ct: [file],
    state: "scan",
    previews: [],
    result: null,
  };
}

// A viewer whose requests the test answers by their URL; `errors` is what reached the console.
function viewer(context) {
  const requests = new Map();
  const errors = [];
  globalThis.fetch = (url, { signal }) =>
    new Promise((resolve, reject) => {
      requests.set(url, { signal, resolve });
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  context.mock.method(console, "error", (error) => errors.push(error));
  const store = createStore({ phase: "empty", study: null, value: null });
  const answer = (id, response) => requests.get(`files/${id}.bin`).resolve(response);
  const asked = (id) => until(() => requests.has(`files/${id}.bin`));
  return { store, loader: createLoader(store), answer, asked, errors, requests };
}

async function until(condition) {
  const end = Date.now() + 10_000;
  while (!condition() && Date.now() < end) await new Promise((done) => setTimeout(done, 2));
  assert.ok(condition());
}

const gone = () => new Response(null, { status: 404 });
const pixels = () => new Response(gzipSync(Uint8Array.of(2, 2, 2, 2, 0, 0, 0, 0)));

test("a file of the scan on screen that is gone is an error", async (context) => {
  const { store, loader, answer, asked, errors } = viewer(context);
  loader.show(scan("first"));
  await asked("first");
  answer("first", gone());
  await until(() => store.state.phase === "error");
  assert.equal(errors.length, 1);
});

test("a file of a scan that another replaced is none, whenever its answer comes", async (context) => {
  const { store, loader, answer, asked, errors } = viewer(context);
  loader.show(scan("first"));
  await asked("first");
  answer("first", gone()); // and before anybody has looked at the answer
  loader.show(scan("second"));
  await asked("second");
  answer("second", pixels());
  await until(() => store.state.phase === "scan");
  assert.deepEqual(errors, []);
  assert.deepEqual([...store.state.study.ct], [1, 2, 3, 4]);
});

test("requests of a scan that another replaced are given up", async (context) => {
  const { loader, asked, requests } = viewer(context);
  loader.show(scan("first"));
  await asked("first");
  loader.show(scan("second"));
  assert.ok(requests.get("files/first.bin").signal.aborted);
  await asked("second");
  assert.ok(!requests.get("files/second.bin").signal.aborted);
});
