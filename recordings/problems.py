"""Problem documents (RFC 9457): every error under /api/, also of unknown addresses and of our own faults."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from calls.models import CallLog
from prosaasil.logs import request_id

CONTENT_TYPE = "application/problem+json"
API = "/api/"


class Problem(exceptions.APIException):
    """An answer that is an error: its status, a code for programs, words for people, and what was wrong with what."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Iterable[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """`errors` are {parameter|pointer, code, detail}; `members` stand in the document beside them."""
        super().__init__(detail, code)
        self.status_code = status
        self.document = document(status, code, detail, errors) | members
        self.headers = dict(headers or {})


def wrong_parameters(errors: Iterable[Mapping[str, str]]) -> Problem:
    """400 for a query that makes no sense."""
    return Problem(400, "invalid_parameter", _("A parameter makes no sense."), errors=errors)


def document(status: int, code: str, detail: str, errors: Iterable[Mapping[str, str]] = ()) -> dict[str, Any]:
    """The members of a problem document."""
    return {
        "type": f"urn:prosaasil:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id.get(),
        "errors": [dict(error) for error in errors],
    }


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's hook: the problem document of an exception in a view; None for a fault of ours, left to Django."""
    if isinstance(error, Http404 | CallLog.DoesNotExist):  # also one that went away while it was answered for
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    headers = {**_headers(error), "Cache-Control": "no-store"}
    response = Response(_document(error), status=error.status_code, headers=headers, content_type=CONTENT_TYPE)
    # Else Django logs an ERROR for each request; who raises a 503 tells why, and not each time.
    response._has_been_logged = error.status_code == HTTPStatus.SERVICE_UNAVAILABLE  # type: ignore[attr-defined]
    return response


def _headers(error: exceptions.APIException) -> dict[str, str]:
    if isinstance(error, Problem):
        return error.headers
    challenge = getattr(error, "auth_header", None)
    return {"WWW-Authenticate": challenge} if challenge else {}


def _document(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, Problem):
        return error.document
    if isinstance(error, exceptions.ValidationError):
        errors = list(_pointed(error.get_full_details(), ""))
        return document(400, "invalid_body", _("The request's body makes no sense."), errors)
    detail, code = str(error.detail), str(error.get_codes())
    if detail.startswith("CSRF Failed"):  # the only mark that DRF's session authentication leaves
        code = "csrf_failed"
    return document(error.status_code, code, detail)


def _pointed(details: Any, pointer: str) -> Iterable[dict[str, str]]:
    """DRF's nested details as a flat list, each with a JSON pointer (RFC 6901) into the body."""
    if isinstance(details, list):
        for detail in details:
            yield from _pointed(detail, pointer)
    elif set(details) == {"message", "code"} and not isinstance(details["message"], dict):
        yield {"pointer": pointer, "code": str(details["code"]), "detail": str(details["message"])}
    else:
        for name, inner in details.items():
            step = "" if name == "non_field_errors" else f"/{name.replace('~', '~0').replace('/', '~1')}"
            yield from _pointed(inner, pointer + step)


# --- Django's own handlers: problem documents under /api/, its pages elsewhere.


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith(API) or request.path == API.rstrip("/")


def _answer(status: int, code: str, detail: str, more: Mapping[str, str] | None = None) -> HttpResponse:
    headers = {"Cache-Control": "no-store", **(more or {})}
    return JsonResponse(document(status, code, detail), status=status, content_type=CONTENT_TYPE, headers=headers)


def refusal(
    request: HttpRequest, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """What the middleware answers before any view is asked: a problem document under /api/, plain text elsewhere."""
    if _is_api(request):
        return _answer(status, code, detail, headers)
    headers = {"Cache-Control": "no-store", **(headers or {})}
    return HttpResponse(f"{detail}\n", status=status, content_type="text/plain; charset=utf-8", headers=headers)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400: a request that Django itself refuses, such as one for a host that is not ours."""
    if _is_api(request):
        return _answer(400, "bad_request", _("The request makes no sense."))
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler403."""
    if _is_api(request):
        return _answer(403, "permission_denied", _("You may not do this."))
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404."""
    if _is_api(request):
        return _answer(404, "not_found", _("There is nothing here."))
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500: a fault of ours. The request's id leads to the log line that has the traceback."""
    if _is_api(request):
        return _answer(500, "server_error", _("Something went wrong on our side. Please try again later."))
    return defaults.server_error(request)
