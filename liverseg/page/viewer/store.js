// The viewer's state: plain values under names. Whoever draws something says which names it
// depends on and is called once in the next animation frame, however often they changed.

export function createStore(state) {
  const listeners = [];
  let changed = null;

  function flush() {
    const names = changed;
    changed = null;
    for (const { on, call } of listeners) {
      if (on.some((name) => names.has(name))) call();
    }
  }

  function touch(...names) {
    if (!changed) {
      changed = new Set();
      requestAnimationFrame(flush);
    }
    for (const name of names) changed.add(name);
  }

  return {
    state,
    // Says that the content of something changed, though not which object it is.
    touch,
    set(changes) {
      for (const [name, value] of Object.entries(changes)) {
        if (state[name] === value) continue;
        state[name] = value;
        touch(name);
      }
    },
    // Calls `call` in the frame after any of `names` changed.
    on(names, call) {
      listeners.push({ on: names, call });
    },
  };
}
