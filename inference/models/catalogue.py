"""The catalogue: models, the chains in which they stand in for each other, their deployments, and the tenants' grants."""

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator, URLValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from billing.models import PriceBase
from tenants.encryption import EncryptedTextField
from tenants.ids import uuid7
from tenants.managers import TenantModel
from tenants.row_security import TenantForeignKey, TenantOwned

from .variants import VARIANT_PREFIX, Variant


class Capability(models.TextChoices):
    """What a chat model can do beside answering text with text."""

    VISION = "vision"
    TOOLS = "tools"
    JSON_SCHEMA = "json_schema"
    LOGPROBS = "logprobs"
    CHOICES = "n"


#: What a chat model is taken to be able to do unless somebody says otherwise: all but see.
USUAL_CAPABILITIES = [Capability.TOOLS, Capability.JSON_SCHEMA, Capability.LOGPROBS, Capability.CHOICES]


def usual_capabilities() -> list[str]:
    """A new model's."""
    return [str(capability) for capability in USUAL_CAPABILITIES]


def not_a_variants(name: str) -> None:
    """Names of the catalogue and of variants share the price book, so neither may pass for the other."""
    if name.startswith(VARIANT_PREFIX):
        raise ValidationError(f"A model's name must not begin with '{VARIANT_PREFIX}': variants' names do.")


class Model(models.Model):
    """A model of the catalogue. `name` is what prices are kept under."""

    class Kind(models.TextChoices):
        CHAT = "chat"
        EMBEDDING = "embedding"
        RERANK = "rerank"
        #: Says what is wrong with a text; named by safety policies, never by a call.
        MODERATION = "moderation"

    class Strategy(models.TextChoices):
        WEIGHTED = "weighted", "By weight"
        LEAST_BUSY = "least_busy", "Fewest calls under way"
        FASTEST = "fastest", "Fastest of late"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200, unique=True, validators=[not_a_variants])
    kind = models.CharField(max_length=16, choices=Kind)
    context_window = models.PositiveIntegerField(
        validators=[MinValueValidator(1)], help_text="Tokens, prompt and answer."
    )
    max_output_tokens = models.PositiveIntegerField(validators=[MinValueValidator(1)], default=4096)
    dimensions = models.PositiveIntegerField(null=True, blank=True, help_text="Of an embedding model.")
    owned_by = models.CharField(max_length=100, default="atrium")
    capabilities = ArrayField(
        models.CharField(max_length=16, choices=Capability),
        default=usual_capabilities,
        db_default=[str(capability) for capability in USUAL_CAPABILITIES],
        blank=True,
        help_text="Of a chat model. A request that needs another is refused before it costs anything.",
    )
    strategy = models.CharField(
        max_length=16,
        choices=Strategy,
        default=Strategy.WEIGHTED,
        db_default=Strategy.WEIGHTED,
        help_text="Which deployment is asked first.",
    )
    out_of_service_since = models.DateTimeField(null=True, editable=False)
    out_of_service_reason = models.CharField(max_length=300, default="", db_default="", editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    app_may = ("SELECT",)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(name__startswith=VARIANT_PREFIX), name="inference_model_no_variant")
        ]

    def __str__(self) -> str:
        return self.name


class Fallback(models.Model):
    """Which model answers where none of another's deployments does; the lowest position is asked first."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="fallbacks")
    fallback = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveSmallIntegerField()

    app_may = ("SELECT",)

    class Meta:
        ordering = ("position",)
        constraints = [
            models.UniqueConstraint(fields=["model", "position"], name="inference_fallback_position"),
            models.UniqueConstraint(fields=["model", "fallback"], name="inference_fallback_once"),
            models.CheckConstraint(condition=~Q(model=F("fallback")), name="inference_fallback_other"),
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.fallback}"


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

    #: Kept encrypted, written and never shown.
    CREDENTIALS = ("api_key", "access_key_id", "secret_access_key", "session_token")

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
    max_concurrent = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Calls at once, of all workers together; more go to another deployment. Empty: no limit.",
    )
    health_check = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Ask it every half minute whether it is there, not only after it failed.",
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """What a provider needs of a row."""
        if self.provider in (self.Provider.OPENAI_COMPATIBLE, self.Provider.OPENAI_RESPONSES) and not self.base_url:
            raise ValidationError({"base_url": "Where does the server answer?"})
        if self.provider == self.Provider.BEDROCK and not self.region:
            raise ValidationError({"region": "Amazon Bedrock needs a region."})
        if bool(self.access_key_id) != bool(self.secret_access_key):
            raise ValidationError("An access key has two parts, its ID and its secret.")


class Deployment(DeploymentBase):
    """A deployment of the platform: serves every tenant that holds a grant on the model."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="deployments")

    app_may = ("SELECT",)


