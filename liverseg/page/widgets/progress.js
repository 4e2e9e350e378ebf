// What is being done and how far it is: props.value = {stage, done, total}, or null at rest.
const stage = element.querySelector(".stage");
const bar = element.querySelector("progress");
const block = element.closest("#status");

function draw() {
  const { stage: words = "", done = 0, total = 0 } = props.value || {};
  stage.textContent = waiting() || words;
  bar.hidden = !total;
  bar.value = total ? done / total : 0;
}

// Gradio tells the place in its queue only in a text of its own, "queue: 2/5 | 3.1s", which the
// page's style hides; where no stage is known, it says "processing | 3.1s".
function waiting() {
  const told = block.querySelector(".progress-text")?.textContent || "";
  const [, place, all] = told.match(/queue: (\d+)\/(\d+)/) || [];
  if (place) return `Place ${place} of ${all} in the queue`;
  return told.includes("processing") && !props.value ? "Working …" : "";
}

watch("value", draw);
new MutationObserver((changes) => {
  if (changes.some(({ target }) => !element.contains(target))) draw();
}).observe(block, { childList: true, characterData: true, subtree: true });
draw();
