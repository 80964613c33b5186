// The gate results of one run, from `GET runs/{run}/gates`. Text only.

import { runGates } from "./client.js";
import { element } from "./results.js";
import { $, check, checksTable, complain, countedResults, facts, link, moment, step, table } from "./steps.js";

const address = new URLSearchParams(location.search);

function runStep({ run, collection, source }) {
  const by = link(run.orchestrator ?? "–", run.airflow_path);
  return step("Run", facts([
    ["id", run.run_id], ["state", run.state], ["mode", run.mode], ["source", source], ["collection", collection],
    ["started", moment(run.started_at)], ["ended", moment(run.finished_at)], ["by", by],
  ]));
}

function checksStep({ gates }) {
  return step(`Checks: ${countedResults(gates).join(", ") || "none recorded"}`, ...(gates.length ? [checksTable(gates)] : []));
}

function rowCells(row) {
  return [row.external_id, row.ordinal === null ? "–" : `${row.ordinal}`, check(row), row.observed_in_words];
}

function rowsStep({ rows, rows_total: total }) {
  if (!total) return step("Rows that failed a check", "None that you may read.");
  const shown = table(["document", "chunk", "check", "observed"], rows.map(rowCells));
  shown.classList.add("names");
  const card = step(`Rows that failed a check: ${total.toLocaleString("en")}`, shown);
  if (rows.length < total) card.firstElementChild.append(moreButton(card, rows.length, total));
  return card;
}

function moreButton(where, first, total) {
  let shown = first;
  const button = element("button", { type: "button", className: "more", textContent: `Show more (${shown} of ${total} are shown)` });
  button.onclick = async () => {
    button.disabled = true;
    try {
      const { rows } = await runGates(address.get("run"), address.get("tenant"), shown);
      shown += rows.length;
      const cells = rows.map((row) => element("tr", {}, ...rowCells(row).map((cell) => element("td", {}, cell))));
      where.querySelector("tbody").append(...cells);
      button.textContent = `Show more (${shown} of ${total} are shown)`;
      if (!rows.length || shown >= total) button.remove();
    } catch (failure) {
      complain(failure.title ?? "This page has an error", failure.message);
    }
    button.disabled = false;
  };
  return button;
}

async function show() {
  const run = address.get("run");
  if (!run) return complain("The address names no run", "Open this page from a run in Airflow or from a passage's lineage, or add ?run= and a run's id to the address.");
  try {
    const results = await runGates(run, address.get("tenant"), 0);
    $("steps").replaceChildren(runStep(results), checksStep(results), rowsStep(results));
    $("status").textContent = `Run ${results.run.run_id} of ${results.collection}`;
  } catch (failure) {
    complain(failure.title ?? "This page has an error", failure.message);
  }
}

show();
