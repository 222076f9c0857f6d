"""Generations: one row for each call of a model."""

from django.db import models
from django.db.models.functions import Now

from tenants.managers import TenantModel
from tenants.models import Tenant
from tenants.row_security import TenantOwned


class Generation(TenantModel):
    """One call of a model: a durable row, executed by a worker. Its reservation and its unit of work share its id."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Kind(models.TextChoices):
        CHAT = "chat"
        EMBEDDINGS = "embeddings"
        RESPONSE = "response"

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    kind = models.CharField(max_length=16, choices=Kind)
    state = models.CharField(max_length=16, choices=State, default=State.QUEUED, db_default=State.QUEUED)
    key_id = models.UUIDField()
    alias = models.CharField(max_length=200)
    model = models.CharField(max_length=200)
    request = models.JSONField(null=True, help_text="The body as validated; null once retention ends.")
    terms = models.JSONField(help_text="What admission fixed: limits to give back, token bounds, retention.")
    answer = models.JSONField(null=True)
    error = models.JSONField(null=True)
    end_user = models.CharField(max_length=200, default="", db_default="", help_text="For whom the key called.")
    trace = models.JSONField(null=True, help_text="How its time went (`tracing`); nothing of its contents.")
    found = models.JSONField(null=True, help_text="The passages that search found for it; they go with the contents.")
    inbox = models.CharField(max_length=100, help_text="The web process that waits for it, or a log of its own.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True)
    contents_until = models.DateTimeField(null=True)
    stored = models.BooleanField(default=False, db_default=False, help_text="A chat completion with `store: true`.")
    metadata = models.JSONField(null=True, help_text="Of a stored one; the client may change it.")
    prompt_version_id = models.UUIDField(null=True, help_text="The version of the prompt that the call named.")

    definer_may = ("SELECT",)

    class Meta:
        verbose_name = "request"
        constraints = [TenantOwned(name="inference_generation_owned")]
        indexes = [
            models.Index(
                fields=["contents_until"], name="inference_generation_expiry", condition=models.Q(request__isnull=False)
            ),
            # For the sums by hour, which are told what ended since the last time.
            models.Index(
                fields=["finished_at"],
                name="inference_generation_ended",
                condition=models.Q(finished_at__isnull=False),
            ),
            models.Index(fields=["tenant", "id"], name="inference_generation_stored", condition=models.Q(stored=True)),
            # By what calls are looked for, in the order of their lists.
            models.Index(fields=["tenant", "key_id", "id"], name="inference_generation_by_key"),
            models.Index(fields=["tenant", "alias", "id"], name="inference_generation_by_alias"),
            models.Index(fields=["tenant", "kind", "id"], name="inference_generation_by_kind"),
            models.Index(
                fields=["tenant", "end_user", "id"],
                name="inference_generation_by_user",
                condition=~models.Q(end_user=""),
            ),
            models.Index(
                fields=["tenant", "state", "id"],
                name="inference_generation_by_ending",
                condition=models.Q(state__in=["failed", "cancelled"]),
            ),
        ]
