"""Feedback: what people thought of an answer, and what they would rather have read."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from tenants.managers import TenantModel
from tenants.row_security import TenantOwned


class Feedback(TenantModel):
    """One rater's view of one choice of one answer. The answer itself stays with its generation, and goes with it."""

    generation_id = models.UUIDField()
    kind = models.CharField(max_length=16, help_text="The generation's, by which clients know its id.")
    choice = models.PositiveSmallIntegerField(default=0, db_default=0)
    rater = models.CharField(max_length=210, help_text="`user:` and the end user, or `key:` and the API key.")
    end_user = models.CharField(max_length=200, blank=True, default="")
    alias = models.CharField(max_length=200, help_text="The model as the call named it.")
    prompt_version_id = models.UUIDField(null=True)
    rating = models.SmallIntegerField(null=True, help_text="-1 down, 0 neither, 1 up.")
    correction = models.JSONField(null=True, help_text="The assistant message that would have been better.")
    comment = models.TextField(blank=True, default="")
    tags = ArrayField(models.CharField(max_length=64), default=list, db_default=[], blank=True)
    answered_at = models.DateTimeField(help_text="When the call was made.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "feedback"
        constraints = [
            TenantOwned(name="inference_feedback_owned"),
            models.UniqueConstraint(
                fields=["tenant", "generation_id", "choice", "rater"], name="inference_feedback_once"
            ),
            models.CheckConstraint(condition=models.Q(rating__in=[-1, 0, 1]), name="inference_feedback_rating"),
        ]
        indexes = [
            models.Index(fields=["tenant", "end_user"], name="inference_feedback_end_user"),
            models.Index(fields=["tenant", "rating", "id"], name="inference_feedback_by_rating"),
            models.Index(fields=["tenant", "alias", "id"], name="inference_feedback_by_alias"),
        ]

    def __str__(self) -> str:
        return f"feedback on {self.generation_id}"
