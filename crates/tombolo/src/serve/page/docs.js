// Shows /openapi.json as a page: routes, parameters, bodies and answers.

const element = (name, text, ...children) => {
  const made = document.createElement(name);
  if (text !== null) made.textContent = text;
  made.append(...children);
  return made;
};

const shortName = (reference) => reference.split("/").pop();

function typeName(schema) {
  if (!schema) return "anything";
  if (schema.$ref) return shortName(schema.$ref);
  const options = schema.oneOf ?? schema.anyOf;
  if (options) return options.map(typeName).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.type === "array" || schema.type?.includes?.("array")) return `list of ${typeName(schema.items)}`;
  return [schema.type ?? "anything"].flat().join(" or ");
}

function fields(schema) {
  const rows = Object.entries(schema?.properties ?? {}).map(([name, field]) => {
    const needed = schema.required?.includes(name) ? "" : "optional";
    return element("tr", null, element("td", null, element("code", name)), element("td", typeName(field)),
      element("td", needed), element("td", field.description ?? ""));
  });
  return rows.length ? element("table", null, ...rows) : element("p", typeName(schema));
}

function operation(path, method, route, schemas) {
  const section = element("section", null, element("h2", `${method.toUpperCase()} ${path}`), element("p", route.summary ?? ""));
  const parameters = route.parameters ?? [];
  if (parameters.length) {
    section.append(element("h3", "Parameters"), element("table", null, ...parameters.map((parameter) =>
      element("tr", null, element("td", null, element("code", parameter.name)), element("td", `in ${parameter.in}`),
        element("td", parameter.description ?? "")))));
  }
  const body = route.requestBody?.content["application/json"]?.schema;
  if (body) section.append(element("h3", "Body"), fields(body.$ref ? schemas[shortName(body.$ref)] : body));
  section.append(element("h3", "Answers"), element("ul", null, ...Object.entries(route.responses).map(([status, answer]) => {
    const content = Object.entries(answer.content ?? {})[0];
    const what = content ? `${content[0]}${content[1].schema ? `: ${typeName(content[1].schema)}` : ""}` : answer.description;
    return element("li", `${status}  ${what}`);
  })));
  return section;
}

const api = await (await fetch("/openapi.json")).json();
const schemas = api.components.schemas;
const routes = Object.entries(api.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, route]) => operation(path, method, route, schemas)));
const named = Object.entries(schemas).map(([name, schema]) => element("section", null, element("h2", name), element("p", schema.description ?? ""), fields(schema)));
document.getElementById("routes").replaceChildren(...routes, element("h1", "What bodies hold"), ...named);
