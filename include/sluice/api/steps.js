// Elements of the pages for lineage, gates and evaluations: cards of facts and tables, results of checks, a notice. Text only.

import { element } from "./results.js";

export const $ = (id) => document.getElementById(id);

const RESULTS = ["failed", "warning", "passed"];
// Stage that records a gate's results → the work that the gate checks.
const AFTER = { validate: "extraction", chunk: "chunking", embed: "embedding", evaluate: "evaluation" };
const SIGNS = { failed: "✕", warning: "▲", passed: "✓" };

// ISO 8601 in UTC; the tooltip shows the user's local time.
export function moment(value) {
  if (value === null) return "–";
  const at = new Date(value);
  const iso = at.toISOString().replace(/\.\d+Z$/u, "Z");
  return element("time", { dateTime: iso, title: at.toLocaleString(undefined, { timeZoneName: "short" }), textContent: iso });
}

// Only web addresses become links. They open outside of the frame in which Airflow shows this page.
export function link(text, address) {
  if (!address || !/^(https?:\/\/|\/)/u.test(address)) return text;
  return element("a", { href: address, textContent: text, target: "_top", rel: "noreferrer" });
}

export function badge(result) {
  const sign = element("span", { ariaHidden: "true", textContent: `${SIGNS[result]} ` });
  return element("b", { className: `result ${result}` }, sign, result);
}

// "unique document ids: passed"; the tooltip shows its code and its name in Great Expectations.
export function check({ label, code, expectation, result }) {
  const asserted = element("span", { title: [code, expectation].filter(Boolean).join(", ") }, label);
  if (result) asserted.append(": ", badge(result));
  return asserted;
}

// Failures and warnings first, then in the order of the stages.
export function byResult(gates) {
  const stages = Object.keys(AFTER);
  return gates.toSorted((one, other) => RESULTS.indexOf(one.result) - RESULTS.indexOf(other.result) || stages.indexOf(one.stage) - stages.indexOf(other.stage));
}

function whenItFails({ action, blocking, stage }) {
  if (stage === "evaluate") return blocking ? "fails the evaluation" : "warns";
  if (blocking) return "quarantines the document";
  return action === "mask" ? "masks the findings" : "warns";
}

export function checksTable(gates) {
  const rows = byResult(gates).map((gate) => [check(gate), AFTER[gate.stage] ?? gate.stage, whenItFails(gate), failedRows(gate)]);
  return table(["check", "after", "when it fails", "rows that failed"], rows);
}

export function countedResults(gates) {
  const counts = RESULTS.map((result) => [gates.filter((gate) => gate.result === result).length, result]);
  return counts.filter(([count]) => count).map(([count, result]) => `${count} ${count > 1 && result === "warning" ? "warnings" : result}`);
}

function failedRows({ unexpected, evaluated }) {
  return `${unexpected ? unexpected.toLocaleString("en") : "none"} of ${evaluated.toLocaleString("en")}`;
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
