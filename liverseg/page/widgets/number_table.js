// Numbers of liver and tumors with what they say:
// props.value = [{group, rows: [{name, liver, tumor, unit, why, source}]}].
const table = element.querySelector(".numbers");

function cell(tag, text, name = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = name;
  return node;
}

function row(...cells) {
  const node = document.createElement("tr");
  node.append(...cells);
  return node;
}

function title(group) {
  const name = cell("th", group);
  name.scope = "rowgroup";
  const columns = row(name, cell("th", "Liver", "value"), cell("th", "Tumors", "value"));
  columns.append(cell("td", ""), cell("td", "", "why"));
  columns.className = "group";
  return columns;
}

function line({ name, liver, tumor, unit, why, source }) {
  const label = cell("th", name);
  label.scope = "row";
  const reason = cell("td", `${why} `, "why");
  reason.append(cell("cite", source));
  return row(label, cell("td", liver, "value"), cell("td", tumor, "value"), cell("td", unit, "unit"), reason);
}

function draw() {
  const groups = props.value || [];
  table.replaceChildren(...groups.map(({ group, rows }) => {
    const body = document.createElement("tbody");
    body.append(title(group), ...rows.map(line));
    return body;
  }));
  element.querySelector(".none").hidden = groups.length > 0;
}

watch("value", draw);
draw();
