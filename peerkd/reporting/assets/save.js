/** Files that a reader saves from the page: charts as SVG, and data as CSV. */
{
  const { element } = peerkd;
  const KEPT = ["fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray", "opacity"];
  const KEPT_OF_TEXT = ["font-family", "font-size", "font-weight", "font-style", "text-anchor"];

  // A frame with its page in srcdoc, such as that of Kubeflow's interface, blocks downloads without an error. There,
  // the text is shown instead, selected for copying.
  const isInFrame = location.protocol === "about:";

  /** Save a text as a file or, where this is not possible, show it. */
  peerkd.save = function (name, text, type) {
    if (isInFrame) return show(name, text);
    const address = URL.createObjectURL(new Blob([text], { type }));
    const link = element("a", { href: address, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  };

  function show(name, text) {
    const area = element("textarea", { readonly: true, rows: 16, "aria-label": name });
    area.value = text;
    const dialog = element("dialog", { "aria-label": name }, element("p", {}, `This frame allows no downloads. Copy ${name} from here.`), area);
    dialog.append(element("button", { type: "button", onclick: () => dialog.close() }, "Close"));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    area.select();
  }

  /** Return a file name without spaces for a title, with an ending. */
  peerkd.fileName = (title, ending) =>
    `${title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "figure"}.${ending}`;

  /** Return rows, which are objects with the same names, as CSV. */
  peerkd.csv = function (rows) {
    if (!rows.length) return "";
    const names = Object.keys(rows[0]);
    const cell = (value) => {
      const text = value === null || value === undefined || Number.isNaN(value) ? "" : String(value);
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [names, ...rows.map((row) => names.map((name) => row[name]))].map((each) => each.map(cell).join(",") + "\n").join("");
  };

  /** Return an SVG element as a file that needs neither the page nor its style sheet. */
  peerkd.svgText = function (svg) {
    const copy = svg.cloneNode(true);
    const originals = [svg, ...svg.querySelectorAll("*")];
    [copy, ...copy.querySelectorAll("*")].forEach((each, index) => {
      if (each.tagName === "style") return;
      const style = getComputedStyle(originals[index]);
      for (const name of [...KEPT, ...(/text|tspan|svg|g/.test(each.tagName) ? KEPT_OF_TEXT : [])]) {
        each.setAttribute(name, style.getPropertyValue(name));
      }
      each.removeAttribute("class");
    });
    copy.querySelectorAll("style").forEach((each) => each.remove());
    const { width, height } = svg.viewBox.baseVal;
    const page = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [name, value] of Object.entries({ width, height, fill: getComputedStyle(document.body).backgroundColor })) {
      page.setAttribute(name, value);
    }
    copy.prepend(page);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.removeAttribute("style");
    return `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(copy)}\n`;
  };
}
