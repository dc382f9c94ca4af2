// What `genrec test` measured: all, warm and cold.

import { byId, el } from "./dom.js";

const SETTINGS = ["all", "warm", "cold"];

export function drawTested(runs) {
  const tested = runs.filter(({ metrics }) => metrics);
  if (!tested.length) {
    byId("tables").replaceChildren(el("p", { class: "quiet" }, "Not tested: genrec test writes what stands here."));
    return;
  }
  const names = [...new Set(tested.flatMap(({ metrics }) => Object.keys(metrics.all)))].filter((n) => n !== "users");
  const head = ["", "", ...names, "users"].map((name) => el("th", { scope: "col" }, name));
  const groups = SETTINGS.map((setting) =>
    el(
      "tbody",
      {},
      ...tested
        .filter(({ metrics }) => metrics[setting])
        .map(({ run, metrics }, place) => {
          const values = metrics[setting];
          const cells = names.map((name) => el("td", {}, Number.isFinite(values[name]) ? values[name].toFixed(4) : "\u2013"));
          return el(
            "tr",
            {},
            el("th", { scope: "row" }, place ? "" : setting),
            el("th", { scope: "row" }, run),
            ...cells,
            el("td", {}, String(values.users)),
          );
        }),
    ),
  );
  const table = el("table", { class: "metrics" }, el("thead", {}, el("tr", {}, ...head)), ...groups);
  byId("tables").replaceChildren(
    el("div", { class: "wide", role: "region", tabindex: "0", "aria-labelledby": "tested-title" }, table),
  );
}
