"""What a message about an alarm says: a mail's subject and body, a webhook's JSON."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from recordings.alarms.record import Alarm, AlarmMessage, AlarmName, State, Way
from recordings.status import iso


def subject(message: AlarmMessage) -> str:
    """One line: which alarm, whose, and whether it is over."""
    about = " ".join(str(message.alarm).split())  # a business's name may hold anything, a header no line break
    if message.state == State.CLEARED:
        about = _("Over: %(alarm)s") % {"alarm": about}
    return f"[prosaasil] {about}"


def body(message: AlarmMessage) -> str:
    """The mail's text: what, what to do, since when, where to look."""
    alarm = message.alarm
    if message.state == State.CLEARED:
        ended = {"since": _moment(alarm.began), "until": _moment(alarm.cleared_at)}
        lines = [_("This is over; it lasted from %(since)s to %(until)s.") % ended, _("It was:"), alarm.words]
    else:
        do = _what_managers_do(alarm) if message.way == Way.MANAGERS else alarm.do
        lines = [alarm.words, _("What to do:") + " " + do, _("Since: %(since)s") % {"since": _moment(alarm.began)}]
    return "\n\n".join([*lines, _url(message)]) + "\n"


def _what_managers_do(alarm: Alarm) -> str:
    """Managers have no console."""
    if alarm.name == AlarmName.ACCOUNT_REFUSED:
        return _(
            "Have the credentials of your account at the provider checked, and give new ones to those who run this "
            "service. They have been told too."
        )
    return _("Those who run this service have been told.")


def payload(message: AlarmMessage) -> dict[str, Any]:
    """What a webhook receives. `id` is the same when a message comes a second time."""
    alarm = message.alarm
    return {
        "id": identity(message),
        "alarm": alarm.name,
        "state": message.state,
        "business": alarm.business.slug if alarm.business else None,
        "words": alarm.words,
        "do": alarm.do if message.state == State.RAISED else "",
        "since": iso(alarm.began),
        "url": _url(message),
    }


def identity(message: AlarmMessage) -> str:
    """Names this message among all that were ever sent, however often it is."""
    return f"{message.alarm.key}-{message.state}"


def _url(message: AlarmMessage) -> str:
    """The alarm in the admin; for managers, who have no place there, the page of calls."""
    if message.way == Way.MANAGERS or message.alarm.pk is None:
        return f"{settings.PUBLIC_URL}/"
    return settings.PUBLIC_URL + reverse("admin:recordings_alarm_change", args=[message.alarm.pk])


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "-"
