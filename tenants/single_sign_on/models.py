"""A tenant's identity provider, and who of its people is who here."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from ..encryption import EncryptedTextField
from ..managers import TenantModel
from ..row_security import TenantForeignKey, TenantOwned


class IdentityProvider(TenantModel):
    """Where a tenant's members log in. One a tenant; `tested_at` is of the settings as they are."""

    issuer = models.URLField(max_length=500)
    client_id = models.CharField(max_length=300)
    client_secret = EncryptedTextField(editable=False)
    email_domains = ArrayField(models.CharField(max_length=253), default=list, db_default=[], blank=True)
    enabled = models.BooleanField(default=False, db_default=False)
    enforced = models.BooleanField(default=False, db_default=False)
    admits_new = models.BooleanField(default=False, db_default=False)
    tested_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            TenantOwned(name="tenants_identityprovider_owned"),
            models.UniqueConstraint(fields=["tenant"], name="tenants_identityprovider_once"),
            models.CheckConstraint(
                condition=models.Q(enforced=False) | models.Q(enabled=True, tested_at__isnull=False),
                name="tenants_identityprovider_enforced",
            ),
            models.CheckConstraint(
                condition=models.Q(admits_new=False) | models.Q(email_domains__len__gt=0),
                name="tenants_identityprovider_admits",
            ),
        ]

    def __str__(self) -> str:
        return self.issuer


class ProviderIdentity(TenantModel):
    """A person of the provider, by its `sub`. Stays when the membership ends, so that who was removed stays out."""

    provider = models.ForeignKey(IdentityProvider, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False)
    subject = models.CharField(max_length=255)
    user = models.ForeignKey("tenants.User", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            TenantOwned(name="tenants_provideridentity_owned"),
            TenantForeignKey(name="tenants_provideridentity_provider", field="provider", cascade=True),
            models.UniqueConstraint(fields=["tenant", "provider", "subject"], name="tenants_provideridentity_once"),
        ]

    def __str__(self) -> str:
        return self.subject
