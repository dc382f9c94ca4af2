// The page's state, which its address keeps too, and what follows from a change.

import * as api from "./api.js";
import { combobox } from "./combobox.js";
import { byId, count, el } from "./dom.js";
import { drawHistory, focusBehind } from "./history.js";
import { drawItem } from "./item.js";
import { drawLists } from "./lists.js";
import { drawTested } from "./tested.js";

const K = 10;
const FOUND = 8;
const NARROW = matchMedia("(max-width: 70rem)");

const state = { info: null, run: "", other: "", history: [], item: "" };
let answers = [];
let asking = null;
let looking = 0;

const about = (name) => state.info.runs.find(({ run }) => run === name);
const shown = () => [state.run, state.other].filter(Boolean).map(about);

function trouble(error) {
  byId("trouble").textContent = error?.message ?? "";
  byId("trouble").hidden = !error;
  if (error?.status === 401) {
    byId("entry").hidden = false;
    byId("token").focus();
  }
}

async function recommend() {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const history = state.history.map(({ item }) => item);
  byId("lists").setAttribute("aria-busy", "true");
  const found = await Promise.all(shown().map((run) => listOf(run, history, signal)));
  if (signal.aborted) return;
  answers = found;
  const refusal = found.find(({ refused }) => refused)?.refused;
  trouble(refusal && found.every(({ refused }) => refused) ? refusal : null);
  byId("lists").removeAttribute("aria-busy");
  drawLists(answers, { select: look, add, chosen: state.item });
  const items = count(Math.max(...found.map(({ items }) => items.length)), "item");
  const whose = history.length ? `for ${count(history.length, "item")} of history` : "for a user of whom nothing is known";
  byId("status").textContent = `${items} ${whose}`;
}

async function listOf(run, history, signal) {
  const most = state.info.limits.k;
  try {
    const { slots, users } = await api.recommend(history, run.run, Math.min(K, most), signal);
    return { about: run, slots, ...users[0] };
  } catch (refused) {
    return { about: run, slots: null, items: [], skipped: [], error: refused.message, refused };
  }
}

async function select(key) {
  state.item = key;
  keep();
  const mine = ++looking;
  for (const button of document.querySelectorAll("#lists .title")) {
    button.setAttribute("aria-pressed", String(button.closest("li").dataset.key === key));
  }
  const fill = await drawItem(key, shown(), answers, { select: follow, add });
  // Whoever chose another meanwhile wants to see that.
  if (mine === looking) fill();
}

// Where the item stands below what was chosen, the eye follows.
async function look(key) {
  await select(key);
  if (NARROW.matches) byId("item").focus();
}

// What was chosen in it is not there any more.
async function follow(key) {
  await select(key);
  byId("item").focus();
}

function changed() {
  keep();
  drawHistory(state.history, { remove, move, select: look });
  recommend();
}

function add({ item, title }) {
  state.history.push({ item, title });
  changed();
}

function remove(place) {
  state.history.splice(place, 1);
  changed();
  focusBehind(place);
}

function move(from, to) {
  state.history.splice(to, 0, ...state.history.splice(from, 1));
  changed();
  byId("taken").children[to].querySelector("button:not(:disabled)").focus();
}

function keep() {
  const parts = new URLSearchParams({ run: state.run });
  if (state.other) parts.set("beside", state.other);
  for (const { item } of state.history) parts.append("took", item);
  if (state.item) parts.set("item", state.item);
  window.history.replaceState(null, "", `#${parts}`);
}

async function restore() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const names = state.info.runs.map(({ run }) => run);
  const named = (name) => (names.includes(parts.get(name)) ? parts.get(name) : "");
  state.run = named("run") || names[0];
  state.other = named("beside") === state.run ? "" : named("beside");
  state.item = parts.get("item") ?? "";
  state.history = await Promise.all(
    parts.getAll("took").map(async (key) => {
      try {
        return await api.item(key, state.run);
      } catch (error) {
        if (error.status !== 404) throw error;
        return { item: key, title: "", unknown: true };
      }
    }),
  );
}

function runsChanged() {
  drawRuns();
  const run = about(state.run);
  const facts = [`${run.method} on ${run.dataset}`, run.language_model, `${count(run.items, "item")}, ${run.warm} warm`];
  byId("about").textContent = facts.filter(Boolean).join(" \u00b7 ");
  drawTested(shown());
  changed();
  if (state.item) select(state.item);
}

function drawRuns() {
  const names = state.info.runs.map(({ run }) => run);
  const option = (name, chosen) => el("option", { value: name, selected: name === chosen }, name || "nothing");
  byId("run").replaceChildren(...names.map((name) => option(name, state.run)));
  const others = ["", ...names.filter((name) => name !== state.run)];
  byId("other").replaceChildren(...others.map((name) => option(name, state.other)));
  byId("other").hidden = byId("other-label").hidden = names.length < 2;
}

async function start() {
  try {
    state.info = await api.info();
    await restore();
  } catch (error) {
    trouble(error);
    return;
  }
  trouble(null);
  byId("entry").hidden = true;
  document.querySelector("main").hidden = false;
  document.title = `genrec: ${state.info.runs.map(({ run }) => run).join(", ")}`;
  runsChanged();
}

byId("run").addEventListener("change", (event) => {
  state.run = event.target.value;
  if (state.other === state.run) state.other = "";
  runsChanged();
});
byId("other").addEventListener("change", (event) => {
  state.other = event.target.value;
  runsChanged();
});
byId("clear").addEventListener("click", () => {
  state.history = [];
  changed();
  byId("search").focus();
});
byId("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  api.show(byId("token").value);
  start();
});
combobox(byId("search"), byId("found"), byId("found-note"), {
  find: (text, signal) => api.search(text, state.run, FOUND, signal),
  choose: add,
});
start();
