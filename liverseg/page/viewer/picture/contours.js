// Outlines of masks by marching squares: lines between the edges' middles, around pixel centers,
// joined into closed lines, since a browser strokes a long line far faster than its pieces.

// For each of the 16 cases (corners: 1 top left, 2 top right, 4 bottom right, 8 bottom left) the
// lines to draw, as pairs of edges: 0 top, 1 right, 2 bottom, 3 left. The inside lies on the same
// side of all of them, so that each ends where exactly one begins.
const LINES = [
  [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [[3, 0], [1, 2]], [[0, 2]], [[3, 2]],
  [[2, 3]], [[2, 0]], [[0, 1], [2, 3]], [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], [],
];
const EDGE = [[1, 0], [2, 1], [1, 2], [0, 1]]; // half pixels from a square's top left

// The outlines of up to eight masks in one pass, in pixels with (0.5, 0.5) the first pixel's
// center, as Path2Ds.
//   members: functions of the mask byte, true inside.
export function outlines(masks, plane, slice, members) {
  const { columns, rows } = plane;
  const bits = Uint8Array.from({ length: 64 }, (_, byte) =>
    members.reduce((set, member, k) => set | (member(byte) ? 1 << k : 0), 0),
  );
  const width = 2 * columns + 3; // of the grid of half pixels, on which points are numbered
  const steps = EDGE.map(([x, y]) => y * width + x);
  const lines = members.map(() => new Map()); // the end of each line by its beginning
  let [above, below] = [new Uint8Array(columns + 2), new Uint8Array(columns + 2)];
  let wasEmpty = true;
  for (let row = 0; row <= rows; row++) {
    // outside the picture nothing is inside a mask
    const isEmpty = row === rows ? !below.fill(0) : !readRow(below, bits, masks, plane, slice, row);
    if (!isEmpty || !wasEmpty) traceRow(lines, steps, above, below, 2 * row * width);
    wasEmpty = isEmpty;
    [above, below] = [below, above];
  }
  return lines.map((next) => joined(next, width));
}

// Writes in which masks each voxel of a row is, between margins; returns whether any is in one.
function readRow(line, bits, masks, plane, slice, row) {
  let i = plane.rowStart + slice * plane.sliceStep + row * plane.rowStep;
  let any = 0;
  for (let column = 1; column <= plane.columns; column++, i += plane.columnStep) {
    any |= line[column] = bits[masks[i]];
  }
  return any;
}

function traceRow(lines, steps, above, below, point) {
  for (let column = 0; column < above.length - 1; column++, point += 2) {
    const [a, b, c, d] = [above[column], above[column + 1], below[column + 1], below[column]];
    let crossed = (a | b | c | d) & ~(a & b & c & d);
    for (let k = 0; crossed; k++, crossed >>= 1) {
      if (!(crossed & 1)) continue;
      const bit = (set) => (set >> k) & 1;
      for (const [from, to] of LINES[bit(a) | (bit(b) << 1) | (bit(c) << 2) | (bit(d) << 3)]) {
        lines[k].set(point + steps[from], point + steps[to]);
      }
    }
  }
}

// Closed lines through all points, without those in the middle of a straight run.
function joined(next, width) {
  const path = new Path2D();
  for (const start of next.keys()) {
    let point = start;
    let step = null;
    do {
      const to = next.get(point);
      next.delete(point);
      if (to - point !== step) {
        const [x, y] = [(point % width) / 2 - 0.5, Math.floor(point / width) / 2 - 0.5];
        if (step === null) path.moveTo(x, y);
        else path.lineTo(x, y);
      }
      step = to - point;
      point = to;
    } while (point !== start);
    path.closePath();
  }
  return path;
}
