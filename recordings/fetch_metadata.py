"""What a browser says of why it asks (Fetch Metadata, W3C). A GET that would write something looks at it first."""

from django.http import HttpRequest

# META, and not `headers`, which is a dictionary of all that was sent, made anew for each request.

_GUESSES = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
_HERE = {"same-origin", "same-site", "none"}


def is_guess(request: HttpRequest) -> bool:
    """No GET, or one of a browser that only guesses what its user will want."""
    guesses = map(request.META.get, _GUESSES)
    return request.method != "GET" or any("prefetch" in guess.lower() for guess in guesses if guess)


def is_from_here(request: HttpRequest) -> bool:
    """Whether no other site caused it. Programs, and browsers over plain HTTP, say nothing, and are believed."""
    return str(request.META.get("HTTP_SEC_FETCH_SITE", "none")).strip().lower() in _HERE
