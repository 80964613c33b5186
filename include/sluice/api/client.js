// Calls to the API below this page; errors become a title and a text for the user.

export const TIMEOUT_MS = 30000;

export class CallError extends Error {
  constructor(title, detail, requestId) {
    super(detail);
    this.title = title;
    this.requestId = requestId;
  }
}

const TITLES = {
  401: "You are signed out",
  403: "You may not read this",
  404: "Not found",
  413: "The question is too long",
  422: "The request is invalid",
  429: "Too many questions at once",
  503: "Search is not available right now",
};

async function problem(response) {
  let body = {};
  try { body = await response.json(); } catch { /* a proxy's page instead of a problem; the status is enough */ }
  const title = TITLES[response.status] ?? "The request failed";
  let detail = body.detail ?? `The server answered ${response.status}.`;
  if (response.status === 401) detail = "Sign in to Airflow again, then reload this page.";
  return new CallError(title, detail, body.request_id ?? response.headers.get("X-Request-ID"));
}

async function call(path, options, tenant, signal) {
  const headers = { Accept: "application/json", ...options.headers };
  if (tenant) headers["X-Sluice-Tenant"] = tenant;
  const limits = [AbortSignal.timeout(TIMEOUT_MS)];
  if (signal) limits.push(signal);
  let response;
  try {
    response = await fetch(path, { ...options, headers, credentials: "same-origin", signal: AbortSignal.any(limits) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new CallError("The server cannot be reached", "Check the network, and check that Airflow's API server runs. Then try again.");
  }
  if (!response.ok) throw await problem(response);
  return response.json();
}

export function description() {
  return call("openapi.json", {}, null);
}

export function collections(tenant) {
  return call("api/v1/collections", {}, tenant);
}

export function search(body, tenant, signal) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  return call("api/v1/search", options, tenant, signal);
}

export function onePassage(chunk, tenant) {
  return call(`api/v1/passages/${encodeURIComponent(chunk)}`, {}, tenant);
}

export function passageLineage(chunk, tenant) {
  return call(`api/v1/passages/${encodeURIComponent(chunk)}/lineage`, {}, tenant);
}

export function evaluations(collection, tenant) {
  return call(`api/v1/collections/${encodeURIComponent(collection)}/evaluations?limit=200`, {}, tenant);
}

export function runGates(run, tenant, offset) {
  return call(`api/v1/runs/${encodeURIComponent(run)}/gates?offset=${offset}`, {}, tenant);
}

export function gatesPage(run, tenant) {
  const query = new URLSearchParams({ run });
  if (tenant) query.set("tenant", tenant);
  return `gates?${query}`;
}
