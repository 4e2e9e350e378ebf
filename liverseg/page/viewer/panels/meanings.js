// What the numbers mean: a sentence and its source for each, behind one line that opens them.

// meanings: {key: {name, sentence, source}}; an element names its keys in data-meanings.
export function writeMeanings(root, meanings) {
  for (const holder of root.querySelectorAll("[data-meanings]")) {
    const list = document.createElement("dl");
    for (const key of holder.dataset.meanings.split(" ")) {
      const { name, sentence, source } = meanings[key];
      const [term, words] = ["dt", "dd"].map((tag) => document.createElement(tag));
      const from = document.createElement("cite");
      term.textContent = name;
      from.textContent = source;
      words.append(`${sentence} `, from);
      list.append(term, words);
    }
    holder.append(list);
  }
}
