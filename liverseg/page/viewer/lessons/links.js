// A synthetic case as an address: `?case=12&size=small&contrast=faint`.
//
// Nothing but a synthetic case's number and difficulty ever gets into an address, and nothing else
// of the page's own address, which on a Space may hold a key. A Space shows the page in a frame: the
// link is the frame's own address, where the page is alone; the Space's page hands its query on to
// the frame when it loads, so there the same query works too
// (https://huggingface.co/docs/hub/spaces-handle-url-parameters).

// The address that opens a case, for a page at `location`.
export function linkTo({ number, size, contrast }, { origin, pathname }) {
  return `${origin}${pathname}?${new URLSearchParams({ case: number, size, contrast })}`;
}

// {number, size, contrast} as texts of the case that an address asks for, or null.
export function linkedCase(address) {
  const query = new URLSearchParams(address.search);
  if (!query.has("case")) return null;
  return { number: query.get("case"), size: query.get("size"), contrast: query.get("contrast") };
}

// Copies a text; returns whether the browser let it: a frame or a page without https may not.
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
