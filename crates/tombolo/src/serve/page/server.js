// Requests to the server, with the token that it may want.

import { $ } from "./elements.js";

let token = sessionStorage.getItem("token");
let asking = null;

export const hasToken = () => Boolean(token);

export async function reach(path, { body, signal } = {}) {
  const used = token;
  const headers = {};
  if (used) headers.Authorization = `Bearer ${used}`;
  if (body) headers["Content-Type"] = "application/json";
  const request = { method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body) };
  const response = await fetch(path, request).catch((error) => {
    throw error.name === "AbortError" ? error : new Error("The server does not answer. Is it still running?");
  });
  if (response.status === 401) {
    if (used === token) await askForToken();
    return reach(path, { body, signal });
  }
  if (!response.ok) throw new Error(await messageOf(response));
  return response;
}

export const call = async (path, options) => (await reach(path, options)).json();

async function messageOf(response) {
  const said = await response.json().catch(() => null);
  return said?.error?.message ?? `The server answered ${response.status} ${response.statusText}.`;
}

// Requests that are refused at the same time ask once.
function askForToken() {
  asking ??= new Promise((resolve, reject) => {
    const dialog = $("token");
    const input = $("token-input");
    $("token-refused").textContent = token ? "The server refused this token." : "";
    input.value = "";
    dialog.addEventListener("close", () => {
      if (!input.value) return reject(new Error("This server wants a token. Search again to enter it."));
      token = input.value;
      sessionStorage.setItem("token", token);
      resolve();
    }, { once: true });
    dialog.showModal();
  }).finally(() => { asking = null; });
  return asking;
}

export function wireToken() {
  $("token-form").addEventListener("submit", (event) => { event.preventDefault(); $("token").close(); });
  const cancel = () => { $("token-input").value = ""; };
  $("token").addEventListener("cancel", cancel);
  $("token-cancel").addEventListener("click", () => { cancel(); $("token").close(); });
}
