// The numbers beside the picture: Dice, volume and area of the slice and the scan.

import { fixed, NONE } from "../format.js";
import { agreement, voxels } from "../scan/scores.js";
import { PREDICTION } from "../scan/study.js";

export function createNumbers(root, store) {
  const cells = new Map();
  for (const cell of root.querySelectorAll("[data-number]")) cells.set(cell.dataset.number, cell);
  const write = (name, text) => (cells.get(name).textContent = text);

  store.on(["study", "masks", "value", "allowed"], () => {
    const { study } = store.state;
    writeDice("scan", study && study.total());
    for (const structure of ["liver", "tumor"]) {
      const count = study && predicted() ? voxels(study.total(), structure, PREDICTION) : null;
      write(`${structure}-volume`, times(count, study?.voxelMl, "mL"));
    }
  });
  store.on(["study", "masks", "value", "allowed", "z"], () => {
    const { study, z } = store.state;
    writeDice("slice", study && study.table(z));
    for (const structure of ["liver", "tumor"]) {
      const count = study && predicted() ? voxels(study.table(z), structure, PREDICTION) : null;
      write(`${structure}-area`, times(count, study?.pixelMm2 && study.pixelMm2 / 100, "cm²"));
    }
  });

  // What a lesson hides is not given away in numbers.
  const open = () => !store.state.allowed;
  const predicted = () => open() && store.state.value?.state === "result";

  function writeDice(where, counts) {
    const result = store.state.value?.result;
    for (const structure of ["liver", "tumor"]) {
      const known = counts && result?.truth && result.predicted && open();
      const scores = known && agreement(counts, structure, PREDICTION, result);
      write(`${structure}-dice-${where}`, known ? fixed(scores.dice, 3) : NONE);
    }
  }
}

// A count in a unit, with as many digits as one reads.
function times(count, size, unit) {
  if (count === null || !size) return NONE;
  const value = count * size;
  return `${value.toLocaleString("en", digits(value))} ${unit}`;
}

function digits(value) {
  const fraction = value >= 100 ? 0 : 1;
  return { minimumFractionDigits: fraction, maximumFractionDigits: fraction };
}
