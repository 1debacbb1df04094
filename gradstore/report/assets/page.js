"use strict";
// Draws the charts when they come into sight, in the colours of the reader's scheme, and starts the explorer.

/** Give a Bokeh figure the colours of the style sheet. @param {any} plot */
function dress(plot) {
  const [ink, soft, line, ground] = ["--ink", "--soft", "--line", "--ground"].map(style);
  const font = "system-ui, sans-serif";
  for (const part of [...plot.left, ...plot.below, ...plot.center, ...plot.above]) {
    if (part.type.endsWith("Axis")) {
      part.setv({
        axis_label_text_color: soft, major_label_text_color: soft, axis_line_color: line, major_tick_line_color: line,
        minor_tick_line_color: null, axis_label_text_font: font, major_label_text_font: font,
        axis_label_text_font_style: "normal", axis_label_text_font_size: "12px", major_label_text_font_size: "11px",
      });
    } else if (part.type === "Grid") part.setv({ grid_line_color: part.dimension === 1 ? line : null });
    else if (part.type === "Span") part.setv({ line_color: ink });
    else if (part.type === "Legend") {
      part.setv({
        label_text_color: ink, label_text_font: font, label_text_font_size: "12px", border_line_color: null,
        background_fill_color: null, glyph_width: 14, glyph_height: 14, padding: 0, margin: 0, spacing: 12,
      });
    }
  }
  const lines = { points: ground, focus: ink, near: soft, path: soft };
  for (const { data_source: source, glyph } of plot.renderers) {
    if (source.name in lines) glyph.setv({ line_color: { value: lines[source.name] } });
  }
}

/** @type {any[]} */
const plots = [];

/** Draw a chart in its place. @param {HTMLElement} place @param {any} item */
async function draw(place, item) {
  const views = await Bokeh.embed.embed_item(item, place);
  const plot = views.roots[0].model;
  dress(plot);
  plots.push(plot);
  return plot;
}

/** @param {string} id */
const textOf = (id) => /** @type {HTMLElement} */ (document.getElementById(id)).textContent ?? "";

async function start() {
  const charts = JSON.parse(textOf("charts"));
  const soon = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        soon.unobserve(target);
        draw(/** @type {HTMLElement} */ (target), charts[target.id]);
      }
    },
    { rootMargin: "400px" },
  );
  for (const place of document.querySelectorAll(".chart")) soon.observe(place);

  const host = /** @type {HTMLElement|null} */ (document.getElementById("explorer"));
  if (!host) return;
  const rows = new Rows(await unpack(textOf("rows")));
  const explorer = new Explorer(rows, host);
  const place = document.getElementById("map-chart");
  if (place) {
    const plot = await draw(place, charts.map);
    const map = new GradientMap(rows, plot, place, charts.palette, (row) => explorer.show(row));
    explorer.attach(map);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    plots.forEach(dress);
    explorer.paint();
  });
  host.removeAttribute("aria-busy");
}

start();
