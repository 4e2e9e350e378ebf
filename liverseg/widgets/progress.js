// What is being done and how far it is: props.value = {stage, done, total}, or null at rest.
const stage = element.querySelector(".stage");
const bar = element.querySelector("progress");

function draw() {
  const { stage: words = "", done = 0, total = 0 } = props.value || {};
  stage.textContent = words;
  bar.hidden = !total;
  bar.value = total ? done / total : 0;
}

watch("value", draw);
draw();
