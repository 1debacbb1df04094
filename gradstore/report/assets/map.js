"use strict";
// The map: fills the sources of its Bokeh figure, and says which row was clicked or is under the pointer.

/** Values of the style sheet. @param {string} name */
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

class GradientMap {
  /**
   * @param {Rows} rows @param {any} plot Bokeh's figure @param {HTMLElement} host
   * @param {{colours: string[], others: string, scale: string[]}} palette
   * @param {(row: number) => void} onpick
   */
  constructor(rows, plot, host, palette, onpick) {
    Object.assign(this, { rows, plot, host, palette });
    const named = (/** @type {string} */ name) => plot.document.get_model_by_name(name);
    this.points = named("points");
    this.near = named("near");
    this.against = named("against");
    this.path = named("path");
    this.focus = named("focus");
    /** Row of each point: what should be seen is drawn last. @type {number[]} */
    this.order = [];
    this.points.selected.properties.indices.change.connect(() => {
      const [point] = this.points.selected.indices;
      if (point === undefined) return;
      this.points.selected.indices = [];
      onpick(this.order[point]);
    });
    host.addEventListener("keydown", (event) => this.#key(event));
    this.tip = make("div", { className: "tip", hidden: true });
    host.append(this.tip);
    host.addEventListener("pointermove", (event) => this.#tell(event.clientX, event.clientY));
    for (const gone of ["pointerleave", "pointerdown", "wheel"]) host.addEventListener(gone, () => { this.tip.hidden = true; });
    this.all();
  }

  /** Show everything. */
  all() {
    this.#show(-0.03, 1.03, -0.03, 1.03);
  }

  /** @param {number} factor below 1 to come closer */
  zoom(factor) {
    const { x_range: x, y_range: y } = this.plot;
    const [cx, cy, w, h] = [(x.start + x.end) / 2, (y.start + y.end) / 2, x.end - x.start, y.end - y.start];
    this.#show(cx - w * factor / 2, cx + w * factor / 2, cy - h * factor / 2, cy + h * factor / 2);
  }

  /** Bring a row into sight. @param {number} row */
  reveal(row) {
    const { x_range: x, y_range: y } = this.plot;
    const [px, py] = this.#place(row);
    if (px > x.start && px < x.end && py > y.start && py < y.end) return;
    const [w, h] = [(x.end - x.start) / 2, (y.end - y.start) / 2];
    this.#show(px - w, px + w, py - h, py + h);
  }

  /**
   * Colour the points; those outside `matching` are faint.
   * @param {Set<number>} matching @param {string} by @param {number} choice
   */
  paint(matching, by, choice) {
    const colours = this.#colours(by, choice);
    const { data } = this.rows;
    const faint = style("--faint");
    const rank = data.selections[choice]?.rank;
    const layers = [[], [], []];
    for (let row = 0; row < this.rows.mapped; row++) {
      const seen = matching.has(row);
      layers[!seen ? 0 : data.targets[data.set[row]] || rank?.[row] >= 0 ? 2 : 1].push(row);
    }
    this.order = layers.flat();
    const stands = new Map(layers[2].map((row) => [row, true]));
    this.points.data = {
      x: this.order.map((row) => this.#place(row)[0]),
      y: this.order.map((row) => this.#place(row)[1]),
      color: this.order.map((row) => (matching.has(row) ? colours(row) : faint)),
      size: this.order.map((row) => (stands.has(row) ? 6 : this.rows.mapped > 3000 ? 3.5 : 5)),
      marker: this.order.map((row) => (data.targets[data.set[row]] ? "triangle" : "circle")),
    };
  }

  /** Ring a row, and draw its links. @param {number} row -1 for none */
  mark(row) {
    const { data } = this.rows;
    const on = row >= 0 && row < this.rows.mapped;
    const [x, y] = on ? this.#place(row) : [NaN, NaN];
    this.focus.data = { x: [x], y: [y] };
    for (const [source, pairs] of [[this.near, data.near], [this.against, data.against]]) {
      const ends = (on ? pairs[row] ?? [] : []).filter((end, i) => i % 2 === 0 && end < this.rows.mapped);
      source.data = {
        x0: ends.map(() => x), y0: ends.map(() => y),
        x1: ends.map((end) => this.#place(end)[0]), y1: ends.map((end) => this.#place(end)[1]),
      };
    }
  }

  /** Draw the path of a selection's picks, one line for each core direction. @param {number} choice -1 for none */
  walk(choice) {
    const selection = this.rows.data.selections[choice];
    const core = selection?.because.core ?? [];
    const [x, y] = [[], []];
    selection?.picks.forEach((row, pick) => {
      if (row < 0 || row >= this.rows.mapped) return;
      const [px, py] = this.#place(row);
      if (pick && core[pick] !== core[pick - 1]) { x.push(NaN); y.push(NaN); }
      x.push(px); y.push(py);
    });
    this.path.data = { x, y };
  }

  /** What the colours mean. @param {string} by @param {number} choice @returns {{name: string, colour: string}[]} */
  legend(by, choice) {
    const { data } = this.rows;
    const { colours, others } = this.palette;
    if (by === "source") {
      const named = data.sources.slice(0, colours.length).map((name, i) => ({ name: name || "unnamed", colour: colours[i] }));
      return data.sources.length > colours.length ? [...named, { name: "other sources", colour: others }] : named;
    }
    if (by === "set") return data.sets.map((name, i) => ({ name, colour: colours[i % colours.length] }));
    if (by === "chosen") {
      return [
        { name: "chosen", colour: colours[1] }, { name: "kept out by a limit", colour: colours[3] },
        { name: "not chosen", colour: style("--passed") }, { name: "no candidate, such as targets", colour: colours[0] },
      ];
    }
    const known = this.#span(choice);
    const { scale } = this.palette;
    return scale.map((colour, i) => ({
      name: i === 0 || i === scale.length - 1 ? figure(known[0] + (known[1] - known[0]) * i / (scale.length - 1)) : "",
      colour,
    }));
  }

  /** @param {string} by @param {number} choice @returns {(row: number) => string} */
  #colours(by, choice) {
    const { data } = this.rows;
    const { colours, others, scale } = this.palette;
    const selection = data.selections[choice];
    if (by === "source") return (row) => colours[data.source[row]] ?? others;
    if (by === "set") return (row) => colours[data.set[row] % colours.length];
    if (by === "chosen") {
      const passed = style("--passed");
      return (row) => {
        const verdict = selection?.verdict[row];
        return verdict === 0 ? passed : verdict === 1 ? colours[1] : verdict < data.verdicts.length ? colours[3] : colours[0];
      };
    }
    const [low, high] = this.#span(choice);
    return (row) => {
      const score = selection?.score[row];
      if (score === null || score === undefined) return others;
      const place = Math.max(0, Math.min(1, (score - low) / (high - low || 1)));
      return scale[Math.round(place * (scale.length - 1))];
    };
  }

  /** First and last percentile of the scores. @param {number} choice @returns {[number, number]} */
  #span(choice) {
    const known = (this.rows.data.selections[choice]?.score ?? []).filter((score) => score !== null).sort((a, b) => a - b);
    return [known[Math.floor(known.length * 0.01)] ?? 0, known[Math.ceil(known.length * 0.99) - 1] ?? 1];
  }

  /** Say which row is under the pointer. @param {number} clientX @param {number} clientY */
  #tell(clientX, clientY) {
    const box = this.host.getBoundingClientRect();
    const [left, top] = [clientX - box.left, clientY - box.top];
    const row = this.#under(left, top, box);
    this.tip.hidden = row < 0;
    if (row < 0) return;
    const { data } = this.rows;
    const about = [data.sets[data.set[row]], data.sources[data.source[row]]].filter(Boolean).join(" · ");
    this.tip.replaceChildren(
      make("strong", {}, data.id[row]), make("span", {}, about), make("span", {}, this.rows.snippet(row, 90)));
    // On the side where there is room.
    this.tip.style.left = left < box.width / 2 ? `${left + 12}px` : "auto";
    this.tip.style.right = left < box.width / 2 ? "auto" : `${box.width - left + 12}px`;
    this.tip.style.top = top < box.height / 2 ? `${top + 12}px` : "auto";
    this.tip.style.bottom = top < box.height / 2 ? "auto" : `${box.height - top + 12}px`;
  }

  /** The row nearest to a place of the map, -1 if none is near. @param {number} left @param {number} top @param {DOMRect} box */
  #under(left, top, box) {
    const { x_range: x, y_range: y } = this.plot;
    const [across, up] = [box.width / (x.end - x.start), box.height / (y.end - y.start)];
    let [nearest, least] = [-1, 8 ** 2];
    for (const row of this.order) {
      const [px, py] = this.#place(row);
      const away = ((px - x.start) * across - left) ** 2 + ((y.end - py) * up - top) ** 2;
      if (away <= least) [nearest, least] = [row, away];
    }
    return nearest;
  }

  /** @param {number} row @returns {[number, number]} */
  #place(row) {
    return [this.rows.data.x[row] / 9999, this.rows.data.y[row] / 9999];
  }

  /** @param {number} left @param {number} right @param {number} low @param {number} high */
  #show(left, right, low, high) {
    this.plot.x_range.setv({ start: left, end: right });
    this.plot.y_range.setv({ start: low, end: high });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { x_range: x, y_range: y } = this.plot;
    const [w, h] = [(x.end - x.start) / 8, (y.end - y.start) / 8];
    const move = { ArrowLeft: [-w, 0], ArrowRight: [w, 0], ArrowUp: [0, h], ArrowDown: [0, -h] }[event.key];
    if (move) this.#show(x.start + move[0], x.end + move[0], y.start + move[1], y.end + move[1]);
    else if (event.key === "+" || event.key === "=") this.zoom(0.7);
    else if (event.key === "-") this.zoom(1 / 0.7);
    else if (event.key === "0") this.all();
    else return;
    event.preventDefault();
  }
}
