"""What is wrong with the machine, at the head of every page of the admin."""

from django.template import Library
from django.utils.translation import gettext as _

from recordings import health

register = Library()


@register.simple_tag
def machine_troubles() -> list[str]:
    """What /readyz would say, in the reader's language; empty when all is well."""
    names = {"database": _("Database"), "storage": _("Storage of recordings"), "workers": _("Workers")}
    return [f"{names[name]}: {trouble.translated()}" for name, trouble in health.troubles().items()]
