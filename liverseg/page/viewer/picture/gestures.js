// Mouse, touch and pen on a picture, told apart and handed on as what they mean.

const NOTCH = 50; // wheel distance from which one event is one slice
const DRAG_PER_SLICE = 6; // CSS pixels
const CLICK = 4; // CSS pixels that a click may wander

// on: {scroll(slices), pan(dx, dy), zoom(x, y, factor), window(dx, dy), hover(x, y | null),
//      click(x, y), reset(), draws(): whether a drag draws, draw(x, y, phase)}
export function listenToGestures(canvas, on) {
  const pointers = new Map();
  let gesture = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  canvas.addEventListener("wheel", wheelHandler(on, at), { passive: false });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", () => on.draws() || on.reset());

  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    const point = at(event);
    pointers.set(event.pointerId, point);
    if (pointers.size > 1 && gesture?.kind === "draw") on.draw(point.x, point.y, "cancel");
    gesture = { kind: kindOf(event, pointers.size, on), start: point, last: point, rest: 0 };
    if (gesture.kind === "draw") on.draw(point.x, point.y, "start");
  });

  canvas.addEventListener("pointermove", (event) => {
    const point = at(event);
    on.hover(point.x, point.y);
    if (!pointers.has(event.pointerId)) return;
    if (gesture.kind === "pinch") pinch(pointers, event.pointerId, point, on);
    else drag(gesture, point, on);
    pointers.set(event.pointerId, point);
  });

  const end = (event) => {
    if (!pointers.delete(event.pointerId) || !gesture) return;
    const { kind, start, moved } = gesture;
    const point = at(event);
    if (kind === "draw") on.draw(point.x, point.y, event.type === "pointerup" ? "end" : "cancel");
    else if (kind === "scroll" && !moved) on.click(start.x, start.y);
    // What is left of a pinch is one finger that should not scroll.
    gesture = pointers.size ? { kind: "none", start: point, last: point } : null;
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", () => on.hover(null));
}

function kindOf(event, fingers, on) {
  if (fingers > 1) return "pinch";
  if (event.button === 2) return "window";
  if (event.button === 1 || event.shiftKey) return "pan";
  return on.draws() ? "draw" : "scroll";
}

function drag(gesture, point, on) {
  const [dx, dy] = [point.x - gesture.last.x, point.y - gesture.last.y];
  const { start } = gesture;
  if (Math.hypot(point.x - start.x, point.y - start.y) > CLICK) gesture.moved = true;
  gesture.last = point;
  if (gesture.kind === "draw") on.draw(point.x, point.y, "move");
  else if (gesture.kind === "pan") on.pan(dx, dy);
  else if (gesture.kind === "window") on.window(dx, dy);
  else if (gesture.kind === "scroll") {
    gesture.rest += dy / DRAG_PER_SLICE;
    const slices = Math.trunc(gesture.rest);
    gesture.rest -= slices;
    if (slices) on.scroll(-slices);
  }
}

function pinch(pointers, id, point, on) {
  const [a, b] = [...pointers.values()];
  const before = pointers.get(id);
  const other = before === a ? b : a;
  const reach = (p) => Math.hypot(p.x - other.x, p.y - other.y) || 1;
  on.pan((point.x - before.x) / 2, (point.y - before.y) / 2);
  on.zoom((point.x + other.x) / 2, (point.y + other.y) / 2, reach(point) / reach(before));
}

// A notch of a wheel is one slice; the small steps of a touchpad add up to slices.
function wheelHandler(on, at) {
  let rest = 0;
  return (event) => {
    event.preventDefault();
    const { x, y } = at(event);
    if (event.ctrlKey || event.metaKey) {
      on.zoom(x, y, Math.exp(-event.deltaY / 300));
      return;
    }
    const distance = event.deltaMode ? event.deltaY * NOTCH : event.deltaY;
    if (Math.abs(distance) >= NOTCH) {
      on.scroll(-Math.sign(distance));
      return;
    }
    rest += distance / NOTCH;
    const slices = Math.trunc(rest);
    rest -= slices;
    if (slices) on.scroll(-slices);
  };
}
