/** Figures: a drawing that follows the width of its place, with buttons that save it and show its data as a table. */
{
  const { element } = peerkd;
  const CHANGE = 24; // pixels of width that are worth drawing again
  const MIN_WIDTH = 260; // a narrower place scales its drawing down

  /**
   * Draw a figure in a container.
   *
   * `draw(width)` returns an SVG element or a node that contains one, `rows()` the data as objects, and `label` what
   * the figure shows. Returns a function that draws it again.
   */
  peerkd.figure = function (container, { label, draw, rows, fallbackWidth = 560, maxWidth = 1100 }) {
    const place = element("div", { class: "drawing" });
    container.append(place);
    let drawnWidth = 0;
    function redraw() {
      drawnWidth = Math.min(maxWidth, container.clientWidth || fallbackWidth);
      const node = draw(Math.max(MIN_WIDTH, drawnWidth));
      const svg = node.matches("svg") ? node : node.querySelector("svg");
      if (svg) {
        svg.setAttribute("role", "img");
        svg.setAttribute("aria-label", label);
        // An image has one description; Plot's names of its marks are for none of its readers.
        for (const mark of svg.querySelectorAll("[aria-label]")) mark.removeAttribute("aria-label");
      }
      place.replaceChildren(node);
    }
    redraw();
    new ResizeObserver(() => {
      const width = Math.min(maxWidth, container.clientWidth);
      if (width && Math.abs(width - drawnWidth) >= CHANGE) redraw();
    }).observe(container);
    const table = element("div", { class: "scroll data", hidden: true, role: "region", "aria-label": `Data: ${label}`, tabindex: 0 });
    container.after(peerkd.toolbar({ label, rows, table, svg: () => place.querySelector("svg") }), table);
    return () => {
      redraw();
      if (!table.hidden) table.replaceChildren(peerkd.dataTable(rows()));
    };
  };

  /** Return the buttons of a figure. `table` is the place of its data; a figure that is a table has none. */
  peerkd.toolbar = function ({ label, rows, table, svg }) {
    const button = (text, onclick, more = {}) =>
      element("button", { type: "button", "aria-label": `${text}: ${label}`, onclick, ...more }, text);
    const bar = element("div", { class: "toolbar" });
    if (svg) bar.append(button("SVG", () => peerkd.save(peerkd.fileName(label, "svg"), peerkd.svgText(svg()), "image/svg+xml")));
    bar.append(button("CSV", () => peerkd.save(peerkd.fileName(label, "csv"), peerkd.csv(rows()), "text/csv")));
    if (table) {
      const toggle = button("Table", () => {
        table.hidden = !table.hidden;
        toggle.setAttribute("aria-expanded", String(!table.hidden));
        if (!table.hidden) table.replaceChildren(peerkd.dataTable(rows()));
      }, { "aria-expanded": "false" });
      bar.append(toggle);
    }
    return bar;
  };

  /** Return rows as a table. */
  peerkd.dataTable = function (rows) {
    const names = Object.keys(rows[0] ?? {});
    const text = (value) => (typeof value === "number" ? peerkd.format.number(value) : String(value ?? ""));
    return element(
      "table", { class: "list" },
      element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...names.map((name) => element("td", {}, text(row[name])))))),
    );
  };
}
