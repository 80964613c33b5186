// The past of one passage, from the source to the stores, as `GET passages/{chunk}/lineage` tells it. Text only.

import { gatesPage, passageLineage } from "./client.js";
import { element } from "./results.js";
import { $, check, complain, facts, link, moment, step, table } from "./steps.js";

const asked = new URLSearchParams(location.search);

function documentStep({ document: found }) {
  const history = found.history.map((each) => [`${each.number}`, `${each.generation}`, each.state, moment(each.activated_at), each.run_id.slice(0, 8)]);
  const known = [["name", found.external_id], ["address", found.uri], ["first seen", moment(found.first_seen_at)], ["expires", moment(found.expires_at)]];
  return step("Document", facts(known), table(["version", "generation", "state", "since", "run"], history));
}

function runStep({ run }) {
  const by = link(run.orchestrator ?? "–", run.airflow_path);
  return step("Run", facts([["id", run.run_id], ["state", run.state], ["started", moment(run.started_at)], ["ended", moment(run.finished_at)], ["by", by]]));
}

function gatesStep({ gates, run }) {
  const rows = gates.map((gate) => [
    gate.stage, check(gate), gate.column ?? "–", gate.success ? "met" : gate.blocking ? "failed, rows kept out" : "failed, a warning",
    `${gate.unexpected.toLocaleString()} of ${gate.evaluated.toLocaleString()}`,
  ]);
  const more = element("a", { href: gatesPage(run.run_id, asked.get("tenant")), textContent: "All that they found in this run" });
  return step("Gates of that run", rows.length ? table(["after", "check", "column", "result", "rows that failed"], rows) : "None recorded. ", more);
}

function generationStep({ generation, embedding }) {
  return step("Generation and embedding", facts([
    ["collection", generation.collection], ["generation", `${generation.number}`], ["in Qdrant", generation.physical], ["chunker", generation.chunker],
    ["entities", generation.entities], ["embedder", `${embedding.embedder}, ${embedding.dim} dimensions`],
    ["vectors of the run", `${embedding.computed.toLocaleString()} computed, ${embedding.cached.toLocaleString()} from the cache`],
  ]));
}

function datasetsStep({ datasets }) {
  const rows = datasets.map((each) => [each.namespace, link(each.name, each.marquez_url)]);
  return step("Datasets of that run", rows.length ? table(["namespace", "name"], rows) : "No lineage events name this run: it ran without Airflow, or they were too old to keep.");
}

async function show() {
  const chunk = asked.get("chunk");
  if (!chunk) return complain("No passage was named", "Come here from a search result, or add ?chunk= and a passage's id to the address.");
  try {
    const told = await passageLineage(chunk, asked.get("tenant"));
    const source = step("Source", facts([["address", told.source]]));
    $("steps").replaceChildren(source, documentStep(told), runStep(told), gatesStep(told), generationStep(told), datasetsStep(told));
    $("status").textContent = `Passage ${told.chunk_id}, version ${told.document.version}`;
  } catch (failure) {
    complain(failure.title ?? "Something went wrong", failure.message);
  }
}

show();
