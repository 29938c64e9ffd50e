"""How a download from each of the demo provider's misbehaviours ends the first time: ready, or with which reason."""

from recordings.reasons import Reason

READY = "ready"
OUTCOMES = {
    "slow-start": READY, "slow": READY, "chunked": READY, "wrong-type": READY, "redirect": READY, "redirect-3": READY,
    "close-after": READY, "gate-start": READY, "gate-body": READY, "ignores-range": READY,
    "drip": Reason.STALLED, "drip-headers": Reason.STALLED, "endless-headers": Reason.CUT_SHORT,
    "stall-start": Reason.STALLED, "stall-headers": Reason.STALLED, "stall-body": Reason.STALLED,
    "not-yet": Reason.NOT_YET, "absent": Reason.NOT_YET, "gone": Reason.GONE,
    "unauthorised": Reason.UNAUTHORISED, "forbidden": Reason.UNAUTHORISED,
    "rate-limited": Reason.RATE_LIMITED, "rate-limited-date": Reason.RATE_LIMITED,
    "rate-limited-bare": Reason.RATE_LIMITED,
    "error-500": Reason.PROVIDER_ERROR, "error-502": Reason.PROVIDER_ERROR, "error-503": Reason.PROVIDER_ERROR,
    "error-503-later": Reason.PROVIDER_ERROR, "flaky": Reason.PROVIDER_ERROR,
    "hang-up": Reason.UNREACHABLE, "reset-headers": Reason.UNREACHABLE, "reset-body": Reason.UNREACHABLE,
    "garbage": Reason.CUT_SHORT, "short-body": Reason.CUT_SHORT, "too-long": Reason.PROVIDER_ERROR,
    "conflicting-lengths": Reason.PROVIDER_ERROR, "cut-chunked": Reason.CUT_SHORT,
    "close-delimited": Reason.CUT_SHORT, "cut-close-delimited": Reason.CUT_SHORT,
    "endless": Reason.TOO_LARGE, "enormous": Reason.TOO_LARGE, "unasked-part": Reason.PROVIDER_ERROR,
    "html": Reason.NOT_AUDIO, "html-as-audio": Reason.NOT_AUDIO, "xml": Reason.NOT_AUDIO, "json": Reason.NOT_AUDIO,
    "empty": Reason.NOT_AUDIO, "no-content": Reason.PROVIDER_ERROR, "half": Reason.CUT_SHORT,
    "unsupported": Reason.UNSUPPORTED_FORMAT, "gzip": Reason.PROVIDER_ERROR, "gzip-bomb": Reason.PROVIDER_ERROR,
    "redirect-4": Reason.TOO_MANY_REDIRECTS, "redirect-loop": Reason.TOO_MANY_REDIRECTS,
    "redirect-away": Reason.HOST_NOT_ALLOWED, "redirect-inward": Reason.HOST_NOT_ALLOWED,
}  # fmt: skip
