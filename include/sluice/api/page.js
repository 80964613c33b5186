// The search page: form, results and notices; it can be used with the keyboard alone.

import { collections, search, CallError } from "./client.js";
import { stemsOf } from "./highlight.js";
import { element, resultItem } from "./results.js";

const $ = (id) => document.getElementById(id);
const [form, query, go, tenant, collection, topK, status, notice, results] =
  ["form", "query", "go", "tenant", "collection", "top-k", "status", "notice", "results"].map($);
let running = null;

function say(text) {
  status.textContent = text;
}

function show(title, lines, { bad = false } = {}) {
  notice.className = bad ? "bad" : "";
  notice.replaceChildren(element("h2", { textContent: title }), ...lines);
  notice.hidden = false;
}

function fail(error) {
  const known = error instanceof CallError;
  const lines = [element("p", { textContent: known ? error.message : "Reload the page." })];
  if (known && error.requestId) lines.push(element("p", {}, "For the operator: request ", element("code", { textContent: error.requestId })));
  if (!known) console.error(error);
  say("");
  show(known ? error.title : "This page has an error", lines, { bad: true });
}

function clear() {
  notice.hidden = true;
  results.replaceChildren();
}

const plain = (text) => element("p", { textContent: text });
const plural = (n, word) => `${n.toLocaleString()} ${word}${n === 1 ? "" : "s"}`;

function showNoCollections() {
  const command = element("code", { textContent: "sluice ingest file:///your/folder --collection docs" });
  show("There is nothing to search yet", [
    element("p", {}, "Trigger the DAG ", element("code", { textContent: "sluice_ingest" }), " with a source, or run"),
    element("p", {}, command),
    plain("Then reload this page."),
  ]);
}

function showNoResults(answer) {
  const tips = [...(answer.reason ? [answer.reason.detail] : []), "Use fewer or other words."];
  if (!answer.legs.includes("dense")) tips.push("Tick “meaning”: it also finds passages with other words.");
  if (collection.options.length > 1) tips.push("Choose another collection.");
  tips.push("Documents that have expired, were deleted, or that you may not read are never shown.");
  show("No passage was found", [element("ul", {}, ...tips.map((tip) => element("li", { textContent: tip })))]);
}

function showNothingRelevant(reveal) {
  const more = element("button", { type: "button", className: "more", textContent: "Show the nearest passages" });
  more.addEventListener("click", () => {
    notice.hidden = true;
    reveal();
    results.querySelector("article")?.focus();
  });
  show("Nothing relevant was found", [plain("No passage contains a word of your question or is similar to it in meaning. Check the spelling, use other words, or choose another collection."), more]);
}

async function loadCollections() {
  say("Loading collections …");
  const found = await collections(tenant.value);
  tenant.replaceChildren(...found.tenants.map((name) => new Option(name, name, false, name === found.tenant)));
  $("tenant-field").hidden = found.tenants.length < 2;
  const label = (info) => `${info.name} (${plural(info.documents, "document")})`;
  collection.replaceChildren(...found.collections.map((info) => new Option(label(info), info.name)));
  const none = !found.collections.length;
  collection.disabled = go.disabled = none;
  say("");
  if (none) showNoCollections();
}

function restore() {
  const saved = new URLSearchParams(location.hash.slice(1));
  if ([...collection.options].some((option) => option.value === saved.get("c"))) collection.value = saved.get("c");
  query.value = saved.get("q") ?? "";
  if (query.value && !go.disabled) form.requestSubmit();
}

// What was lost, replaced or left incomplete (sluice.model.search).
const DEGRADED = {
  dense: "meaning was not compared",
  graph: "the graph was not used",
  full_text: "words were searched in the ledger",
  terms: "older passages are left out",
  filters: "filters were applied to the best candidates only",
  refill: "there may be more",
  rerank: "passages were not reranked",
  cache: "the cache was not used",
};

function showAnswer(answer, question) {
  const stems = stemsOf(question);
  const reveal = () => results.replaceChildren(...answer.results.map((result, index) => resultItem(result, index + 1, stems, tenant.value)));
  const hidden = answer.nothing_relevant && answer.results.length;
  if (!hidden) reveal();
  const by = answer.legs.map((leg) => ({ dense: "meaning", sparse: "words", graph: "links" })[leg]).join(", ").replace(/, ([a-z]+)$/, " and $1");
  const lacking = answer.degraded.filter((part) => part !== "cache"); // without its cache an answer is complete
  const cut = lacking.length ? ` Incomplete: ${lacking.map((word) => DEGRADED[word] ?? word).join("; ")}.` : "";
  const count = hidden ? "No relevant passage" : plural(answer.results.length, "passage");
  say(`${count}${by ? ` by ${by}` : ""} in ${Math.round(answer.took_ms)} ms, generation ${answer.generation}.${cut}`);
  if (hidden) showNothingRelevant(reveal);
  else if (!answer.results.length) showNoResults(answer);
}

async function ask(event) {
  event.preventDefault();
  const question = query.value.trim();
  clear();
  if (!question) {
    say("Type a question first.");
    query.focus();
    return;
  }
  const legs = ["dense", "sparse", "graph"].filter((leg) => $(leg).checked);
  if (!legs.length) {
    say("Tick meaning, words or links.");
    $("dense").focus();
    return;
  }
  running?.abort();
  const own = (running = new AbortController());
  history.replaceState(null, "", `#${new URLSearchParams({ c: collection.value, q: question })}`);
  say("Searching …");
  results.setAttribute("aria-busy", "true");
  try {
    const body = { query: question, collection: collection.value, top_k: Number(topK.value) || 10, legs };
    const answer = await search(body, tenant.value, own.signal);
    if (own === running) showAnswer(answer, question);
  } catch (error) {
    if (own === running) fail(error);
  } finally {
    if (own === running) results.removeAttribute("aria-busy");
  }
}

function move(step) {
  const articles = [...results.querySelectorAll("article")];
  if (!articles.length) return;
  const at = articles.indexOf(document.activeElement?.closest("article"));
  if (at === 0 && step < 0) {
    query.focus();
    return;
  }
  const next = articles[Math.min(articles.length - 1, at + step)] ?? articles[0];
  for (const article of articles) article.tabIndex = article === next ? 0 : -1;
  next.focus();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const typing = event.target.matches("input, select, textarea");
  const down = event.key === "ArrowDown" || (event.key === "j" && !typing);
  const up = event.key === "ArrowUp" || (event.key === "k" && !typing);
  if (event.key === "/" && !typing) {
    query.focus();
    query.select();
  } else if ((down || up) && (!typing || (event.target === query && down && results.childElementCount))) {
    if (!results.childElementCount) return;
    move(down ? 1 : -1);
  } else if (event.key === "Escape" && typing) {
    event.target.blur();
    return;
  } else if (event.key === "Enter" && event.target.matches("article")) {
    event.target.querySelector(".more")?.click();
  } else {
    return;
  }
  event.preventDefault();
}

form.addEventListener("submit", ask);
document.addEventListener("keydown", onKey);
tenant.addEventListener("change", () => {
  clear();
  loadCollections().catch(fail);
});
loadCollections().then(restore).catch((error) => {
  go.disabled = true;
  fail(error);
});
