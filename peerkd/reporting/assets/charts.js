/** The charts that the report describes as JSON: values over two axes, values with intervals, and counts. */
{
  const { minus, number, points } = peerkd.format;
  const DASHES = { l0: null, l1: "7 3", l2: "2 3", l3: "8 3 2 3", l4: "1 5", lm: "1 3", predicted: "5 4", test: "5 4" };
  const LABEL_HEIGHT = 14;

  const TICKS = {
    points: (value) => (value ? minus((value > 0 ? "+" : "") + Number((100 * value).toPrecision(3))) : "0"),
    percent: (value) => number(Number((100 * value).toPrecision(3))),
    number: (value) => number(Number(value.toPrecision(3))),
    whole: (value) => (Number.isInteger(value) ? number(value) : ""),
  };

  function colour(style) {
    if (/^l\d$/.test(style)) return `var(--${style})`;
    return ["lm", "predicted", "test"].includes(style) ? "var(--muted)" : "var(--mark)";
  }

  /** Return the options of a scale of Plot for an axis. */
  function scale(axis, length) {
    const spaced = d3.ticks(axis.low, axis.high, Math.max(3, length / (axis.unit === "whole" ? 50 : 70)));
    const ticks = axis.unit === "whole" ? spaced.filter(Number.isInteger) : spaced;
    return { domain: [axis.low, axis.high], label: axis.title || null, labelArrow: "none", ticks, tickFormat: TICKS[axis.unit], grid: axis.has_grid };
  }

  /** Return positions near the wanted ones that are a label's height apart, in pixels from the top. */
  function spreadOut(wanted, low, high) {
    const order = d3.range(wanted.length).sort((a, b) => wanted[a] - wanted[b]);
    const places = [...wanted];
    let reached = low - LABEL_HEIGHT;
    for (const index of order) reached = places[index] = Math.max(places[index], reached + LABEL_HEIGHT);
    reached = high + LABEL_HEIGHT;
    for (const index of order.reverse()) reached = places[index] = Math.min(places[index], reached - LABEL_HEIGHT);
    return places;
  }

  function drawXY(spec, width) {
    const named = spec.series.filter((series) => series.lines.length);
    const marginRight = named.length ? 14 + 7 * Math.max(...named.map((series) => series.label.length)) : 16;
    const margins = { marginTop: 12, marginBottom: 38, marginLeft: 46, marginRight };
    const { height } = spec;
    const y = d3.scaleLinear([spec.y.low, spec.y.high], [height - margins.marginBottom, margins.marginTop]);
    const ends = named.map(({ lines }) => d3.mean(lines, (line) => y(line.ys.at(-1))));
    const places = spreadOut(ends, margins.marginTop + 4, height - margins.marginBottom);
    const marks = [];
    if (spec.x.low <= 0 && spec.x.high > 0 && spec.x.unit === "points") marks.push(Plot.ruleX([0], { stroke: "var(--muted)" }));
    if (spec.y.low <= 0 && spec.y.high > 0) marks.push(Plot.ruleY([0], { stroke: "var(--muted)" }));
    for (const { style, area } of spec.series) {
      if (area) marks.push(Plot.areaY(area.xs.map((x, i) => [x, area.lows[i], area.highs[i]]), { x: "0", y1: "1", y2: "2", fill: colour(style), fillOpacity: 0.16 }));
    }
    for (const { style, lines, dots } of spec.series) {
      for (const line of lines) {
        const data = line.xs.map((x, i) => ({ x, y: line.ys[i] }));
        marks.push(Plot.lineY(data, { x: "x", y: "y", stroke: colour(style), strokeWidth: 1.8, strokeDasharray: DASHES[style] ?? undefined }));
      }
      if (dots.length) marks.push(Plot.dot(dots, { x: "x", y: "y", r: 4, fill: colour(style), fillOpacity: 0.55, title: "title", tip: true }));
    }
    const lines = spec.series.flatMap((series) => series.lines.filter((line) => line.title));
    const lastPoints = lines.map((line) => ({ x: line.xs.at(-1), y: line.ys.at(-1), title: minus(line.title) }));
    marks.push(Plot.dot(lastPoints, { x: "x", y: "y", r: 3, fill: "transparent", title: "title", tip: true }));
    named.forEach((series, index) => marks.push(Plot.text([series], {
      frameAnchor: "top-right", textAnchor: "start", dx: 8, dy: places[index] - margins.marginTop - 5, text: "label", fill: colour(series.style),
    })));
    return Plot.plot({ width, height, ...margins, x: scale(spec.x, width - 60), y: scale(spec.y, 1.6 * (height - 50)), marks });
  }

  const rowsOfXY = ({ x, y, series }) => series.flatMap(({ label, lines, dots }) => [
    ...lines.flatMap((line) => line.xs.map((each, i) => ({ series: label, [x.title || "x"]: each, [y.title || "y"]: line.ys[i] }))),
    ...dots.map((dot) => ({ series: label, [x.title || "x"]: dot.x, [y.title || "y"]: dot.y, description: dot.title })),
  ]);

  function drawIntervals({ x, rows }, width) {
    const known = rows.filter(({ estimate }) => estimate.value !== null);
    const longest = Math.max(8, ...known.map(({ label }) => label.length));
    const marginLeft = Math.min(0.42 * width, 7 * longest + 14);
    const lineWidth = (marginLeft - 12) / 12; // in ems of 12 pixels
    return Plot.plot({
      width, height: 36 + 44 * known.length, marginLeft, marginRight: 56, marginBottom: 28, marginTop: 6,
      x: { ...scale(x, width - marginLeft), grid: true },
      y: { domain: known.map(({ label }) => label), label: null, type: "band" },
      marks: [
        Plot.axisY({ lineWidth, tickSize: 0 }),
        Plot.ruleX([0], { stroke: "var(--muted)" }),
        Plot.ruleY(known.filter(({ estimate }) => estimate.low !== null), { y: "label", x1: (row) => row.estimate.low, x2: (row) => row.estimate.high, stroke: "var(--mark)", strokeWidth: 2.5 }),
        Plot.dot(known, { y: "label", x: (row) => row.estimate.value, r: 5, fill: "var(--mark)", title: (row) => minus(row.title), tip: true }),
        Plot.text(known, { y: "label", frameAnchor: "right", textAnchor: "start", dx: 8, text: (row) => points(row.estimate.value), fontWeight: 600 }),
      ],
    });
  }

  const inPoints = (fraction) => (fraction === null ? null : Number((100 * fraction).toPrecision(8)));
  const rowsOfIntervals = ({ rows }) => rows.map(({ label, estimate }) => ({
    name: label, points: inPoints(estimate.value), low_points: inPoints(estimate.low), high_points: inPoints(estimate.high), n: estimate.num,
  }));

  function drawBars({ bars, unit }, width) {
    const most = Math.max(unit === "percent" ? 0.01 : 1, ...bars.map(([, value]) => value));
    const marginLeft = 14 + 7.2 * Math.max(1, ...bars.map(([name]) => name.length));
    return Plot.plot({
      width: Math.max(Math.min(width, 380), marginLeft + 120), height: 28 * bars.length + 8, marginLeft, marginRight: 56, marginTop: 4, marginBottom: 4,
      x: { axis: null, domain: [0, most] },
      y: { domain: bars.map(([name]) => name), label: null },
      marks: [
        Plot.axisY({ tickSize: 0, fontSize: 12 }),
        Plot.barX(bars, { x: "1", y: "0", fill: "var(--mark)", rx: 2, insetTop: 3, insetBottom: 3 }),
        Plot.text(bars, { x: "1", y: "0", text: ([, value]) => (unit === "percent" ? `${number(Math.round(1000 * value) / 10)} %` : number(value)), textAnchor: "start", dx: 6, fontSize: 12 }),
      ],
    });
  }

  const rowsOfBars = ({ bars, unit }) => bars.map(([value, size]) => ({ value, [unit === "percent" ? "share" : "num_pairs"]: size }));

  const KINDS = {
    xy: { draw: drawXY, rows: rowsOfXY },
    intervals: { draw: drawIntervals, rows: rowsOfIntervals },
    bars: { draw: drawBars, rows: rowsOfBars },
    network: { draw: peerkd.drawNetwork, rows: peerkd.rowsOfNetwork },
    // The scripts of these kinds come later, and a page without such charts may lack them.
    matrix: { draw: (spec) => peerkd.drawMatrixOfSpec(spec), rows: (spec) => peerkd.rowsOfMatrix(spec) },
    surface: { draw: (spec, width) => peerkd.drawSurfaceOfSpec(spec, width), rows: (spec) => peerkd.rowsOfSurface(spec) },
  };

  /** Draw every chart that the page describes. */
  peerkd.drawCharts = function () {
    for (const container of document.querySelectorAll(".chart[data-label]")) {
      const spec = JSON.parse(container.querySelector("script").textContent);
      const { draw, rows } = KINDS[spec.kind];
      peerkd.figure(container, { label: spec.label, draw: (width) => draw(spec, width), rows: () => rows(spec), maxWidth: 720 });
    }
  };
}
