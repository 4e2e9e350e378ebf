// Masks as sets of voxels: connected parts, distances, growing and shrinking.

const FAR = 1e20; // mm²: no voxel of the mask on this line yet

// The smallest box that holds all voxels of a (z, y, x) mask, or null: [[z0, z1], [y0, y1],
// [x0, x1]] with ends not included.
export function boxOf(isInside, slices, height, width) {
  const inZ = new Uint8Array(slices);
  const inY = new Uint8Array(height);
  const inX = new Uint8Array(width);
  for (let z = 0, i = 0; z < slices; z++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) if (isInside(i)) inZ[z] = inY[y] = inX[x] = 1;
    }
  }
  if (!inZ.includes(1)) return null;
  return [inZ, inY, inX].map((line) => [line.indexOf(1), line.lastIndexOf(1) + 1]);
}

// Numbers the parts of a mask that hang together by faces, the largest first.
//   indices: of the mask's voxels, ascending; returns [[index, ...], ...].
export function components(indices, area, width) {
  const left = new Set(indices);
  const parts = [];
  for (const seed of indices) {
    if (!left.delete(seed)) continue;
    const part = [seed];
    for (let k = 0; k < part.length; k++) {
      for (const next of neighbors(part[k], area, width)) if (left.delete(next)) part.push(next);
    }
    parts.push(part);
  }
  return parts.sort((a, b) => b.length - a.length);
}

// The voxels that share a face with one; the ends of rows and of slices are no neighbors.
function neighbors(i, area, width) {
  const inSlice = i % area;
  const x = i % width;
  const found = [i - area, i + area];
  if (x > 0) found.push(i - 1);
  if (x < width - 1) found.push(i + 1);
  if (inSlice >= width) found.push(i - width);
  if (inSlice < area - width) found.push(i + width);
  return found;
}

// Squared distances in mm² from every voxel to the nearest one of a mask, exactly (Felzenszwalb and
// Huttenlocher, Theory of Computing 2012).
//   mask: (product of shape,) 0 or 1; shape, spacing: per axis, the last one fastest.
export function squaredDistances(mask, shape, spacing) {
  const distances = Float32Array.from(mask, (one) => (one ? 0 : FAR));
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const length = shape[axis];
    const along = lineTransform(length, spacing[axis] * spacing[axis]);
    for (let block = 0; block < mask.length; block += stride * length) {
      for (let start = block; start < block + stride; start++) along(distances, start, stride);
    }
    stride *= length;
  }
  return distances;
}

// The transform along one line: at each place the lowest of the parabolas that stand on all others.
function lineTransform(length, square) {
  const values = new Float64Array(length);
  const roots = new Int32Array(length);
  const from = new Float64Array(length + 1); // where each parabola becomes the lowest
  return (distances, start, stride) => {
    let last = -1;
    for (let q = 0, i = start; q < length; q++, i += stride) {
      const value = (values[q] = distances[i]);
      if (value >= FAR) continue;
      let meet = -Infinity;
      for (; last >= 0; last--) {
        const p = roots[last];
        meet = (value - values[p]) / (2 * square * (q - p)) + (p + q) / 2;
        if (meet > from[last]) break;
      }
      last++;
      roots[last] = q;
      from[last] = last ? meet : -Infinity;
    }
    if (last < 0) return;
    from[last + 1] = Infinity;
    for (let q = 0, i = start, k = 0; q < length; q++, i += stride) {
      while (from[k + 1] < q) k++;
      distances[i] = square * (q - roots[k]) * (q - roots[k]) + values[roots[k]];
    }
  };
}

// A 2-D mask whose outline moved outwards by mm, inwards where negative.
export function grown(mask, shape, spacing, mm) {
  if (!mm) return mask;
  const from = mm > 0 ? mask : mask.map((one) => 1 - one);
  const near = squaredDistances(from, shape, spacing).map((square) => (square <= mm * mm ? 1 : 0));
  return Uint8Array.from(near, (one) => (mm > 0 ? one : 1 - one));
}

// The 95th percentile of the distances between two masks' surface voxels in mm, the larger of both
// directions; null where one is empty. As `surface_distances` of the package defines it.
export function hd95(first, second, shape, spacing) {
  const surfaces = [first, second].map((mask) => surfaceOf(mask, shape));
  const both = surfaces.map((surface, k) => {
    const squares = squaredDistances(surfaces[1 - k], shape, spacing);
    return percentile95(squares.filter((_, i) => surface[i]));
  });
  return both.includes(null) ? null : Math.max(...both);
}

// The voxels of a mask with a face towards the outside; along an axis of one voxel there is none.
function surfaceOf(mask, shape) {
  const surface = new Uint8Array(mask.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const length = shape[axis];
    for (let i = 0; length > 1 && i < mask.length; i++) {
      if (!mask[i] || surface[i]) continue;
      const at = Math.floor(i / stride) % length;
      if (at === 0 || at === length - 1 || !mask[i - stride] || !mask[i + stride]) surface[i] = 1;
    }
    stride *= length;
  }
  return surface;
}

// Between two values it is interpolated, as NumPy does.
function percentile95(squares) {
  if (!squares.length || squares[0] >= FAR) return null;
  squares.sort();
  const place = 0.95 * (squares.length - 1);
  const [below, above] = [Math.floor(place), Math.ceil(place)].map((k) => Math.sqrt(squares[k]));
  return below + (above - below) * (place - Math.floor(place));
}
