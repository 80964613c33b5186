// What the pages that tell a past are made of: cards of facts and tables, and a notice. Text only.

import { element } from "./results.js";

export const $ = (id) => document.getElementById(id);

export function moment(value) {
  return value === null ? "–" : new Date(value).toLocaleString();
}

// Only web addresses become links, and they leave the frame that Airflow shows this page in.
export function link(text, address) {
  if (!address || !/^(https?:\/\/|\/)/u.test(address)) return text;
  return element("a", { href: address, textContent: text, target: "_top", rel: "noreferrer" });
}

// By the name that `sluice gates` uses; Great Expectations' own is shown on hovering.
export function check({ code, expectation }) {
  return element("span", { title: expectation, textContent: (code ?? expectation).replaceAll("_", " ") });
}

export function facts(pairs) {
  const rows = pairs.map(([name, value]) => element("div", {}, element("dt", { textContent: name }), element("dd", {}, value)));
  return element("dl", { className: "cite" }, ...rows);
}

export function table(heads, rows) {
  const head = element("tr", {}, ...heads.map((name) => element("th", { textContent: name, scope: "col" })));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell))));
  return element("div", { className: "wide" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}

export function step(title, ...content) {
  return element("li", {}, element("section", { className: "step" }, element("h2", { textContent: title }), ...content));
}

export function complain(title, detail) {
  $("notice").className = "bad";
  $("notice").replaceChildren(element("h2", { textContent: title }), element("p", { textContent: detail }));
  $("notice").hidden = false;
}
