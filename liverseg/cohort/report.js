"use strict";
// The page of a cohort: a list that draws only the rows in sight, one study at a time, strip plots.

const data = JSON.parse(document.getElementById("data").textContent);
const at = Object.fromEntries(data.columns.map((name, column) => [name, column]));
const value = (k, name) => data.rows[k][at[name]] ?? null;
const byId = (id) => document.getElementById(id);
const list = byId("list");
const ROW_PX = 88;
const STORED = `liverseg ratings ${location.pathname}`;

let order = []; // numbers of the rows that are shown
let current = null;
let ratings = {};

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const folder = (k) => `${data.studies}/${value(k, "key")}`;
const isDone = (k) => value(k, "state") === "done";
const verdict = (k) => (isDone(k) ? value(k, "verdict") : "failed");
const name = (column) => data.names[column] ?? column.replaceAll("_", " ");
const picture = (k) =>
  element("img", {
    loading: "lazy", // before the address, or it would be asked for at once
    alt: "Slices with the largest liver and tumor area",
    src: `${folder(k)}/${data.thumbnail}`,
  });

function keepRatings() {
  try {
    localStorage.setItem(STORED, JSON.stringify(ratings));
  } catch {
    // Where the browser keeps nothing, there is the file.
  }
}

function rate(key, change) {
  ratings[key] = { rating: "", note: "", ...ratings[key], ...change };
  if (!ratings[key].rating && !ratings[key].note) delete ratings[key];
  keepRatings();
  drawRows();
}

/** Takes over what is a rating in a file; returns how many. */
function takeRatings(loaded) {
  let count = 0;
  for (const [key, one] of Object.entries(loaded ?? {})) {
    if (!["", "good", "fix", "discard"].includes(one?.rating)) continue;
    ratings[key] = { rating: one.rating, note: String(one.note ?? "") };
    count += 1;
  }
  return count;
}

function chooseRows() {
  const wanted = byId("show").value;
  const rated = byId("rated").value;
  const words = byId("search").value.toLowerCase();
  order = [...data.rows.keys()];
  order = order.filter((k) => {
    const rating = ratings[value(k, "key")]?.rating || "none";
    const text = `${value(k, "key")} ${value(k, "reason")} ${value(k, "path") ?? ""}`;
    return (
      (!wanted || verdict(k) === wanted) &&
      (!rated || rating === rated) &&
      text.toLowerCase().includes(words)
    );
  });
  const column = byId("sort").value;
  const sign = byId("up").checked ? 1 : -1;
  if (column) {
    order.sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (x === null || y === null) return (x === null) - (y === null); // unknown ones are last
      return sign * (x - y);
    });
  } else if (byId("up").checked) order.reverse();
  byId("count").textContent = `${order.length} of ${data.rows.length} studies`;
  list.scrollTop = 0;
  drawRows();
}

/** Draws the rows in sight and a few around them, whatever the length of the list. */
function drawRows() {
  const first = Math.max(0, Math.floor(list.scrollTop / ROW_PX) - 5);
  const last = Math.min(order.length, first + Math.ceil(list.clientHeight / ROW_PX) + 10);
  const kept = new Map([...list.querySelectorAll(".row")].map((row) => [Number(row.dataset.k), row]));
  const height = element("div");
  height.style.height = `${order.length * ROW_PX}px`;
  const rows = order.slice(first, last).map((k, place) => {
    const row = drawRow(k, kept.get(k)?.querySelector("img"));
    row.style.top = `${(first + place) * ROW_PX}px`;
    return row;
  });
  list.replaceChildren(height, ...rows);
}

function drawRow(k, known) {
  const key = value(k, "key");
  const rating = ratings[key]?.rating ?? "";
  const state = verdict(k);
  const row = element(
    "div",
    { className: "row", onclick: () => openStudy(k) },
    isDone(k) ? (known ?? picture(k)) : element("span"),
    element("span", { className: state, textContent: state }),
    element(
      "div",
      {},
      element("p", { textContent: value(k, "reason") || summary(k) }),
      element("p", { className: "muted", textContent: value(k, "path") ?? key }),
    ),
    element("span", { textContent: rating }),
  );
  row.dataset.k = k;
  row.setAttribute("aria-current", String(k === current));
  return row;
}

function summary(k) {
  const shown = ["liver_dice", "tumor_dice", "liver_ml", "tumors"];
  return shown
    .filter((column) => value(k, column) !== null)
    .map((column) => `${name(column)} ${value(k, column)}`)
    .join(", ");
}

