"""What a provider can do wrong, by name.

Each is one small function that takes the exchange and its own keyword options, which `Provider.misbehave` and
`POST /_control/behaviour` may set. A recording whose name ends in `-<name>` does it without being told
(demo/addresses.py).
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from demo import broken, late_or_refused, wrong_bytes


@dataclass(frozen=True)
class Misbehaviour:
    """A function, and for how many of a recording's requests it holds when nobody says otherwise (None: all)."""

    run: Callable[..., None]
    first: int | None = None

    @property
    def options(self) -> dict[str, object]:
        """Its options and what they are when nobody says."""
        parameters = inspect.signature(self.run).parameters.values()
        return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}

    def check(self, options: dict[str, object]) -> None:
        """ValueError, with what there is, for an option that the function does not have."""
        known = self.options
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(f"Unexpected option {', '.join(unknown)}; use {', '.join(known) or 'none'}")


HTML = "<!doctype html><title>Sign in</title><p>Please sign in to hear this recording.</p>"
XML = "<?xml version='1.0'?><TwilioResponse><RestException><Code>20404</Code></RestException></TwilioResponse>"

TABLE: dict[str, Misbehaviour] = {
    "slow-start": Misbehaviour(late_or_refused.slow_start),
    "slow": Misbehaviour(late_or_refused.slow),
    "drip": Misbehaviour(partial(late_or_refused.slow, bytes_per_second=1)),
    "drip-headers": Misbehaviour(late_or_refused.drip_headers),
    "gate-start": Misbehaviour(late_or_refused.gate_start),
    "gate-body": Misbehaviour(late_or_refused.gate_body),
    "not-yet": Misbehaviour(partial(late_or_refused.refuse, status=404, code=20404), first=2),
    "absent": Misbehaviour(partial(late_or_refused.refuse, status=404, code=20404)),
    "gone": Misbehaviour(partial(late_or_refused.refuse, status=410, code=20410)),
    "unauthorised": Misbehaviour(late_or_refused.unauthorised),
    "forbidden": Misbehaviour(partial(late_or_refused.refuse, status=403, code=20003)),
    "rate-limited": Misbehaviour(late_or_refused.rate_limited),
    "rate-limited-date": Misbehaviour(partial(late_or_refused.rate_limited, as_date=True)),
    "rate-limited-bare": Misbehaviour(partial(late_or_refused.rate_limited, retry_after=None)),
    "error-500": Misbehaviour(late_or_refused.failing),
    "error-502": Misbehaviour(partial(late_or_refused.failing, status=502)),
    "error-503": Misbehaviour(partial(late_or_refused.failing, status=503)),
    "error-503-later": Misbehaviour(partial(late_or_refused.failing, status=503, retry_after=2)),
    "flaky": Misbehaviour(partial(late_or_refused.failing, status=503), first=1),
    "hang-up": Misbehaviour(broken.hang_up),
    "close-after": Misbehaviour(broken.close_after),
    "reset-headers": Misbehaviour(broken.reset_headers),
    "reset-body": Misbehaviour(broken.reset_body),
    "stall-start": Misbehaviour(broken.stall_start),
    "stall-headers": Misbehaviour(broken.stall_headers),
    "stall-body": Misbehaviour(broken.stall_body),
    "garbage": Misbehaviour(broken.garbage),
    "endless-headers": Misbehaviour(broken.endless_headers),
    "short-body": Misbehaviour(broken.short_body),
    "too-long": Misbehaviour(broken.too_long),
    "conflicting-lengths": Misbehaviour(broken.conflicting_lengths),
    "chunked": Misbehaviour(broken.chunked),
    "cut-chunked": Misbehaviour(partial(broken.chunked, cut=True)),
    "close-delimited": Misbehaviour(broken.close_delimited),
    "cut-close-delimited": Misbehaviour(partial(broken.close_delimited, cut=True)),
    "endless": Misbehaviour(broken.endless),
    "enormous": Misbehaviour(partial(broken.endless, content_length=10**12)),
    "unasked-part": Misbehaviour(broken.unasked_part),
    "ignores-range": Misbehaviour(broken.ignores_range),
    "html": Misbehaviour(partial(wrong_bytes.page, body=HTML, content_type="text/html; charset=utf-8")),
    "html-as-audio": Misbehaviour(partial(wrong_bytes.page, body=HTML, content_type="audio/x-wav")),
    "xml": Misbehaviour(partial(wrong_bytes.page, body=XML, content_type="application/xml")),
    "json": Misbehaviour(
        partial(wrong_bytes.page, body='{"code": 20404, "status": 404}', content_type="application/json")
    ),
    "empty": Misbehaviour(partial(wrong_bytes.page, body="", content_type="audio/x-wav")),
    "no-content": Misbehaviour(wrong_bytes.no_content),
    "half": Misbehaviour(wrong_bytes.half),
    "unsupported": Misbehaviour(wrong_bytes.unsupported),
    "wrong-type": Misbehaviour(wrong_bytes.wrong_type),
    "gzip": Misbehaviour(wrong_bytes.gzipped),
    "gzip-bomb": Misbehaviour(wrong_bytes.gzip_bomb),
    "redirect": Misbehaviour(late_or_refused.redirect),
    "redirect-3": Misbehaviour(partial(late_or_refused.redirect, hops=3)),
    "redirect-4": Misbehaviour(partial(late_or_refused.redirect, hops=4)),
    "redirect-loop": Misbehaviour(partial(late_or_refused.redirect, hops=10**9)),
    "redirect-away": Misbehaviour(partial(late_or_refused.redirect, location="http://localhost:{port}{path}")),
    "redirect-inward": Misbehaviour(partial(late_or_refused.redirect, location="http://169.254.169.254{path}")),
}
"""Name → misbehaviour.

`redirect-away` goes to the same server under another host's name, `redirect-inward` to where a cloud keeps secrets.
"""
