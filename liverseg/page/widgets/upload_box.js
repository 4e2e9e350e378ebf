// A box that takes files, folders and zips, sends them to Gradio's upload route and then hands
// their handles to Python as props.value = {handles: [text], names: [path in the folder]}.
//
// The names that leave the browser are counting numbers in natural order. Only the names of
// folders are kept, and as folders those of files that say no more than "liver" or
// "liver_tumor": a ground truth says with them what each mask is. Beside a header of MetaImage or
// NRRD, the files of voxels keep the name by which it knows them. Of pictures, which have nothing
// else that says what belongs together, the order of their numbers and the words in `data-words`
// ("slice", "mask") are kept. Python drops all names after reading.
const PER_REQUEST = { files: 200, bytes: 64 * 2 ** 20 };
const VOLUME = "nii|nii\\.gz|(seg\\.)?nrrd|nhdr|mha|mhd|mgh|mgz|tiff?";
const KNOWN_SUFFIX = RegExp(`\\.(dcm|dicom|ima|${VOLUME}|png|jpe?g|zip|txt|xml)$`, "i");
const STRUCTURE = RegExp(`^(liver|tumou?rs?|lesions?|mask|[ _-])+\\d{0,2}\\.(${VOLUME})$`, "i");
const HEADER_ALONE = /\.(mhd|nhdr)$/i;
const PICTURE = /\.(png|jpe?g|tiff?)$/i;
const section = element.querySelector(".upload");
const drop = element.querySelector(".drop");
const bar = element.querySelector("progress");
const status = element.querySelector(".status");
const KNOWN = new Set(section.dataset.words.split(" "));
const natural = new Intl.Collator("en", { numeric: true });
let sending = null; // the AbortController of the upload under way
// Uploads of all boxes are handed to Python in the order in which they were chosen: a ground truth
// is of the scan that was chosen before it, which may be larger and still on its way.
const inOrder = (document.uploadsInOrder ??= { last: Promise.resolve() });

function say(text, state = "") {
  status.textContent = text;
  section.className = ("upload " + state).trim();
}

/** All files below a dropped entry as {file, path}. */
async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    return [{ file, path: entry.fullPath }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) { // readEntries gives at most a hundred at a time
    const entries = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!entries.length) return found;
    for (const child of entries) found.push(...(await walk(child)));
  }
}

/** Words and numbers of a name, small and without accents. */
function tokens(name) {
  const plain = name.replace(/(?<=[a-z])(?=[A-Z])/g, " ").normalize("NFKD").replace(/\p{Mn}/gu, "");
  return plain.toLowerCase().match(/\p{Nd}+|\p{L}+/gu) || [];
}

const isNumber = (token) => /^\p{Nd}/u.test(token);

/** The place of each text among all different ones, in natural order. */
function places(texts) {
  return new Map([...new Set(texts)].sort(natural.compare).map((text, k) => [text, k]));
}

/**
 * What names say of what belongs together, and no more: known words, a letter code for all other
 * words together, and in place of each number its place among the numbers of all names.
 */
function telling(names) {
  const all = names.map(tokens);
  const others = all.map((some) =>
    some.filter((token) => !isNumber(token) && !KNOWN.has(token)).join(" "),
  );
  const numbers = places(all.flat().filter(isNumber));
  const codes = places(others);
  return all.map((some, k) => {
    const kept = some.filter((token) => isNumber(token) || KNOWN.has(token));
    const said = kept.map((token) => (isNumber(token) ? numbers.get(token) : token));
    return [letters(codes.get(others[k])), ...said].join(" ");
  });
}

/** A number as letters that sort as it does and are no word. */
function letters(number) {
  let text = "";
  for (let k = 0; k < 4; k++, number = Math.floor(number / 26))
    text = String.fromCharCode(97 + (number % 26)) + text;
  return "q" + text;
}

