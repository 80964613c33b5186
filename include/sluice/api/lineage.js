// One passage with its flags, and the steps from its document to the collection, from `GET passages/{chunk}` and
// `GET passages/{chunk}/lineage`. Text only.

import { gatesPage, onePassage, passageLineage } from "./client.js";
import { picture } from "./picture.js";
import { element } from "./results.js";
import { $, badge, byResult, checksTable, complain, countedResults, facts, link, moment, step, table } from "./steps.js";

const address = new URLSearchParams(location.search);
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

function flagItem({ label, observed_in_words: observed, ordinal }) {
  const of = ordinal === undefined || ordinal === null ? "the whole document" : "this passage";
  return element("li", {}, `${label}: `, badge("warning"), `${observed ? `, ${observed}` : ""} (${of})`);
}

function passageStep(lineage, passage) {
  const recorded = new Set(lineage.flags.map((flag) => flag.code));
  const flags = [...lineage.flags, ...(passage?.flags ?? []).filter((flag) => !recorded.has(flag.code))];
  const shown = flags.length
    ? element("ul", { className: "flags", ariaLabel: "Warnings for this passage" }, ...flags.map(flagItem))
    : element("p", { className: "path" }, badge("passed"), " This passage and its document have no warnings.");
  const card = step(passage ? passage.title || passage.external_id : "Passage");
  if (passage?.location.headings.length) card.firstElementChild.append(element("p", { className: "path", textContent: passage.location.headings.join(" › ") }));
  card.firstElementChild.append(shown, element("p", { className: "text passage", textContent: passage?.text ?? "Its text cannot be shown now." }));
  if (passage) {
    const { page, start, end } = passage.location;
    const where = [["characters", `${start.toLocaleString("en")}–${end.toLocaleString("en")}`], ["id", lineage.chunk_id]];
    card.firstElementChild.append(facts(page === null ? where : [["page", String(page)], ...where]));
  }
  return card;
}

function boxes({ document: found, source, run, gates, generation, embedding }) {
  const now = found.history.findLast((each) => each.state === "active");
  const earlier = found.history.length - 1;
  const counted = countedResults(gates);
  const state = byResult(gates)[0]?.result;
  return [
    { kind: "Document", name: found.external_id, lines: [source] },
    { kind: "Version", name: `version ${found.version}`, lines: [now ? moment(now.activated_at).textContent : "", earlier > 0 ? plural(earlier, "earlier version") : "the first version"] },
    { kind: "Run", name: run.state, lines: [`run ${run.run_id.slice(0, 8)}`, moment(run.started_at).textContent] },
    { kind: "Gate results of the run", name: counted[0] ?? "none recorded", lines: counted.length > 1 ? [counted.slice(1).join(", ")] : [], state },
    { kind: "Collection", name: generation.collection, lines: [`generation ${generation.number}`, embedding.embedder] },
  ];
}

function drawingStep(lineage) {
  const where = element("div", { className: "drawing" });
  return [step("From the document to the collection", where), () => picture(where, "From the document to the collection", boxes(lineage))];
}

function documentStep({ document: found, source }) {
  const history = found.history.map((each) => [`${each.number}`, `${each.generation}`, each.state, moment(each.activated_at), each.run_id.slice(0, 8)]);
  const pairs = [["name", found.external_id], ["address", found.uri], ["source", source], ["first seen", moment(found.first_seen_at)], ["expires", found.expires_at === null ? "never" : moment(found.expires_at)]];
  return step("Document and versions", facts(pairs), table(["version", "generation", "state", "since", "run"], history));
}

function runStep({ run }) {
  const by = link(run.orchestrator ?? "–", run.airflow_path);
  return step("Run", facts([["id", run.run_id], ["state", run.state], ["started", moment(run.started_at)], ["ended", moment(run.finished_at)], ["by", by]]));
}

function gatesStep({ gates, run }) {
  const more = element("a", { href: gatesPage(run.run_id, address.get("tenant")), textContent: "All gate results of this run" });
  const shown = gates.length ? checksTable(gates) : "None recorded.";
  return step("Gate results of the run, for all its documents", shown, element("p", { className: "path" }, more));
}

function generationStep({ generation, embedding }) {
  return step("Collection and embedding", facts([
    ["collection", generation.collection], ["generation", `${generation.number}`], ["in Qdrant", generation.physical], ["chunker", generation.chunker],
    ["entities", generation.entities], ["embedder", `${embedding.embedder}, ${embedding.dim} dimensions`],
    ["vectors of the run", `${embedding.computed.toLocaleString("en")} computed, ${embedding.cached.toLocaleString("en")} from the cache`],
  ]));
}

function datasetsStep({ datasets }) {
  const rows = datasets.map((each) => [each.namespace, link(each.name, each.marquez_url)]);
  return step("Datasets of the run", rows.length ? table(["namespace", "name"], rows) : "This run has no lineage events. It ran without Airflow, or the events were deleted because of their age.");
}

async function show() {
  const chunk = address.get("chunk");
  if (!chunk) return complain("The address names no passage", "Open this page from a search result, or add ?chunk= and a passage's id to the address.");
  try {
    const tenant = address.get("tenant");
    const [lineage, passage] = await Promise.all([passageLineage(chunk, tenant), onePassage(chunk, tenant).catch(() => null)]);
    const [drawing, draw] = drawingStep(lineage);
    $("steps").replaceChildren(passageStep(lineage, passage), drawing, documentStep(lineage), runStep(lineage), gatesStep(lineage), generationStep(lineage), datasetsStep(lineage));
    draw();
    $("status").textContent = `Passage ${lineage.chunk_id}, version ${lineage.document.version}`;
  } catch (failure) {
    complain(failure.title ?? "This page has an error", failure.message);
  }
}

show();
