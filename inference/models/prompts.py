"""Prompts: named templates, their immutable versions, and the labels that point at one."""

from django.db import models
from django.db.models.functions import Now

from tenants.managers import TenantModel
from tenants.row_security import TenantForeignKey, TenantOwned


class Prompt(TenantModel):
    """A prompt. Deleted ones keep their row, for the calls that used them."""

    name = models.CharField(max_length=200)
    description = models.CharField(max_length=2000, blank=True, default="")
    newest = models.PositiveIntegerField(default=0, editable=False, help_text="The number of its newest version.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            TenantOwned(name="inference_prompt_owned"),
            models.UniqueConstraint(
                fields=["tenant", "name"], name="inference_prompt_name", condition=models.Q(deleted_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PromptVersion(TenantModel):
    """What a prompt says from this version on. Append-only: the app role can neither change nor delete one."""

    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, db_constraint=False, related_name="versions")
    number = models.PositiveIntegerField()
    definition = models.JSONField(
        help_text="Messages, variables and defaults, as `inference.prompts.definition` reads."
    )
    note = models.CharField(max_length=500, blank=True, default="", help_text="What is new.")
    created_by_type = models.CharField(max_length=16)
    created_by_id = models.CharField(max_length=64)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    app_may = ("SELECT", "INSERT")

    class Meta:
        constraints = [
            TenantOwned(name="inference_promptversion_owned"),
            TenantForeignKey(name="inference_promptversion_prompt", field="prompt"),
            models.UniqueConstraint(fields=["tenant", "prompt", "number"], name="inference_promptversion_number"),
        ]

    def __str__(self) -> str:
        return f"version {self.number}"


class PromptLabel(TenantModel):
    """A name that points at a version of a prompt, such as `production`."""

    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, db_constraint=False, related_name="labels")
    name = models.CharField(max_length=64)
    version = models.ForeignKey(PromptVersion, on_delete=models.PROTECT, db_constraint=False, related_name="+")
    moved_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            TenantOwned(name="inference_promptlabel_owned"),
            TenantForeignKey(name="inference_promptlabel_prompt", field="prompt"),
            TenantForeignKey(name="inference_promptlabel_version", field="version"),
            models.UniqueConstraint(fields=["tenant", "prompt", "name"], name="inference_promptlabel_name"),
        ]

    def __str__(self) -> str:
        return self.name


class PromptLabelMove(TenantModel):
    """A label was set, moved or taken away. Append-only."""

    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, db_constraint=False, related_name="moves")
    label = models.CharField(max_length=64)
    from_number = models.PositiveIntegerField(null=True)
    to_number = models.PositiveIntegerField(null=True)
    by_type = models.CharField(max_length=16)
    by_id = models.CharField(max_length=64)
    moved_at = models.DateTimeField(db_default=Now(), editable=False)

    app_may = ("SELECT", "INSERT")

    class Meta:
        constraints = [
            TenantOwned(name="inference_promptlabelmove_owned"),
            TenantForeignKey(name="inference_promptlabelmove_prompt", field="prompt"),
        ]

    def __str__(self) -> str:
        return f"{self.label}: {self.from_number} → {self.to_number}"
