// The three planes through a volume: how rows and columns of a picture run through its voxels.
//
// Radiological convention: seen from the feet in axial, from the front in coronal and from the
// patient's left in sagittal pictures; the head is up.

export function planesOf(study) {
  const { slices, height, width, area, spacing } = study;
  const [zMm, yMm, xMm] = spacing ? [spacing.z, spacing.y, spacing.x] : [null, 1, 1];
  const fromHead = { rowStep: -area, rowStart: (slices - 1) * area };
  const { left, right, top, bottom } = study.body;
  const fromFeetToHead = { top: 0, bottom: slices };
  const planes = {
    axial: {
      columns: width, rows: height, slices, through: "z", across: "x", down: "y",
      columnStep: 1, rowStep: width, rowStart: 0, sliceStep: area,
      columnMm: xMm, rowMm: yMm, letters: { left: "R", right: "L", top: "A", bottom: "P" },
      home: study.body,
    },
    coronal: {
      columns: width, rows: slices, slices: height, through: "y", across: "x", down: "z",
      columnStep: 1, ...fromHead, sliceStep: width,
      columnMm: xMm, rowMm: zMm, letters: { left: "R", right: "L", top: "H", bottom: "F" },
      home: { left, right, ...fromFeetToHead },
    },
    sagittal: {
      columns: height, rows: slices, slices: width, through: "x", across: "y", down: "z",
      columnStep: width, ...fromHead, sliceStep: 1,
      columnMm: yMm, rowMm: zMm, letters: { left: "A", right: "P", top: "H", bottom: "F" },
      home: { left: top, right: bottom, ...fromFeetToHead },
    },
  };
  for (const [name, plane] of Object.entries(planes)) Object.assign(plane, { name });
  return planes;
}

// The index of the voxel in a plane's picture.
export function voxelIndex(plane, slice, column, row) {
  return (
    plane.rowStart + slice * plane.sliceStep + row * plane.rowStep + column * plane.columnStep
  );
}

// The {z, y, x} of a picture's pixel, and back.
export function toVoxel(plane, slice, column, row) {
  const down = plane.down === "z" ? plane.rows - 1 - row : row;
  return { [plane.through]: slice, [plane.across]: column, [plane.down]: down };
}

export function toPicture(plane, voxel) {
  const down = voxel[plane.down];
  return {
    column: voxel[plane.across],
    row: plane.down === "z" ? plane.rows - 1 - down : down,
    slice: voxel[plane.through],
  };
}
