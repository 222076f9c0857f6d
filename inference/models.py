"""What it says: the catalogue of models and deployments, the tenants' grants, and generations."""

from django.core.validators import MaxValueValidator, MinValueValidator, URLValidator
from django.db import models
from django.db.models.functions import Now

from tenants.encryption import EncryptedTextField
from tenants.ids import uuid7
from tenants.managers import TenantModel
from tenants.models import Tenant
from tenants.row_security import TenantOwned


class Model(models.Model):
    """A model of the catalogue. `name` is what prices are kept under."""

    class Kind(models.TextChoices):
        CHAT = "chat"
        EMBEDDING = "embedding"
        RERANK = "rerank"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=16, choices=Kind)
    context_window = models.PositiveIntegerField(
        validators=[MinValueValidator(1)], help_text="Tokens, prompt and answer."
    )
    max_output_tokens = models.PositiveIntegerField(validators=[MinValueValidator(1)], default=4096)
    dimensions = models.PositiveIntegerField(null=True, blank=True, help_text="Of an embedding model.")
    owned_by = models.CharField(max_length=100, default="atrium")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    app_may = ("SELECT",)

    def __str__(self) -> str:
        return self.name


class DeploymentBase(models.Model):
    """Where a model answers: a provider, an endpoint, the model's id there, and credentials."""

    class Provider(models.TextChoices):
        OPENAI_COMPATIBLE = "openai"
        LOCAL_EXTRACTIVE = "local-extractive"
        LOCAL_MINILM = "local-minilm"

    name = models.CharField(max_length=100)
    provider = models.CharField(max_length=32, choices=Provider)
    base_url = models.CharField(
        max_length=500,
        blank=True,
        default="",
        validators=[URLValidator(["http", "https"])],
        help_text="With /v1 where the server has it.",
    )
    upstream_model = models.CharField(max_length=200, blank=True, default="")
    api_key = EncryptedTextField(blank=True, default="")
    weight = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(1000)])
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


class Deployment(DeploymentBase):
    """A deployment of the platform: serves every tenant that holds a grant on the model."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="deployments")

    app_may = ("SELECT",)


class TenantDeployment(DeploymentBase, TenantModel):
    """A tenant's own provider account: goes before the platform's for this tenant, and serves nobody else."""

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [TenantOwned(name="inference_tenantdeployment_owned")]


class Grant(TenantModel):
    """A tenant may use a model, under an alias."""

    alias = models.CharField(max_length=200)
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="+")
    max_output_tokens = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="A cap below the model's own."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            TenantOwned(name="inference_grant_owned"),
            models.UniqueConstraint(fields=["tenant", "alias"], name="inference_grant_once"),
        ]

    def __str__(self) -> str:
        return self.alias


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
    attempts = models.JSONField(default=list, db_default=[])
    inbox = models.CharField(max_length=64, help_text="The web process that waits for it.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True)
    contents_until = models.DateTimeField(null=True)

    definer_may = ("SELECT",)

    class Meta:
        constraints = [TenantOwned(name="inference_generation_owned")]
        indexes = [
            models.Index(
                fields=["contents_until"], name="inference_generation_expiry", condition=models.Q(request__isnull=False)
            )
        ]
