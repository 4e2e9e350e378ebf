// A label volume as a gzipped NIfTI-1 file, made here so that a drawing need not leave the browser.

const HEADER = 352; // 348 bytes and four that say there are no extensions
const UINT8 = 2;
const MILLIMETERS = 2;
const SCANNER = 1; // the code of coordinates in the scanner's space

// labels: (z, y, x) uint8 in LPS; affine: 3 rows of 4, voxel (x, y, z, 1) to LPS mm, or null.
export async function niftiFile(labels, [slices, height, width], affine) {
  const file = new Uint8Array(HEADER + labels.length);
  const view = new DataView(file.buffer);
  const floats = (at, values) => values.forEach((v, k) => view.setFloat32(at + 4 * k, v, true));
  view.setInt32(0, 348, true);
  [3, width, height, slices, 1, 1, 1, 1].forEach((v, k) => view.setInt16(40 + 2 * k, v, true));
  view.setInt16(70, UINT8, true);
  view.setInt16(72, 8, true);
  floats(76, [1, 1, 1, 1]);
  view.setFloat32(108, HEADER, true);
  view.setFloat32(112, 1, true); // slope
  if (affine) {
    view.setUint8(123, MILLIMETERS);
    floats(80, [0, 1, 2].map((c) => Math.hypot(...affine.map((row) => row[c]))));
    view.setInt16(254, SCANNER, true);
    // NIfTI counts to the left and to the back with the other sign
    affine.forEach((row, k) => floats(280 + 16 * k, row.map((v) => (k < 2 && v ? -v : v))));
  }
  file.set([0x6e, 0x2b, 0x31, 0], 344); // "n+1"
  file.set(labels, HEADER);
  const packed = new Blob([file]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Response(packed).blob();
}
