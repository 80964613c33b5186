// What the gates of one run found, as `GET runs/{run}/gates` tells it. Text only.

import { runGates } from "./client.js";
import { element } from "./results.js";
import { $, check, checksTable, complain, countedResults, facts, link, moment, step, table } from "./steps.js";

const asked = new URLSearchParams(location.search);

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
  if (!total) return step("Rows that failed a check", "None, or none that you may read.");
  const shown = table(["document", "chunk", "check", "observed"], rows.map(rowCells));
  shown.classList.add("names");
  const made = step(`Rows that failed a check: ${total.toLocaleString("en")}`, shown);
  if (rows.length < total) made.firstElementChild.append(moreButton(made, rows.length, total));
  return made;
}

function moreButton(where, first, total) {
  let told = first;
  const button = element("button", { type: "button", className: "more", textContent: `Show more (${told} of ${total} are shown)` });
  button.onclick = async () => {
    button.disabled = true;
    try {
      const { rows } = await runGates(asked.get("run"), asked.get("tenant"), told);
      told += rows.length;
      const cells = rows.map((row) => element("tr", {}, ...rowCells(row).map((cell) => element("td", {}, cell))));
      where.querySelector("tbody").append(...cells);
      button.textContent = `Show more (${told} of ${total} are shown)`;
      if (!rows.length || told >= total) button.remove();
    } catch (failure) {
      complain(failure.title ?? "Something went wrong", failure.message);
    }
    button.disabled = false;
  };
  return button;
}

async function show() {
  const run = asked.get("run");
  if (!run) return complain("No run was named", "Come here from a run in Airflow or from a passage's lineage, or add ?run= and a run's id to the address.");
  try {
    const told = await runGates(run, asked.get("tenant"), 0);
    $("steps").replaceChildren(runStep(told), checksStep(told), rowsStep(told));
    $("status").textContent = `Run ${told.run.run_id} of ${told.collection}`;
  } catch (failure) {
    complain(failure.title ?? "Something went wrong", failure.message);
  }
}

show();
