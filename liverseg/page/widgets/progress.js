// What is being done and how far it is: props.value = {stage, done, total}, or null at rest.
const stage = element.querySelector(".stage");
const bar = element.querySelector("progress");
const block = element.closest("#status");

function draw() {
  const { stage: words, done = 0, total = 0 } = props.value || {};
  stage.textContent = words ?? working();
  bar.hidden = !total;
  bar.value = total ? done / total : 0;
}

// Where no stage is known Gradio says that it is at work, in a text of its own, "processing | 3.1s",
// which the page's style hides.
function working() {
  const told = block.querySelector(".progress-text")?.textContent || "";
  return told.includes("processing") ? "Working …" : "";
}

watch("value", draw);
new MutationObserver((changes) => {
  if (changes.some(({ target }) => !element.contains(target))) draw();
}).observe(block, { childList: true, characterData: true, subtree: true });
draw();
