/** The peers on a circle, with an arrow for each teaching that was decided, or that pays off for a pair alone. */
{
  const { points, nameOf } = peerkd.format;
  const MAX_NAMES = 40;
  const WIDEST = 7; // pixels
  const WIDEST_OF_MANY = 3;
  const MANY = 40; // arrows

  const WIDEST_DASHED = 1.5; // pixels

  /** Draw a network: an arrow leads from teacher to student. The width of a solid one is the gain of the student. */
  peerkd.drawNetwork = function ({ peers, arrows, gain_noun, num_drawn }, width) {
    const shown = arrows.slice(0, num_drawn);
    const widest = shown.length > MANY ? WIDEST_OF_MANY : WIDEST;
    const largest = Math.max(1e-9, ...shown.filter(({ is_decided }) => is_decided).map(({ gain }) => gain));
    const taught = new Set(shown.filter(({ is_decided }) => is_decided).map(({ student }) => student));
    const nodes = peers.map((name, peer) => {
      const angle = (2 * Math.PI * peer) / peers.length;
      return { name, peer, x: Math.sin(angle), y: Math.cos(angle) };
    });
    const isCrowded = peers.length > MAX_NAMES;
    const side = Math.min(120, 24 + 6.5 * Math.max(...peers.map((name) => name.length)));
    const arrowsOf = (some, style) =>
      Plot.arrow(some, {
        x1: ({ teacher }) => nodes[teacher].x, y1: ({ teacher }) => nodes[teacher].y,
        x2: ({ student }) => nodes[student].x, y2: ({ student }) => nodes[student].y,
        stroke: ({ gain, is_decided }) => (is_decided && gain > 0 ? "var(--mark)" : "var(--muted)"), strokeOpacity: shown.length > MANY ? 0.45 : 0.7,
        headLength: style.strokeDasharray ? 8 : 5, bend: 18, insetStart: 10, insetEnd: 12, ...style,
        title: ({ student, teacher, gain, is_decided }) => `${nameOf(peers[student])} from ${nameOf(peers[teacher])}: ${points(gain)} points ${gain_noun}${is_decided ? "" : " (this pair alone, no advice)"}`,
      });
    return Plot.plot({
      width, height: Math.min(380, width), marginLeft: side, marginRight: side, marginTop: 28, marginBottom: 28,
      x: { axis: null, domain: [-1, 1] }, y: { axis: null, domain: [-1, 1] },
      marks: [
        arrowsOf(shown.filter(({ is_decided }) => !is_decided), { strokeDasharray: "4 4", strokeWidth: WIDEST_DASHED }),
        arrowsOf(shown.filter(({ is_decided }) => is_decided), { strokeWidth: ({ gain }) => Math.max(1, (widest * gain) / largest) }),
        Plot.dot(nodes, { x: "x", y: "y", r: isCrowded ? 3 : 7, fill: ({ peer }) => (taught.has(peer) ? "var(--mark)" : "var(--page)"), stroke: "var(--mark)", strokeWidth: 2 }),
        ...nodes.map((node) => Plot.text([node], {
          x: "x", y: "y", text: "name", fontSize: isCrowded ? 8 : 12, fontWeight: 600, fill: "var(--ink)",
          dx: 14 * node.x, dy: -15 * node.y, textAnchor: node.x > 0.2 ? "start" : node.x < -0.2 ? "end" : "middle",
        })),
      ],
    });
  };

  /** Return the arrows for a file. */
  peerkd.rowsOfNetwork = ({ peers, arrows }) =>
    arrows.map(({ student, teacher, gain, is_decided }) => ({ student: peers[student], teacher: peers[teacher], advice: is_decided ? "learn" : "pair alone", gain_points: Number((100 * gain).toPrecision(8)) }));
}
