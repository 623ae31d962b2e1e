"use strict";
// Sorts and filters the tables. Without it every row is there, the most robust first.
const valueOf = (row, column) => {
  const cell = row.cells[column], number = Number(cell.dataset.value);
  return cell.dataset.value === undefined || Number.isNaN(number) ? cell.textContent.trim() : number;
};
const compared = (one, other) =>
  typeof one === "number" && typeof other === "number"
    ? one - other
    : String(one).localeCompare(String(other), undefined, { numeric: true });

for (const table of document.querySelectorAll("table.board")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => compared(valueOf(a, column), valueOf(b, column)));
      body.append(...(down ? rows.reverse() : rows));
    });
  });
}

const filters = document.getElementById("filters");
filters.hidden = false;
const boards = [...document.querySelectorAll("section.board")];
const filter = () => {
  const chosen = Object.fromEntries(
    [...filters.querySelectorAll("select")].map((select) => [select.name, select.value]),
  );
  const word = filters.querySelector("input").value.trim().toLowerCase();
  for (const board of boards) {
    board.hidden = Object.entries(chosen).some(([name, value]) => value && board.dataset[name] !== value);
    for (const row of board.querySelector("tbody").rows)
      row.hidden = word !== "" && !row.dataset.words.toLowerCase().includes(word);
  }
};
for (const select of filters.querySelectorAll("select")) {
  const values = [...new Set(boards.map((board) => board.dataset[select.name]))];
  for (const value of values) select.append(new Option(value, value));
  select.addEventListener("change", filter);
}
filters.querySelector("input").addEventListener("input", filter);

const open = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
addEventListener("hashchange", open);
open();
