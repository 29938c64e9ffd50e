"""The admin's pages of the queue, to look at only: who could write a schedule could have any function called."""

from django.contrib import admin
from django.http import HttpRequest
from django_q import admin as queue
from django_q.models import Failure, OrmQ, Schedule, Success
from rest_framework.authtoken import admin as tokens  # noqa: F401  (registers what is unregistered below)
from rest_framework.authtoken.models import TokenProxy

from calls.admin import ReadOnlyAdmin

admin.site.unregister([Schedule, Success, Failure, OrmQ])
admin.site.unregister(TokenProxy)  # its list shows every token in full; create_member makes them


class QueueAdmin(ReadOnlyAdmin):
    """Looked at by those who may view it; nothing is resubmitted from here."""

    actions = ()

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody changes anything here."""
        return False


@admin.register(Schedule)
class ScheduleAdmin(QueueAdmin):
    """What is called when."""

    list_display = ("id", "name", "func", "schedule_type", "repeats", "cluster", "next_run")


@admin.register(Success)
class SuccessAdmin(QueueAdmin):
    """Calls that succeeded."""

    list_display = queue.TaskAdmin.list_display[:-1]
    list_filter = ("group", "cluster")
    search_fields = ("name", "func", "group")


@admin.register(Failure)
class FailureAdmin(QueueAdmin):
    """Calls that failed."""

    list_display = queue.FailAdmin.list_display[:-1]
    list_filter = ("group", "cluster")
    search_fields = ("name", "func", "group")


@admin.register(OrmQ)
class BellAdmin(QueueAdmin):
    """What waits."""

    list_display = queue.QueueAdmin.list_display
    fields = queue.QueueAdmin.fields
    readonly_fields = fields
