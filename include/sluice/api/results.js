// One search result as an element: the passage, its citation and the link to its lineage.

import { marked, snippet } from "./highlight.js";

const MAX_TAG_CHARS = 80;

export function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function fact(name, value, className = "") {
  return element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value, className }));
}

function citation(result) {
  const { location } = result;
  const facts = [fact("source", result.uri, "mono")];
  if (location.page !== null) facts.push(fact("page", String(location.page)));
  facts.push(fact("characters", `${location.start.toLocaleString()}–${location.end.toLocaleString()}`));
  facts.push(fact("version", String(result.version)), fact("generation", String(result.generation)));
  const run = fact("run", result.run_id.slice(0, 8), "mono");
  run.title = result.run_id;
  return element("dl", { className: "cite" }, ...facts, run);
}

function short(value) {
  const scalars = Array.isArray(value) && value.every((item) => typeof item !== "object");
  const text = typeof value === "string" ? value : scalars ? value.join(", ") : JSON.stringify(value);
  return text.length > MAX_TAG_CHARS ? `${text.slice(0, MAX_TAG_CHARS)}…` : text;
}

function tags(metadata) {
  const entries = Object.entries(metadata).filter(([, value]) => value !== null && value !== "");
  if (!entries.length) return [];
  const items = entries.map(([name, value]) => element("li", {}, element("b", { textContent: `${name} ` }), short(value)));
  return [element("ul", { className: "tags", ariaLabel: "Metadata" }, ...items)];
}

// Joins the lines of each paragraph of a hard-wrapped text; paragraphs stay separate.
function unwrapped(text) {
  return text.split(/\n\s*\n/u).map((paragraph) => paragraph.replace(/\s+/gu, " ")).join("\n");
}

function passage(result, stems) {
  const { start, end } = snippet(result.text, stems);
  const whole = start === 0 && end === result.text.length;
  const text = element("p", { className: "text", id: `text-${result.chunk_id}` });
  const show = (full) => {
    text.classList.toggle("full", full);
    const cut = marked(full ? result.text : unwrapped(result.text.slice(start, end)), stems);
    text.replaceChildren(!full && start > 0 ? "… " : "", cut, !full && end < result.text.length ? " …" : "");
  };
  show(whole);
  if (whole) return [text, null];
  const more = element("button", { type: "button", className: "more", textContent: "Show the full passage" });
  more.setAttribute("aria-controls", text.id);
  more.setAttribute("aria-expanded", "false");
  more.addEventListener("click", () => {
    const full = more.getAttribute("aria-expanded") !== "true";
    more.setAttribute("aria-expanded", String(full));
    more.textContent = full ? "Show less" : "Show the full passage";
    show(full);
  });
  return [text, more];
}

function lineageLink(result, tenant) {
  const query = new URLSearchParams({ chunk: result.chunk_id, ...(tenant && { tenant }) });
  const link = element("a", { href: `lineage?${query}`, textContent: "Lineage" });
  return element("p", { className: "path" }, link);
}

export function resultItem(result, rank, stems, tenant) {
  const titleId = `title-${result.chunk_id}`;
  const title = element("h2", { id: titleId }, marked(result.title || result.external_id, stems));
  const score = element("span", { className: "score", textContent: result.score.toFixed(3), title: "Score; compare it within this list only" });
  const top = element("div", { className: "top" }, element("span", { className: "rank", textContent: `${rank}` }), title, score);
  const [text, more] = passage(result, stems);
  const article = element("article", { tabIndex: rank === 1 ? 0 : -1 }, top);
  article.setAttribute("aria-labelledby", titleId);
  const { headings } = result.location;
  if (headings.length && headings.join() !== result.title) article.append(element("p", { className: "path", textContent: headings.join(" › ") }));
  article.append(text, citation(result), ...tags(result.metadata), lineageLink(result, tenant));
  if (more) article.append(more);
  return element("li", {}, article);
}
