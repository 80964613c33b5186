// Describes the JSON schemas of openapi.json in words, and makes example values that fit them.

function limits({ minimum, maximum, minLength, maxLength, minItems, maxItems }) {
  const [least, most] = [minimum ?? minLength ?? minItems, maximum ?? maxLength ?? maxItems];
  if (least === undefined && most === undefined) return "";
  const unit = minLength === undefined && maxLength === undefined ? "" : " characters";
  return `, ${least ?? "up"} to ${most?.toLocaleString("en") ?? "any"}${unit}`;
}

export function schemaTools({ components, servers }) {
  // The schema with its reference resolved and without "or null".
  function resolve(schema) {
    if (schema?.$ref) return resolve(components.schemas[schema.$ref.split("/").at(-1)]);
    const some = schema?.anyOf?.filter((each) => each.type !== "null");
    if (some?.length !== 1) return schema ?? {};
    const { anyOf, ...rest } = schema;
    return { ...resolve(some[0]), ...rest };
  }

  function typeName(schema) {
    const { type, format, items, const: only, enum: values, anyOf, ...rest } = resolve(schema);
    const or = schema?.anyOf?.some((each) => each.type === "null") ? " or null" : "";
    if (only !== undefined) return JSON.stringify(only);
    if (values) return values.map((each) => JSON.stringify(each)).join(", ") + or;
    if (anyOf) return anyOf.map(typeName).join(" or ");
    if (type === "array") return `list of ${typeName(items)}${limits(rest)}${or}`;
    return `${format && format !== "binary" ? format : type ?? "any"}${limits(rest)}${or}`;
  }

  function modelIn(schema) {
    const found = resolve(schema);
    if (found.type === "array") return modelIn(found.items);
    return found.properties ? found : null;
  }

  function defaultOf(schema) {
    const found = schema?.default ?? resolve(schema).default;
    return found === undefined || found === null ? "" : JSON.stringify(found);
  }

  // The schema's own example, else the required fields with placeholder values.
  function example(schema) {
    const found = resolve(schema);
    if (found.examples?.length) return found.examples[0];
    if (found.default !== undefined) return found.default;
    if (found.enum) return found.enum[0];
    if (found.type === "array") return [example(found.items)];
    if (found.type === "object" || found.properties) {
      const { properties = {}, required = [] } = found;
      return Object.fromEntries(required.map((name) => [name, example(properties[name])]));
    }
    return { string: "text", integer: 1, number: 1, boolean: false }[found.type] ?? null;
  }

  const server = servers[0].url.replace(/\/$/u, "");
  return { resolve, typeName, modelIn, defaultOf, example, server };
}
