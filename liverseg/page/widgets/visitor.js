// Who this tab is: props.value = a key of 256 random bits, which the tab keeps as long as it lives.
// Its first half, the id, is public to the server's streams; the whole key opens the scan. A stream
// stays open to say that the tab is there; browsers open it again when it breaks, in background tabs
// too. After a reload, and whenever the stream comes back, the event "arrive" asks what is open here.
const NAME = "liverseg";

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(NAME) || "{}");
  } catch {
    return {}; // storage is not allowed here: a reload then begins anew
  }
}

function keep(what) {
  try {
    sessionStorage.setItem(NAME, JSON.stringify({ ...kept(), ...what }));
  } catch { /* as above */ }
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// A tab that was duplicated begins with a copy of the storage, but the scan is the first one's. The
// lock, which a tab keeps as long as it lives, tells them apart where browsers have locks.
async function isFree(key) {
  if (!navigator.locks) return true;
  return new Promise((answer) => {
    const hold = (lock) => {
      answer(lock !== null);
      return lock && new Promise(() => {});
    };
    const lock = navigator.locks.request(`${NAME}-${key}`, { ifAvailable: true }, hold);
    lock.catch(() => answer(true)); // denied, as in the frame of another site
  });
}

const hasScan = () => {
  const phase = document.querySelector(".lv")?.dataset.phase;
  return Boolean(phase) && phase !== "empty";
};

function stay(id) {
  let stream = null;
  let wasOpen = false;
  const open = () => {
    stream = new EventSource(`here/${id}`);
    stream.onopen = () => {
      if (wasOpen) trigger("arrive", { had: hasScan() });
      wasOpen = true;
    };
    stream.onerror = () => {
      // The browser tries again by itself, but not after an answer that is none, as of a proxy.
      if (stream.readyState === EventSource.CLOSED) setTimeout(open, 2000);
    };
  };
  open();
}

async function begin() {
  const before = kept();
  const key = before.key && (await isFree(before.key)) ? before.key : newKey();
  if (key !== before.key) await isFree(key);
  keep({ key, had: false });
  props.value = key;
  element.dataset.visitor = key.slice(0, 32);
  addEventListener("pagehide", () => keep({ had: hasScan() }));
  // A browser has few connections to a server at a time, and the viewer's scripts need them first.
  setTimeout(() => stay(key.slice(0, 32)), 1000);
  if (key === before.key) trigger("arrive", { had: before.had });
}

begin();
