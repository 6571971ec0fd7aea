// Sorts tables and opens records. Without it the page is the same, with its tables in the study's order.
const value = (cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value));

// Numbers first, then words, then nothing, whichever way the sorting goes.
function compare(first, second, sign) {
  const [one, two] = [value(first), value(second)];
  const [text, other] = [first.textContent, second.textContent];
  if (one !== null && two !== null) return sign * (one - two);
  if (one !== null || two !== null) return one !== null ? -1 : 1;
  if (!text || !other) return (text ? 0 : 1) - (other ? 0 : 1);
  return sign * text.localeCompare(other, "en", { numeric: true });
}

function sort(table, column, direction) {
  const sign = direction === "descending" ? -1 : 1;
  const rows = [...table.tBodies[0].rows];
  rows.sort((first, second) => compare(first.cells[column], second.cells[column], sign));
  table.tBodies[0].append(...rows);
  for (const heading of table.tHead.rows[0].cells) heading.removeAttribute("aria-sort");
  table.tHead.rows[0].cells[column].setAttribute("aria-sort", direction);
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const again = heading.getAttribute("aria-sort") === "ascending";
      sort(table, heading.cellIndex, again ? "descending" : "ascending");
    });
  }
}

// #sort=results:3:descending is a link to a table sorted by its third column; any other fragment opens what it leads to.
function follow() {
  const [, name, column, direction] = location.hash.match(/^#sort=([\w-]+):(\d+)(?::(ascending|descending))?$/) ?? [];
  const table = name && document.getElementById(name);
  if (table?.tHead?.rows[0].cells[column - 1]) {
    sort(table, column - 1, direction ?? "ascending");
    table.scrollIntoView();
    return;
  }
  const target = document.getElementById(location.hash.slice(1));
  // Chromium opens it by itself, older browsers do not.
  const folded = target?.closest("details");
  if (folded && !folded.open) {
    folded.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", follow);
follow();
