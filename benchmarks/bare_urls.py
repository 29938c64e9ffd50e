"""The one address of bare_settings."""

import os

from django.http import FileResponse, HttpRequest
from django.urls import path


def bare(request: HttpRequest) -> FileResponse:
    """The file, whoever asks."""
    response = FileResponse(open(os.environ["BARE_FILE"], "rb"))  # noqa: SIM115 - the response closes it
    response.block_size = 262144
    return response


urlpatterns = [path("", bare)]
