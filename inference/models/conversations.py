"""Conversations: items over many responses."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from tenants.managers import TenantModel
from tenants.row_security import TenantForeignKey, TenantOwned


class Conversation(TenantModel):
    """A conversation. One response at a time is made in it: `busy_with` is its generation, until its items are here."""

    metadata = models.JSONField(default=dict, db_default={})
    next_position = models.PositiveBigIntegerField(default=0, db_default=0)
    busy_with = models.UUIDField(null=True)
    busy_since = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [TenantOwned(name="inference_conversation_owned")]


class ConversationItem(TenantModel):
    """An item, at its place. What came of a response has the id it has there, so it is added once at most."""

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="items"
    )
    position = models.PositiveBigIntegerField()
    item = models.JSONField()
    groups = ArrayField(
        models.CharField(max_length=128),
        default=list,
        db_default=[],
        help_text="Of the caller whose answer from documents this is: who lacks one of them does not see it.",
    )
    contents_until = models.DateTimeField(help_text="When the tenant's content retention ends for it.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="inference_conversationitem_owned"),
            TenantForeignKey(name="inference_conversationitem_conversation", field="conversation", cascade=True),
            models.UniqueConstraint(
                fields=["tenant", "conversation", "position"], name="inference_conversationitem_place"
            ),
        ]
        indexes = [models.Index(fields=["contents_until"], name="inference_convitem_expiry")]
