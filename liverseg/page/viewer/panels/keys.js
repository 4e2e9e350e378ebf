// The keyboard: one list, from which the sheet of keys is written too.

// actions: functions by name, see main.js.
export function keyList(actions) {
  const scroll = (slices) => () => actions.scroll(slices);
  return [
    { keys: ["ArrowUp", "ArrowRight"], name: "↑ →", does: "One slice toward the head", run: scroll(1) },
    { keys: ["ArrowDown", "ArrowLeft"], name: "↓ ←", does: "One slice toward the feet", run: scroll(-1) },
    { keys: ["PageUp"], name: "Page ↑", does: "Ten slices toward the head", run: scroll(10) },
    { keys: ["PageDown"], name: "Page ↓", does: "Ten slices toward the feet", run: scroll(-10) },
    { keys: ["Home"], does: "First slice", run: scroll(-Infinity) },
    { keys: ["End"], does: "Last slice", run: scroll(Infinity) },
    { keys: [" "], name: "Space", does: "Hide all layers while held", run: () => actions.hide(true) },
    { keys: ["l"], does: "Liver on or off", run: () => actions.toggle("liver") },
    { keys: ["t"], does: "Tumors on or off", run: () => actions.toggle("tumor") },
    { keys: ["g"], does: "Ground truth on or off", run: () => actions.toggle("truth") },
    { keys: ["e"], does: "Errors on or off", run: () => actions.toggle("errors") },
    { keys: ["h"], does: "Heat map on or off", run: () => actions.toggle("probability") },
    { keys: ["x"], does: "Errors and heat map: liver or tumors", run: actions.nextStructure },
    { keys: ["o"], does: "Fill, outline or both", run: actions.nextStyle },
    { keys: ["["], does: "Layers fainter", run: () => actions.fade(-0.1) },
    { keys: ["]"], does: "Layers stronger", run: () => actions.fade(0.1) },
    ...[0, 1, 2, 3, 4, 5].map((index) => ({
      keys: [String(index + 1)],
      does: `Window: ${actions.presetName(index)}`,
      run: () => actions.preset(index),
    })),
    { keys: ["+", "="], name: "+", does: "Zoom in", run: () => actions.zoom(1.25) },
    { keys: ["-"], name: "−", does: "Zoom out", run: () => actions.zoom(0.8) },
    { keys: ["r"], does: "Reset zoom and window", run: actions.reset },
    { keys: ["n"], does: "Next tumor", run: () => actions.nextLesion(1) },
    { keys: ["b"], does: "Previous tumor", run: () => actions.nextLesion(-1) },
    { keys: ["f"], does: "Next slice with an error", run: actions.nextError },
    { keys: ["w"], does: "Slice with the lowest Dice", run: actions.worst },
    { keys: ["v"], does: "One plane or three", run: actions.planes },
    { keys: ["s"], does: "Save the picture", run: actions.save },
    { keys: ["p"], does: "Play or stop", run: actions.play },
    { keys: ["u"], does: "Undo a stroke or mark", run: actions.undo },
    { keys: ["Enter"], does: "Close a polygon", run: actions.finish },
    { keys: ["?"], does: "This list", run: actions.help },
  ];
}

// Listens while the focus or the mouse is on the viewer, or the focus nowhere.
export function listenToKeys(root, list, actions) {
  const byKey = new Map(list.flatMap((entry) => entry.keys.map((key) => [key, entry])));
  const here = ({ target }) =>
    root.contains(target) || target === document.body || root.matches(":hover");

  document.addEventListener("keydown", (event) => {
    if (!root.isConnected || !here(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (belongsToControl(event)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const entry = byKey.get(key);
    if (!entry) return;
    event.preventDefault();
    if (!(event.repeat && key === " ")) entry.run();
  });
  document.addEventListener("keyup", (event) => event.key === " " && actions.hide(false));
  window.addEventListener("blur", () => actions.hide(false));
}

// Whether the focused control needs this key itself.
function belongsToControl({ target, key }) {
  if (target.matches("input[type=range]")) return /^(Arrow|Page|Home|End)/.test(key);
  if (target.matches("button, input[type=checkbox], input[type=radio], summary")) {
    return key === " " || key === "Enter" || key.startsWith("Arrow");
  }
  return target.matches("input, select, textarea, dialog *, [contenteditable]");
}

// Writes the sheet of keys.
export function writeKeySheet(list, sheet) {
  for (const { keys, name, does } of list) {
    const entry = document.createElement("li");
    const key = document.createElement("kbd");
    key.textContent = name || keys[0].toUpperCase();
    entry.append(key, does);
    sheet.append(entry);
  }
}
