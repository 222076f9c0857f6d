"""The response cache: which grants keep answers, and the answers kept."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now

from tenants.managers import TenantModel
from tenants.row_security import TenantForeignKey, TenantOwned

from .catalogue import Grant

#: The longest that an answer may be kept.
MAX_TTL_SECONDS = 30 * 86_400


class CachePolicy(TenantModel):
    """A grant whose answers are kept. Without one nothing is."""

    grant = models.ForeignKey(Grant, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    ttl_seconds = models.PositiveIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(MAX_TTL_SECONDS)], help_text="How long an answer is kept."
    )
    any_request = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Keep answers to requests that ask for no determinism (temperature 0 or a seed) too.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "cache policies"
        constraints = [
            TenantOwned(name="inference_cachepolicy_owned"),
            TenantForeignKey(name="inference_cachepolicy_grant", field="grant", cascade=True),
            models.UniqueConstraint(fields=["tenant", "grant"], name="inference_cachepolicy_once"),
            models.CheckConstraint(
                condition=models.Q(ttl_seconds__gte=1, ttl_seconds__lte=MAX_TTL_SECONDS),
                name="inference_cachepolicy_ttl",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.ttl_seconds} s"


class CachedResponse(TenantModel):
    """An answer that another call with the same key may have."""

    grant = models.ForeignKey(Grant, on_delete=models.CASCADE, db_constraint=False, db_index=False)
    key = models.BinaryField(max_length=32, help_text="See `response_cache.keys`.")
    answer = models.JSONField(help_text="{choices, usage}")
    size_bytes = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()

    #: The sweep asks which tenants have expired ones.
    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="inference_cachedresponse_owned"),
            TenantForeignKey(name="inference_cachedresponse_grant", field="grant", cascade=True),
            models.UniqueConstraint(fields=["tenant", "key"], name="inference_cachedresponse_once"),
        ]
        indexes = [
            # With the size, so that what a tenant has is added up from the index alone.
            models.Index(fields=["tenant", "created_at"], include=["size_bytes"], name="inference_cache_by_age"),
            models.Index(fields=["tenant", "grant"], name="inference_cache_by_grant"),
            models.Index(fields=["expires_at"], name="inference_cache_expiry"),
        ]
