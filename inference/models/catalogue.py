"""The catalogue: models, their deployments, and the tenants' grants."""

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator, URLValidator
from django.db import models
from django.db.models.functions import Now

from tenants.encryption import EncryptedTextField
from tenants.ids import uuid7
from tenants.managers import TenantModel
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
    """Where a model answers: a provider, an endpoint, the model's id there, and credentials.

    Amazon Bedrock is reached in `region`, by an access key (with a session token where it is a temporary one) or by a
    Bedrock API key in `api_key`; with none of them by what the platform's machines may do, for its own rows only.
    """

    class Provider(models.TextChoices):
        OPENAI_COMPATIBLE = "openai"
        OPENAI_RESPONSES = "openai-responses", "OpenAI compatible, /responses only"
        BEDROCK = "bedrock", "Amazon Bedrock"
        LOCAL_EXTRACTIVE = "local-extractive"
        LOCAL_MINILM = "local-minilm"

    name = models.CharField(max_length=100)
    provider = models.CharField(max_length=32, choices=Provider)
    base_url = models.CharField(
        max_length=500,
        blank=True,
        default="",
        validators=[URLValidator(["http", "https"])],
        help_text="With /v1 where the server has it. Of Amazon Bedrock only where it is not the region's own.",
    )
    upstream_model = models.CharField(
        max_length=2048, blank=True, default="", help_text="Also the ARN of a custom model or of an inference profile."
    )
    region = models.CharField(
        max_length=32,
        blank=True,
        default="",
        validators=[RegexValidator(r"^[a-z]{2,}(-[a-z]+)+-[0-9]$", "Such as eu-central-1.")],
        help_text="Of Amazon Bedrock.",
    )
    api_key = EncryptedTextField(blank=True, default="")
    access_key_id = EncryptedTextField(blank=True, default="")
    secret_access_key = EncryptedTextField(blank=True, default="")
    session_token = EncryptedTextField(blank=True, default="")
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
