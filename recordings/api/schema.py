"""GET schema/ and docs/: the contract, for programs and for people; and the 404 of every other address under /api/."""

from functools import cache
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import override
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request

from recordings.api.base import ApiView, nothing_here


class PublicView(ApiView):
    """A view that asks for no login and looks for none."""

    authentication_classes: tuple[type[BaseAuthentication], ...] = ()
    permission_classes: tuple[type[BasePermission], ...] = (AllowAny,)
    schema = None  # not part of the contract


class SchemaView(PublicView):
    """OpenAPI, as JSON. Public: it says nothing of anybody's data."""

    def get(self, request: Request) -> HttpResponse:
        """The contract."""
        return HttpResponse(schema_json(), content_type="application/vnd.oai.openapi+json")


class DocsView(PublicView):
    """Swagger UI, from our own static files: it works offline and under the strict Content-Security-Policy."""

    def get(self, request: Request) -> HttpResponse:
        """The contract, to read and to try."""
        return render(request._request, "recordings/api_docs.html")


class UnknownView(PublicView):
    """Every other address under /api/."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """404, whatever the method, with and without a login."""
        raise nothing_here()


@cache
def schema_json() -> bytes:
    """The OpenAPI document of the running code, in English, as docs/openapi.json has it."""
    with override("en"):
        schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return bytes(OpenApiJsonRenderer().render(schema, renderer_context={})) + b"\n"
