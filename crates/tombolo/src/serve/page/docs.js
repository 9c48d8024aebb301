// Shows /openapi.json as a page: routes, parameters, bodies and answers.

const element = (name, text, ...children) => {
  const made = document.createElement(name);
  if (text !== null) made.textContent = text;
  made.append(...children);
  return made;
};

const code = (text) => element("code", text);
const quiet = (text) => Object.assign(element("td", text), { className: "quiet" });
const shortName = (reference) => reference.split("/").pop();

// What a value may be: in words, where a name stands for no fields of its own, and a link where it does.
function type(schema, schemas) {
  if (schema?.$ref) {
    const name = shortName(schema.$ref);
    if (!schemas[name]?.properties) return type(schemas[name], schemas);
    return [Object.assign(element("a", name), { href: `#${name}` })];
  }
  if (schema?.enum) return [code(schema.enum.map((value) => JSON.stringify(value)).join(" | "))];
  const options = schema?.oneOf ?? schema?.anyOf ?? (Array.isArray(schema?.type) ? schema.type.map((one) => ({ ...schema, type: one })) : null);
  if (options) {
    const named = options.map((option) => type(option, schemas));
    return named.flatMap((parts, place) => place ? [" or ", ...parts] : parts);
  }
  if (schema?.type === "array") return ["list of ", ...type(schema.items, schemas)];
  return [schema?.type ?? "anything"];
}

const described = (schema) =>
  schema.description ?? [...(schema.oneOf ?? []), ...(schema.anyOf ?? [])].map((option) => option.description).find(Boolean) ?? "";

const table = (rows) => Object.assign(element("div", null, element("table", null, ...rows)), { className: "wide" });

function fields(schema, schemas) {
  const rows = Object.entries(schema?.properties ?? {}).map(([name, field]) =>
    element("tr", null, element("td", null, code(name)), element("td", null, ...type(field, schemas)),
      quiet(schema.required?.includes(name) ? "" : "optional"), element("td", described(field))));
  return rows.length ? table(rows) : element("p", null, ...type(schema, schemas));
}

function answer([status, { content, description }], schemas) {
  const [media, { schema }] = Object.entries(content ?? {})[0] ?? [description, {}];
  return element("li", null, code(status), ` ${media ?? ""} `, ...(schema ? type(schema, schemas) : []));
}

function operation(path, method, route, schemas) {
  const verb = Object.assign(element("span", method.toUpperCase()), { className: "method" });
  const section = element("section", null, element("h2", null, verb, " ", path), element("p", route.summary ?? ""));
  const parameters = route.parameters ?? [];
  if (parameters.length) {
    section.append(element("h3", "Parameters"), table(parameters.map((parameter) =>
      element("tr", null, element("td", null, code(parameter.name)), quiet(`in ${parameter.in}`), element("td", parameter.description ?? "")))));
  }
  const body = route.requestBody?.content["application/json"]?.schema;
  if (body) section.append(element("h3", "Body"), fields(body.$ref ? schemas[shortName(body.$ref)] : body, schemas));
  section.append(element("h3", "Answers"), element("ul", null, ...Object.entries(route.responses).map((one) => answer(one, schemas))));
  return section;
}

function body(name, schema, schemas) {
  const section = element("section", null, element("h2", name), element("p", schema.description ?? ""), fields(schema, schemas));
  section.id = name;
  return section;
}

const api = await (await fetch("/openapi.json")).json();
const schemas = api.components.schemas;
const routes = Object.entries(api.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, route]) => operation(path, method, route, schemas)));
const bodies = Object.entries(schemas).filter(([, schema]) => schema.properties).map(([name, schema]) => body(name, schema, schemas));
document.getElementById("routes").replaceChildren(...routes, element("h1", "What bodies hold"), ...bodies);
