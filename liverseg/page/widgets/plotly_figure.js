// A Plotly figure, drawn by the plotly.js that comes with plotly's Python package, which is fetched
// when the first figure is looked at.
// Linked figures follow the viewer ("lv:slice") and steer it ("lv:goto"), both DOM events on the
// document with the slice's index as detail. The value is a figure as JSON, or "wanted" for one
// that Python draws as soon as somebody looks (the event "wanted"), or "failed …" where it could
// not: then it is asked for when somebody looks again.
const plot = element.querySelector(".plot");
const linked = "linked" in plot.dataset;
const WIDE = 600; // CSS pixels
let asked = false;
let seen = false;
let isLate = false; // there is a figure, but nobody has looked yet
let slice = null; // the viewer's

function mark() {
  if (!linked || slice === null) return [];
  const line = { color: getComputedStyle(element).color, width: 1 };
  return [{ type: "line", x0: slice + 1, x1: slice + 1, yref: "paper", y0: 0, y1: 1, line }];
}

// Both figures of a page share one plotly.js.
function fetched() {
  window.liversegPlotly ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    const again = () => {
      window.liversegPlotly = null;
      failed(new Error("plotly.js did not arrive"));
    };
    Object.assign(script, { src: plot.dataset.script, onload: done, onerror: again });
    document.head.append(script);
  });
  return window.liversegPlotly;
}

function clear() {
  if (plot.dataset.ready) Plotly.purge(plot);
  delete plot.dataset.ready;
}

const isToCome = () => props.value === "wanted" || props.value?.startsWith("failed");

function ask() {
  if (asked || !plot.offsetWidth) return;
  asked = true;
  trigger("wanted");
}

async function draw() {
  asked = asked && props.value === "wanted";
  if (!props.value || isToCome()) clear(); // of another result
  if (props.value === "wanted") ask();
  if (!props.value || isToCome()) return;
  isLate = !plot.offsetWidth;
  if (isLate) return;
  await fetched();
  if (!props.value || isToCome()) return;
  const { data, layout } = JSON.parse(props.value);
  const { color, fontFamily: family } = getComputedStyle(element);
  const { eye = {} } = layout.scene?.camera || {};
  const away = Math.max(1, WIDE / plot.offsetWidth); // so that a narrow picture shows all
  for (const axis of Object.keys(eye)) eye[axis] *= away;
  const quiet = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" };
  const settings = { responsive: true, displaylogo: false, displayModeBar: false };
  const font = { color, family, size: 14 };
  await Plotly.react(plot, data, { ...layout, ...quiet, font, shapes: mark() }, settings);
  if (plot.dataset.ready) return;
  plot.dataset.ready = "yes";
  if (linked) {
    plot.on("plotly_click", ({ points }) => {
      document.dispatchEvent(new CustomEvent("lv:goto", { detail: points[0].x - 1 }));
    });
  }
}

// In a tab that nobody looks at, nothing is done: scrolling through slices stays light.
function follow() {
  if (seen && linked && plot.dataset.ready) Plotly.relayout(plot, { shapes: mark() });
}

new ResizeObserver(() => {
  seen = plot.offsetWidth > 0;
  if (isToCome()) ask();
  else if (seen && isLate) draw();
  else if (seen && plot.dataset.ready) Plotly.Plots.resize(plot).then(follow);
}).observe(plot);

document.addEventListener("lv:slice", ({ detail }) => {
  slice = detail;
  follow();
});

if (linked) document.dispatchEvent(new CustomEvent("lv:where"));
watch("value", draw);
draw();
