// Filters boards and rows, and opens the details that an address names; page.js stands before it.
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

const openNamed = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
addEventListener("hashchange", openNamed);
openNamed();
