"""Every setting, and the only reader of the environment. Importing this starts nothing."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

PRODUCTION = env.str("ATRIUM_ENV", "development") == "production"
DEBUG = False
VAR = Path(env.str("ATRIUM_VAR", str(BASE_DIR / "var")))


def _required(name: str, development: str) -> str:
    """From the environment. Production refuses to start without; development has a fixed, worthless value."""
    value = env.str(name, "")
    if value:
        return value
    if PRODUCTION:
        raise ImproperlyConfigured(f"{name} must be set in production")
    return development


SECRET_KEY = _required("SECRET_KEY", "development-only-" + "x" * 50)
#: Newest first: the first hashes new keys, all verify.
API_KEY_HASH_KEYS = [key.encode() for key in _required("API_KEY_HASH_KEYS", "development-only-hash-key").split(",")]
#: Fernet keys for stored provider credentials, newest first.
FIELD_ENCRYPTION_KEYS = _required("FIELD_ENCRYPTION_KEYS", "ZGV2ZWxvcG1lbnQtb25seS1maWVsZC1rZXktMDAwMDA=").split(",")
#: How long a process may answer for a key without asking the database: a revoked key dies within this.
API_KEY_CACHE_SECONDS = 4.5

ALLOWED_HOSTS = _required("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1],testserver").split(",")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
ATRIUM_HOST = env.str("ATRIUM_HOST", "127.0.0.1")
ATRIUM_PORT = env.int("ATRIUM_PORT", 8000)

# --- databases -------------------------------------------------------------------------------------------------------


def _embedded() -> dict[str, str]:
    """Where a running supervisor keeps PostgreSQL and Redis, or nothing."""
    note = VAR / "services.json"
    return json.loads(note.read_text()) if note.exists() else {}


_services = _embedded()


def _database_url(variable: str, role: str) -> str:
    if _required("DATABASE_URL", ""):
        return env.str(variable, "") or env.str("DATABASE_URL")
    return f"postgresql://{role}@/atrium?{_services.get('postgres', f'host={VAR}/postgres')}"


def _database(url: str, **options: Any) -> dict[str, Any]:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", None) or parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**query, **options},
    }


_POOL = {"min_size": 1, "max_size": env.int("DATABASE_POOL_SIZE", 16), "timeout": 10, "max_idle": 60}
DATABASES = {
    "default": _database(_database_url("DATABASE_URL", "atrium_app"), pool=_POOL),
    "owner": _database(_database_url("OWNER_DATABASE_URL", "atrium_owner")),
    "staff": _database(_database_url("STAFF_DATABASE_URL", "atrium_staff")),
}
# The test database is made through the owner; the other aliases are the same database by another role.
DATABASES["default"]["TEST"] = {"MIRROR": "owner"}
DATABASES["staff"]["TEST"] = {"MIRROR": "owner"}
DATABASE_ROUTERS = ["tenants.routing.RoleRouter"]
REDIS_URL = _required("REDIS_URL", "") or _services.get("redis_url", "redis://127.0.0.1:6379/0")

# --- Django ----------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "config.admin_apps.AtriumAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "tenants",
    "billing",
    "knowledge",
    "inference",
    "config",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.content_security.ContentSecurityMiddleware",
    "config.request_log.RequestLogMiddleware",
    "billing.limits.rest.RateLimitHeaders",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tenants.desk.visitor.AdminScopeMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = False
LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/admin/"
AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = ["tenants.accounts.backends.PasswordBackend", "tenants.accounts.backends.ProviderBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before the apps', so that `admin/base_site.html` here goes before unfold's.
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = "config.formats"
STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
# Takes the place of files that packages bring: see `config.content_security`.
STATICFILES_DIRS = [BASE_DIR / "config" / "vendor"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", PRODUCTION)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_TLS_PROXY", PRODUCTION) else None
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
X_FRAME_OPTIONS = "DENY"

CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

# --- finance ---------------------------------------------------------------------------------------------------------

#: Who sells what tenants are charged for: the provider and issuer of invoices in FOCUS files.
PLATFORM_NAME = env.str("PLATFORM_NAME", "Atrium")

# --- files -----------------------------------------------------------------------------------------------------------

_BUCKET = env.str("STORAGE_BUCKET", "")
STORAGES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": VAR / "files"}},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
if _BUCKET:
    STORAGES["default"] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": _BUCKET,
            "endpoint_url": env.str("STORAGE_ENDPOINT_URL", "") or None,
            "region_name": env.str("AWS_REGION", "") or None,
            "default_acl": None,
            "file_overwrite": False,
        },
    }
MAX_FILE_BYTES = env.int("MAX_FILE_BYTES", 100 * 1024 * 1024)
#: Networks (10.1.0.0/16, fd00::/8) from which documents may be fetched though they are not public, on any port.
FETCH_ALLOWED_NETWORKS: list[str] = env.list("FETCH_ALLOWED_NETWORKS", default=[])

#: Networks in which webhook endpoints may stand though they are not public, on any port, also without TLS.
WEBHOOK_ALLOWED_NETWORKS: list[str] = env.list("WEBHOOK_ALLOWED_NETWORKS", default=[])

# --- work ------------------------------------------------------------------------------------------------------------

CELERY: dict[str, Any] = {
    "broker_url": env.str("BROKER_URL", "") or REDIS_URL,
    "task_ignore_result": True,
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "worker_soft_shutdown_timeout": 20.0,
    "worker_enable_soft_shutdown_on_idle": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_retry_on_startup": True,
    "broker_transport_options": {
        "visibility_timeout": 900,
        "unacked_restore_interval": 10,
        "global_keyprefix": "celery:",
    },
    "task_default_queue": "maintenance",
    "task_protocol": 2,
    "task_send_sent_event": False,
    "timezone": "UTC",
}
#: How long a claimed unit stays a worker's own without renewal, and how often a worker renews.
WORK_LEASE_SECONDS = env.float("WORK_LEASE_SECONDS", 15.0)
#: The longest a model call may take, start to end.
GENERATION_DEADLINE_SECONDS = env.float("GENERATION_DEADLINE_SECONDS", 300.0)
#: Calls that one worker runs at a time, and the threads of its calls for database, search and local models.
GENERATION_PLACES = env.int("GENERATION_PLACES", 2048)
GENERATION_THREADS = env.int("GENERATION_THREADS", 16)
#: How long a worker that is told to stop lets its calls go on.
GENERATION_DRAIN_SECONDS = env.float("GENERATION_DRAIN_SECONDS", 25.0)
#: Admissions of one web process that may wait for the database at once.
GATEWAY_THREADS = env.int("GATEWAY_THREADS", 8)
#: The longest that a search waits for a re-ranking model, or for its queries to be rewritten, and how many searches of
#: one web process may wait for a provider at once.
SEARCH_PROVIDER_SECONDS = env.float("SEARCH_PROVIDER_SECONDS", 10.0)
SEARCH_PROVIDER_PLACES = env.int("SEARCH_PROVIDER_PLACES", 8)
#: The longest silence of an upstream before it counts as hanging.
UPSTREAM_READ_SECONDS = env.float("UPSTREAM_READ_SECONDS", 60.0)
UPSTREAM_CONNECT_SECONDS = env.float("UPSTREAM_CONNECT_SECONDS", 5.0)
#: Networks in which tenants' own deployments may stand though they are not public, also without TLS.
TENANT_UPSTREAM_NETWORKS: list[str] = env.list("TENANT_UPSTREAM_NETWORKS", default=[])
#: A deployment with so many failures in half a minute, and so large a share of its calls failed, is left alone by all
#: workers: for the first time, twice as long each time that its probe fails too, at the longest.
BREAKER_FAILURES = env.int("BREAKER_FAILURES", 5)
BREAKER_FAILURE_SHARE = env.float("BREAKER_FAILURE_SHARE", 0.5)
BREAKER_OPEN_SECONDS = env.float("BREAKER_OPEN_SECONDS", 5.0)
BREAKER_LONGEST_SECONDS = env.float("BREAKER_LONGEST_SECONDS", 120.0)
#: Calls of Amazon Bedrock that a process may have under way at once; each waits in a thread.
BEDROCK_THREADS = env.int("BEDROCK_THREADS", 256)

#: What the response cache keeps of one tenant at most; more pushes the oldest answers out.
RESPONSE_CACHE_MAX_ENTRIES = env.int("RESPONSE_CACHE_MAX_ENTRIES", 10_000)
RESPONSE_CACHE_MAX_BYTES = env.int("RESPONSE_CACHE_MAX_BYTES", 64 * 1024 * 1024)

# --- mail ------------------------------------------------------------------------------------------------------------

#: The mail server, `smtp+tls://user:password@host:587`. Without one no letters are written; in development they are
#: files under var/mail.
EMAIL_URL = env.str("EMAIL_URL", "" if PRODUCTION else "filemail://")
_mail = environ.Env.email_url_config(EMAIL_URL or "dummymail://")
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_FILE_PATH = VAR / "mail"
EMAIL_HOST, EMAIL_PORT = _mail["EMAIL_HOST"] or "localhost", _mail["EMAIL_PORT"] or 25
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_USER"] or "", _mail["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.get("EMAIL_USE_TLS", False), _mail.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 20
#: Whom the letters are from.
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", "Atrium <atrium@localhost>")

# --- search at size ----------------------------------------------------------------------------------------------

#: A tenant with so many rows of vectors gets a partition of its own with an index inside, and goes back among the others
#: below the second number. `make bench-retrieval` measures what either costs.
PARTITION_ROWS = env.int("PARTITION_ROWS", 30_000)
PARTITION_ROWS_BACK = env.int("PARTITION_ROWS_BACK", 10_000)
#: Up to so many chunks in the stores that are asked, all their vectors are looked at, index or not.
SEARCH_EXACT_CHUNKS = env.int("SEARCH_EXACT_CHUNKS", 20_000)
#: `maintenance_work_mem` while an index of a large tenant is built.
PARTITION_BUILD_MEMORY = env.str("PARTITION_BUILD_MEMORY", "512MB")

# --- the admin -------------------------------------------------------------------------------------------------------

UNFOLD = {
    "SITE_TITLE": "Atrium",
    "SITE_HEADER": "Atrium",
    "SITE_SYMBOL": "account_balance",
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "ACCOUNT": {"navigation": "config.admin_site.account_links"},
    "ENVIRONMENT": "config.admin_site.environment",
    "STYLES": ["config.admin_site.stylesheet"],
    "SCRIPTS": ["config.admin_site.alpine_scope", "config.admin_site.icons"],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "config.admin_site.favicon"}],
}

# --- accounts --------------------------------------------------------------------------------------------------------

#: Platform staff see every tenant: whoever is one gives a second factor, too.
STAFF_REQUIRES_TWO_FACTOR = env.bool("STAFF_REQUIRES_TWO_FACTOR", PRODUCTION)
#: Networks in which tenants' identity providers may stand though they are not public, on any port, also without TLS.
SSO_ALLOWED_NETWORKS: list[str] = env.list("SSO_ALLOWED_NETWORKS", default=[])
ACCOUNT_ADAPTER = "tenants.accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_PRESERVE_USERNAME_CASING = True
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "django.contrib.auth.tokens.PasswordResetTokenGenerator"
#: Names and addresses are counted by `tenants.accounts.limits`, codes of the second factor here.
ACCOUNT_RATE_LIMITS = {"login": None, "login_failed": "5/5m/key"}
MFA_ADAPTER = "tenants.accounts.adapter.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = PLATFORM_NAME
MFA_TOTP_TOLERANCE = 1  # phones' clocks are off by some seconds, and people type slowly

# --- the API ---------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["tenants.authentication.HasKeyScope"],
    "DEFAULT_RENDERER_CLASSES": ["config.rendering.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.parsing.BoundedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "config.view_schema.ViewSchema",
    "EXCEPTION_HANDLER": "config.errors.handle",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Atrium",
    "DESCRIPTION": "A multi-tenant generative-AI backend. The data plane speaks the OpenAI API.",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "PREPROCESSING_HOOKS": ["config.openapi.only_the_api"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.openapi.add_hot_path",
        "config.openapi.add_errors",
        "config.openapi.add_idempotency_key",
        "config.openapi.add_end_user",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    # The default badge would ask another host to validate the document.
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    # Members of one name and several meanings, where those that share one could not be named after their object.
    "ENUM_NAME_OVERRIDES": {
        "VectorStoreFileStatusEnum": ["in_progress", "completed", "cancelled", "failed"],
        "BucketTypeEnum": ["s3"],
        "CreatedAtAnchorEnum": ["created_at"],
        "SafetyActionEnum": ["block", "mask", "flag"],
        "ModerationActionEnum": ["block", "flag"],
        "CallEndpointEnum": ["/v1/chat/completions", "/v1/responses", "/v1/embeddings"],
        "ReportKindEnum": "billing.models.reports.Report.Kind",
        "StatementStatusEnum": ["open", "closed"],
    },
    "SCHEMA_PATH_PREFIX": "/v1",
}

# --- logs and Sentry -------------------------------------------------------------------------------------------------

LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOGGING_CONFIG = "config.logs.configure"
LOGGING = {"configured in": "config.logs"}  # Django calls LOGGING_CONFIG only where this is not empty
SENTRY_DSN = env.str("SENTRY_DSN", "")

# --- metrics ---------------------------------------------------------------------------------------------------------

#: What a scraper of `/metrics` sends as bearer token. Without one the page is open in development, absent in production.
METRICS_TOKEN = env.str("METRICS_TOKEN", "")
#: prometheus_client reads this variable by itself; it is named here to know which registry holds the counts.
METRICS_FOLDER = env.str("PROMETHEUS_MULTIPROC_DIR", "")
