// Numbers as text; what is undefined is a dash.

export const NONE = "–";

export const fixed = (value, digits) =>
  value === null || value === undefined ? NONE : value.toFixed(digits).replace("-", "−");
