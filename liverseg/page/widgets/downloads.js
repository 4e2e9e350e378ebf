// Files to take away: props.value = {offers: [{kind, title, note}], made: {file: {path, url}, as}}.
// A click asks Python for one kind (the event "make"); the answer carries the file, which the
// browser then saves, once for each `as`: an answer can come more than once.
const list = element.querySelector(".files");
const saved = new Set();

function offer({ kind, title, note }) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = title;
  button.dataset.kind = kind;
  button.addEventListener("click", () => {
    button.disabled = true;
    trigger("make", { kind });
  });
  const words = document.createElement("span");
  words.textContent = note;
  item.append(button, words);
  return item;
}

function draw() {
  const { offers = [], made = null } = props.value || {};
  list.replaceChildren(...offers.map(offer));
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
