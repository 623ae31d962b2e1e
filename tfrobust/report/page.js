"use strict";
// Tables sort and filter, curves tell and stand alone, images open large. Without it the page is whole.

const valueOf = (row, column) => {
  const cell = row.cells[column], said = cell.dataset.value ?? cell.textContent.trim();
  const number = parseFloat(said.replaceAll(",", ""));
  return /^[-+]?[\d.,]+/.test(said) && !Number.isNaN(number) ? number : said;
};
const compared = (one, other) =>
  typeof one === "number" && typeof other === "number"
    ? one - other
    : byWordsAndNumbers(String(one), String(other));
// "pgd ≤ 0.05" stands before "pgd ≤ 0.1": numbers are compared as numbers, decimals too.
const pieces = (text) => text.split(/(\d+(?:\.\d+)?)/);
function byWordsAndNumbers(one, other) {
  const ours = pieces(one), theirs = pieces(other);
  for (let k = 0; k < Math.min(ours.length, theirs.length); k++) {
    const order = k % 2 ? Number(ours[k]) - Number(theirs[k]) : ours[k].localeCompare(theirs[k]);
    if (order) return order;
  }
  return ours.length - theirs.length;
}

const sortable = (table) => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      for (const body of table.tBodies) {
        const rows = [...body.rows].sort((a, b) => compared(valueOf(a, column), valueOf(b, column)));
        body.append(...(down ? rows.reverse() : rows));
      }
    });
  });
};

const filterable = (table) => {
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
  if (rows.length < 8) return;
  const label = document.createElement("label"), input = document.createElement("input");
  label.className = "filter";
  label.textContent = "filter rows ";
  input.type = "search";
  input.autocomplete = "off";
  label.append(input);
  table.closest(".scroll").before(label);
  input.addEventListener("input", () => {
    const word = input.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(word);
  });
};

for (const table of document.querySelectorAll("table.sortable")) sortable(table);
for (const table of document.querySelectorAll("table.filterable")) filterable(table);

// Between the marks of a curve, what is drawn there is read off it.
const pointsOf = (curve) =>
  curve.querySelector("path").getAttribute("d").slice(1).split("L").map((pair) => pair.split(" ").map(Number));
const heightAt = (points, x) => {
  const after = points.findIndex((point) => point[0] >= x);
  if (after < 1) return null;
  const [one, other] = [points[after - 1], points[after]];
  return one[1] + ((x - one[0]) / (other[0] - one[0] || 1)) * (other[1] - one[1]);
};
const valueAt = (share, [low, high, from]) => {
  if (!from || from >= high) return low + share * (high - low);
  const even = 0.12;  // as chart_scales.py places it
  return share <= even ? (share / even) * from : from * (high / from) ** ((share - even) / (1 - even));
};
function readBetween(svg, event) {
  const [left, right, top, bottom] = svg.closest("[data-area]").dataset.area.split(" ").map(Number);
  const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  let nearest = null;
  for (const curve of svg.querySelectorAll(".curve:not(.dim)")) {
    const height = heightAt(pointsOf(curve), x);
    const off = height === null ? Infinity : Math.abs(height - y);
    if (off < 30 && off <= (nearest?.off ?? Infinity)) nearest = { curve, height, off };
  }
  if (!nearest) return "";
  const value = valueAt((x - left) / (right - left), svg.dataset.scale.split(" ").map(Number));
  const share = (100 * (bottom - nearest.height)) / (bottom - top);
  return `${nearest.curve.dataset.name}, ${svg.dataset.label} ${Number(value.toPrecision(2))}: ≈ ${share.toFixed(0)} %`;
}

// A curve that is chosen stands alone, in all panels of its chart; chosen once more, all are back.
for (const chart of document.querySelectorAll("[data-chart]")) {
  const readout = chart.querySelector(".readout");
  const named = [...chart.querySelectorAll("[data-name]")];
  let chosen = null;
  const choose = (name) => {
    chosen = chosen === name ? null : name;
    for (const one of named) {
      one.classList.toggle("dim", chosen !== null && one.dataset.name !== chosen);
      one.classList.toggle("chosen", one.dataset.name === chosen);
      if (one.tagName === "BUTTON") one.setAttribute("aria-pressed", String(one.dataset.name === chosen));
    }
  };
  for (const key of chart.querySelectorAll(".key")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = key.className;
    button.dataset.name = key.dataset.name;
    button.textContent = key.textContent;
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => choose(button.dataset.name));
    named[named.indexOf(key)] = button;
    key.replaceWith(button);
  }
  for (const svg of chart.querySelectorAll("svg[data-scale]"))
    svg.addEventListener("pointermove", (event) => {
      if (event.target.closest("circle")) return;  // a mark says its own figure
      const says = readBetween(svg, event);
      if (says) { readout.hidden = false; readout.textContent = says; }
    });
  for (const curve of chart.querySelectorAll(".curve")) {
    curve.addEventListener("click", () => choose(curve.dataset.name));
    for (const mark of curve.querySelectorAll("circle"))
      mark.addEventListener("pointerenter", () => {
        readout.hidden = false;
        readout.textContent = mark.querySelector("title").textContent;
      });
  }
}

// An image opens large, with what was added, what came of it, and what it was taken for; the arrows
// go to the images beside it.
const dialog = document.createElement("dialog"), title = document.createElement("h3");
const shown = document.createElement("div"), closing = document.createElement("button");
dialog.setAttribute("aria-label", "images, enlarged");
shown.className = "enlarged";
closing.type = "button";
closing.textContent = "close";
closing.addEventListener("click", () => dialog.close());
dialog.append(title, shown, closing);
document.body.append(dialog);
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

let enlargeAt = () => {};
let at = 1;
dialog.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step) { event.preventDefault(); enlargeAt(at + step); }
});
for (const grid of document.querySelectorAll(".grid")) {
  const cells = [...grid.children], columns = cells.length / 4;
  const enlarge = (column) => {
    if (column < 1 || column >= columns) return;
    at = column;
    enlargeAt = enlarge;
    title.textContent = grid.parentElement.getAttribute("aria-label");
    shown.replaceChildren(...[0, 1, 2, 3].map((row) => {
      const figure = document.createElement("figure"), caption = document.createElement("figcaption");
      const copy = cells[row * columns + column].cloneNode(true);
      for (const hidden of copy.querySelectorAll("details")) hidden.replaceWith(hidden.lastElementChild);
      copy.removeAttribute("role");
      copy.removeAttribute("tabindex");
      caption.textContent = cells[row * columns].textContent;
      figure.append(copy, caption);
      return figure;
    }));
    if (!dialog.open) dialog.showModal();
  };
  cells.forEach((image, number) => {
    if (image.tagName !== "IMG") return;
    image.tabIndex = 0;
    image.setAttribute("role", "button");
    image.addEventListener("click", () => enlarge(number % columns));
    image.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); enlarge(number % columns); }
    });
  });
}