function openStudy(k) {
  current = k;
  const key = value(k, "key");
  const rows = data.columns
    .filter((column) => !["key", "state", "reason", "verdict"].includes(column))
    .filter((column) => value(k, column) !== null)
    .map((column) =>
      element(
        "tr",
        {},
        element("th", { scope: "row", textContent: name(column) }),
        element("td", { textContent: String(value(k, column)) }),
      ),
    );
  const buttons = ["good", "fix", "discard"].map((rating) => {
    const button = element("button", { type: "button", textContent: rating });
    const isOn = () => ratings[key]?.rating === rating;
    button.setAttribute("aria-pressed", String(isOn()));
    button.onclick = () => {
      rate(key, { rating: isOn() ? "" : rating });
      openStudy(k);
    };
    return button;
  });
  const note = element("textarea", { rows: 2, placeholder: "Note", value: ratings[key]?.note ?? "" });
  note.setAttribute("aria-label", "Note");
  note.onchange = () => rate(key, { note: note.value });
  const links = (isDone(k) ? data.files : []).map(([file, words]) =>
    element("a", { href: `${folder(k)}/${file}`, target: "_blank", textContent: words }),
  );
  byId("study").replaceChildren(
    element("h2", { textContent: key }),
    ...(isDone(k) ? [picture(k)] : []),
    element("p", { className: verdict(k), textContent: value(k, "reason") || verdict(k) }),
    element("p", { className: "links" }, ...links),
    element("div", { className: "rate" }, ...buttons, note),
    element("table", {}, element("tbody", {}, ...rows)),
  );
  markInCharts();
  drawRows();
}

// --- strip plots, drawn when they come into sight ---

const jitter = data.rows.map((_, k) => ((k * 0.618034) % 1) - 0.5);

/** A line through the open study; the points themselves, thousands of them, stay as they are. */
function mark(chart) {
  const x = current === null ? null : value(current, chart.dataset.key);
  const line = { color: data.marked, width: 2 };
  return { shapes: x === null ? [] : [{ type: "line", x0: x, x1: x, y0: -1, y1: 1, line }] };
}

function markInCharts() {
  for (const chart of document.querySelectorAll(".chart.drawn")) Plotly.relayout(chart, mark(chart));
}

function drawChart(chart) {
  const x = data.rows.map((_, k) => value(k, chart.dataset.key));
  const points = { x, y: jitter, type: "scatter", mode: "markers", hoverinfo: "x" };
  const layout = {
    title: { text: name(chart.dataset.key), font: { size: 12 } },
    margin: { l: 8, r: 8, t: 24, b: 22 },
    yaxis: { visible: false, range: [-1, 1], fixedrange: true },
    xaxis: { zeroline: false },
    hovermode: "closest",
    showlegend: false,
    ...mark(chart),
  };
  const settings = { displayModeBar: false, responsive: true };
  const marker = { color: data.color, size: 5, opacity: 0.6 };
  Plotly.newPlot(chart, [{ ...points, marker }], layout, settings);
  chart.classList.add("drawn");
  chart.on("plotly_click", ({ points: [point] }) => {
    openStudy(point.pointNumber);
    list.scrollTop = Math.max(0, order.indexOf(point.pointNumber)) * ROW_PX;
    byId("study").scrollIntoView();
  });
}

function startCharts() {
  const source = JSON.parse(byId("plotly").textContent); // run now, and not before the first picture
  if (!source) return;
  document.head.append(element("script", { textContent: source }));
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      drawChart(target);
    }
  });
  for (const key of data.charts) {
    const chart = element("div", { className: "chart" });
    chart.dataset.key = key;
    byId("charts").append(chart);
    seen.observe(chart);
  }
}

// --- what the reader does ---

for (const column of data.columns) {
  const isNumber = data.rows.some((row) => typeof row[at[column]] === "number");
  if (isNumber) byId("sort").append(element("option", { value: column, textContent: name(column) }));
}
for (const id of ["show", "rated", "sort", "up"]) byId(id).onchange = chooseRows;
byId("search").oninput = chooseRows;
document.querySelector("form").onsubmit = (event) => event.preventDefault();
list.onscroll = drawRows;
addEventListener("resize", drawRows);

byId("save").onclick = () => {
  const file = new Blob([JSON.stringify(ratings, null, 1)], { type: "application/json" });
  const link = element("a", { href: URL.createObjectURL(file), download: "ratings.json" });
  link.click();
  URL.revokeObjectURL(link.href);
};
byId("load").onchange = async ({ target }) => {
  try {
    const count = takeRatings(JSON.parse(await target.files[0].text()));
    keepRatings();
    chooseRows();
    byId("count").textContent = `${count} ${count === 1 ? "rating was" : "ratings were"} loaded.`;
  } catch {
    byId("count").textContent = "This is no file of ratings.";
  }
};

try {
  takeRatings(JSON.parse(localStorage.getItem(STORED)));
} catch {
  // Nothing is kept, or nothing of ours.
}
chooseRows();
addEventListener("DOMContentLoaded", () => setTimeout(startCharts)); // Plotly is there by then
