/** Tables that a reader can sort by any column, filter by words, and save. */
{
  const { element } = peerkd;
  const MIN_ROWS_TO_SORT = 3;
  const MIN_ROWS_TO_FILTER = 8;

  /** Return the number at the start of a cell, or NaN. */
  function numberOf(text) {
    const found = text.replaceAll("\u2212", "-").replaceAll(",", "").match(/^\s*[+-]?\d+(\.\d+)?/);
    return found ? Number(found[0]) : NaN;
  }

  function compare(one, other) {
    const [a, b] = [numberOf(one), numberOf(other)];
    if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1; // words stand after numbers
    return Number.isNaN(a) ? one.localeCompare(other) : a - b;
  }

  function makeSortable(table, headers) {
    headers.forEach((header, column) => {
      const button = element("button", { type: "button", class: "sort" });
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        const isDescending = header.getAttribute("aria-sort") === "ascending";
        for (const each of headers) each.removeAttribute("aria-sort");
        header.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
        const body = table.tBodies[0];
        // A cell in words, such as "2 min", may have its number beside them.
        const text = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const rows = [...body.rows];
        const free = rows.filter((row) => !row.hasAttribute("data-last"));
        free.sort((one, other) => (isDescending ? -1 : 1) * compare(text(one), text(other)));
        body.append(...free, ...rows.filter((row) => row.hasAttribute("data-last")));
      });
    });
  }

  function filterOf(table, label) {
    const count = element("span", { class: "muted", role: "status" });
    const field = element("input", { type: "search", placeholder: "Filter rows", "aria-label": `Filter rows: ${label}` });
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().replaceAll("-", "\u2212").split(/\s+/).filter(Boolean);
      let num = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase().replaceAll("-", "\u2212");
        row.hidden = !words.every((word) => text.includes(word));
        num += !row.hidden;
      }
      count.textContent = words.length ? `${num} of ${table.tBodies[0].rows.length} rows` : "";
    });
    return [field, count];
  }

  function rowsOf(table) {
    // Two columns can have the same title, such as "after" of two kinds of samples.
    const titles = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    const names = titles.map((title, index) => (titles.indexOf(title) < index ? `${title} (column ${index + 1})` : title || `column ${index + 1}`));
    return [...table.tBodies[0].rows]
      .filter((row) => !row.hidden)
      .map((row) => Object.fromEntries(names.map((name, index) => [name, row.cells[index].textContent.trim().replaceAll("\u2212", "-")])));
  }

  /** Give every list with several columns its buttons. */
  peerkd.enhanceTables = function () {
    for (const table of document.querySelectorAll("table.list")) {
      const headers = [...(table.tHead?.rows[0]?.cells ?? [])];
      const rows = table.tBodies[0]?.rows ?? [];
      const isRegular = headers.length > 1 && [...rows].every((row) => row.cells.length === headers.length);
      if (!isRegular || rows.length < MIN_ROWS_TO_SORT) continue;
      const place = table.closest(".scroll") ?? table;
      const label = place.getAttribute("aria-label") ?? `table of ${headers.map((each) => each.textContent.trim()).slice(0, 2).join(" and ")}`;
      makeSortable(table, headers);
      const bar = peerkd.toolbar({ label, rows: () => rowsOf(table) });
      if (rows.length >= MIN_ROWS_TO_FILTER) bar.prepend(...filterOf(table, label));
      place.before(bar);
    }
  };
}
