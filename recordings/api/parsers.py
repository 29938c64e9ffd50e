"""Request bodies."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import parsers
from rest_framework.exceptions import ParseError


class JSONParser(parsers.JSONParser):
    """JSON; one that is nested beyond what Python reads is the caller's fault, not ours."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        """As DRF does."""
        try:
            return super().parse(*args, **kwargs)
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None
