"use strict";
// Rows of the page as columns, and what is asked of them. Texts of rows are anybody's: they reach the page only
// through textContent.

/**
 * @typedef {[string, string]} Turn who speaks, and what
 * @typedef {Object} Choice a selection; columns have one entry a row of the page, but for picks, serves and because
 * @property {string} name
 * @property {string} selector
 * @property {boolean} shared whether all candidates are scored alike
 * @property {(number|null)[]} score
 * @property {number[]} rank -1 where not chosen
 * @property {number[]} verdict places in verdicts; beyond them where the row was no candidate
 * @property {number[]} picks rows in pick order, -1 for one that is not on the page
 * @property {string[]} serves
 * @property {Record<string, any[]>} because
 * @property {Record<string, [number, number]>} twins
 * @typedef {Object} Data
 * @property {string[]} sets
 * @property {boolean[]} targets
 * @property {string[]} sources
 * @property {string[]} reasons
 * @property {string[]} verdicts
 * @property {string[]} id
 * @property {number[]} set
 * @property {number[]} source
 * @property {number[]} reason
 * @property {number[]} tokens
 * @property {(number|null)[]} loss
 * @property {number[]} truncated
 * @property {Turn[][]|null} text
 * @property {number[]} x
 * @property {number[]} y
 * @property {number[][]} near a row and a cosine in thousandths, in turns
 * @property {number[][]} against
 * @property {Choice[]} selections
 */

/** The data of the page: base64 of gzip of JSON. @param {string} text @returns {Promise<Data>} */
async function unpack(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/** @typedef {{words: string[], set: number, source: number, state: string, choice: number}} Filter */

class Rows {
  /** @param {Data} data */
  constructor(data) {
    this.data = data;
    this.count = data.id.length;
    this.mapped = data.x.length;
    this.cut = new Set(data.truncated);
    /** @type {string[]} */
    this.haystack = [];
  }

  /** The beginning of a row's text in one line. @param {number} row @param {number} longest */
  snippet(row, longest) {
    const turns = this.data.text?.[row] ?? [];
    const text = (turns.find(([role]) => role !== "system") ?? turns[0] ?? ["", ""])[1];
    const line = text.slice(0, 4 * longest).replace(/\s+/g, " ").trim();
    return line.length > longest ? line.slice(0, longest - 1) + "…" : line;
  }

  /** @param {number} row @param {number} choice */
  verdict(row, choice) {
    return this.data.verdicts[this.data.selections[choice]?.verdict[row]] ?? "no candidate";
  }

  /** Rows that a filter lets through, in the page's order. @param {Filter} filter @returns {number[]} */
  matching(filter) {
    if (filter.words.length && !this.haystack.length) {
      this.haystack = this.data.id.map((id, row) =>
        [id, ...(this.data.text?.[row] ?? []).map((turn) => turn[1])].join("\n").toLowerCase());
    }
    const found = [];
    for (let row = 0; row < this.count; row++) {
      if (filter.set >= 0 && this.data.set[row] !== filter.set) continue;
      if (filter.source >= 0 && this.data.source[row] !== filter.source) continue;
      if (!this.#isIn(row, filter)) continue;
      if (filter.words.length && !filter.words.every((word) => this.haystack[row].includes(word))) continue;
      found.push(row);
    }
    return found;
  }

  /** @param {number} row @param {Filter} filter */
  #isIn(row, { state, choice }) {
    const verdict = this.data.selections[choice]?.verdict[row];
    switch (state) {
      case "chosen": return verdict === 1;
      case "passed": return verdict === 0;
      case "refused": return verdict > 1 && verdict < this.data.verdicts.length;
      case "truncated": return this.cut.has(row);
      case "invalid": return this.data.reasons[this.data.reason[row]] !== "";
      default: return true;
    }
  }

  /** Rows in the order asked for; those without a value come last. @param {number[]} rows @param {string} order @param {number} choice */
  ordered(rows, order, choice) {
    const selection = this.data.selections[choice];
    const values = {
      score: selection?.score, rank: selection?.rank.map((rank) => (rank < 0 ? null : -rank)),
      tokens: this.data.tokens, loss: this.data.loss,
    }[order];
    if (!values) return rows;
    return [...rows].sort((a, b) => (values[b] ?? -Infinity) - (values[a] ?? -Infinity) || a - b);
  }
}

/**
 * An element; strings become text and nothing else.
 * @param {string} tag @param {Record<string, any>} [properties] @param {...any} children what is null, false or empty is left out
 */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child || typeof child === "number"));
  return element;
}

/** @param {number} value */
const counted = (value) => value.toLocaleString("en");
/** A number with four digits. @param {any} value */
const figure = (value) =>
  typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(4))) : String(value);
