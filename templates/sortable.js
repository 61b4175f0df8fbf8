"use strict";
// Tables whose rows have a cell for each head are sorted by a click on one; cells without a value stay last.
const valueOf = cell => {
  const text = ("value" in cell.dataset ? cell.dataset.value : cell.textContent).trim();
  if (text === "" || text === "–") return null;
  const number = text.replace("−", "-").match(/^[±+]?(-?\d+(\.\d+)?(e[-+]?\d+)?)/i);
  return number ? Number(number[1]) : text.toLowerCase();
};
const compare = (a, b) => {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return typeof a === "string" ? a.localeCompare(b) : a - b;
};
for (const table of document.querySelectorAll("table")) {
  const heads = table.tHead ? [...table.tHead.rows[0].cells] : [], body = table.tBodies[0];
  const even = [...(body?.rows ?? [])].every(row => row.cells.length === heads.length);
  if (!heads.length || body.rows.length < 2 || !even || table.querySelector("[rowspan], [colspan]")) continue;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      [...body.rows]
        .map(row => [valueOf(row.cells[column]), row])
        .sort(([a], [b]) => (down && a !== null && b !== null ? -1 : 1) * compare(a, b))
        .forEach(([, row]) => body.append(row));
    });
  });
}
