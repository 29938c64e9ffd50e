"""What a browser says of why it asks (Fetch Metadata, W3C). A GET that would write something looks at it first."""

from django.http import HttpRequest

_HERE = {"same-origin", "same-site", "none"}


def is_guess(request: HttpRequest) -> bool:
    """No GET, or one of a browser that only guesses what its user will want."""
    headers = request.headers
    guesses = (headers.get("Sec-Purpose"), headers.get("Purpose"), headers.get("X-Purpose"), headers.get("X-Moz"))
    return request.method != "GET" or any("prefetch" in (guess or "").lower() for guess in guesses)


def is_from_here(request: HttpRequest) -> bool:
    """Whether no other site caused it. Programs, and browsers over plain HTTP, say nothing, and are believed."""
    return request.headers.get("Sec-Fetch-Site", "none").strip().lower() in _HERE
