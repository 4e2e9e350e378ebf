// Sentences about choices that were made for the person: props.value = [sentence].
const list = element.querySelector(".notices");

function draw() {
  list.replaceChildren(...(props.value || []).map((sentence) => {
    const item = document.createElement("li");
    item.textContent = sentence;
    return item;
  }));
}

watch("value", draw);
draw();
