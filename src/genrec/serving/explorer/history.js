// What the user took, oldest first.

import { byId, el, titleOf } from "./dom.js";

export function drawHistory(history, { remove, move, select }) {
  const rows = history.map((item, place) => {
    const name = titleOf(item);
    const tool = (sign, what, act, disabled = false) =>
      el("button", { type: "button", class: "tool", "aria-label": `${what} ${name}`, disabled, click: act }, sign);
    return el(
      "li",
      {},
      item.unknown
        ? el("span", { class: "title unknown" }, `${name} is not in the catalogue`)
        : el("button", { type: "button", class: "title", click: () => select(item.item) }, name),
      el(
        "span",
        { class: "tools" },
        tool("\u2191", "move up", () => move(place, place - 1), place === 0),
        tool("\u00d7", "remove", () => remove(place)),
      ),
    );
  });
  byId("taken").replaceChildren(...rows);
  byId("nothing").hidden = history.length > 0;
  byId("clear").hidden = history.length === 0;
}

// Where the keyboard was, it stays: at the next item, or at the field if there is none.
export function focusBehind(place) {
  const rows = byId("taken").children;
  const row = rows[Math.min(place, rows.length - 1)];
  (row?.querySelector(".tools button:last-child") ?? byId("search")).focus();
}
