"""Why a download failed: the codes that rows, payloads, filters and logs share, and their words for people."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Reason(TextChoices):
    """A failure's code. The label is what a person reads; `PERMANENT` tells which are not retried by themselves."""

    GONE = "gone", _("The provider has deleted this recording.")
    ABSENT = "absent", _("The provider has no such recording.")
    DELETED = "deleted", _("This recording was deleted.")
    UNAUTHORISED = "unauthorised", _("The provider refused our credentials. Ask an operator to check the account.")
    HOST_NOT_ALLOWED = "host_not_allowed", _("The recording’s address is none that the account allows.")
    NOT_AUDIO = "not_audio", _("The provider sent something that is not audio.")
    UNSUPPORTED_FORMAT = "unsupported_format", _("The recording is in an audio format that cannot be played here.")
    TOO_LARGE = "too_large", _("The recording is larger than the limit.")
    TOO_MANY_REDIRECTS = "too_many_redirects", _("The provider redirected too many times.")
    NOT_YET = "not_yet", _("The provider does not have the recording yet.")
    RATE_LIMITED = "rate_limited", _("The provider asked us to slow down.")
    PROVIDER_ERROR = "provider_error", _("The provider had an error.")
    UNREACHABLE = "unreachable", _("The provider could not be reached.")
    STALLED = "stalled", _("The download took too long.")
    CUT_SHORT = "cut_short", _("The download was cut short.")
    STORAGE_FULL = "storage_full", _("Our storage is full.")
    STORAGE_ERROR = "storage_error", _("Our storage had an error.")
    WORKER_CRASHED = "worker_crashed", _("The download was interrupted several times.")


OURS = frozenset({Reason.STORAGE_FULL, Reason.STORAGE_ERROR})
"""Of this machine, not of the recording: tried again for as long as they last, and they spend none of the tries."""

GONE_FOR_GOOD = frozenset({Reason.GONE, Reason.ABSENT, Reason.DELETED})
"""Permanent, and the audio no longer exists: HTTP 410."""

PERMANENT = GONE_FOR_GOOD | {
    Reason.UNAUTHORISED,
    Reason.HOST_NOT_ALLOWED,
    Reason.NOT_AUDIO,
    Reason.UNSUPPORTED_FORMAT,
    Reason.TOO_LARGE,
    Reason.TOO_MANY_REDIRECTS,
}
"""Not retried by themselves; a manager may force a retry."""
