"use strict";

const KEPT = "weighbridge-token";
const DOCUMENT = "/api/openapi.json";
const form = document.getElementById("token");
const secret = document.getElementById("secret");
const said = document.getElementById("said");
secret.value = sessionStorage.getItem(KEPT) || "";

function bearer() {
  const token = sessionStorage.getItem(KEPT);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function show(spec) {
  SwaggerUIBundle({
    spec,
    dom_id: "#document",
    presets: [SwaggerUIBundle.presets.apis],
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    tryItOutEnabled: true,
    validatorUrl: null,
    requestInterceptor: (request) => {
      if (new URL(request.url, location.href).origin === location.origin) {
        request.headers = { ...bearer(), ...request.headers };
      }
      return request;
    },
  });
}

async function load() {
  document.getElementById("document").replaceChildren();
  said.className = "";
  try {
    const answer = await fetch(DOCUMENT, { headers: bearer() });
    const body = await answer.json();
    if (answer.ok) {
      said.textContent = secret.value ? "This token is kept in this tab alone." : "No token is needed.";
      show(body);
    } else {
      said.className = "wrong";
      said.textContent = body.error.message;
    }
  } catch (error) {
    said.className = "wrong";
    said.textContent = `The gateway does not answer: ${error.message}`;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEPT, secret.value.trim());
  load();
});
load();
