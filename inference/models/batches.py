"""Batches: many calls from one file, and the lines of them that are under way."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from tenants.managers import TenantModel
from tenants.models import Tenant
from tenants.row_security import TenantForeignKey, TenantOwned


class Batch(TenantModel):
    """The calls of an input file. Its unit of work, on the queue `batches`, shares its id.

    `next_line` and `next_byte` say where in the file the lines begin that have no row yet.
    """

    class State(models.TextChoices):
        VALIDATING = "validating"
        FAILED = "failed"
        IN_PROGRESS = "in_progress"
        FINALIZING = "finalizing"
        COMPLETED = "completed"
        EXPIRED = "expired"
        CANCELLING = "cancelling"
        CANCELLED = "cancelled"

    state = models.CharField(max_length=16, choices=State, default=State.VALIDATING, db_default=State.VALIDATING)
    endpoint = models.CharField(max_length=64)
    input_file_id = models.UUIDField()
    input_bytes = models.BigIntegerField()
    key_id = models.UUIDField()
    groups = ArrayField(models.CharField(max_length=128), default=list, help_text="The caller's, when it was made.")
    metadata = models.JSONField(null=True)
    model = models.CharField(max_length=200, blank=True, default="", help_text="Of all lines, where it is one.")
    errors = models.JSONField(default=list, db_default=[])
    total = models.PositiveIntegerField(default=0)
    completed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    usage = models.JSONField(null=True)
    next_line = models.PositiveIntegerField(default=1)
    next_byte = models.BigIntegerField(default=0)
    output_file_id = models.UUIDField(null=True)
    error_file_id = models.UUIDField(null=True)
    output_seconds = models.PositiveIntegerField(null=True, help_text="How long its output files are kept.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    counted_at = models.DateTimeField(null=True, help_text="When its driver last saw lines end.")
    failures = models.PositiveSmallIntegerField(default=0, help_text="Steps of its driver that broke in a row.")
    in_progress_at = models.DateTimeField(null=True)
    finalizing_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    expired_at = models.DateTimeField(null=True)
    cancelling_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [TenantOwned(name="inference_batch_owned")]

    def __str__(self) -> str:
        return f"{self.endpoint} {self.state}"


class BatchLine(TenantModel):
    """A line of a batch from when it is read until the output file is written.

    `waiting`: to be admitted, from `not_before` on. `queued`: the generation `generation_id` is under way. `completed`
    and `failed` have `answer`, the body that a client would have read. `dropped`: the batch ended before its turn.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        QUEUED = "queued"
        COMPLETED = "completed"
        FAILED = "failed"
        DROPPED = "dropped"

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, db_index=False, db_constraint=False)
    number = models.PositiveIntegerField(help_text="From 1, as an editor counts.")
    custom_id = models.CharField(max_length=512)
    body = models.BinaryField(help_text="JSON, as the client wrote it.")
    state = models.CharField(max_length=16, choices=State, default=State.WAITING, db_default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    not_before = models.DateTimeField(null=True)
    generation_id = models.UUIDField(null=True)
    answer = models.JSONField(null=True)
    status = models.PositiveSmallIntegerField(null=True, help_text="The HTTP status that goes with the answer.")

    class Meta:
        constraints = [
            TenantOwned(name="inference_batchline_owned"),
            TenantForeignKey(name="inference_batchline_batch", field="batch", cascade=True),
            models.UniqueConstraint(fields=["tenant", "batch", "number"], name="inference_batchline_once"),
        ]
        indexes = [
            models.Index(fields=["tenant", "batch", "state", "number"], name="inference_batchline_states"),
            models.Index(
                fields=["tenant", "generation_id"],
                name="inference_batchline_calls",
                condition=models.Q(state="queued"),
            ),
        ]
