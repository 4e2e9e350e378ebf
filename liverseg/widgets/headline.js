// A few large numbers in a row: props.value = [{label, value, unit}].
const list = element.querySelector(".tiles");

function make(tag, text) {
  const node = document.createElement(tag);
  node.textContent = text;
  return node;
}

function draw() {
  list.replaceChildren(...(props.value || []).map(({ label, value, unit }) => {
    const tile = document.createElement("div");
    const number = make("dd", value);
    number.append(make("small", unit));
    tile.append(make("dt", label), number);
    return tile;
  }));
}

watch("value", draw);
draw();
