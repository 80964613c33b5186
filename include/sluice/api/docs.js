// The API's routes with parameters, bodies, responses and a form for each call, from openapi.json. Text only.

import { description } from "./client.js";
import { schemaTools } from "./schema.js";
import { element } from "./results.js";
import { $, complain, table } from "./steps.js";
import { tryForm } from "./try.js";

const METHODS = ["get", "post", "put", "delete"];

// Text between backticks becomes code.
function prose(text) {
  const parts = (text ?? "").split("`");
  return element("span", {}, ...parts.map((part, at) => (at % 2 ? element("code", { textContent: part }) : part)));
}

function summaryOf(operation) {
  const [first] = (operation.description ?? operation.summary ?? "").split(/(?<=\.)\s/u);
  return first.replace(/\.$/u, "");
}

function parametersTable(operation, tools) {
  const rows = (operation.parameters ?? []).map((each) => [
    element("code", { textContent: each.name }), each.in, tools.typeName(each.schema),
    each.required ? "required" : tools.defaultOf(each.schema), prose(each.description ?? each.schema.description),
  ]);
  return rows.length ? [element("h4", { textContent: "Parameters" }), table(["name", "in", "type", "default", "meaning"], rows)] : [];
}

function fieldsTable(schema, tools, heads, depth = 0) {
  const { properties = {}, required = [] } = tools.resolve(schema);
  const rows = Object.entries(properties).map(([name, field]) => {
    const inner = tools.modelIn(field);
    const type = [tools.typeName(field)];
    if (inner && depth < 4) type.push(element("details", {}, element("summary", { textContent: "its fields" }), fieldsTable(inner, tools, heads, depth + 1)));
    const must = required.includes(name) ? (heads[2] ? "required" : "") : tools.defaultOf(field);
    const cells = [element("code", { textContent: name }), element("span", {}, ...type), must, prose(field.description)];
    return heads[2] ? cells : [cells[0], cells[1], cells[3]];
  });
  return table(heads[2] ? heads : [heads[0], heads[1], heads[3]], rows);
}

function bodyPart(operation, tools) {
  const content = operation.requestBody?.content;
  if (!content) return [];
  const [[mediaType, { schema }]] = Object.entries(content);
  const parts = [element("h4", { textContent: "Body: " }, element("code", { textContent: mediaType })), fieldsTable(schema, tools, ["field", "type", "default", "meaning"])];
  const { description } = tools.resolve(schema);
  if (description) parts.splice(1, 0, element("p", { className: "path" }, prose(description)));
  return parts;
}

function answersPart(operation, tools) {
  const parts = [element("h4", { textContent: "Responses" })];
  const problems = [];
  for (const [status, answer] of Object.entries(operation.responses)) {
    const [[mediaType, { schema } = {}] = []] = Object.entries(answer.content ?? {});
    if (mediaType === "application/problem+json") problems.push(`${status} ${answer.description}`);
    else {
      parts.push(element("p", {}, element("b", { textContent: status }), " ", mediaType ?? ""));
      if (schema) parts.push(fieldsTable(schema, tools, ["field", "type", null, "meaning"]));
    }
  }
  if (problems.length) parts.push(element("p", { className: "path", textContent: `Problems (RFC 9457): ${problems.join(", ")}` }));
  return parts;
}

function operationCard(path, method, operation, tools) {
  const id = `${method}-${path.replace(/[^a-z_]+/giu, "-").replace(/^-|-$/gu, "")}`;
  const name = element("b", { className: `method ${method}`, textContent: method.toUpperCase() });
  const summary = element("summary", {}, name, " ", element("code", { textContent: path }), " ", element("span", { className: "path", textContent: summaryOf(operation) }));
  const card = element("details", { className: "step operation", id }, summary);
  // Built when it is opened, because most routes are never opened.
  card.addEventListener("toggle", () => {
    if (!card.open || card.childElementCount > 1) return;
    card.append(
      element("p", {}, prose(operation.description)), ...parametersTable(operation, tools), ...bodyPart(operation, tools),
      ...answersPart(operation, tools), ...tryForm(path, method, operation, tools),
    );
  });
  return card;
}

function groups(document_, tools) {
  const found = new Map();
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const method of METHODS.filter((each) => methods[each])) {
      const [tag = "other"] = methods[method].tags ?? [];
      found.set(tag, [...(found.get(tag) ?? []), operationCard(path, method, methods[method], tools)]);
    }
  }
  return [...found].map(([tag, cards]) => element("section", {}, element("h2", { className: "group", textContent: tag }), ...cards));
}

async function show() {
  try {
    const described = await description();
    $("intro").append(element("p", {}, prose(described.info.description)));
    $("operations").append(...groups(described, schemaTools(described)));
    $("status").textContent = `Version ${described.info.version}, below ${location.origin}${described.servers[0].url}`;
    const named = document.getElementById(location.hash.slice(1));
    if (named) named.open = true;
    named?.scrollIntoView();
  } catch (error) {
    console.error(error);
    complain(error.title ?? "The description of the API cannot be read", error.message);
  }
}

show();
