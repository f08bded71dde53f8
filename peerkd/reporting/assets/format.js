"use strict";

/** Everything that the scripts of the page share. Each file adds one part. */
const peerkd = {};

/** Numbers as text, in the same form as in the rest of the report. */
peerkd.format = {
  /** Return a number with a true minus. */
  minus: (text) => String(text).replace(/(^|[^\w])-(?=[\d.])/g, "$1\u2212"),

  /** Return a fraction in points with its sign: 0.0123 is +1.2. */
  points(fraction) {
    if (!Number.isFinite(fraction)) return "n/a";
    const rounded = peerkd.format.tenths(fraction);
    return rounded ? peerkd.format.minus((rounded > 0 ? "+" : "") + rounded.toFixed(1)) : "0.0";
  },

  /** Return a fraction in points without a sign. */
  magnitude: (fraction) => (Number.isFinite(fraction) ? peerkd.format.tenths(fraction).toFixed(1) : "n/a"),

  /** Return a number in its shortest form of at most six digits. */
  number: (value) => (Number.isFinite(value) ? peerkd.format.minus(Number(value.toPrecision(6))) : "n/a"),

  /** Return what a peer is called in a sentence: a peer without a name has a number. */
  nameOf: (name) => (/^\d+$/.test(name) ? `peer ${name}` : name),

  /** Return a number of bytes in decimal units. */
  bytes(value) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    const power = value < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(value) / 3));
    return `${Number((value / 1000 ** power).toPrecision(3))} ${units[power]}`;
  },

  /** Return a fraction in points with one decimal. What is halfway becomes even, as where the report writes points. */
  tenths(fraction) {
    const value = Math.round(1e7 * fraction) / 1e5; // without the errors of 32-bit floats and of differences
    const isHalfway = Number.isInteger(4 * value) && !Number.isInteger(2 * value);
    return isHalfway ? (2 * Math.round(5 * value)) / 10 : Number(value.toFixed(1));
  },

  /** Return the class of a shade: z in the middle, p1 to p7 above 0 and n1 to n7 below it. */
  shade(value, limit, numSteps = 7) {
    if (!Number.isFinite(value)) return "";
    const step = Math.min(numSteps, Math.round((Math.abs(value) / limit) * numSteps));
    return step ? `${value > 0 ? "p" : "n"}${step}` : "z";
  },
};

/** Return a new element with attributes, which may include listeners (`onclick`) and properties, and with children. */
peerkd.element = function (tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
};

/** Return a labelled choice among options, which are pairs of a value and a text. */
peerkd.choice = function (label, options, onchange, selected) {
  const select = peerkd.element(
    "select",
    { onchange: (event) => onchange(event.target.value) },
    ...options.map(([value, text]) => peerkd.element("option", { value, selected: String(value) === String(selected) }, text)),
  );
  return peerkd.element("label", { class: "choice" }, `${label} `, select);
};
