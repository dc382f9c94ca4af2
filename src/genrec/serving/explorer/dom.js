// Elements out of data. Whatever somebody called an item is text, and never markup.

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export const byId = (id) => document.getElementById(id);

export const titleOf = (item) => item.title || item.item;

const numbers = new Intl.NumberFormat("en", { minimumSignificantDigits: 4, maximumSignificantDigits: 4 });
const counts = new Intl.NumberFormat("en");

// A true minus sign, as wide as a plus.
export const number = (value) => numbers.format(value).replace("-", "\u2212");
export const count = (value, one, many = `${one}s`) => `${counts.format(value)} ${value === 1 ? one : many}`;
