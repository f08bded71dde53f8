/** Matrices that the page has as tables of coloured cells. They are saved as SVG by drawing them with Plot. */
{
  const SIZE = 44;

  function cellsOf(table) {
    const columns = [...table.tHead.rows[1].cells].map((cell) => cell.textContent);
    return [...table.tBodies[0].rows].flatMap((row) =>
      [...row.cells].slice(1).map((cell, index) => ({
        row: row.cells[0].textContent, column: columns[index], text: cell.textContent.trim(),
        lines: [cell.firstChild?.textContent ?? "", cell.querySelector("small")?.textContent].filter(Boolean).join("\n"),
        shade: [...cell.classList].find((name) => /^([pn]\d|z)$/.test(name)) ?? "",
      })),
    );
  }

  /** Return a matrix of cells as a drawing. Cells have a row, a column, lines of text and a shade. */
  peerkd.drawMatrix = function (cells, { rowAxis, columnAxis }) {
    const columns = [...new Set(cells.map((cell) => cell.column))];
    const rows = [...new Set(cells.map((cell) => cell.row))];
    const marginLeft = 36 + 7 * Math.max(...rows.map((row) => row.length));
    return Plot.plot({
      width: marginLeft + 1.4 * SIZE * columns.length + 10, height: 60 + 0.8 * SIZE * rows.length,
      marginLeft, marginTop: 48, marginBottom: 10, padding: 0.03,
      x: { domain: columns, axis: "top", label: columnAxis, tickSize: 0 },
      y: { domain: rows, label: rowAxis, tickSize: 0 },
      marks: [
        Plot.cell(cells, { x: "column", y: "row", fill: (cell) => (cell.shade ? `var(--${cell.shade})` : "var(--soft)") }),
        Plot.text(cells, { x: "column", y: "row", text: "lines", fill: (cell) => (cell.shade ? `var(--${cell.shade}-ink)` : "var(--ink)") }),
      ],
    });
  };

  /** Return the cells of a matrix that is described as JSON. */
  const cellsOfSpec = ({ rows, columns, texts, notes, shades }) => rows.flatMap((row, i) => columns.map((column, j) => ({
    row, column, text: peerkd.format.minus(texts[i][j]), lines: [peerkd.format.minus(texts[i][j]), notes[i][j]].filter(Boolean).join("\n"), shade: shades[i][j],
  })));
  peerkd.drawMatrixOfSpec = (spec) => peerkd.drawMatrix(cellsOfSpec(spec), { rowAxis: spec.row_axis, columnAxis: spec.column_axis });
  peerkd.rowsOfMatrix = (spec) => cellsOfSpec(spec).map(({ row, column, text }) => ({ [spec.row_axis]: row, [spec.column_axis]: column, value: text.replaceAll("\u2212", "-") }));

  /** Run a function on a drawing that stands in the page for this moment, so that its style can be computed. */
  peerkd.whileInPage = function (node, act) {
    const place = peerkd.element("div", { class: "offscreen", "aria-hidden": "true" });
    place.append(node);
    document.body.append(place);
    try {
      return act(node);
    } finally {
      place.remove();
    }
  };

  /** Give every matrix of the page its buttons. */
  peerkd.enhanceMatrices = function () {
    for (const figure of document.querySelectorAll("figure.heat")) {
      const table = figure.querySelector("table");
      const label = figure.querySelector("figcaption").textContent.trim();
      const [rowAxis, columnAxis] = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
      const saveDrawing = () => peerkd.whileInPage(peerkd.drawMatrix(cellsOf(table), { rowAxis, columnAxis }), (svg) =>
        peerkd.save(peerkd.fileName(label, "svg"), peerkd.svgText(svg), "image/svg+xml"));
      const rows = () => cellsOf(table).map(({ row, column, text }) => ({ [rowAxis]: row, [columnAxis]: column, value: text.replaceAll("\u2212", "-") }));
      const bar = peerkd.toolbar({ label, rows });
      bar.prepend(peerkd.element("button", { type: "button", "aria-label": `SVG: ${label}`, onclick: saveDrawing }, "SVG"));
      figure.append(bar);
    }
  };
}
