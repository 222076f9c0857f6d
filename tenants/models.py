"""Who: tenants, people, keys, the audit log, idempotency records and the queue of claimed work. Webhooks have their own."""

from django.contrib.auth.models import AbstractUser, UserManager
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Now

from .encryption import EncryptedTextField
from .ids import uuid7
from .managers import TenantModel
from .permissions import PLATFORM_SCOPES
from .row_security import TenantOwned
from .single_sign_on.models import IdentityProvider, ProviderIdentity
from .webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookEvent

__all__ = [
    "ApiKey",
    "AuditEvent",
    "IdempotencyRecord",
    "IdentityProvider",
    "Invitation",
    "Lane",
    "Membership",
    "PlatformKey",
    "ProviderIdentity",
    "Role",
    "SigningSecret",
    "StaffView",
    "Tenant",
    "User",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEvent",
    "Work",
]


class User(AbstractUser):
    """A person who logs in to the admin. Global, never deleted: what a tenant adds and removes is a membership."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(unique=True)

    objects = UserManager()  # type: ignore[misc]

    def __str__(self) -> str:
        return self.email


class Tenant(models.Model):
    """A customer of the platform. Its row is visible to itself and to platform staff."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True, validators=[RegexValidator(r"^[a-z0-9][a-z0-9-]*$")])
    name = models.CharField(max_length=200)
    external_id = models.CharField(max_length=200, unique=True, null=True, blank=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.ACTIVE)
    currency = models.CharField(max_length=3, default="USD", validators=[RegexValidator(r"^[A-Z]{3}$")])
    content_retention_days = models.PositiveIntegerField(
        default=30, help_text="Days that prompts and answers are kept. 0: gone when the call is settled."
    )
    feedback_retention_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Days that those with feedback are kept, for evaluation and fine-tuning. Empty: like the others.",
    )
    allocation_tags = ArrayField(
        models.CharField(max_length=64),
        default=list,
        db_default=[],
        blank=True,
        help_text="Names of a call's metadata that become tags, by which spending is told apart.",
    )
    requires_mfa = models.BooleanField(
        "two-factor authentication required",
        default=False,
        db_default=False,
        help_text="Members who log in with a password need a code from an authenticator app as well. "
        "Who has none sets it up at the next click.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    app_may = ("SELECT", "INSERT", "UPDATE")
    definer_may = ("SELECT",)

    class Meta:
        constraints = [TenantOwned(name="tenants_tenant_owned", key="id")]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """What a member may do; `tenants.permissions` says what each means."""

    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    FINANCE = "finance"
    VIEWER = "viewer"


class Membership(TenantModel):
    """A user's role in a tenant."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="tenants_membership_owned"),
            models.UniqueConstraint(fields=["tenant", "user"], name="tenants_membership_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class Invitation(TenantModel):
    """Somebody may become a member by the link that was sent to this address; see `tenants.invitations`."""

    email = models.EmailField(verbose_name="E-mail")
    role = models.CharField(max_length=16, choices=Role)
    token_hash = models.CharField(max_length=64, editable=False)
    invited_by_type = models.CharField(max_length=16, editable=False)
    invited_by_id = models.CharField(max_length=64, editable=False)
    sent_at = models.DateTimeField(editable=False)
    expires_at = models.DateTimeField(editable=False)
    accepted_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    app_may = ("SELECT", "INSERT", "UPDATE")

    class Meta:
        constraints = [
            TenantOwned(name="tenants_invitation_owned"),
            models.UniqueConstraint(
                fields=["tenant", "email"],
                name="tenants_invitation_open_once",
                condition=models.Q(accepted_at=None, revoked_at=None),
            ),
        ]

    def __str__(self) -> str:
        return self.email


class ApiKey(TenantModel):
    """A key of the data plane. Its secret is kept as a keyed hash; see `tenants.api_keys`."""

    class Purpose(models.TextChoices):
        APPLICATION = "", "Applications"
        PLAYGROUND = "playground", "Playground"

    name = models.CharField(max_length=100)
    purpose = models.CharField(
        max_length=16,
        choices=Purpose,
        default=Purpose.APPLICATION,
        db_default="",
        blank=True,
        editable=False,
        help_text="Those of the playground stand in no list of keys; see `tenants.playground_keys`.",
    )
    user = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        help_text="Whose it is, of the playground's.",
    )
    prefix = models.CharField(max_length=16, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    previous_hash = models.CharField(
        max_length=64, default="", db_default="", editable=False, help_text="The secret before it was rotated."
    )
    previous_ends_at = models.DateTimeField(null=True, editable=False, help_text="Until when that one works too.")
    scopes = ArrayField(models.CharField(max_length=40))
    groups = ArrayField(
        models.CharField(max_length=128),
        default=list,
        db_default=[],
        blank=True,
        help_text="The most it may find beside what is open to all. Empty: nothing, or what an end-user token says.",
    )
    tags = models.JSONField(
        default=dict, db_default={}, blank=True, help_text="Allocation tags of its calls, name → value."
    )
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: the plan's.")
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: the plan's.")
    concurrent_calls = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: the plan's.")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"
        constraints = [
            TenantOwned(name="tenants_apikey_owned"),
            models.UniqueConstraint(fields=["tenant", "prefix"], name="tenants_apikey_prefix"),
            # Who makes signing secrets speaks for every group.
            models.CheckConstraint(
                condition=models.Q(groups=[]) | ~models.Q(scopes__contains=["end_users.write"]),
                name="tenants_apikey_groups",
            ),
            models.UniqueConstraint(
                fields=["tenant", "user"], name="tenants_apikey_playground", condition=models.Q(purpose="playground")
            ),
            # A key is an application's or a person's.
            models.CheckConstraint(
                condition=models.Q(purpose="", user=None) | models.Q(purpose="playground", user__isnull=False),
                name="tenants_apikey_purpose",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class SigningSecret(TenantModel):
    """What a tenant's backend signs its end-user tokens with; see `tenants.signing_secrets`."""

    name = models.CharField(max_length=100)
    secret = EncryptedTextField(editable=False)
    expires_at = models.DateTimeField(null=True, editable=False, help_text="Set when it is rotated: the overlap's end.")
    revoked_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [TenantOwned(name="tenants_signingsecret_owned")]

    def __str__(self) -> str:
        return self.name


def _all_platform_scopes() -> list[str]:
    return list(PLATFORM_SCOPES)


class PlatformKey(models.Model):
    """A key of the platform's operator, for `/v1/platform/…`. Only the staff role can read the table."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(models.CharField(max_length=40), default=_all_platform_scopes, db_default=list(PLATFORM_SCOPES))
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    app_may = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class AuditEvent(TenantModel):
    """One change, written in the transaction that made it. Append-only: the roles lack UPDATE and DELETE."""

    actor_type = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64)
    action = models.CharField(max_length=64)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64)
    changes = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    #: Who acted and what changed, in words, once `audit_trail` has looked it up.
    actor_name: str = ""
    described: str = ""

    app_may = ("SELECT", "INSERT")

    class Meta:
        constraints = [TenantOwned(name="tenants_auditevent_owned")]
        indexes = [
            models.Index(fields=["tenant", "-created_at"], name="tenants_audit_recent"),
            models.Index(fields=["tenant", "action", "id"], name="tenants_audit_action"),
            models.Index(fields=["tenant", "object_id", "id"], name="tenants_audit_object"),
            models.Index(fields=["tenant", "actor_id", "id"], name="tenants_audit_actor"),
            models.Index(fields=["tenant", "actor_type", "id"], name="tenants_audit_actor_type"),
        ]

    def __str__(self) -> str:
        return self.action


class StaffView(TenantModel):
    """A member of the platform's staff looks at a tenant as its owner sees it; see `tenants.viewing`."""

    staff = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", editable=False)
    reason = models.CharField(max_length=300, editable=False)
    started_at = models.DateTimeField(editable=False)
    ends_at = models.DateTimeField(editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    app_may = ("SELECT", "INSERT", "UPDATE")
    definer_may = ("SELECT",)

    class Meta:
        constraints = [TenantOwned(name="tenants_staffview_owned")]
        indexes = [
            models.Index(fields=["ends_at"], name="tenants_staffview_open", condition=models.Q(ended_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.tenant}, {self.started_at:%Y-%m-%d %H:%M} UTC"


class IdempotencyRecord(TenantModel):
    """The first answer to a request that carried an `Idempotency-Key`; see `tenants.idempotency`."""

    caller = models.CharField(max_length=64)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    response = models.JSONField(null=True)
    generation_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            TenantOwned(name="tenants_idempotencyrecord_owned"),
            models.UniqueConstraint(fields=["tenant", "caller", "key"], name="tenants_idempotency_once"),
        ]


class Work(TenantModel):
    """A unit of work that some worker will claim: the row is the truth, a Celery message only rings the doorbell.

    It shares its id with the job it stands for and is deleted when the job ends. See `tenants.work`.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        DELAYED = "delayed"
        RUNNING = "running"
        PARKED = "parked"
        DEAD = "dead"

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    queue = models.CharField(max_length=32)
    state = models.CharField(max_length=8, choices=State, default=State.QUEUED, db_default=State.QUEUED)
    priority = models.PositiveSmallIntegerField(default=0, db_default=0, help_text="Lower goes first within a tenant.")
    attempt = models.PositiveSmallIntegerField(default=0, db_default=0)
    available_at = models.DateTimeField(db_default=Now())
    lease_until = models.DateTimeField(null=True)
    worker = models.CharField(max_length=100, default="", db_default="")
    reason = models.TextField(default="", db_default="")

    definer_may = ("SELECT", "INSERT", "UPDATE", "DELETE")

    class Meta:
        constraints = [TenantOwned(name="tenants_work_owned")]
        indexes = [
            models.Index(
                fields=["queue", "tenant", "priority", "available_at", "id"],
                name="tenants_work_queued",
                condition=models.Q(state="queued"),
            ),
            models.Index(
                fields=["queue", "lease_until"], name="tenants_work_leases", condition=models.Q(state="running")
            ),
            models.Index(
                fields=["queue", "available_at"], name="tenants_work_later", condition=models.Q(state="delayed")
            ),
        ]


class Lane(TenantModel):
    """A tenant's place in one queue: how many of its units run, and when it was served last."""

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    queue = models.CharField(max_length=32)
    weight = models.PositiveSmallIntegerField(default=1, db_default=1)
    head_start = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Seconds that it counts as waiting longer than lanes with the same share."
    )
    running = models.IntegerField(default=0, db_default=0)
    served_at = models.DateTimeField(db_default=Now())

    definer_may = ("SELECT", "INSERT", "UPDATE")

    class Meta:
        constraints = [
            TenantOwned(name="tenants_lane_owned"),
            models.UniqueConstraint(fields=["queue", "tenant"], name="tenants_lane_once"),
        ]


class Letter(TenantModel):
    """An e-mail to a member that waits to be sent; deleted when it was. Its unit of work has its id (`tenants.mail`)."""

    recipient = models.EmailField()
    subject = models.CharField(max_length=200)
    text = models.TextField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [TenantOwned(name="tenants_letter_owned")]

    def __str__(self) -> str:
        return self.subject
