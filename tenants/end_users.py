"""Signed end-user tokens: a tenant's own backend says who its reader is, and in which groups.

The header `Atrium-End-User` carries a JWT beside the API key. It is signed with HMAC-SHA256 (`HS256`, nothing else) by
one of the tenant's signing secrets (`tenants.signing_secrets`), which its header names as `kid`. Required claims:

    iss     the tenant's id, `tenant_…`          sub     the reader, 1 to 200 characters, opaque to Atrium
    aud     `atrium`                             groups  a list of the reader's groups, which may be empty
    iat     when it was issued                   exp     when it ends, at most 24 hours after `iat`

A token that is there is never ignored: where anything about it is wrong the request is refused with 401. Its groups
take the place of the key's; where the key has groups itself they are the most a token can reach, so what counts is the
intersection. A request with a token, and one with a key that has groups, is *limited*: it learns of no document that
is kept from its groups, whatever else the key may do.
"""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from django.conf import settings

from .api_keys import Caller
from .errors import AtriumError
from .groups import MAX_GROUPS, is_group
from .ids import parse_public_id, public_id
from .scope import acting_for
from .signing_secrets import PREFIX as SECRET_PREFIX
from .signing_secrets import SigningSecrets, load_secrets

END_USER_HEADER = "Atrium-End-User"
AUDIENCE = "atrium"
ALGORITHM = "HS256"
ISSUER_PREFIX = "tenant_"
MAX_TOKEN_LENGTH = 8192
LONGEST_LIFE = timedelta(hours=24)
#: How far the clocks of two machines may be apart.
LEEWAY = timedelta(seconds=30)
_MAX_SUBJECT_LENGTH = 200
_CLAIMS = ["iss", "aud", "sub", "groups", "iat", "exp"]
_MOST_REMEMBERED = 10_000

_secrets: dict[UUID, tuple[SigningSecrets, float]] = {}


class InvalidEndUserToken(AtriumError):
    """The end-user token is malformed, wrongly signed, or says what it may not; the message tells which."""

    status = 401
    type = "authentication_error"
    code = "invalid_end_user_token"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The end-user token in '{END_USER_HEADER}' is not valid: {reason}.",
            param=END_USER_HEADER,
            headers={"www-authenticate": "Bearer"},
        )


class EndUserTokenExpired(InvalidEndUserToken):
    """The token was right once: the tenant's backend issues a new one."""

    code = "end_user_token_expired"


@dataclass(frozen=True)
class EndUser:
    """A reader, as the tenant's backend vouches for it."""

    subject: str
    groups: frozenset[str]


def remembered_secrets(tenant_id: UUID) -> SigningSecrets | None:
    """The secrets read within the last `API_KEY_CACHE_SECONDS`; None where they must be read."""
    found = _secrets.get(tenant_id)
    return found[0] if found is not None and found[1] > time.monotonic() else None


def read_secrets(tenant_id: UUID) -> SigningSecrets:
    """The tenant's signing secrets from the database; a revoked one is gone everywhere within the same seconds as a key."""
    started = time.monotonic()
    with acting_for(tenant_id):
        found = load_secrets(now=datetime.now(UTC))
    if len(_secrets) >= _MOST_REMEMBERED:
        _secrets.clear()
    # Counted from before the look-up, as for keys.
    _secrets[tenant_id] = (found, started + settings.API_KEY_CACHE_SECONDS)
    return found


def forget_secrets() -> None:
    """Drop what this process remembers; the process that revokes a secret refuses its tokens at once."""
    _secrets.clear()


def with_end_user(caller: Caller, token: str, *, now: datetime) -> Caller:
    """The caller, speaking for the reader of `token`; asks the database where it must.

    Raises:
        InvalidEndUserToken, EndUserTokenExpired: 401.
    """
    secrets = remembered_secrets(caller.tenant_id)
    if secrets is None or named_secret(token) not in secrets:
        # A secret made a moment ago is not remembered yet.
        secrets = read_secrets(caller.tenant_id)
    return speaking_for(caller, verify_token(token, tenant_id=caller.tenant_id, secrets=secrets, now=now))


