// An editable combobox with a list, as the ARIA Authoring Practices describe it: focus stays in the field.

import { count, el, titleOf } from "./dom.js";

const PAUSE = 120; // milliseconds without a key, before the server is asked

export function combobox(input, list, note, { find, choose }) {
  let options = [];
  let active = -1;
  let timer = 0;
  let asked = null;
  let waiting = null;

  function activate(place) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = place;
    const option = list.children[place];
    if (!option) {
      input.removeAttribute("aria-activedescendant");
      return;
    }
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option.id);
  }

  function open() {
    list.hidden = options.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
  }

  function close() {
    clearTimeout(timer);
    asked?.abort();
    waiting = null;
    options = [];
    list.replaceChildren();
    activate(-1);
    open();
  }

  function take(option) {
    input.value = "";
    note.textContent = "";
    close();
    choose(option);
  }

  async function update() {
    clearTimeout(timer);
    asked?.abort();
    asked = new AbortController();
    const { signal } = asked;
    const text = input.value.trim();
    try {
      const answer = await find(text, signal);
      if (signal.aborted) return;
      options = answer.items;
      list.replaceChildren(...options.map(row));
      activate(options.length ? 0 : -1);
      open();
      const more = answer.found > options.length ? `the first ${options.length} of ${count(answer.found, "item")}` : "";
      note.textContent = options.length ? more || count(answer.found, "item") : `nothing is called \u201c${text}\u201d`;
    } catch (error) {
      if (error.name === "AbortError") return;
      close();
      note.textContent = error.message;
    }
  }

  function row(option, place) {
    return el(
      "li",
      {
        role: "option",
        id: `found-${place}`,
        "aria-selected": "false",
        // The field would lose its focus before the click is one.
        mousedown: (event) => event.preventDefault(),
        click: () => take(option),
      },
      el("span", { class: "title" }, titleOf(option)),
      el("span", { class: "key" }, option.warm ? option.item : `${option.item} \u00b7 cold`),
    );
  }

  const keys = {
    ArrowDown() {
      if (list.hidden) waiting = update();
      else activate((active + 1) % options.length);
    },
    ArrowUp() {
      if (!list.hidden) activate((active - 1 + options.length) % options.length);
    },
    async Enter() {
      const text = input.value.trim();
      if (waiting) await waiting;
      else if (list.hidden && text) await update();
      waiting = null;
      // What was typed meanwhile was not meant.
      if (input.value.trim() === text && options[active]) take(options[active]);
    },
    Escape() {
      if (list.hidden) input.value = "";
      note.textContent = "";
      close();
    },
  };

  input.addEventListener("keydown", (event) => {
    if (event.isComposing || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
  input.addEventListener("input", () => {
    clearTimeout(timer);
    waiting = new Promise((resolve) => {
      timer = setTimeout(() => resolve(update()), PAUSE);
    });
  });
  input.addEventListener("click", () => {
    if (list.hidden) waiting = update();
  });
  input.addEventListener("blur", close);
}
