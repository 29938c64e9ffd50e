"""The admin's form of a provider account: the rules of an account, and a secret that is written and never shown."""

from typing import Any, ClassVar
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from recordings.account_rules import check_base_url, check_hosts, check_secret_env, names_its_own_host
from recordings.models import ProviderAccount


class ProviderAccountForm(forms.ModelForm):  # type: ignore[type-arg]
    """An empty secret keeps the one that is there."""

    secret = forms.CharField(
        label=_("Secret"),
        required=False,
        strip=False,
        max_length=500,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("Never shown. Leave it empty to keep the present one. Not used while a variable is named."),
    )

    class Meta:
        model = ProviderAccount
        fields: ClassVar = [
            "kind", "base_url", "hosts", "auth", "username", "secret_env", "secret", "most_at_once", "bytes_per_second",
        ]  # fmt: skip
        widgets: ClassVar = {
            name: forms.TextInput(attrs={"dir": "ltr", "class": "vTextField"})  # in Hebrew too
            for name in ("base_url", "hosts", "username", "secret_env")
        }

    def clean_secret(self) -> str:
        """What was typed, else what is kept."""
        return str(self.cleaned_data["secret"] or self.instance.secret)

    def clean_base_url(self) -> str:
        """As create_business checks it."""
        check_base_url(self.cleaned_data["base_url"])
        return str(self.cleaned_data["base_url"])

    def clean_hosts(self) -> str:
        """As create_business checks them."""
        check_hosts(self.cleaned_data["hosts"])
        return str(self.cleaned_data["hosts"])

    def clean_secret_env(self) -> str:
        """As create_business checks it."""
        check_secret_env(self.cleaned_data["secret_env"])
        return str(self.cleaned_data["secret_env"])

    def clean(self) -> dict[str, Any]:
        """The base address must be one of the hosts, and a secret that is kept goes nowhere new."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if {"base_url", "hosts"} <= set(cleaned) and not names_its_own_host(cleaned["base_url"], cleaned["hosts"]):
            raise ValidationError({"hosts": _("Name the host of the base address too.")})
        kept = self.instance.secret and not self.data.get(self.add_prefix("secret"))
        if kept and {"base_url", "hosts"} <= set(cleaned) and self._goes_elsewhere(cleaned):
            if not cleaned.get("secret_env"):
                raise ValidationError({"secret": _("Type the secret again: it would be sent to another address.")})
            cleaned["secret"] = ""  # not used any more; nor may it be later, by one who does not know it
        return cleaned

    def _goes_elsewhere(self, cleaned: dict[str, Any]) -> bool:
        """Whether the base address's origin or the hosts are others than before."""
        before = _where(self.instance.base_url, self.instance.hosts)
        return before != _where(cleaned["base_url"], cleaned["hosts"])


def _where(base_url: str, hosts: str) -> tuple[str, str, frozenset[str]]:
    parts = urlsplit(base_url)
    entries = (entry.strip().lower() for entry in hosts.split(","))
    return parts.scheme, parts.netloc.lower(), frozenset(entry for entry in entries if entry)
