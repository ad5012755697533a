"use strict";
// Tables that come as HTML become sortable and filterable ones. All text goes through textContent.
globalThis.mmbench = {};

mmbench.element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// A head that a keyboard can sort by: a button in it, whose click the table takes as its own.
mmbench.headButton = (text, title = "") => () =>
  mmbench.element("button", { type: "button", className: "head", title }, mmbench.breakable(text));

// A name that a line may end in after each underscore.
mmbench.breakable = (text) => {
  const [first, ...parts] = text.split(/(?<=[_/])/);
  return mmbench.element("bdi", {},
    first, ...parts.flatMap((part) => [document.createElement("wbr"), part]));
};

mmbench.byOrder = (a, b) => {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? 1 : -1;
  return String(a).localeCompare(String(b));
};

mmbench.sortable = (table) => {
  const heads = [...table.querySelectorAll("thead th")];
  const rows = [...table.querySelectorAll("tbody tr")].map((row) =>
    Object.fromEntries([...row.cells].map((cell, place) => [`c${place}`, cellValue(cell)])));
  const columns = heads.map((head, place) => ({
    title: `column ${place}`,
    field: `c${place}`,
    titleFormatter: mmbench.headButton(head.textContent, head.title),
    formatter: (cell) => cell.getValue().node.cloneNode(true),
    sorter: (a, b) => mmbench.byOrder(a.order, b.order),
    headerSortStartingDir: head.classList.contains("number") ? "desc" : "asc",
    hozAlign: head.classList.contains("number") ? "right" : "left",
    headerHozAlign: head.classList.contains("number") ? "right" : "left",
    maxInitialWidth: head.classList.contains("number") ? 135 : 260,
    ...(place ? {} : filterable(head)),
  }));
  const place = mmbench.element("div");
  const caption = mmbench.element("h3", { textContent: table.caption.textContent });
  table.replaceWith(caption, place);
  place.setAttribute("aria-label", caption.textContent);
  return new Tabulator(place, { data: rows, columns, layout: "fitDataTable", renderVertical: "basic" });

  function cellValue(cell) {
    const node = document.createDocumentFragment();
    node.append(...[...cell.childNodes].map((child) => child.cloneNode(true)));
    const holder = mmbench.element("span", { className: "cell", title: cell.textContent }, node);
    const order = "order" in cell.dataset ? Number(cell.dataset.order) : cell.textContent;
    return { node: holder, order, text: cell.textContent.toLowerCase() };
  }

  function filterable(head) {
    return {
      frozen: true,
      headerFilter: "input",
      headerFilterPlaceholder: "filter",
      headerFilterFunc: (wanted, value) => value.text.includes(wanted.toLowerCase()),
      headerFilterParams: { elementAttributes: { "aria-label": `filter by ${head.textContent}` } },
    };
  }
};