class TenantDeployment(DeploymentBase, TenantModel):
    """A tenant's own provider account: goes before the platform's for this tenant, and serves nobody else."""

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="+")

    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="inference_tenantdeployment_owned"),
            models.UniqueConstraint(fields=["tenant", "name"], name="inference_tenantdeployment_once"),
        ]

    def clean(self) -> None:
        """Also: an account of the tenant's own, at Bedrock's own addresses."""
        super().clean()
        if self.provider == self.Provider.BEDROCK and not (self.api_key or self.access_key_id):
            raise ValidationError("Amazon Bedrock needs an access key or an API key.")
        if self.provider == self.Provider.BEDROCK and self.base_url:
            raise ValidationError({"base_url": "Amazon Bedrock is reached at its region's own address."})


class OwnAccountPrice(PriceBase, TenantModel):
    """What the platform charges a tenant for a model that its own account serves; 0 where a row says so, never else.

    Set by the operator. Without one the tenant's usual price holds.
    """

    meter = models.CharField(max_length=32)  # billing's meters; what they are is checked where a row is made

    app_may = ("SELECT", "INSERT")

    class Meta:
        constraints = [
            TenantOwned(name="inference_ownaccountprice_owned"),
            models.UniqueConstraint(
                fields=["tenant", "model", "meter", "currency", "valid_from"], name="inference_ownaccountprice_once"
            ),
            models.CheckConstraint(condition=Q(amount__gte=0), name="inference_ownaccountprice_not_negative"),
        ]


class Grant(TenantModel):
    """A tenant may use a model, or a variant of it, under an alias.

    The operator's grants say what a tenant may use; a tenant points aliases of its own (`by_tenant`) at the same models
    and at its variants of them, within the operator's caps.
    """

    alias = models.CharField(max_length=200)
    model = models.ForeignKey(
        Model, on_delete=models.PROTECT, related_name="+", help_text="What answers; of a variant, its base."
    )
    variant = models.ForeignKey(
        Variant, on_delete=models.PROTECT, null=True, blank=True, db_constraint=False, related_name="+"
    )
    canary_model = models.ForeignKey(Model, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    canary_variant = models.ForeignKey(
        Variant, on_delete=models.PROTECT, null=True, blank=True, db_constraint=False, related_name="+"
    )
    canary_share = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        validators=[MaxValueValidator(100)],
        help_text="Percent of the end users (of the keys, where a call names no end user) that the canary answers.",
    )
    by_tenant = models.BooleanField(default=False, db_default=False, editable=False)
    fallbacks = models.BooleanField(
        default=True, db_default=True, help_text="Whether the model's fallbacks may answer instead."
    )
    max_output_tokens = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="A cap below the model's own."
    )
    default_max_tokens = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    default_temperature = models.FloatField(null=True, blank=True)
    default_top_p = models.FloatField(null=True, blank=True)
    min_temperature = models.FloatField(null=True, blank=True)
    max_temperature = models.FloatField(null=True, blank=True)
    allowed_tools = ArrayField(
        models.CharField(max_length=64),
        null=True,
        blank=True,
        help_text="Names of the functions that may be offered, and file_search. Empty list: none. Unset: all.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            TenantOwned(name="inference_grant_owned"),
            TenantForeignKey(name="inference_grant_variant", field="variant"),
            TenantForeignKey(name="inference_grant_canary_variant", field="canary_variant"),
            models.UniqueConstraint(fields=["tenant", "alias"], name="inference_grant_once"),
            models.CheckConstraint(condition=Q(canary_share__lte=100), name="inference_grant_share"),
            models.CheckConstraint(
                condition=Q(canary_model__isnull=False) | Q(canary_share=0, canary_variant__isnull=True),
                name="inference_grant_canary",
            ),
            models.CheckConstraint(
                condition=Q(min_temperature__isnull=True)
                | Q(max_temperature__isnull=True)
                | Q(min_temperature__lte=F("max_temperature")),
                name="inference_grant_temperature",
            ),
        ]

    def __str__(self) -> str:
        return self.alias
