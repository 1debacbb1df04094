"use strict";
// Search, filters, the list of rows, and everything about one row.

class Explorer {
  /** @param {Rows} rows @param {HTMLElement} host */
  constructor(rows, host) {
    this.rows = rows;
    /** @type {GradientMap|null} */
    this.map = null;
    this.part = (/** @type {string} */ name) => /** @type {any} */ (host.querySelector(`[data-part=${name}]`));
    this.list = this.part("list");
    this.detail = this.part("detail");
    this.focus = -1;
    /** @type {number[]} */
    this.before = [];
    this.length = 40;
    /** @type {number[]} */
    this.found = [];
    this.waiting = 0;
    this.#options();
    for (const name of ["set", "source", "state", "choice", "order"]) {
      this.part(name)?.addEventListener("change", () => this.search());
    }
    for (const name of ["colour", "walk"]) this.part(name)?.addEventListener("change", () => this.paint());
    this.part("query").addEventListener("input", () => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.search(), 150);
    });
    this.part("clear").addEventListener("click", () => this.clear());
    this.search();
  }

  /** Which selection filters, colours and scores are of. */
  get choice() {
    return Number(this.part("choice")?.value ?? 0);
  }

  /** Attach the map once it is drawn. @param {GradientMap} map */
  attach(map) {
    this.map = map;
    for (const [name, act] of Object.entries({ closer: () => map.zoom(0.7), farther: () => map.zoom(1 / 0.7), all: () => map.all() })) {
      this.part(name).addEventListener("click", act);
    }
    this.paint();
  }

  /** Take all filters back. */
  clear() {
    this.part("query").value = "";
    for (const name of ["set", "source"]) this.part(name).value = "-1";
    this.part("state").value = "any";
    this.search();
  }

  /** Find the rows, list them, and paint the map. */
  search() {
    clearTimeout(this.waiting); // what is typed is found now: the list must not change again under a click
    const filter = {
      words: this.part("query").value.toLowerCase().split(/\s+/).filter(Boolean),
      set: Number(this.part("set").value),
      source: Number(this.part("source").value),
      state: this.part("state").value,
      choice: this.choice,
    };
    this.found = this.rows.ordered(this.rows.matching(filter), this.part("order").value, this.choice);
    this.length = 40;
    this.part("count").textContent = `${counted(this.found.length)} of ${counted(this.rows.count)} rows`;
    this.#fill();
    this.paint();
    if (this.focus >= 0) this.show(this.focus, false);
  }

  /** Paint the map and its legend. */
  paint() {
    if (!this.map) return;
    const by = this.part("colour").value;
    this.map.paint(new Set(this.found), by, this.choice);
    this.map.walk(this.part("walk")?.checked ? this.choice : -1);
    this.part("legend").classList.toggle("scale", by === "score");
    this.part("legend").replaceChildren(
      ...this.map.legend(by, this.choice).map(({ name, colour }) => {
        const swatch = make("span", { className: "swatch" });
        swatch.style.background = colour;
        return make("span", { className: "entry" }, swatch, name);
      }),
    );
  }

  /** Tell everything about a row. @param {number} row @param {boolean} [walked] whether to remember the one before */
  show(row, walked = true) {
    if (walked && this.focus >= 0 && this.focus !== row) this.before.push(this.focus);
    this.focus = row;
    this.detail.replaceChildren(...this.#about(row));
    this.map?.mark(row);
    if (row < this.rows.mapped) this.map?.reveal(row);
    for (const button of this.list.querySelectorAll("[aria-current]")) button.removeAttribute("aria-current");
    this.list.querySelector(`[data-row="${row}"]`)?.setAttribute("aria-current", "true");
    if (walked) {
      this.detail.scrollTop = 0;
      this.detail.focus({ preventScroll: matchMedia("(min-width: 60rem)").matches });
    }
  }

  #options() {
    const { data } = this.rows;
    const fill = (/** @type {string} */ name, /** @type {string[]} */ names) => {
      const kept = name === "choice" ? [] : [make("option", { value: "-1" }, name === "set" ? "all data sets" : "all sources")];
      this.part(name)?.replaceChildren(
        ...kept, ...names.map((text, i) => make("option", { value: String(i) }, text || "unnamed")),
      );
    };
    fill("set", data.sets);
    fill("source", data.sources);
    fill("choice", data.selections.map((selection) => selection.name));
  }

  #fill() {
    const shown = this.found.slice(0, this.length).map((row) => make("li", {}, this.#button(row)));
    this.list.replaceChildren(...shown);
    const more = this.part("more");
    more.hidden = this.found.length <= this.length;
    more.onclick = () => {
      const first = this.length;
      this.length += 200;
      this.#fill();
      this.list.children[first]?.querySelector("button").focus();
    };
    this.part("none").hidden = this.found.length > 0;
  }

  /** A row that can be asked about. @param {number} row @param {string} [before] such as a cosine */
  #button(row, before = "") {
    const { data } = this.rows;
    const rank = data.selections[this.choice]?.rank[row];
    const about = [
      data.sources[data.source[row]], data.targets[data.set[row]] && "target", rank >= 0 && `pick ${counted(rank + 1)}`,
    ];
    return make(
      "button", { type: "button", className: "row", "data-row": row, onclick: () => this.show(row) },
      before && make("span", { className: "cosine" }, before),
      make("span", { className: "name" }, make("bdi", {}, data.id[row])),
      make("span", { className: "about" }, about.filter(Boolean).join(" · ")),
      make("span", { className: "snippet", dir: "auto" }, this.rows.snippet(row, 120)),
    );
  }

  /** @param {number} row @returns {Node[]} */
  #about(row) {
    const { data } = this.rows;
    const facts = [
      data.sets[data.set[row]], data.sources[data.source[row]], data.tokens[row] && `${counted(data.tokens[row])} tokens`,
      data.loss[row] !== null && `loss ${figure(data.loss[row])}`, this.rows.cut.has(row) && "truncated",
      data.reasons[data.reason[row]] && `no gradient: ${data.reasons[data.reason[row]]}`,
      data.x.length > 0 && row >= this.rows.mapped && "not on the map",
    ];
    const back = make("button", { type: "button", className: "small", onclick: () => this.#back() }, "Back");
    const said = make("div", {}, make("p", { className: "about" }, facts.filter(Boolean).join(" · ")), ...this.#text(row));
    const linked = make(
      "div", {}, ...data.selections.map((selection) => this.#reason(row, selection)),
      ...this.#links("Nearest rows", data.near[row]), ...this.#links("Conflicts", data.against[row]),
    );
    return [make("header", {}, make("h3", {}, make("bdi", {}, data.id[row])), this.before.length > 0 && back), said, linked];
  }

  #back() {
    const row = this.before.pop();
    if (row === undefined) return;
    this.focus = -1;
    this.show(row);
  }

  /** @param {number} row */
  #text(row) {
    const turns = this.rows.data.text?.[row] ?? [];
    if (!turns.length) return [make("p", { className: "hint" }, "Its text is not on this page.")];
    return turns.map(([role, text]) =>
      make("div", { className: "turn" }, role && make("span", { className: "role" }, role), make("p", { dir: "auto" }, text)));
  }

  /** Why a row was chosen, or was not. @param {number} row @param {Choice} selection */
  #reason(row, selection) {
    const rank = selection.rank[row];
    const verdict = this.rows.data.verdicts[selection.verdict[row]] ?? "no candidate";
    const twin = selection.twins[row];
    const because = rank < 0 ? [] : Object.entries(selection.because)
      .filter(([, values]) => values[rank] !== "" && values[rank] !== null)
      .map(([key, values]) => `${key.replaceAll("_", " ")} ${figure(values[rank])}`);
    const score = selection.score[row];
    const told = [
      rank >= 0 ? `chosen as number ${counted(rank + 1)} of ${counted(selection.picks.length)}` : verdict,
      score !== null && `score ${figure(score)}`,
      rank >= 0 && selection.serves[rank] && `serves ${selection.serves[rank]}`, ...because,
    ];
    return make(
      "div", { className: rank >= 0 ? "reason chosen" : "reason" },
      make("strong", {}, selection.name), " ", told.filter(Boolean).join(" · "),
      twin && twin[0] >= 0 && make("ul", { className: "rows" }, make("li", {}, this.#button(twin[0], figure(twin[1])))),
    );
  }

  /** @param {string} title @param {number[]|undefined} pairs */
  #links(title, pairs) {
    if (!pairs?.length) return [];
    const entries = [];
    for (let i = 0; i < pairs.length; i += 2) {
      entries.push(make("li", {}, this.#button(pairs[i], (pairs[i + 1] / 1000).toFixed(3))));
    }
    return [make("h4", {}, title), make("ul", { className: "rows" }, ...entries)];
  }
}
