/** One pair: what pays off if it is judged alone, its surface, its controls, its curves, and what its student learns and forgets. */
{
  const { element, choice } = peerkd;
  const { points, magnitude, bytes, number } = peerkd.format;

  const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  const ADVICE = {
    distil: "gains from this teacher",
    fine_tune: "gains from training on without a teacher",
    leave: "gains from no training",
  };

  /** Return the trainings of a pair that are compared, as rows of a table. */
  function comparedRows(study, student, teacher) {
    const named = { "best setting": "chosen", "untuned default": "default", "best control without a teacher": "control" };
    const trained = Object.entries(named).flatMap(([name, role]) => {
      const row = study.rowOf(role, "", student, teacher);
      if (row < 0) return [];
      const value = (measure) => study.value(row, measure);
      return [{
        training: `${name} (${peerkd.settingText(study.setting(row))})`,
        global: `${points(value("global"))} \u00b1${magnitude(study.standardError(row))}`, own: points(value("own")), "teacher's part": role === "control" ? "" : points(value("teacher")),
        forgetting: magnitude(value("forgetting")), "became right": study.rows.right[row], "became wrong": study.rows.wrong[row],
      }];
    });
    return [...trained, { training: "unchanged student", global: "0.0", own: "0.0", "teacher's part": "", forgetting: "0.0", "became right": 0, "became wrong": 0 }];
  }

  function drawClasses(study, student, teacher, width) {
    const data = classRows(study, student, teacher);
    return Plot.plot({
      width, height: 60 + 22 * study.class_names.length, marginLeft: 20 + 7 * Math.min(16, Math.max(...study.class_names.map((name) => name.length))), marginBottom: 34,
      x: { label: "change of accuracy on the class, points", labelArrow: "none", grid: true, tickFormat: number }, y: { domain: study.class_names, label: null, tickSize: 0 },
      marks: [
        Plot.ruleX([0], { stroke: "var(--muted)" }),
        Plot.barX(data.filter((each) => each.training === "best setting"), { y: "class", x: "points", fill: (each) => (each.points < 0 ? "var(--n5)" : "var(--p5)"), insetTop: 3, insetBottom: 3 }),
        Plot.tickX(data.filter((each) => each.training === "control"), { y: "class", x: "points", stroke: "var(--ink)", strokeWidth: 3 }),
      ],
    });
  }

  function classRows(study, student, teacher) {
    const [num, pair] = [study.class_names.length, student * study.num + teacher];
    return [["chosen", "best setting"], ["control", "control"]].flatMap(([role, training]) =>
      study.rowOf(role, "", student, teacher) < 0 ? [] : study.class_names.map((name, index) => ({
        class: name, training, points: Math.round(study.classes[role][pair * num + index]) / 100,
      })).filter((each) => each.points > -300),
    );
  }

  const curveRows = (study, student, teacher) => Object.entries(study.curves?.[`${student},${teacher}`] ?? {}).flatMap(([training, accuracies]) =>
    accuracies.map((accuracy, epoch) => ({ training, epoch: epoch + 1, accuracy_pct: accuracy === null ? NaN : Number((100 * accuracy).toPrecision(6)) })));

  function drawCurves(study, student, teacher, width) {
    const data = curveRows(study, student, teacher);
    return Plot.plot({
      width, height: 240, marginRight: 110, marginBottom: 36, x: { label: "epoch", labelArrow: "none", ticks: d3.ticks(1, d3.max(data, (row) => row.epoch), 6).filter(Number.isInteger), tickFormat: number },
      y: { label: `${study.scope} test accuracy, %`, labelArrow: "none", grid: true },
      marks: [
        Plot.lineY(data, { x: "epoch", y: "accuracy_pct", z: "training", stroke: (row) => (row.training === "control" ? "var(--l1)" : "var(--l0)"), strokeDasharray: null, marker: "dot" }),
        Plot.text(data, Plot.selectLast({ x: "epoch", y: "accuracy_pct", z: "training", text: "training", textAnchor: "start", dx: 6, fill: "var(--ink)" })),
      ],
    });
  }

  function movedText(study, student, teacher) {
    const moved = Object.entries(study.moved).map(([set, byTeacher]) => `${bytes(byTeacher[teacher])} with set ${set}`);
    return moved.length ? `What leaves ${study.named[teacher]} for ${study.named[student]}: ${moved.join(", ")}.` : "";
  }

  /** Build the view of a pair. Returns a function that shows a pair and moves the reader to it. */
  peerkd.pairView = function (container, study) {
    let [pair, measure] = [study.first_pair, study.scope];
    const controls = element("div", { class: "controls" });
    const content = element("div", {});
    const status = element("p", { class: "status", role: "status" });
    container.append(controls, status, content);

    function figure(caption, draw, rows, maxWidth = 1100) {
      const place = element("div", {});
      const whole = element("figure", {}, element("figcaption", {}, caption), place);
      return [whole, () => peerkd.figure(place, { label: caption, draw, rows, maxWidth })];
    }

    function show() {
      // In a sampled study, another student has other teachers.
      if (study.isSampled && !study.teachers[pair[0]].includes(pair[1])) pair = [pair[0], study.teachers[pair[0]][0]];
      const [student, teacher] = pair;
      const isPair = study.distillations.has(student * study.num + teacher);
      const names = study.named.map((name, peer) => [peer, name]);
      const select = (place) => (value) => { pair = place ? [pair[0], Number(value)] : [Number(value), pair[1]]; show(); };
      controls.replaceChildren(choice("Student", names, select(0), student), choice("Teacher", study.isSampled ? study.teachers[student].map((peer) => names[peer]) : names, select(1), teacher), choice("Measure", Object.entries(peerkd.MEASURES), (value) => { measure = value; show(); }, measure));
      if (!isPair) {
        status.textContent = student === teacher ? "A peer does not teach itself. Choose two peers." : "This pair has no results, because its trainings or one of its peers diverged.";
        content.replaceChildren();
        return;
      }
      const index = student * study.num + teacher;
      const [gain, low, high] = ["gain", "gain_low", "gain_high"].map((name) => study.predicted[name][index]);
      const advice = ADVICE[study.decision(student, teacher)] ?? "";
      status.textContent = `Judged by the trainings of this pair alone, ${study.named[student]} ${advice}. Gain predicted on validation: ${points(gain)} points${Number.isNaN(low) ? "" : ` (90 % interval ${points(low)} to ${points(high)})`}.`;
      const cells = () => peerkd.pairCells(study, pair, measure);
      const parts = [figure(
        `${capitalized(peerkd.MEASURES[measure])} of ${study.named[student]} from ${study.named[teacher]}, points on test`,
        (width) => peerkd.drawSurface(cells(), { width, limit: peerkd.limitOf(cells().map((cell) => cell.value)), sets: study.transfer_sets }),
        () => peerkd.rowsOfCells(cells()),
      )];
      const small = [];
      if (study.classes) small.push(figure("Classes learned and forgotten: bars are the best setting, black ticks the control", (width) => drawClasses(study, student, teacher, width), () => classRows(study, student, teacher), 560));
      if (curveRows(study, student, teacher).length) small.push(figure("Accuracy by epoch", (width) => drawCurves(study, student, teacher, width), () => curveRows(study, student, teacher), 560));
      const compared = element("div", { class: "scroll", role: "region", "aria-label": "Trainings of this pair", tabindex: 0 }, peerkd.dataTable(comparedRows(study, student, teacher)));
      content.replaceChildren(
        parts[0][0], compared, element("div", { class: "columns" }, ...small.map(([whole]) => whole)), element("p", {}, movedText(study, student, teacher)),
      );
      for (const [, draw] of [...parts, ...small]) draw();
    }

    show();
    return (selected) => {
      pair = selected;
      show();
      container.closest("section").scrollIntoView();
      controls.querySelector("select").focus({ preventScroll: true });
    };
  };
}
