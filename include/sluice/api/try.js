// A form that calls one route with the user's session, and the same call as a curl command.

import { TIMEOUT_MS } from "./client.js";
import { element } from "./results.js";

const MAX_SHOWN_CHARS = 20000;

function field(label, control) {
  return element("label", { className: "field" }, element("span", { textContent: label }), control);
}

function inputFor(parameter, tools) {
  const schema = tools.resolve(parameter.schema);
  const choices = schema.enum ?? (schema.type === "boolean" ? ["true", "false"] : null);
  const suggested = schema.default ?? "";
  const control = choices
    ? element("select", {}, ...(parameter.required ? choices : ["", ...choices]).map((each) => new Option(each, each)))
    : element("input", { type: "text", autocomplete: "off", spellcheck: false });
  control.name = parameter.name;
  control.required = Boolean(parameter.required);
  control.value = String(suggested);
  return field(`${parameter.name} (${parameter.in}${parameter.required ? ", required" : ""})`, control);
}

function request(path, parameters, values, server) {
  const query = new URLSearchParams();
  const headers = { Accept: "application/json" };
  let address = path;
  for (const { name, in: where } of parameters) {
    const value = values.get(name);
    if (where === "path") address = address.replace(`{${name}}`, encodeURIComponent(value));
    else if (value !== "" && where === "query") query.set(name, value);
    else if (value !== "" && where === "header") headers[name] = value;
  }
  return { address: `${server}${address}${query.size ? `?${query}` : ""}`, headers };
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curl(method, { address, headers }, body) {
  const lines = [`curl -sS -X ${method.toUpperCase()} ${quoted(location.origin + address)}`, '  -H "Authorization: Bearer $TOKEN"'];
  for (const [name, value] of Object.entries(headers)) if (name !== "Accept") lines.push(`  -H ${quoted(`${name}: ${value}`)}`);
  if (body !== null) lines.push(`  -d ${quoted(body)}`);
  return lines.join(" \\\n");
}

async function answer(response, took) {
  const text = await response.text();
  let shown = text;
  try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown unchanged */ }
  const cut = shown.length > MAX_SHOWN_CHARS ? `${shown.slice(0, MAX_SHOWN_CHARS)}\n… (${shown.length.toLocaleString("en")} characters)` : shown;
  return [element("p", { textContent: `${response.status} ${response.statusText} in ${Math.round(took)} ms` }), element("pre", { textContent: cut, tabIndex: 0 })];
}

export function tryForm(path, method, operation, tools) {
  const media = Object.keys(operation.requestBody?.content ?? {})[0];
  const title = element("h4", { textContent: "Try it" });
  if (media && media !== "application/json") {
    const upload = `curl -sS ${quoted(location.origin + tools.server + path)} \\\n  -H "Authorization: Bearer $TOKEN" \\\n  -F collection=docs -F file=@report.pdf`;
    return [title, element("pre", { textContent: upload, tabIndex: 0 })];
  }
  const parameters = operation.parameters ?? [];
  const body = media ? element("textarea", { name: "body", rows: 6, spellcheck: false }) : null;
  if (body) body.value = JSON.stringify(tools.example(operation.requestBody.content[media].schema), null, 2);
  const readsOnly = method === "get" || path.endsWith("/search");
  const confirmation = readsOnly ? [] : [element("label", { className: "sure" }, element("input", { type: "checkbox", required: true }), " This call may change data")];
  const result = element("div", { className: "answer", ariaLive: "polite" });
  const form = element(
    "form", { className: "try" }, ...parameters.map((each) => inputFor(each, tools)), ...(body ? [field("body (JSON)", body)] : []), ...confirmation,
    element("button", { type: "submit", className: "send", textContent: "Send" }),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = request(path, parameters, new FormData(form), tools.server);
    if (body) wanted.headers["Content-Type"] = "application/json";
    const sent = body ? body.value : null;
    const command = element("pre", { textContent: curl(method, wanted, sent), tabIndex: 0 });
    result.replaceChildren(element("p", { textContent: "Sending …" }), command);
    const started = performance.now();
    try {
      const response = await fetch(wanted.address, { method: method.toUpperCase(), headers: wanted.headers, body: sent, credentials: "same-origin", signal: AbortSignal.timeout(TIMEOUT_MS) });
      result.replaceChildren(...(await answer(response, performance.now() - started)), element("p", { textContent: "The same call in a terminal:" }), command);
    } catch (error) {
      const why = error.name === "TimeoutError" ? `No answer within ${TIMEOUT_MS / 1000} s.` : "The server cannot be reached.";
      result.replaceChildren(element("p", { textContent: why }), command);
    }
  });
  return [title, form, result];
}
