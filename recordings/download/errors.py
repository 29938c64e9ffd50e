"""One family of errors for everything that can end a download. The docstring of each is its default message."""

import errno

from recordings.reasons import PERMANENT, Reason


class DownloadError(Exception):
    """The download failed."""

    reason: Reason

    def __init__(self, detail: str = "", *, retry_after: float | None = None, http_status: int | None = None) -> None:
        """`detail` is for operators (no secrets, no query strings); `retry_after` is the provider's wish in seconds."""
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.retry_after = retry_after
        self.http_status = http_status
        super().__init__(self.detail)

    @property
    def permanent(self) -> bool:
        """True when asking again by itself is pointless."""
        return self.reason in PERMANENT


class Gone(DownloadError):
    """The provider answered 410: the recording was deleted there."""

    reason = Reason.GONE


class Absent(DownloadError):
    """The provider answered 404 long after the call had ended."""

    reason = Reason.ABSENT


class Unauthorised(DownloadError):
    """The provider refused the account's credentials (401 or 403)."""

    reason = Reason.UNAUTHORISED


class NotAskedAgain(Unauthorised):
    """Not asked again: the provider refused this account's credentials less than a minute ago."""

    permanent = False  # it was never asked for this recording; the next minute tells


class HostNotAllowed(DownloadError):
    """The address of the recording is not one the account may be fetched from."""

    reason = Reason.HOST_NOT_ALLOWED


class NotAudio(DownloadError):
    """The bytes are not audio."""

    reason = Reason.NOT_AUDIO


class UnsupportedFormat(DownloadError):
    """The audio is in a format other than WAV (PCM, µ-law, A-law), MP3, FLAC or Ogg Vorbis."""

    reason = Reason.UNSUPPORTED_FORMAT


class TooLarge(DownloadError):
    """The recording is larger than RECORDINGS_MAX_BYTES."""

    reason = Reason.TOO_LARGE


class TooManyRedirects(DownloadError):
    """The provider redirected more than three times."""

    reason = Reason.TOO_MANY_REDIRECTS


class NotYet(DownloadError):
    """The provider answered 404; it may have the recording shortly."""

    reason = Reason.NOT_YET


class RateLimited(DownloadError):
    """The provider answered 429."""

    reason = Reason.RATE_LIMITED


class ProviderError(DownloadError):
    """The provider answered with an error of its own, or with something other than a recording."""

    reason = Reason.PROVIDER_ERROR


class Unreachable(DownloadError):
    """The provider could not be reached: name, connection, TLS, or the connection was reset."""

    reason = Reason.UNREACHABLE


class Stalled(DownloadError):
    """The transfer did not end before its deadline."""

    reason = Reason.STALLED


class CutShort(DownloadError):
    """Fewer bytes came than were announced, or the audio ends in the middle."""

    reason = Reason.CUT_SHORT


class StorageFull(DownloadError):
    """There is no room left in our storage."""

    reason = Reason.STORAGE_FULL


class StorageError(DownloadError):
    """Our storage could not be written or read."""

    reason = Reason.STORAGE_ERROR


class OutOfDescriptors(StorageError):
    """This worker has no file descriptors left: raise its limit (LimitNOFILE, ulimit -n) or lower RECORDINGS_SLOTS."""


def out_of_descriptors(error: BaseException | None) -> bool:
    """Whether the system had no descriptor to give: ours to mend, and no word about provider or disk."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
