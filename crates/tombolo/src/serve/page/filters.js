// The filters: the form that sets them, and a chip for each in use that removes it.

import { FILTERS, NO_FILTERS, asked, go } from "./address.js";
import { $, element } from "./elements.js";
import { call } from "./server.js";

export function showFilters() {
  const state = asked();
  for (const control of $("filters").elements) {
    if (control.name === "tag") control.checked = state.tags.includes(control.value);
    else if (control.type === "radio") control.checked = control.value === state[control.name];
    else if (control.name) control.value = state[control.name];
  }
  const used = Object.keys(FILTERS).filter((name) => state[name]);
  const chips = used.map((name) => chip(FILTERS[name](state[name]), () => ({ [name]: "" })));
  chips.push(...state.tags.map((tag) => chip(tag, () => ({ tags: asked().tags.filter((other) => other !== tag) }))));
  $("chips").replaceChildren(...chips);
  $("filter-count").hidden = !chips.length;
  $("filter-count").textContent = chips.length;
}

function chip(text, changes) {
  const button = element("button", { type: "button", className: "chip", ariaLabel: `Remove the filter: ${text}` }, text);
  button.addEventListener("click", () => { go(changes()); $("filter-button").focus(); });
  return element("li", {}, button);
}

// Offers the cameras, folders and tags that are in the library.
export async function loadChoices() {
  const { cameras, tags, folders, taken } = await call("/filters");
  const there = { cameras: cameras.length, tags: tags.length, folders: folders.length, taken };
  for (const part of $("filters").querySelectorAll("[data-needs]")) part.hidden = !there[part.dataset.needs];
  $("cameras").replaceChildren(...cameras.map((value) => element("option", { value })));
  $("folders").replaceChildren(...folders.map((value) => element("option", { value })));
  const tagBox = (value) => element("label", {}, element("input", { type: "checkbox", name: "tag", value }), element("span", {}, value));
  $("tags").replaceChildren(...tags.map(tagBox));
  showFilters();
}

export function wireFilters() {
  const form = $("filters");
  const apply = () => {
    // A year that is being typed is long past for a moment.
    if (!form.checkValidity()) return;
    const said = new FormData(form);
    const changes = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, said.get(name).trim()]));
    go({ ...changes, tags: said.getAll("tag") });
  };
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
    form.hidePopover();
  });
  $("reset").addEventListener("click", () => go(NO_FILTERS));
}
