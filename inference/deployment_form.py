"""The admin's form of a deployment: credentials are written, never read back."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldBooleanSwitchWidget

from tenants.encryption import Undecryptable, shown

from .models import Deployment, DeploymentBase

_STARS = "Stored encrypted and never shown. Leave empty to keep what is stored"


def _secret(label: str) -> forms.CharField:
    widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"})
    return forms.CharField(label=label, required=False, strip=True, widget=widget)


class DeploymentForm(forms.ModelForm):
    """With a field for each credential, which says of the stored one whether it is set and how it ends."""

    new_api_key = _secret("API key")
    new_access_key_id = _secret("Access key ID")
    new_secret_access_key = _secret("Secret access key")
    new_session_token = _secret("Session token")
    forget_credentials = forms.BooleanField(
        label="Forget the stored credentials", required=False, widget=UnfoldBooleanSwitchWidget(),
        help_text="Before those typed here are stored.",
    )  # fmt: skip

    class Meta:
        model = Deployment
        fields = ("model", "name", "provider", "base_url", "upstream_model", "region", "weight", "enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in DeploymentBase.CREDENTIALS:
            self.fields[f"new_{name}"].help_text = f"{_STARS} ({_said_of(self.instance, name)})."

    def clean(self) -> dict[str, Any]:
        """The row's own check, which follows, sees the new credentials."""
        data = super().clean() or self.cleaned_data
        for name in DeploymentBase.CREDENTIALS:
            if typed := data.get(f"new_{name}"):
                setattr(self.instance, name, typed)
            elif data.get("forget_credentials"):
                setattr(self.instance, name, "")
            elif not _readable(self.instance, name):
                setattr(self.instance, name, "")
                self.add_error(
                    f"new_{name}", "What is stored cannot be read. Enter it anew, or forget the credentials."
                )
        return data


def _readable(row: Deployment, name: str) -> bool:
    try:
        getattr(row, name)
    except Undecryptable:
        return False
    return True


def _said_of(row: Deployment, name: str) -> str:
    try:
        return shown(getattr(row, name))
    except Undecryptable:
        return "set, but no key in FIELD_ENCRYPTION_KEYS opens it"
