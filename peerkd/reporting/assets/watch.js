/** The page of a run in progress. It asks for the facts every second, and shows them as they are. */
"use strict";
{
  const MILLISECONDS = 1000;
  const place = (id) => document.getElementById(id);
  const percent = (fraction) => `${Math.round(100 * fraction)} %`;
  const points = (value) => `${value > 0 ? "+" : ""}${value}`.replace("-", "\u2212");
  let drawn = "";

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function progress(fraction, label) {
    return element("progress", { max: 1, value: fraction, "aria-label": label }, percent(fraction));
  }

  function rowOfStage({ name, state, text, passed, fraction }) {
    return element(
      "tr", { class: state },
      element("th", { scope: "row" }, name),
      element("td", {}, state),
      element("td", {}, ...(state === "waiting" ? [] : [progress(fraction, `Finished share of ${name}`), text])),
      element("td", {}, passed),
    );
  }

  function rowOfWorker({ index, ago, text }) {
    return element("tr", {}, element("td", { class: "num" }, String(index)), element("td", {}, text), element("td", {}, `${ago} ago`));
  }

  /** Draw how the largest gain grew. The last value holds until the present. */
  function drawGains({ gains, num_done, num_units, unit }) {
    const width = Math.min(720, place("chart").clientWidth || 560);
    const content = JSON.stringify([gains, num_done, num_units, width]);
    if (content === drawn) return;
    drawn = content;
    const [, best] = gains.at(-1);
    place("best").textContent = `The largest gain on validation so far is ${points(best)} points, after ${num_done.toLocaleString("en")} of ${num_units.toLocaleString("en")} ${unit}.`;
    const line = [...gains, [Math.max(num_done, gains.at(-1)[0]), best]];
    const chart = Plot.plot({
      width, height: 260, marginLeft: 46, marginBottom: 38,
      x: { domain: [0, num_units], label: `${unit} done`, labelArrow: "none" },
      y: { label: "largest gain on validation, points", labelArrow: "none", grid: true, nice: true, zero: true },
      marks: [
        Plot.ruleY([0], { stroke: "var(--muted)" }),
        Plot.line(line, { x: "0", y: "1", curve: "step-after", stroke: "var(--mark)", strokeWidth: 2 }),
        Plot.dot(gains, { x: "0", y: "1", r: 3, fill: "var(--mark)", title: ([num, gain]) => `${points(gain)} points after ${num.toLocaleString("en")} ${unit}`, tip: true }),
      ],
    });
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", `Largest gain on validation against ${unit} done`);
    for (const mark of chart.querySelectorAll("[aria-label]")) mark.removeAttribute("aria-label");
    place("chart").replaceChildren(chart);
  }

  function setText(id, text) {
    // The text of a status is read aloud whenever it is set.
    if (place(id).textContent !== text) place(id).textContent = text;
  }

  function show(facts) {
    document.title = `${percent(facts.fraction)} ${facts.title}`;
    setText("pipeline", facts.pipeline);
    setText("title", facts.title);
    setText("state", facts.state);
    setText("passed", `, ${percent(facts.fraction)} after ${facts.passed}`);
    place("whole").value = facts.fraction;
    place("message").hidden = !facts.message;
    setText("message", facts.message);
    place("stages").replaceChildren(...facts.stages.map(rowOfStage));
    place("workers").hidden = !facts.workers.length;
    place("worker-rows").replaceChildren(...facts.workers.map(rowOfWorker));
    place("gains").hidden = !facts.gains.length;
    if (facts.gains.length) drawGains(facts);
  }

  async function refresh() {
    try {
      show(await (await fetch("/facts.json")).json());
    } catch {
      setText("state", "no longer watched: peerkd watch has ended");
    }
    document.documentElement.dataset.isReady = "";
    setTimeout(refresh, MILLISECONDS);
  }

  refresh();
}
