"""What a form asks of an API key, in words that say what each answer means."""

from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from tenants.desk.base import TenantForm
from tenants.errors import InvalidRequest
from tenants.tags import check_tags

from ..catalogue import granted_models

LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_calls")
#: What each scope lets a key do, the usual ones first.
SCOPES_SAY = {
    "inference": "Call models: chat, responses, embeddings",
    "vector_stores.read": "Search and read vector stores",
    "files.read": "Read files",
    "files.write": "Upload and delete files",
    "vector_stores.write": "Make, fill and delete vector stores",
    "models.read": "See aliases, variants and deployments",
    "models.write": "Change aliases, variants and deployments",
    "prompts.read": "Read and render prompts",
    "prompts.write": "Write prompts and move their labels",
    "feedback.read": "Read and export feedback",
    "feedback.write": "Give feedback on answers",
    "usage.read": "Read usage, costs and reports",
    "reports.write": "Ask for reports, and schedule them",
    "budgets.read": "See budgets",
    "budgets.write": "Change budgets",
    "webhooks.read": "See webhooks and what was sent",
    "webhooks.write": "Change webhooks",
    "safety.read": "See safety policies and findings",
    "safety.write": "Change safety policies",
    "keys.write": "Make and revoke keys (trusted servers)",
    "end_users.write": "Make signing secrets (trusted servers)",
}
_EXPIRES = [("", "Never"), ("7", "In 7 days"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year")]


class TagsField(forms.CharField):
    """Allocation tags, a line for each: `name = value`."""

    def __init__(self) -> None:
        help_text = "One a line, name = value: by these its spending is told apart, and limited."
        super().__init__(
            required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}), help_text=help_text, initial=""
        )

    def prepare_value(self, value: Any) -> Any:
        """As lines."""
        return "\n".join(f"{name} = {text}" for name, text in value.items()) if isinstance(value, dict) else value

    def clean(self, value: Any) -> dict[str, str]:
        """By name."""
        lines = [line.partition("=") for line in super().clean(value).splitlines() if line.strip()]
        try:
            return check_tags({name.strip(): text.strip() for name, _, text in lines})
        except InvalidRequest as error:
            raise forms.ValidationError(error.message) from error


class KeyForm(TenantForm):
    """A new key."""

    name = forms.CharField(
        max_length=100,
        widget=UnfoldAdminTextInputWidget(attrs={"autofocus": True, "autocomplete": "off"}),
        help_text="What it is for, such as the app and where it runs: “support bot, production”.",
    )
    models = forms.MultipleChoiceField(
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None ticked: all that the tenant may use.",
    )
    monthly_budget = forms.DecimalField(
        required=False,
        min_value=Decimal("0.01"),
        max_digits=14,
        decimal_places=4,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="In your currency. Calls beyond it are refused until the next month (UTC). Empty: no budget of its own.",
    )
    expires_in = forms.ChoiceField(
        label="Expires", required=False, choices=_EXPIRES, widget=UnfoldAdminSelectWidget
    )  # fmt: skip
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=list(SCOPES_SAY.items()),
        initial=["inference", "vector_stores.read"],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    groups = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="One a line: the most it may find beside what is open to all. Empty: nothing, or what a token says.",
    )
    tags = TagsField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.visitor.tenant is None:
            del self.fields["models"]  # whose they are is not known before the tenant is chosen
            return
        field: Any = self.fields["models"]
        field.choices = [(grant.alias, grant.alias) for grant in granted_models()]
        self.fields["monthly_budget"].label = f"Monthly budget, {self.visitor.tenant.currency}"

    def clean_groups(self) -> list[str]:
        """The lines."""
        return [line.strip() for line in self.cleaned_data["groups"].splitlines() if line.strip()]


class KeyChangeForm(forms.ModelForm):
    """What of a key can be changed."""

    tags = TagsField()
