/** The results of all trials of a sweep, and what the reader has selected from them. */
{
  const NO_CLASS = -32768; // a change that is unknown
  const ARRAYS = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u4: Uint32Array, i2: Int16Array, u2: Uint16Array, u1: Uint8Array };

  /** Return the array that the page has as base64 of little-endian numbers. */
  function unpack({ type, data }) {
    const text = atob(data);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
    return new ARRAYS[type](bytes.buffer);
  }

  /** Return the number that a 32-bit float was rounded from, as far as 8 decimals tell it. */
  const exact = (value) => Math.round(value * 1e8) / 1e8;

  const unpackAll = (packed) => Object.fromEntries(Object.entries(packed).map(([name, each]) => [name, unpack(each)]));

  /** Read the study from the page. */
  peerkd.readStudy = function () {
    const data = JSON.parse(document.getElementById("study").textContent);
    const num = data.peers.length;
    const rows = unpackAll(data.rows);
    const tried = data.tried && unpackAll(data.tried);

    /** Return a matrix of all peers from the numbers of the pairs that were tried. `missing` stands for all others. */
    function square(values, missing) {
      if (!tried) return values;
      const size = values.length / tried.student.length; // numbers of a pair
      const all = new values.constructor(num * num * size).fill(missing);
      tried.student.forEach((student, i) => all.set(values.subarray(i * size, (i + 1) * size), (student * num + tried.teacher[i]) * size));
      return all;
    }
    const unpackSquares = (packed, missing) => Object.fromEntries(Object.entries(packed).map(([name, each]) => [name, square(unpack(each), missing)]));

    const roles = Object.fromEntries(Object.entries(data.roles).map(([role, bySet]) => [role, unpackSquares(bySet, -1)]));
    const decisions = square(unpack(data.decisions), 0);
    const teachers = d3.range(num).map((student) => (tried ? [] : d3.range(num).filter((other) => other !== student)));
    if (tried) tried.student.forEach((student, i) => teachers[student].push(tried.teacher[i]));
    const { measures: measured, ...flags } = data.surface;
    const isFinite_ = (row) => !Number.isNaN(rows.own[row]);
    const distillations = new Map();
    rows.setting.forEach((setting, row) => {
      if (data.settings[setting].is_control || !isFinite_(row)) return;
      const pair = rows.student[row] * num + rows.teacher[row];
      if (!distillations.has(pair)) distillations.set(pair, []);
      distillations.get(pair).push(row);
    });

    const measures = {
      global: (row) => (rows.right[row] - rows.wrong[row]) / data.num_test_samples,
      own: (row) => exact(rows.own[row]),
      forgetting: (row) => exact(rows.forgetting[row]),
      teacher: (row) => exact(rows.from_teacher[row]),
    };

    return {
      ...data, num, rows, distillations,
      named: data.peers.map(peerkd.format.nameOf),
      classes: data.classes && unpackSquares(data.classes, NO_CLASS),
      predicted: unpackSquares(data.predicted, NaN),
      surface: { ...unpackAll(flags), measures: Object.fromEntries(Object.entries(measured).map(([measure, arrays]) => [measure, unpackAll(arrays)])) },
      pairs: teachers.flatMap((others, student) => others.map((teacher) => [student, teacher])).filter(([student, teacher]) => distillations.has(student * num + teacher)),

      /** The teachers of each student that the study planned, ascending. */
      teachers,
      isSampled: Boolean(tried),

      /** Return a measure of a trial as a fraction, NaN for a trial that diverged or does not exist. */
      value: (row, measure) => (row < 0 || !isFinite_(row) ? NaN : measures[measure](row)),

      /** Return the row of a pair's trial in a role: the best, the default, or the control, in one transfer set or all. */
      rowOf: (role, set, student, teacher) => (roles[role]?.[set] ? roles[role][set][student * num + teacher] : -1),

      /** Return whether a role exists within a transfer set. */
      has: (role, set) => Boolean(roles[role]?.[set]),

      decision: (student, teacher) => ["", "distil", "fine_tune", "leave"][decisions[student * num + teacher]],

      /** Return the standard error of a gain of global accuracy, from the samples on which both networks differ. */
      standardError(row) {
        const [right, wrong] = [rows.right[row], rows.wrong[row]].map((count) => count / data.num_test_samples);
        return Math.sqrt(Math.max(0, right + wrong - (right - wrong) ** 2) / data.num_test_samples);
      },

      setting: (row) => data.settings[rows.setting[row]],
    };
  };

  peerkd.MEASURES = {
    global: "gain of global accuracy",
    own: "gain of own accuracy",
    teacher: "teacher's part of the gain",
    forgetting: "forgetting",
  };

  /** Draw everything that a reader can explore. */
  peerkd.explore = function () {
    const study = peerkd.readStudy();
    peerkd.drawMeanSurface(document.getElementById("mean-surface"), study);
    const showPair = peerkd.pairView(document.getElementById("pair-view"), study);
    peerkd.pairsMap(document.getElementById("pairs-map"), study, showPair);
  };
}
