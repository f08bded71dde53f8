/** Surfaces over temperature and alpha, one for each transfer set and, where several are tried, loss, target and rate. */
{
  const { number, points, magnitude, shade } = peerkd.format;
  const NONE = "\u2013";
  const NARROW = 190; // pixels that a surface needs beside others

  const text = (value, none) => (value === null ? none : number(value));
  const othersOf = ({ learning_rate, loss, target }) =>
    [loss, target, learning_rate === null ? null : `rate ${number(learning_rate)}`].filter((part) => part !== null).join(", ");

  /** Return distinct texts in the order of their numbers, with texts without a number last. */
  const inOrder = (texts) => [...new Set(texts)].sort((a, b) => (Number.isNaN(+a) ? Infinity : +a) - (Number.isNaN(+b) ? Infinity : +b) || 0);

  /** Return what a cell of a surface needs to know of its setting. */
  function cellOf(setting) {
    return { set: setting.transfer_set, temperature: text(setting.temperature, "own"), alpha: text(setting.alpha, NONE), others: othersOf(setting) };
  }

  /** Return a setting in words. */
  peerkd.settingText = function ({ transfer_set, temperature, alpha, learning_rate, loss, target, is_control }) {
    const { number } = peerkd.format;
    const parts = [`set ${transfer_set}`];
    if (temperature !== null) parts.push(`T = ${number(temperature)}`);
    if (alpha !== null && !is_control) parts.push(`alpha = ${number(alpha)}`);
    if (learning_rate !== null) parts.push(`learning rate ${number(learning_rate)}`);
    return [...parts, loss, target].filter((part) => part !== null).join(", ");
  };

  /** Return the value from which on cells have the strongest colour: the 95th percentile, and at least half a point. */
  peerkd.limitOf = (values) => Math.max(0.005, d3.quantile(values.filter(Number.isFinite).map(Math.abs), 0.95) ?? 0);

  /** Draw cells with a value, lines of text, a title, and whether they are marked (solid frame) or at an edge (dashed). */
  peerkd.drawSurface = function (cells, { width, limit, sets }) {
    const others = [...new Set(cells.map((cell) => cell.others))];
    const alphas = inOrder(cells.map((cell) => cell.alpha));
    const temperatures = inOrder(cells.map((cell) => cell.temperature));
    const isWide = width >= NARROW * sets.length;
    const bands = isWide
      ? { fx: { label: "transfer set", domain: sets }, fy: { label: null, domain: others } }
      : { fy: { label: null, domain: sets.flatMap((set) => others.map((each) => [set, each].filter(Boolean).join(", "))) } };
    const facet = isWide ? { fx: "set", fy: "others" } : { fy: (cell) => [cell.set, cell.others].filter(Boolean).join(", ") };
    const numBands = isWide ? others.length : bands.fy.domain.length;
    const marginRight = isWide && others.length === 1 ? 10 : 120;
    const place = { x: "alpha", y: "temperature", ...facet };
    return Plot.plot({
      width, height: 76 + numBands * (34 * temperatures.length + 14), marginLeft: 44, marginRight, marginTop: isWide ? 40 : 24, marginBottom: 36, padding: 0.04,
      x: { domain: alphas, label: "alpha", labelArrow: "none", tickSize: 0 }, y: { domain: temperatures, label: "T", labelArrow: "none", tickSize: 0 }, ...bands,
      marks: [
        Plot.cell(cells, { ...place, fill: (cell) => `var(--${shade(cell.value, limit) || "soft"})` }),
        Plot.cell(cells.filter((cell) => cell.isEdge), { ...place, fill: "none", stroke: "var(--edge)", strokeWidth: 2, strokeDasharray: "4 3", inset: 1 }),
        Plot.cell(cells.filter((cell) => cell.isMarked), { ...place, fill: "none", stroke: "var(--ink)", strokeWidth: 2.5, inset: 1 }),
        ...[true, false].map((isCertain) => Plot.text(cells.filter((cell) => Boolean(cell.isCertain) === isCertain), {
          ...place, text: (cell) => cell.lines.join("\n"), fontSize: 11, fontWeight: isCertain ? 700 : 400, fill: (cell) => `var(--${shade(cell.value, limit) || "soft"}-ink)`,
        })),
        Plot.tip(cells, Plot.pointer({ ...place, title: "title", maxRadius: 30 })),
      ],
    });
  };

  /** Return what a surface draws for the mean over pairs of a measure under a setting. Bounds are null without an interval. */
  function meanCell(measure, { value, low, high, num, num_chosen, is_default, is_at_edge, ...setting }) {
    const isLoss = measure === "forgetting";
    const write = isLoss ? magnitude : points;
    const hasInterval = low !== null;
    const [below, above] = hasInterval && isLoss ? [-high, -low] : [low, high];
    const interval = hasInterval ? `\n95 % interval over pairs: ${write(low)} to ${write(high)}` : "";
    return {
      ...cellOf(setting), value: isLoss ? -value : value, measured: { value, low, high }, lines: [write(value), num_chosen ? `${num_chosen}\u00d7` : ""].filter(Boolean), num, chosen: num_chosen,
      isCertain: hasInterval && (below > 0 || above < 0), isMarked: is_default, isEdge: is_at_edge,
      title: `${peerkd.settingText(setting)}\n${write(value)} points, mean of ${num} pairs${interval}\nbest for ${num_chosen} pairs`,
    };
  }

  /** Return the cells of the mean over pairs of a measure, with the number of pairs that choose each setting. */
  peerkd.meanCells = function ({ settings, surface }, measure) {
    const { value, low, high, num } = surface.measures[measure];
    const bound = (values, index) => (Number.isNaN(values[index]) ? null : values[index]);
    return settings.flatMap((setting, index) => (num[index] ? [meanCell(measure, {
      ...setting, value: value[index], low: bound(low, index), high: bound(high, index), num: num[index],
      num_chosen: surface.num_pairs_that_choose[index], is_default: Boolean(surface.is_default[index]), is_at_edge: Boolean(surface.is_at_edge[index]),
    })] : []));
  };

  /** Draw a surface that is described as JSON, and return its cells for a file. */
  const cellsOfSpec = ({ measure, cells }) => cells.map((cell) => meanCell(measure, cell));
  peerkd.drawSurfaceOfSpec = function (spec, width) {
    const cells = cellsOfSpec(spec);
    return peerkd.drawSurface(cells, { width, limit: peerkd.limitOf(cells.map((cell) => cell.value)), sets: spec.transfer_sets });
  };
  peerkd.rowsOfSurface = (spec) => peerkd.rowsOfCells(cellsOfSpec(spec));

  const inPoints = (fraction) => (fraction === null || Number.isNaN(fraction) ? null : Number((100 * fraction).toPrecision(8)));

  /** Return the data of cells, for a file. A cell is coloured by the change for the better, but a file has what was measured. */
  peerkd.rowsOfCells = (cells) => cells.map(({ set, temperature, alpha, others, measured, num, chosen, standardError }) => ({
    transfer_set: set, temperature, alpha, others, points: inPoints(measured.value),
    ...(num === undefined ? { standard_error_points: standardError }
      : { low_points: inPoints(measured.low), high_points: inPoints(measured.high), num_pairs: num, num_pairs_that_choose_it: chosen }),
  }));

  /** Draw the mean over pairs, with a choice of the measure. */
  peerkd.drawMeanSurface = function (container, study) {
    let measure = study.scope;
    const cells = () => peerkd.meanCells(study, measure);
    const draw = (width) => {
      const found = cells();
      return peerkd.drawSurface(found, { width, limit: peerkd.limitOf(found.map((cell) => cell.value)), sets: study.transfer_sets });
    };
    const controls = peerkd.element("div", { class: "controls" });
    container.before(controls);
    const redraw = peerkd.figure(container, { label: "Mean over pairs by temperature, alpha and transfer set", draw, rows: () => peerkd.rowsOfCells(cells()) });
    controls.append(peerkd.choice("Measure", Object.entries(peerkd.MEASURES), (value) => { measure = value; redraw(); }, measure));
  };

  /** Return the cells of one pair, with the standard error of each gain of global accuracy. */
  peerkd.pairCells = function (study, [student, teacher], measure) {
    const best = study.rowOf("chosen", "", student, teacher);
    return (study.distillations.get(student * study.num + teacher) ?? []).map((row) => {
      const [setting, value] = [study.setting(row), study.value(row, measure)];
      const error = measure === "global" ? study.standardError(row) : NaN;
      const written = measure === "forgetting" ? magnitude(value) : points(value);
      const noise = Number.isNaN(error) ? "" : `\u00b1${magnitude(error)}`;
      return {
        ...cellOf(setting), value: measure === "forgetting" ? -value : value, measured: { value }, lines: [written, noise].filter(Boolean), isMarked: row === best,
        standardError: Number.isNaN(error) ? null : Number((100 * error).toPrecision(6)),
        title: `${peerkd.settingText(setting)}\n${written} ${noise} points\n${study.rows.right[row]} samples became right, ${study.rows.wrong[row]} wrong`,
      };
    });
  };
}
