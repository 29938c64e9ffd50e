"""One look: what is wrong is noticed, what has lasted is raised, what is over is cleared, and what is due is sent.

Any number of processes may look, at the same time too: `serve` does every 30 s in a thread of its own, the cluster each
minute, and `look_for_alarms` when it is run. Each thing is told once in each way. A process that dies between sending a
message and writing that down, or that is stopped for two minutes there, has it sent a second time, with the same
Message-ID or `id`; never more often than that for one such death.
"""

import logging

from django.conf import settings
from django.utils import translation

from recordings.alarms import ways
from recordings.alarms.conditions import CONDITIONS
from recordings.alarms.record import Alarm, AlarmMessage

log = logging.getLogger(__name__)


def look() -> int:
    """How many alarms were raised or cleared, and messages sent, here."""
    with translation.override(settings.LANGUAGE_CODE):
        changed = _raise_and_clear() if _compare() else 0
        return changed + (_tell() if AlarmMessage.objects.unsent().exists() else 0)


def _compare() -> bool:
    """Write down what holds now, and what does no more; False when there is nothing, and was nothing before."""
    known = {(alarm.name, alarm.business_id): alarm.pk for alarm in Alarm.objects.open()}
    wrong = set()
    for name, condition in CONDITIONS.items():
        troubles = condition()
        if troubles is None:  # it can't tell now
            wrong |= {key for key in known if key[0] == name}
            continue
        for trouble in troubles:
            wrong.add((name.value, trouble.business_id))
            Alarm.objects.notice(name, trouble.business_id, words=trouble.words, do=trouble.do, since=trouble.since)
    if well := [pk for key, pk in known.items() if key not in wrong]:
        Alarm.objects.filter(pk__in=well).calm()
        Alarm.objects.prune()
    return bool(known or wrong)


def _raise_and_clear() -> int:
    raised, cleared = Alarm.objects.raise_held(ways.configured()), Alarm.objects.clear_calm()
    for alarm in raised:
        log.warning("An alarm is raised", extra=_facts(alarm, "alarm_raised") | {"words": alarm.words, "do": alarm.do})
    for alarm in cleared:
        log.info("An alarm is over", extra=_facts(alarm, "alarm_cleared"))
    return len(raised) + len(cleared)


def _facts(alarm: Alarm, action: str) -> dict[str, object]:
    return {"action": action, "alarm": alarm.name} | ({"business": alarm.business_id} if alarm.business_id else {})


def _tell() -> int:
    """Send what is due. A way that does not answer is left alone until the next look."""
    sent, down = 0, set[str]()
    due = AlarmMessage.objects.due().filter(way__in=ways.configured())
    for message in due.select_related("alarm__business").order_by("pk"):
        if message.way in down or not AlarmMessage.objects.claim(message):
            continue
        try:
            ways.send(message)
        except ways.NotTold as error:
            _not_told(message, error)
            if error.down:
                down.add(message.way)
        else:
            AlarmMessage.objects.sent(message)
            sent += 1
    if given_up := AlarmMessage.objects.give_up():
        facts = {"action": "alarm_given_up", "count": given_up}
        log.error("Messages about alarms could not be sent for a day and are given up", extra=facts)
    return sent


def _not_told(message: AlarmMessage, error: ways.NotTold) -> None:
    """One line for the first that a way could not send; it is tried again, and so are those after it."""
    failing = AlarmMessage.objects.unsent().filter(way=message.way).exclude(error="").exists()
    AlarmMessage.objects.put_off(message, str(error))
    facts = _facts(message.alarm, "alarm_not_told") | {"way": message.way, "error": str(error)}
    level = logging.DEBUG if failing else logging.WARNING
    log.log(level, "An alarm could not be told; it is tried again for a day", extra=facts)
