// Ranked lists, one of each run, with what every score is made of.

import { byId, el, number, titleOf } from "./dom.js";

const FEW = 6; // slots whose numbers stand in a line

export function drawLists(answers, { select, add, chosen }) {
  const refocus = focusInside();
  const places = answers.map(({ items }) => new Map(items.map(({ item }, place) => [item, place + 1])));
  byId("lists").replaceChildren(
    ...answers.map((answer, which) => list(answer, places[1 - which] ?? null, { select, add, chosen })),
  );
  refocus();
}

// The list is another one then; the keyboard stays at its place.
function focusInside() {
  const row = document.activeElement?.closest("#lists .row");
  if (!row) return () => {};
  const list = [...byId("lists").children].indexOf(row.closest("article"));
  const place = [...row.parentElement.children].indexOf(row);
  const kind = document.activeElement.classList[0];
  return () => {
    const there = byId("lists").children[list]?.querySelectorAll(".row")[place];
    there?.querySelector(`.${kind}`)?.focus({ preventScroll: true });
  };
}

function list({ about, slots, items, skipped, error }, elsewhere, actions) {
  const scale = slots && items.length ? scaleOf(items) : null;
  const left = skipped?.length ? `left out, as it is not in its catalogue: ${skipped.join(", ")}` : null;
  return el(
    "article",
    { "data-run": about.run, "aria-label": about.run },
    el("h3", {}, about.method, el("span", { class: "quiet" }, ` ${about.run}`)),
    error ? el("p", { class: "trouble" }, error) : null,
    left ? el("p", { class: "quiet" }, left) : null,
    el("ol", { class: "ranked" }, ...items.map((item, place) => row(item, place, slots, scale, elsewhere, actions))),
  );
}

function row(item, place, slots, scale, elsewhere, { select, add, chosen }) {
  const name = titleOf(item);
  const there = elsewhere?.get(item.item);
  return el(
    "li",
    { class: "row", "data-key": item.item },
    el("span", { class: "rank" }, String(place + 1)),
    el(
      "span",
      { class: "what" },
      el(
        "button",
        { type: "button", class: "title", "aria-pressed": String(item.item === chosen), click: () => select(item.item) },
        name,
      ),
      el("span", { class: "key" }, item.item),
      elsewhere ? el("span", { class: there ? "elsewhere" : "elsewhere only" }, there ? `there ${there}` : "only here") : null,
      slots && slots.length <= FEW ? parts(item, slots) : null,
    ),
    slots ? strip(item, slots, scale) : null,
    el("span", { class: "score" }, number(item.score)),
    el("button", { type: "button", class: "tool", "aria-label": `add ${name}`, click: () => add(item) }, "+"),
  );
}

const parts = (item, slots) =>
  el("span", { class: "parts" }, ...slots.map((slot, n) => el("span", {}, `${slot} ${number(item.slots[n])}`)));

export function slotTable(item, slots) {
  const rows = slots.map((slot, n) => el("tr", {}, el("th", { scope: "row" }, slot), el("td", {}, number(item.slots[n]))));
  const total = el("tr", { class: "total" }, el("th", { scope: "row" }, "score"), el("td", {}, number(item.score)));
  return el("table", { class: "slots" }, el("tbody", {}, ...rows, total));
}

function scaleOf(items) {
  const values = items.flatMap((item) => item.slots);
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  return { low, span: high - low || 1 };
}

// A bar for every slot, up or down from nothing; all bars of a list have one scale.
function strip(item, slots, { low, span }) {
  const told = slots.map((slot, n) => `${slot} ${number(item.slots[n])}`).join(", ");
  const zero = (-low / span) * 100;
  const bars = item.slots.map((value) => {
    const bar = el("span", { class: value < 0 ? "bar below" : "bar" });
    const height = (Math.abs(value) / span) * 100;
    bar.style.setProperty("--from", `${value < 0 ? zero - height : zero}%`);
    bar.style.setProperty("--height", `${height}%`);
    return el("span", {}, bar);
  });
  return el("span", { class: "strip", role: "img", "aria-label": told, title: told }, ...bars);
}