/** Numbers the files in natural order; folders and known suffixes stay. */
function numbered(found) {
  found.sort((a, b) => natural.compare(a.path, b.path));
  const pictures = found.filter(({ file }) => PICTURE.test(file.name));
  const said = telling(pictures.map(({ file }) => file.name.replace(PICTURE, "")));
  const names = new Map(pictures.map((one, k) => [one, said[k]]));
  const areDetached = found.some(({ file }) => HEADER_ALONE.test(file.name));
  return found.map((one, k) => {
    const { file, path } = one;
    const folders = path.split("/").slice(0, -1).filter(Boolean);
    const [suffix] = KNOWN_SUFFIX.exec(file.name) || [""];
    if (STRUCTURE.test(file.name)) folders.push(file.name.split(".")[0]);
    const isVoxels = areDetached && !suffix;
    const counted = (names.get(one) ?? String(k).padStart(5, "0")) + suffix.toLowerCase();
    const name = isVoxels ? file.name : counted;
    return { file, name: [...folders, name].join("/") };
  });
}

/** Groups of files that travel in one request. */
function requests(files) {
  const groups = [];
  let bytes = Infinity;
  for (const item of files) {
    const full = groups.length && groups.at(-1).length >= PER_REQUEST.files;
    if (full || bytes + item.file.size > PER_REQUEST.bytes) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1).push(item);
    bytes += item.file.size;
  }
  return groups;
}

/** Posts one group; resolves to the handles that the server gave them. */
function post(group, signal, onBytes) {
  const form = new FormData();
  for (const { file, name } of group) form.append("files", file, name.split("/").at(-1));
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", "gradio_api/upload");
    request.setRequestHeader("X-Visitor", document.querySelector("[data-visitor]").dataset.visitor);
    request.upload.onprogress = (event) => onBytes(event.loaded);
    request.onload = () =>
      request.status === 200
        ? done(JSON.parse(request.responseText))
        : failed(new Error(detail(request) || SENTENCES.broken));
    request.onerror = () => failed(new Error(SENTENCES.offline));
    signal.addEventListener("abort", () => {
      request.abort();
      failed(signal.reason);
    });
    request.send(form);
  });
}

const SENTENCES = {
  broken: "The server did not accept the files. Try again, or zip them first.",
  offline: "The connection broke during the upload. Try again.",
};

/** The sentence with which the server refuses something. */
function detail({ responseText }) {
  try {
    return JSON.parse(responseText).detail;
  } catch {
    return ""; // an answer of a proxy
  }
}

async function send(found) {
  if (!found.length) return;
  sending?.abort();
  const { signal } = (sending = new AbortController());
  const files = numbered(found);
  say("Uploading…", "busy");
  const before = inOrder.last;
  let passOn;
  inOrder.last = new Promise((done) => (passOn = done));
  try {
    const handles = await sendAll(files, signal);
    await before;
    if (signal.aborted) return;
    bar.removeAttribute("value");
    say("Reading…", "busy");
    props.value = { handles, names: files.map(({ name }) => name) };
    trigger("upload");
  } catch (error) {
    if (!signal.aborted) say(error.message, "refused");
  } finally {
    passOn();
  }
}

/** Resolves to the handles of all files. */
async function sendAll(files, signal) {
  const total = files.reduce((sum, { file }) => sum + file.size, 0) || 1;
  const handles = [];
  let sent = 0;
  for (const group of requests(files)) {
    const some = await post(group, signal, (bytes) => {
      bar.value = Math.min(1, (sent + bytes) / total);
    });
    handles.push(...some);
    sent += group.reduce((sum, { file }) => sum + file.size, 0);
  }
  return handles;
}

for (const kind of ["files", "folder"]) {
  const input = element.querySelector("input." + kind);
  element.querySelector("button." + kind).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const chosen = [...input.files];
    input.value = "";
    send(chosen.map((file) => ({ file, path: file.webkitRelativePath || file.name })));
  });
}

drop.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry());
  const found = [];
  for (const entry of entries.filter(Boolean)) found.push(...(await walk(entry)));
  send(found);
});

// Python answers with {text, state}: "ready", "refused" or "".
watch("value", () => {
  if (props.value && "text" in props.value) say(props.value.text, props.value.state);
});
