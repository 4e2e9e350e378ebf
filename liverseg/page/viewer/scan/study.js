// One scan with its masks: typed arrays of (z, y, x) voxels, z from the feet to the head.
//
// Each voxel has two bytes of CT (see `huAt`) and one byte of masks: bits 0-1 the prediction,
// bits 2-3 the ground truth, bits 4-5 what the person drew; each 0 background, 1 liver, 2 tumor.

export const PREDICTION = 0;
export const TRUTH = 2;
export const DRAWN = 4;
export const LIVER = 1;
export const TUMOR = 2;
const BODY_HU = -300; // fat is above, lung and air are below
const MASK_BYTES = 64; // how many values a byte of masks can have

export class Study {
  constructor(value) {
    const [slices, height, width] = value.shape;
    Object.assign(this, { id: value.id, name: value.name, slices, height, width, area: height * width });
    this.spacing = value.spacing_mm && {
      z: value.spacing_mm[0],
      y: value.spacing_mm[1],
      x: value.spacing_mm[2],
    };
    this.sliceMm = value.slice_mm;
    this.windowed = value.windowed;
    const [lowest, highest] = value.hu_range;
    Object.assign(this, { lowest, ...room(slices * this.area, highest - lowest) });
    this.masks = new Uint8Array(slices * this.area);
    this.counts = new Uint32Array(slices * MASK_BYTES); // voxels of each slice by mask byte
    for (let z = 0; z < slices; z++) this.table(z)[0] = this.area;
    this.body = { left: 0, right: width, top: 0, bottom: height };
    this.files = new Set(); // paths of those whose slices are here or on their way
    this.arrived = 0; // slices of the CT, from the middle outwards
    this.maskedBy = null; // the value whose masks are the ones here
    this.probability = null; // {liver, tumor}: {corner, shape, values}
  }

  // Looks in one slice for the box around the body, with a margin; a picture is its own box.
  findBody(z) {
    if (this.windowed) return;
    const { width, height } = this;
    const ct = this.slice(this.ct, z);
    const soft = (BODY_HU - this.lowest) >> this.shift;
    const byRow = new Uint32Array(height);
    const byColumn = new Uint32Array(width);
    for (let i = 0; i < ct.length; i++) {
      if (ct[i] <= soft) continue;
      byRow[Math.floor(i / width)]++;
      byColumn[i % width]++;
    }
    const [left, right] = extent(byColumn, height);
    const [top, bottom] = extent(byRow, width);
    if (right > left && bottom > top) this.body = { left, right, top, bottom };
  }

  // The HU of the voxel at an index.
  huAt(index) {
    return (this.ct[index] << this.shift) + this.lowest;
  }

  // The HU of each number that can stand in `ct`.
  huOfNumbers() {
    return Float32Array.from({ length: this.numbers }, (_, k) => (k << this.shift) + this.lowest);
  }

  // Puts one slice of the CT in its place, as Python packs it: differences in zig-zag code, the low
  // bytes of all before the high bytes of all.
  unpack(z, block) {
    const ct = this.slice(this.ct, z);
    const { area, shift } = this;
    let number = 0;
    for (let i = 0; i < area; i++) {
      const zigzag = block[i] | (block[area + i] << 8);
      number += (zigzag >>> 1) ^ -(zigzag & 1);
      ct[i] = number >> shift;
    }
  }

  // Where a slice lies along the patient in mm, or null.
  positionMm(z) {
    if (this.sliceMm) return this.sliceMm[z];
    return this.spacing && this.spacing.z ? z * this.spacing.z : null;
  }

  get pixelMm2() {
    return this.spacing ? this.spacing.y * this.spacing.x : null;
  }

  get voxelMl() {
    return this.spacing && this.spacing.z ? (this.pixelMm2 * this.spacing.z) / 1000 : null;
  }

  // The slice's voxels of one array, as a view.
  slice(array, z) {
    return array.subarray(z * this.area, (z + 1) * this.area);
  }

  // Counts the slice's voxels by mask byte; to be called after its masks changed.
  recount(z) {
    const counts = this.table(z).fill(0);
    const masks = this.slice(this.masks, z);
    for (let i = 0; i < masks.length; i++) counts[masks[i]]++;
  }

  // (64,) voxels of a slice by mask byte.
  table(z) {
    return this.counts.subarray(z * MASK_BYTES, (z + 1) * MASK_BYTES);
  }

  // (64,) the same of the whole scan.
  total() {
    const sum = new Float64Array(MASK_BYTES);
    for (let i = 0; i < this.counts.length; i++) sum[i % MASK_BYTES] += this.counts[i];
    return sum;
  }

  // Puts (y, x) labels into one of the three masks of a slice.
  setLabels(z, mask, labels) {
    const masks = this.slice(this.masks, z);
    const others = 63 & ~(3 << mask);
    for (let i = 0; i < masks.length; i++) masks[i] = (masks[i] & others) | (labels[i] << mask);
    this.recount(z);
  }

  // The (y, x) labels of one of the three masks of a slice.
  getLabels(z, mask) {
    return this.slice(this.masks, z).map((byte) => (byte >> mask) & 3);
  }
}

// The first and last position at which more than a thin line (a table) is soft, with a margin.
function extent(counts, length) {
  const wide = counts.map((count) => (count > 0.06 * length ? 1 : 0));
  const [first, last] = [wide.indexOf(1), wide.lastIndexOf(1) + 1];
  const margin = Math.round(0.04 * counts.length);
  return [Math.max(0, first - margin), Math.min(counts.length, last + margin)];
}

// The order in which Python stores slices: the middle one first.
export function middleOut(slices) {
  const middle = Math.floor(slices / 2);
  const z = Array.from({ length: slices }, (_, k) => k);
  return z.sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle) || a - b);
}

// Two bytes for each voxel's distance from the lowest HU; one byte with less of its digits, where
// the device has no memory for two.
function room(voxels, range) {
  try {
    return { ct: new Uint16Array(voxels), shift: 0, numbers: range + 1, isExact: true };
  } catch {
    const shift = Math.ceil(Math.log2((range + 1) / 256));
    return { ct: new Uint8Array(voxels), shift, numbers: 256, isExact: false };
  }
}
