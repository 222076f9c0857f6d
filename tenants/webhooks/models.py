"""Endpoints, events and their deliveries. See the package's docstring for what is promised."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from ..encryption import EncryptedTextField
from ..managers import TenantModel
from ..row_security import TenantForeignKey, TenantOwned


class WebhookEndpoint(TenantModel):
    """An address of the tenant's that wants to be told of some types of events.

    While `previous_ends_at` lies ahead, messages carry a signature by the previous secret too.
    """

    url = models.CharField(max_length=2048, verbose_name="URL")
    name = models.CharField(max_length=200)
    event_types = ArrayField(models.CharField(max_length=64))
    secret = EncryptedTextField(editable=False)
    previous_secret = EncryptedTextField(editable=False, default="")
    previous_ends_at = models.DateTimeField(null=True, editable=False)
    disabled_at = models.DateTimeField(null=True, editable=False)
    disabled_reason = models.CharField(max_length=300, default="", editable=False)
    failing_since = models.DateTimeField(null=True, editable=False, help_text="Every attempt since then failed.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False, help_text="Of what a person sets.")

    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="tenants_webhookendpoint_owned"),
            models.CheckConstraint(
                condition=models.Q(event_types__len__gt=0), name="tenants_webhookendpoint_wants_something"
            ),
        ]

    def __str__(self) -> str:
        return self.url


class WebhookEvent(TenantModel):
    """Something that happened. `body` is sent as it is: a signature is over bytes, and every attempt sends the same."""

    type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=128)
    body = models.TextField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [TenantOwned(name="tenants_webhookevent_owned")]
        indexes = [models.Index(fields=["tenant", "created_at"], name="tenants_webhookevent_age")]

    def __str__(self) -> str:
        return f"{self.type} {self.object_id}"


class WebhookDelivery(TenantModel):
    """One event on its way to one endpoint. While it is pending, a row of `Work` with its id says when it is tried."""

    class State(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed"

    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="deliveries"
    )
    event = models.ForeignKey(
        WebhookEvent, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="deliveries"
    )
    state = models.CharField(max_length=9, choices=State, default=State.PENDING, db_default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0, help_text="Since it was last sent anew.")
    log = models.JSONField(default=list, db_default=[], help_text="The newest attempts: when, status, error, took_ms.")
    next_attempt_at = models.DateTimeField(null=True, db_default=Now())
    ended_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "webhook deliveries"
        constraints = [
            TenantOwned(name="tenants_webhookdelivery_owned"),
            TenantForeignKey(name="tenants_webhookdelivery_endpoint", field="endpoint", cascade=True),
            TenantForeignKey(name="tenants_webhookdelivery_event", field="event", cascade=True),
        ]
        indexes = [
            models.Index(fields=["tenant", "endpoint", "id"], name="tenants_webhookdelivery_list"),
            models.Index(fields=["tenant", "event"], name="tenants_webhookdelivery_event"),
            models.Index(
                fields=["tenant", "state", "id"],
                name="tenants_webhookdelivery_undone",
                condition=~models.Q(state="delivered"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.state}"
