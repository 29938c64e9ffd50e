"""Where each address leads."""

from django.contrib import admin
from django.urls import include, path, re_path

from recordings.api.schema import UnknownView
from recordings.health import healthz, readyz
from recordings.metrics import metrics

urlpatterns = [
    path("api/", include("recordings.urls")),  # first: the addresses that are asked for most
    path("", include("recordings.page_urls")),
    path("admin/", admin.site.urls),
    re_path(r"^api\Z", UnknownView.as_view()),
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
]
handler400 = "recordings.problems.bad_request"
handler403 = "recordings.problems.permission_denied"
handler404 = "recordings.problems.page_not_found"
handler500 = "recordings.problems.server_error"