def speaking_for(caller: Caller, reader: EndUser) -> Caller:
    """The caller limited to the reader's groups, and to its key's where that has any."""
    groups = reader.groups & caller.groups if caller.limited else reader.groups
    return replace(caller, groups=groups, limited=True, end_user=reader.subject)


def named_secret(token: str) -> UUID:
    """The signing secret that the token's header names.

    Raises:
        InvalidEndUserToken: it is no token, too long for one, or names none.
    """
    if len(token) > MAX_TOKEN_LENGTH:
        raise InvalidEndUserToken(f"it is longer than {MAX_TOKEN_LENGTH} characters")
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError as error:
        raise InvalidEndUserToken("it is not a JWT") from error
    secret_id = parse_public_id(SECRET_PREFIX, kid) if isinstance(kid, str) else None
    if secret_id is None:
        raise InvalidEndUserToken("its header must name a signing secret as 'kid'")
    return secret_id


def verify_token(token: str, *, tenant_id: UUID, secrets: SigningSecrets, now: datetime) -> EndUser:
    """The reader that a token names.

    Raises:
        InvalidEndUserToken: anything about it is wrong.
        EndUserTokenExpired: its time is over.
    """
    secret = secrets.get(named_secret(token))
    if secret is None or (secret.expires_at is not None and secret.expires_at <= now):
        raise InvalidEndUserToken("its 'kid' names no signing secret that is in use")
    try:
        claims = jwt.decode(
            token,
            secret.value,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=public_id(ISSUER_PREFIX, tenant_id),
            # Times are compared below, with the caller's clock.
            options={
                "require": _CLAIMS,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "verify_sub": False,
            },
        )
    except jwt.InvalidAlgorithmError as error:
        raise InvalidEndUserToken(f"it must be signed with {ALGORITHM}") from error
    except jwt.InvalidSignatureError as error:
        raise InvalidEndUserToken("its signature is wrong") from error
    except jwt.MissingRequiredClaimError as error:
        raise InvalidEndUserToken(f"it lacks the claim '{error.claim}'") from error
    except (jwt.InvalidIssuerError, jwt.InvalidAudienceError) as error:
        raise InvalidEndUserToken(f"its 'iss' must be the tenant's id and its 'aud' '{AUDIENCE}'") from error
    except jwt.PyJWTError as error:
        raise InvalidEndUserToken("it is not a JWT") from error
    _check_times(claims, now)
    return _reader(claims)


def _check_times(claims: dict[str, Any], now: datetime) -> None:
    issued, ends, begins = _moment(claims, "iat"), _moment(claims, "exp"), _moment(claims, "nbf", default=0)
    clock, leeway = now.timestamp(), LEEWAY.total_seconds()
    if ends - issued > LONGEST_LIFE.total_seconds():
        raise InvalidEndUserToken("its 'exp' is more than 24 hours after its 'iat'")
    if issued > clock + leeway or begins > clock + leeway:
        raise InvalidEndUserToken("it was issued in the future; compare the clocks")
    if ends <= clock - leeway:
        raise EndUserTokenExpired("it has expired")


def _moment(claims: dict[str, Any], name: str, default: float | None = None) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e15 < value < 1e15:
        raise InvalidEndUserToken(f"its '{name}' must be Unix seconds")
    return value


def _reader(claims: dict[str, Any]) -> EndUser:
    subject, groups = claims["sub"], claims["groups"]
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT_LENGTH or not subject.isprintable():
        raise InvalidEndUserToken(f"its 'sub' must be 1 to {_MAX_SUBJECT_LENGTH} printable characters")
    if not isinstance(groups, list) or len(groups) > MAX_GROUPS or not all(is_group(name) for name in groups):
        raise InvalidEndUserToken(f"its 'groups' must be a list of at most {MAX_GROUPS} names")
    return EndUser(subject, frozenset(groups))
