"""The pages' addresses."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path, re_path
from django.views.i18n import set_language

from calls.models import CALL_SID_PATTERN
from recordings import pages

urlpatterns = [
    path("", pages.recent_calls, name="recent_calls"),
    re_path(rf"^calls/(?P<call_sid>{CALL_SID_PATTERN})\Z", pages.call_page, name="call_page"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("language/", set_language, name="set_language"),
]
