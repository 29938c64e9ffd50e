// Swagger UI over our own schema. "Try it out" works with the session of whoever is logged in here.

const root = document.getElementById("swagger-ui");
const csrfToken = root.querySelector("[name=csrfmiddlewaretoken]").value;

window.SwaggerUIBundle({
  url: root.dataset.schema,
  domNode: root,
  deepLinking: true,
  requestInterceptor(request) {
    if (!["GET", "HEAD"].includes(request.method ?? "GET")) {
      request.headers["X-CSRFToken"] = csrfToken;
    }
    return request;
  },
});
