// The history of a collection's evaluations, from `GET collections/{collection}/evaluations`. Text only.

import { chart } from "./chart.js";
import { collections, evaluations } from "./client.js";
import { element } from "./results.js";
import { $, badge, complain, link, step, table } from "./steps.js";

const address = new URLSearchParams(location.search);
const METRICS = { "ndcg@10": "nDCG@10", "recall@10": "recall@10", mrr: "MRR", "all_gold@10": "all gold@10" };
const LEAST_COMPARED = 5; // questions, as in sluice.maintenance.evaluation
let shown = [];
let weights = null; // learned; null: the default

const number = (value) => value.toFixed(3);
const result = ({ comparison }) => comparison?.result ?? "passed";

function figure({ retrievers }, metric) {
  const { [metric]: value, intervals } = retrievers.fused;
  const [low, high] = intervals[metric];
  return `${number(value)} [${number(low)}, ${number(high)}]`;
}

function change({ comparison }) {
  if (!comparison) return "not checked";
  if (!comparison.baseline_id) return "the first one, nothing to compare with";
  if (comparison.queries < LEAST_COMPARED) return `only ${comparison.queries} questions to compare, ${LEAST_COMPARED} are needed`;
  const words = `${comparison.drop > 0 ? "−" : "+"}${number(Math.abs(comparison.drop))} nDCG@10, p ${number(comparison.p)}, ${comparison.queries} questions`;
  return comparison.accepted ? `${words}, accepted` : words;
}

function weighted() {
  if (!weights) return "Searches have the default weights.";
  const { dense, pairs, resemblance, metadata, gain, queries } = weights;
  return `Weights learned from ${queries} questions (${gain < 0 ? "−" : "+"}${number(Math.abs(gain))} nDCG@10): similarity ${dense}, words ${number(1 - dense)}, pairs of words ${pairs}, named metadata ${metadata}, similar passages ${resemblance}.`;
}

function point(evaluation, metric) {
  const { retrievers, generation, evaluated_at: at } = evaluation;
  const series = Object.fromEntries(Object.entries(retrievers).map(([name, scores]) => [name, scores[metric]]));
  const [low, high] = retrievers.fused.intervals[metric];
  const words = `${at.slice(0, 16).replace("T", " ")}: ${METRICS[metric]} ${figure(evaluation, metric)}, generation ${generation}, ${result(evaluation)}`;
  return { at, generation, series, low, high, result: result(evaluation), words };
}

function row(evaluation, metric) {
  const { comparison, retrievers } = evaluation;
  const outcome = element("span", {}, badge(result(evaluation)), ` ${change({ comparison })}`);
  const alone = Object.entries(retrievers).filter(([name]) => name !== "fused");
  return [
    link(`${evaluation.evaluated_at.slice(0, 16).replace("T", " ")} UTC`, evaluation.airflow_path),
    figure(evaluation, metric),
    alone.map(([name, scores]) => `${name} ${number(scores[metric])}`).join(", ") || "–",
    outcome,
    `${evaluation.queries}`,
    `${evaluation.generation}, ${evaluation.embedder}`,
    `${retrievers.fused.latency_ms.p50.toFixed(0)} / ${retrievers.fused.latency_ms.p95.toFixed(0)}`,
  ];
}

function goldenSet(name, history, metric) {
  const drawing = element("div");
  chart(drawing, `${METRICS[metric]} on golden set ${name}`, history.toReversed().map((each) => point(each, metric)));
  const heads = ["evaluated", METRICS[metric], "alone", "compared with the last that passed", "questions", "generation", "ms p50 / p95"];
  const versions = new Set(history.map(({ golden_version: version }) => version)).size;
  const note = `Version ${history[0].golden_version}${versions > 1 ? "; its questions or judgements have changed" : ""}.`;
  return step(`Golden set ${name}`, note, drawing, table(heads, history.map((each) => row(each, metric))));
}

function draw() {
  const metric = $("metric").value;
  const names = [...new Set(shown.map(({ golden_set: name }) => name))].sort();
  $("steps").replaceChildren(...names.map((name) => goldenSet(name, shown.filter((each) => each.golden_set === name), metric)));
}

async function load() {
  const [collection, tenant] = [$("collection").value, $("tenant").value];
  $("notice").hidden = true;
  $("steps").replaceChildren();
  try {
    ({ evaluations: shown, weights } = await evaluations(collection, tenant));
  } catch (failure) {
    $("status").textContent = "";
    complain(failure.title ?? "This page has an error", failure.message);
    return;
  }
  $("status").textContent = shown.length
    ? `The last ${shown.length} evaluations of ${collection}; the band is the 95 % interval of all retrievers together. ${weighted()}`
    : `${collection} was not evaluated yet. Make a golden set with sluice golden import, then trigger sluice_evaluate.`;
  const query = new URLSearchParams({ collection, tenant });
  history.replaceState(null, "", `?${query}`);
  draw();
}

function fill(select, names, chosen) {
  select.replaceChildren(...names.map((name) => element("option", { value: name, textContent: name })));
  if (names.includes(chosen)) select.value = chosen;
}

async function loadTenant(tenant, collection) {
  const answer = await collections(tenant);
  fill($("tenant"), answer.tenants, answer.tenant);
  $("tenant-field").hidden = answer.tenants.length < 2;
  const names = answer.collections.map(({ name }) => name);
  fill($("collection"), names, collection);
  $("collection").disabled = !names.length;
  if (names.length) await load();
  else $("status").textContent = "There is no collection that you may read.";
  if (collection && !names.includes(collection)) {
    const instead = names.length ? ` This is ${$("collection").value}.` : "";
    complain("Not found", `There is no collection ${JSON.stringify(collection)} that you may read.${instead}`);
  }
}

async function show(tenant, collection) {
  try {
    await loadTenant(tenant, collection);
  } catch (failure) {
    complain(failure.title ?? "This page has an error", failure.message);
  }
}

$("choice").addEventListener("submit", (event) => event.preventDefault());
$("tenant").addEventListener("change", () => show($("tenant").value, null));
$("collection").addEventListener("change", load);
$("metric").addEventListener("change", draw);
show(address.get("tenant"), address.get("collection"));
