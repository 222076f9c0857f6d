"""OpenID Connect, the authorization code flow with PKCE: what is asked of a provider, and whether to believe the answer.

Sources: OpenID Connect Core 1.0 (3.1), Discovery 1.0, RFC 7636 (PKCE), RFC 9207 (`iss`). Waits on networks: call it
outside of every scope.
"""

import base64
import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import jwt
from django.conf import settings
from django.utils.crypto import constant_time_compare

from ..errors import AtriumError
from ..guarded_http import Limits, SourceFailed, check_target, send

_MOST_BYTES = 256 * 1024
_SECONDS = 8.0
_LEEWAY_SECONDS = 60
#: Signatures by the provider's own key; never a shared secret, never none.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class SignOnFailed(AtriumError):
    """The provider did not answer, or its answer cannot be believed. The message may be shown to who logs in."""

    status = 403
    type = "authentication_error"
    code = "single_sign_on_failed"


@dataclass(frozen=True)
class Client:
    """Atrium, as the provider knows it."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_uri: str


@dataclass(frozen=True)
class Claims:
    """What the provider says of somebody. `email` is empty where it names none that it has verified."""

    subject: str
    email: str


@dataclass(frozen=True)
class Flow:
    """One log-in under way, kept in the browser's session until its answer comes."""

    state: str
    nonce: str
    verifier: str


def discover(issuer: str) -> dict[str, Any]:
    """The provider's own description.

    Raises:
        SignOnFailed: it cannot be read, or is another issuer's.
    """
    found = _fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if found.get("issuer") != issuer:
        raise SignOnFailed(
            f"The provider calls itself {found.get('issuer')!r}, not {issuer!r}. The issuer must match exactly."
        )
    for name in _ENDPOINTS:
        if not isinstance(found.get(name), str):
            raise SignOnFailed(f"The provider's description lacks {name}.")
        _check(found[name])
    return found


def address_to_log_in(client: Client, flow: Flow, description: dict[str, Any]) -> str:
    """Where to send the browser."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "scope": "openid email profile",
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    endpoint = description["authorization_endpoint"]
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"


def claims_for(client: Client, flow: Flow, code: str) -> Claims:
    """Exchange the code of an answer, and check what comes for it.

    Raises:
        SignOnFailed: see there.
    """
    description = discover(client.issuer)
    tokens = _exchange(client, flow, code, description)
    claims = _verified(client, flow, str(tokens.get("id_token", "")), description)
    if "email" not in claims and isinstance(description.get("userinfo_endpoint"), str):
        claims |= _userinfo(description["userinfo_endpoint"], str(tokens.get("access_token", "")), claims["sub"])
    email = claims.get("email")
    verified = claims.get("email_verified") is True and isinstance(email, str)
    return Claims(subject=claims["sub"], email=str(email).strip().lower() if verified else "")


def _exchange(client: Client, flow: Flow, code: str, description: dict[str, Any]) -> dict[str, Any]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.redirect_uri,
        "code_verifier": flow.verifier,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    methods = description.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    if "client_secret_basic" in methods:
        pair = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form |= {"client_id": client.client_id, "client_secret": client.client_secret}
    return _fetch(description["token_endpoint"], method="POST", headers=headers, body=urlencode(form).encode())


def _verified(client: Client, flow: Flow, token: str, description: dict[str, Any]) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(
            token,
            _key(_fetch(description["jwks_uri"]), header.get("kid")),
            algorithms=_ALGORITHMS,
            audience=client.client_id,
            issuer=client.issuer,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except (jwt.PyJWTError, ValueError) as error:
        raise SignOnFailed("The provider's answer is not signed as it should be, or is out of date.") from error
    named = claims.get("azp", client.client_id)
    if not constant_time_compare(str(claims.get("nonce", "")), flow.nonce) or named != client.client_id:
        raise SignOnFailed("The provider's answer belongs to another log-in. Start again.")
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
        raise SignOnFailed("The provider's answer does not say who logs in.")
    return claims


def _key(published: dict[str, Any], kid: str | None) -> jwt.PyJWK:
    keys = [key for key in jwt.PyJWKSet.from_dict(published).keys if kid is None or key.key_id == kid]
    if len(keys) != 1:
        raise SignOnFailed("The provider signed with a key that it does not publish.")
    return keys[0]


def _userinfo(url: str, access_token: str, subject: str) -> dict[str, Any]:
    found = _fetch(url, headers={"Authorization": f"Bearer {access_token}"})
    if found.get("sub") != subject:
        raise SignOnFailed("The provider's answers speak of two people.")
    return {name: found[name] for name in ("email", "email_verified") if name in found}


def _check(url: str) -> Any:
    """A target that may be asked: encrypted, but for addresses that the operator allows by name."""
    try:
        target = check_target(url, tuple(settings.SSO_ALLOWED_NETWORKS))
    except SourceFailed as error:
        raise SignOnFailed(error.message) from error
    if target.scheme != "https" and not settings.SSO_ALLOWED_NETWORKS:
        raise SignOnFailed("The provider's addresses must begin with https://.")
    return target


def _fetch(
    url: str, *, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None
) -> dict[str, Any]:
    target = _check(url)
    limits = Limits(
        content_bytes=_MOST_BYTES,
        connect_seconds=3.0,
        read_seconds=5.0,
        whole_seconds=_SECONDS,
        networks=tuple(settings.SSO_ALLOWED_NETWORKS),
    )
    try:
        deadline = time.monotonic() + _SECONDS
        sent = {"Accept": "application/json", **(headers or {})}
        exchange = send(target, deadline=deadline, limits=limits, method=method, headers=sent, body=body)
        try:
            content = b"".join(exchange.content(limit=_MOST_BYTES, too_large=f"{target.host} sent too much."))
            status = exchange.answer.status
        finally:
            exchange.close()
    except SourceFailed as error:
        raise SignOnFailed(error.message) from error
    return _read(target.host, status, content)


def _read(host: str, status: int, content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if status != 200 or not isinstance(found, dict):
        reason = found.get("error") if isinstance(found, dict) else None
        raise SignOnFailed(f"{host} answered {status}{f' ({str(reason)[:60]})' if reason else ''}.")
    return found
