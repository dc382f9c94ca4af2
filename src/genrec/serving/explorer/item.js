// One item: what is known of it, what every run calls it, and what is near.

import * as api from "./api.js";
import { byId, count, el, number, titleOf } from "./dom.js";
import { slotTable } from "./lists.js";

const NEAR = 6;

export async function drawItem(key, runs, answers, actions) {
  const [about, near] = await Promise.all([
    Promise.all(runs.map(({ run }) => settled(api.item(key, run)))),
    Promise.all([
      ...runs.map(({ run }) => settled(api.similar(key, run, "identifier", NEAR))),
      settled(api.similar(key, runs[0].run, "text", NEAR)),
    ]),
  ]);
  return () => fill(about, near, runs, answers, key, actions);
}

// A refusal is an answer, too: of this run, and nobody else's.
const settled = (promise) => promise.catch((error) => ({ error: error.message }));

function fill(about, near, runs, answers, key, { select, add }) {
  const known = about.find(({ error }) => !error);
  if (!known) {
    byId("about-item").replaceChildren(el("p", { class: "trouble" }, about[0].error));
    return;
  }
  const facts = [
    known.item,
    known.categories.join(" \u203a "),
    known.brand,
    known.warm ? `taken ${count(known.taken, "time")} in training` : "cold: never taken in training",
  ];
  byId("about-item").replaceChildren(
    el("h3", {}, titleOf(known)),
    el("p", { class: "quiet" }, facts.filter(Boolean).join(" \u00b7 ")),
    el("button", { type: "button", class: "plain", click: () => add(known) }, "Add it to the history"),
    ...runs.map((run, n) => called(run, about[n], answers[n], key)),
    el(
      "div",
      { class: "near" },
      ...near.map((found, n) => neighbours(found, runs[n], runs.length > 1, select)),
    ),
  );
}

function called(run, { identifier, codes, error }, answer, key) {
  const words = error ?? identifier ?? "names no items";
  const ranked = answer?.slots && answer.items.find(({ item }) => item === key);
  return el(
    "div",
    { class: "called" },
    el("h4", {}, `${run.method} calls it`),
    el("p", { class: error ? "trouble" : "name" }, words),
    codes && !words.includes(codes.join(" ")) ? el("p", { class: "quiet" }, `codes ${codes.join(" ")}`) : null,
    ranked ? slotTable(ranked, answer.slots) : null,
  );
}

function neighbours({ items, unit, error }, run, several, select) {
  const name = run ? `Nearest by identifier${several ? `, ${run.method}` : ""}` : "Nearest by text";
  const rows = (items ?? []).map((other) =>
    el(
      "li",
      {},
      el("button", { type: "button", class: "title", click: () => select(other.item) }, titleOf(other)),
      el("span", { class: "score" }, unit === "tokens" ? count(other.alike, "token") : number(other.alike)),
    ),
  );
  return el(
    "div",
    {},
    el("h4", {}, name),
    error ? el("p", { class: "quiet" }, error) : el("ol", {}, ...rows),
  );
}
