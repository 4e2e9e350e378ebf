// Outlines of a mask by marching squares: lines between the edges' middles, around pixel centers.

// For each of the 16 cases (corners: 1 top left, 2 top right, 4 bottom right, 8 bottom left) the
// lines to draw, as pairs of edges: 0 top, 1 right, 2 bottom, 3 left.
const LINES = [
  [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [[3, 0], [1, 2]], [[0, 2]], [[3, 2]],
  [[2, 3]], [[2, 0]], [[0, 1], [2, 3]], [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], [],
];
const EDGE = [[0.5, 0], [1, 0.5], [0.5, 1], [0, 0.5]];

// The outline, in pixels with (0.5, 0.5) the first pixel's center, as a Path2D.
//   member: (64,) 1 for the mask bytes that are inside.
export function outline(masks, plane, slice, member) {
  const { columns, rows } = plane;
  const path = new Path2D();
  const empty = new Uint8Array(columns + 2); // outside the picture nothing is inside the mask
  let above = empty;
  for (let row = 0; row <= rows; row++) {
    const below = row < rows ? inside(masks, plane, slice, row, member) : empty;
    if (above[0] || below[0]) traceRow(path, above, below, row);
    above = below;
  }
  return path;
}

// One row as 0 and 1 with a margin; its first number says whether there is any 1.
function inside(masks, plane, slice, row, member) {
  const line = new Uint8Array(plane.columns + 2);
  let i = plane.rowStart + slice * plane.sliceStep + row * plane.rowStep;
  let any = 0;
  for (let column = 1; column <= plane.columns; column++, i += plane.columnStep) {
    any |= line[column] = member[masks[i]];
  }
  line[0] = any;
  return line;
}

function traceRow(path, above, below, row) {
  let left = 0; // the margin's column, whose own entry only says whether the row is empty
  for (let column = 0; column < above.length - 1; column++) {
    const right = above[column + 1] * 2 + below[column + 1] * 4;
    const corners = right + left;
    if (corners && corners !== 15) {
      for (const [from, to] of LINES[corners]) {
        path.moveTo(column - 0.5 + EDGE[from][0], row - 0.5 + EDGE[from][1]);
        path.lineTo(column - 0.5 + EDGE[to][0], row - 0.5 + EDGE[to][1]);
      }
    }
    left = (right & 2 ? 1 : 0) + (right & 4 ? 8 : 0);
  }
}
