// Rows of numbers with what they say: props.value = [{group, rows: [{name, value, unit, why}]}].
const table = element.querySelector(".numbers");

function cell(tag, text, name) {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = name;
  if (tag === "th") node.scope = "row";
  return node;
}

function row(name, ...cells) {
  const node = document.createElement("tr");
  node.className = name;
  node.append(...cells);
  return node;
}

function draw() {
  const body = document.createElement("tbody");
  for (const { group, rows } of props.value || []) {
    const title = cell("th", group, "");
    title.colSpan = 4;
    body.append(row("group", title));
    for (const { name, value, unit, why } of rows) {
      body.append(row("", cell("th", name, ""), cell("td", value, "value"), cell("td", unit, "unit"), cell("td", why, "why")));
    }
  }
  table.replaceChildren(body);
}

watch("value", draw);
draw();
