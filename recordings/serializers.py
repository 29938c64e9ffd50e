"""What the API's documents look like: the calls as they are sent, and for the schema the payload and the problems."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from calls.models import CallLog, CallStatus, Direction, RecordingStatus
from recordings.lifecycle import Answer
from recordings.reasons import Reason
from recordings.status import payload


class PayloadSerializer(serializers.Serializer[CallLog]):
    """The status of a recording. Built by recordings.status.payload; this says so in the schema."""

    call_sid = serializers.CharField()
    recording_sid = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=RecordingStatus.choices)
    playable = serializers.BooleanField(help_text="Whether `stream` answers with audio.")
    outcome = serializers.ChoiceField(
        choices=[answer.value for answer in Answer], allow_null=True,
        help_text="What this request did, on `stream` and `download`.",
    )  # fmt: skip
    updated_at = serializers.DateTimeField()
    retry_after = serializers.IntegerField(
        allow_null=True, min_value=1, max_value=60, help_text="Seconds; null when asking again is pointless."
    )
    message = serializers.CharField(help_text="For people, in their language.")
    reason = serializers.ChoiceField(choices=Reason.values, allow_null=True, help_text="Why the last attempt failed.")
    permanent = serializers.BooleanField(help_text="Failed, and not tried again by itself; a manager may force it.")
    fail_count = serializers.IntegerField(help_text="Failures in a row.")
    next_retry_at = serializers.DateTimeField(allow_null=True)
    bytes_done = serializers.IntegerField(allow_null=True)
    bytes_total = serializers.IntegerField(allow_null=True)
    duration = serializers.FloatField(allow_null=True, help_text="Seconds of audio.")
    content_type = serializers.CharField(allow_null=True)
    version = serializers.CharField(allow_null=True)


class CallSerializer(serializers.ModelSerializer[CallLog]):
    """One call, with the status of its recording, so that a page of calls needs no further request."""

    direction = serializers.ChoiceField(choices=Direction.choices)
    status = serializers.ChoiceField(choices=CallStatus.choices)
    recording = serializers.SerializerMethodField(help_text="Null for a call without a recording.")

    class Meta:
        model = CallLog
        fields = (
            "call_sid", "direction", "from_number", "to_number", "status", "agent", "started_at", "duration",
            "created_at", "updated_at", "recording",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(PayloadSerializer(allow_null=True))
    def get_recording(self, call: CallLog) -> dict[str, Any] | None:
        """The payload, or None for a call without a recording."""
        return None if call.recording_url is None else payload(call)


class CallPageSerializer(serializers.Serializer[Any]):
    """A page of calls; follow `next` and `previous` as they are."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = CallSerializer(many=True)


class PayloadsSerializer(serializers.Serializer[Any]):
    """Many payloads, by call SID."""

    results = serializers.DictField(child=PayloadSerializer())
    not_found = serializers.ListField(child=serializers.CharField())


class PeaksSerializer(serializers.Serializer[Any]):
    """A waveform. Made by recordings.download.peaks; this says so in the schema."""

    duration = serializers.FloatField(help_text="Seconds.")
    lanes = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(min_value=0, max_value=100), max_length=1800),
        min_length=1,
        max_length=2,
        help_text="One for mono, two for stereo: for equal slices of time, the peak of each in percent of full scale.",
    )


class DownloadRequestSerializer(serializers.Serializer[Any]):
    """The body of POST download; it may be left out."""

    force = serializers.BooleanField(
        required=False, default=False, help_text="Also after a permanent failure. For managers."
    )


class ErrorSerializer(serializers.Serializer[Any]):
    """One thing that is wrong, and where."""

    parameter = serializers.CharField(required=False, help_text="A query parameter.")
    pointer = serializers.CharField(required=False, help_text="A JSON pointer into the body (RFC 6901).")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """A problem document (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="For programs.")
    detail = serializers.CharField(help_text="For people, in their language.")
    request_id = serializers.CharField(help_text="Also in X-Request-ID, and in our log.")
    errors = ErrorSerializer(many=True)  # type: ignore[assignment]  # a field, which shadows nothing


class RecordingProblemSerializer(ProblemSerializer):
    """A problem document about a recording that failed and is not tried again."""

    recording = PayloadSerializer()
