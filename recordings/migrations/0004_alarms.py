import datetime

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
from django.db import migrations, models

import recordings.alarms.record


class Migration(migrations.Migration):
    dependencies = [
        ("calls", "0003_lines_by_business"),
        ("recordings", "0003_account_pace"),
    ]

    operations = [
        migrations.CreateModel(
            name="Alarm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(default=recordings.alarms.record.new_key, editable=False, max_length=32)),
                (
                    "name",
                    models.CharField(
                        choices=[
                            ("account_refused", "The provider refuses the account"),
                            ("storage_away", "The storage is away"),
                            ("storage_low", "The disk is nearly full"),
                            ("storage_read_only", "The storage can't be written to"),
                            ("workers_silent", "The workers are silent"),
                            ("failures_rising", "Many downloads fail"),
                            ("clicks_waiting", "Clicked recordings are waiting"),
                        ],
                        max_length=24,
                        verbose_name="name",
                    ),
                ),
                ("words", models.TextField(verbose_name="what")),
                ("do", models.TextField(verbose_name="what to do")),
                (
                    "since",
                    models.DateTimeField(
                        help_text="When it began, where that is known.", null=True, verbose_name="since"
                    ),
                ),
                (
                    "first_seen_at",
                    models.DateTimeField(
                        db_default=models.ExpressionWrapper(
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.functions.datetime.Now(), "+", models.Value(datetime.timedelta(0))
                            ),
                            output_field=models.DateTimeField(),
                        ),
                        verbose_name="first seen",
                    ),
                ),
                (
                    "looked_at",
                    models.DateTimeField(
                        db_default=models.ExpressionWrapper(
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.functions.datetime.Now(), "+", models.Value(datetime.timedelta(0))
                            ),
                            output_field=models.DateTimeField(),
                        ),
                        verbose_name="last looked at",
                    ),
                ),
                ("raised_at", models.DateTimeField(null=True, verbose_name="raised")),
                ("calm_since", models.DateTimeField(null=True, verbose_name="well since")),
                ("cleared_at", models.DateTimeField(null=True, verbose_name="over")),
                (
                    "business",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="calls.business",
                        verbose_name="business",
                    ),
                ),
            ],
            options={
                "verbose_name": "alarm",
                "verbose_name_plural": "alarms",
            },
        ),
        migrations.CreateModel(
            name="AlarmMessage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[("raised", "raised"), ("cleared", "over")], max_length=8, verbose_name="says"
                    ),
                ),
                (
                    "way",
                    models.CharField(
                        choices=[("mail", "mail"), ("managers", "mail to managers"), ("webhook", "webhook")],
                        max_length=8,
                        verbose_name="way",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=models.ExpressionWrapper(
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.functions.datetime.Now(), "+", models.Value(datetime.timedelta(0))
                            ),
                            output_field=models.DateTimeField(),
                        ),
                        verbose_name="written",
                    ),
                ),
                ("tries", models.PositiveSmallIntegerField(default=0, verbose_name="tries")),
                (
                    "next_try_at",
                    models.DateTimeField(
                        db_default=models.ExpressionWrapper(
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.functions.datetime.Now(), "+", models.Value(datetime.timedelta(0))
                            ),
                            output_field=models.DateTimeField(),
                        ),
                        verbose_name="next try",
                    ),
                ),
                ("sent_at", models.DateTimeField(null=True, verbose_name="told")),
                ("given_up", models.BooleanField(default=False, verbose_name="given up")),
                ("error", models.CharField(blank=True, default="", max_length=200, verbose_name="error")),
                (
                    "alarm",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="messages",
                        to="recordings.alarm",
                        verbose_name="alarm",
                    ),
                ),
            ],
            options={
                "verbose_name": "message",
                "verbose_name_plural": "messages",
            },
        ),
        migrations.AddConstraint(
            model_name="alarm",
            constraint=models.UniqueConstraint(
                condition=models.Q(("cleared_at", None)), fields=("name", "business"), name="one_open_alarm_a_business"
            ),
        ),
        migrations.AddConstraint(
            model_name="alarm",
            constraint=models.UniqueConstraint(
                condition=models.Q(("business", None), ("cleared_at", None)),
                fields=("name",),
                name="one_open_alarm_of_all",
            ),
        ),
        migrations.AddIndex(
            model_name="alarmmessage",
            index=models.Index(
                models.F("next_try_at"),
                condition=models.Q(("given_up", False), ("sent_at", None)),
                name="alarm_message_unsent",
            ),
        ),
        migrations.AddConstraint(
            model_name="alarmmessage",
            constraint=models.UniqueConstraint(fields=("alarm", "state", "way"), name="each_thing_said_once_a_way"),
        ),
    ]
