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

  /** Return whether a setting is at an edge of the grid that many pairs choose. */
  function isAtEdge(study, setting) {
    return study.edges.some(({ dimension, value, loss, target }) =>
      setting[dimension] === value && (loss === null || loss === setting.loss) && (target === null || target === setting.target));
  }

  /** Return the cells of the mean over pairs of a measure, with the number of pairs that choose each setting. */
  peerkd.meanCells = function (study, measure) {
    const num = study.settings.length;
    const [sums, counts, chosen] = [new Float64Array(num), new Uint32Array(num), new Uint32Array(num)];
    for (const [pair, rows] of study.distillations) {
      for (const row of rows) {
        const value = study.value(row, measure);
        if (Number.isNaN(value)) continue;
        sums[study.rows.setting[row]] += value;
        counts[study.rows.setting[row]] += 1;
      }
      const best = study.rowOf("chosen", "", Math.floor(pair / study.num), pair % study.num);
      if (best >= 0) chosen[study.rows.setting[best]] += 1;
    }
    return study.settings.flatMap((setting, index) => {
      if (setting.is_control || !counts[index]) return [];
      const value = sums[index] / counts[index];
      const write = measure === "forgetting" ? magnitude : points;
      const written = write(value);
      const [low, high] = ["low", "high"].map((bound) => study.meanIntervals[measure][bound][index]);
      const interval = Number.isNaN(low) ? "" : `\n95 % interval over pairs: ${write(low)} to ${write(high)}`;
      return [{
        ...cellOf(setting), value: measure === "forgetting" ? -value : value, lines: [written, chosen[index] ? `${chosen[index]}\u00d7` : ""].filter(Boolean), num: counts[index], chosen: chosen[index],
        low: measure === "forgetting" ? -high : low, high: measure === "forgetting" ? -low : high,
        isCertain: low > 0 || high < 0,
        isMarked: peerkd.isDefault(study, setting), isEdge: isAtEdge(study, setting),
        title: `${peerkd.settingText(setting)}\n${written} points, mean of ${counts[index]} pairs${interval}\nbest for ${chosen[index]} pairs`,
      }];
    });
  };

  /** Return whether a setting is the untuned default. */
  peerkd.isDefault = function (study, setting) {
    const { transfer_set, temperature, alpha, learning_rate, loss, target } = study.default;
    return setting.transfer_set === transfer_set && (setting.temperature === null || setting.temperature === temperature) && (setting.alpha === null || setting.alpha === alpha)
      && setting.learning_rate === learning_rate && setting.loss === loss && setting.target === target;
  };

  const inPoints = (fraction) => (Number.isNaN(fraction) ? null : Number((100 * fraction).toPrecision(6)));

  /** Return the data of cells, for a file. */
  peerkd.rowsOfCells = (cells) => cells.map(({ set, temperature, alpha, others, value, num, chosen, low, high, standardError }) => ({
    transfer_set: set, temperature, alpha, others, points: Number((100 * value).toPrecision(8)),
    ...(num === undefined ? { standard_error_points: standardError }
      : { low_points: inPoints(low), high_points: inPoints(high), num_pairs: num, num_pairs_that_choose_it: chosen }),
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
        ...cellOf(setting), value: measure === "forgetting" ? -value : value, lines: [written, noise].filter(Boolean), isMarked: row === best,
        standardError: Number.isNaN(error) ? null : Number((100 * error).toPrecision(6)),
        title: `${peerkd.settingText(setting)}\n${written} ${noise} points\n${study.rows.right[row]} samples became right, ${study.rows.wrong[row]} wrong`,
      };
    });
  };
}
