/** The matrix of all pairs, of which the reader chooses the measure, the setting and the transfer set. */
{
  const { element, choice } = peerkd;
  const { points, magnitude, shade } = peerkd.format;
  const MAX_WITH_TEXT = 30; // peers

  const SETTINGS = { chosen: "best setting of each pair", single: "one setting for all pairs", default: "untuned default", control: "control without a teacher" };

  /** Draw the matrix. `showPair` is called with the pair that the reader selects. */
  peerkd.pairsMap = function (container, study, showPair) {
    const state = { measure: study.scope, role: "chosen", set: "" };
    const isCompact = study.num > MAX_WITH_TEXT;
    const write = (value) => (state.measure === "forgetting" ? magnitude(value) : points(value));
    const valueOf = (student, teacher) => study.value(study.rowOf(state.role, state.set, student, teacher), state.measure);
    const signed = (value) => (state.measure === "forgetting" ? -value : value);
    // A student of a sampled study has few teachers, whose cells stand side by side.
    const teachersOf = (student) => (study.isSampled ? study.teachers[student] : d3.range(study.num));
    const mean = (values) => d3.mean(values.filter(Number.isFinite)) ?? NaN;

    const caption = element("figcaption");
    const region = element("div", { class: "scroll", role: "region", tabindex: -1, "aria-label": "Matrix of pairs" });
    const controls = element("div", { class: "controls" });
    const label = () => `${peerkd.MEASURES[state.measure]}, ${SETTINGS[state.role]}, ${state.set ? `transfer set ${state.set}` : "all transfer sets"}`;

    function cells() {
      return study.pairs.map(([student, teacher]) => {
        const value = valueOf(student, teacher);
        return { row: study.peers[student], column: study.peers[teacher], value, lines: Number.isFinite(value) ? write(value) : "", shade: shade(signed(value), limit) };
      });
    }

    let limit = 0.005;
    function redraw() {
      const matrix = d3.range(study.num).map((student) => teachersOf(student).map((teacher) => (student === teacher ? NaN : valueOf(student, teacher))));
      limit = peerkd.limitOf(matrix.flat());
      const summary = (values) => element("td", { class: "mean" }, Number.isFinite(mean(values)) ? write(mean(values)) : "");
      const body = matrix.map((values, student) => element("tr", {}, element("th", { scope: "row" }, study.peers[student]), ...values.map((value, place) => {
        const teacher = teachersOf(student)[place];
        const known = Number.isFinite(value);
        const described = `${study.named[student]} from ${study.named[teacher]}: ${write(value)} points`;
        const cell = element("td", { class: shade(signed(value), limit) || null, title: known ? described : null });
        if (known) {
          cell.tabIndex = -1;
          cell.dataset.pair = `${student},${teacher}`;
          if (isCompact) cell.setAttribute("aria-label", described);
          else cell.textContent = write(value);
        }
        return cell;
      }), summary(values)));
      const num = Math.max(...matrix.map((values) => values.length));
      const [names, axes, means] = study.isSampled
        ? [d3.range(num).map((place) => `${place + 1}`), "student \u2193 its teachers \u2192", d3.range(num).map(() => element("td"))]
        : [study.peers, "student \u2193 teacher \u2192", d3.transpose(matrix).map(summary)];
      const last = element("tr", {}, element("th", { scope: "row" }, "mean"), ...means, summary(matrix.flat()));
      const heading = element("tr", {}, element("th", { scope: "col", class: "axis" }, axes), ...names.map((name) => element("th", { scope: "col" }, name)), element("th", { scope: "col" }, "mean"));
      region.replaceChildren(element("table", { class: isCompact ? "compact" : null }, element("thead", {}, heading), element("tbody", {}, ...body, last)));
      const first = region.querySelector("[data-pair]");
      if (first) first.tabIndex = 0;
      caption.textContent = `Points on test: ${label()}`;
    }

    const select = (cell) => showPair(cell.dataset.pair.split(",").map(Number));
    region.addEventListener("click", (event) => {
      const cell = event.target.closest("[data-pair]");
      if (cell) select(cell);
    });
    region.addEventListener("keydown", (event) => {
      const cell = event.target.closest("[data-pair]");
      if (!cell) return;
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        return select(cell);
      }
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!step) return;
      event.preventDefault();
      let [student, teacher] = cell.dataset.pair.split(",").map(Number);
      for (let moved = 0; moved < study.num; moved += 1) {
        [student, teacher] = [student + step[0], teacher + step[1]];
        const next = region.querySelector(`[data-pair="${student},${teacher}"]`);
        if (next) {
          cell.tabIndex = -1;
          next.tabIndex = 0;
          return next.focus();
        }
      }
    });

    function update(name, value) {
      state[name] = value;
      drawControls();
      redraw();
    }
    function drawControls() {
      const focused = controls.contains(document.activeElement) ? document.activeElement.dataset.name : null;
      // Not every setting is known within every transfer set: the single setting has one, and some have no control.
      if (!study.has(state.role, state.set)) state.set = "";
      const sets = [["", "all"], ...study.transfer_sets.map((set) => [set, set])].filter(([set]) => study.has(state.role, set));
      const options = {
        measure: ["Measure", Object.entries(peerkd.MEASURES)],
        role: ["Setting", Object.entries(SETTINGS).filter(([role]) => study.has(role, ""))],
        set: ["Transfer set", sets],
      };
      controls.replaceChildren(...Object.entries(options).map(([name, [text, values]]) => {
        const field = choice(text, values, (value) => update(name, value), state[name]);
        field.querySelector("select").dataset.name = name;
        return field;
      }));
      if (focused) controls.querySelector(`[data-name="${focused}"]`).focus();
    }

    container.append(controls, element("figure", { class: "pairs" }, caption, region));
    const saveDrawing = () => peerkd.whileInPage(peerkd.drawMatrix(cells(), { rowAxis: "student", columnAxis: "teacher" }), (svg) =>
      peerkd.save(peerkd.fileName(label(), "svg"), peerkd.svgText(svg), "image/svg+xml"));
    const rows = () => cells().map(({ row, column, value }) => ({ student: row, teacher: column, points: Number.isFinite(value) ? Number((100 * value).toPrecision(8)) : null }));
    const bar = peerkd.toolbar({ label: "Matrix of pairs", rows });
    bar.prepend(element("button", { type: "button", "aria-label": "SVG: Matrix of pairs", onclick: saveDrawing }, "SVG"));
    container.append(bar);
    drawControls();
    redraw();
  };
}
