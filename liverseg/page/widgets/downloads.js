// Files to take away: props.value = {offers: [{kind, title, note, possible}], made: {file: {path,
// url}, as}, failed: {kind, why, as}}. A click asks Python for one kind (the event "make"); the
// answer carries the file, which the browser then saves, once for each `as`: an answer can come
// more than once. Whatever becomes of it, a button can be pressed again.
const list = element.querySelector(".files");
const saved = new Set();

function offer({ kind, title, note, possible }) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = title;
  button.dataset.kind = kind;
  button.disabled = !possible;
  button.addEventListener("click", () => {
    button.setAttribute("aria-busy", "true");
    trigger("make", { kind });
  });
  const words = document.createElement("span");
  words.textContent = note;
  item.append(button, words);
  return item;
}

function fail({ kind, why }) {
  const words = document.createElement("span");
  words.className = "why";
  words.role = "alert";
  words.textContent = why;
  list.querySelector(`[data-kind=${kind}]`)?.closest("li").append(words);
}

function draw() {
  const { offers = [], made = null, failed = null } = props.value || {};
  const focused = list.contains(document.activeElement) && document.activeElement.dataset.kind;
  list.replaceChildren(...offers.map(offer));
  if (focused) list.querySelector(`[data-kind=${focused}]`)?.focus();
  if (failed) fail(failed);
  element.querySelector(".none").hidden = offers.length > 0;
  if (!made || saved.has(made.as)) return;
  saved.add(made.as);
  const { file } = made;
  const link = document.createElement("a");
  link.href = `${file.url}?${Date.now()}`; // the name stays, the content does not
  link.download = file.path.split(/[\\/]/).at(-1);
  link.click();
}

watch("value", draw);
draw();
