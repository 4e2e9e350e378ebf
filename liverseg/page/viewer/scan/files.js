// Gzipped bytes from the server, handed on piece by piece as they are unpacked.

// Calls `take(index, bytes)` for each block of `size` bytes; resolves when all have come.
export async function readBlocks(url, size, signal, take) {
  // "no-store": after an aborted request Chromium would resume from its cache with a range, which
  // Gradio does not answer right.
  const answer = await fetch(url, { signal, cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status);
  const reader = answer.body.pipeThrough(new DecompressionStream("gzip")).getReader();
  const block = new Uint8Array(size);
  let filled = 0;
  let index = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    for (let start = 0; start < value.length; ) {
      const part = value.subarray(start, start + size - filled);
      block.set(part, filled);
      start += part.length;
      filled += part.length;
      if (filled === size) {
        take(index++, block);
        filled = 0;
      }
    }
  }
  if (filled) throw new Error("cut off");
}

// All bytes of a file whose unpacked size is known.
export async function readAll(url, size, signal) {
  let bytes = null;
  await readBlocks(url, size, signal, (_, block) => {
    bytes = block.slice();
  });
  if (!bytes) throw new Error("cut off");
  return bytes;
}
