"""Signed end-user tokens: what is let in, and everything that is not. Each refusal is 401, none is ignored."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.db import connection

from tenants.api_keys import issue
from tenants.audit import COMMAND_LINE
from tenants.authentication import authenticate_key, forget_verified_keys
from tenants.end_users import (
    END_USER_HEADER,
    EndUserTokenExpired,
    InvalidEndUserToken,
    named_secret,
    speaking_for,
    verify_token,
    with_end_user,
)
from tenants.ids import public_id, uuid7
from tenants.scope import acting_for, tenant_scope
from tenants.signing_secrets import Secret, create_secret, revoke_secret, rotate_secret

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TENANT, SECRET_ID = uuid7(), uuid7()
VALUE = "s" * 43
SECRETS = {SECRET_ID: Secret(VALUE, None)}
KID = public_id("esk_", SECRET_ID)


def claims(**changes):
    made = {
        "iss": public_id("tenant_", TENANT), "aud": "atrium", "sub": "user-7", "groups": ["board", "sales"],
        "iat": int(NOW.timestamp()) - 60, "exp": int(NOW.timestamp()) + 600, **changes,
    }  # fmt: skip
    return {name: value for name, value in made.items() if value is not ...}


def token(*, key=VALUE, algorithm="HS256", kid=KID, headers=None, **changes):
    named = {} if kid is None else {"kid": kid}
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers={**named, **(headers or {})})


def by_hand(header, payload, key=VALUE):
    """A token as an attacker writes it: any header, any bytes, signed with HMAC under `key` (None: not at all)."""
    parts = [
        base64.urlsafe_b64encode(part if isinstance(part, bytes) else json.dumps(part).encode()).rstrip(b"=")
        for part in (header, payload)
    ]
    signed = b".".join(parts)
    mac = (
        b""
        if key is None
        else hmac.new(key if isinstance(key, bytes) else key.encode(), signed, hashlib.sha256).digest()
    )
    return b".".join([signed, base64.urlsafe_b64encode(mac).rstrip(b"=")]).decode()


def verify(text, now=NOW, secrets=SECRETS):
    return verify_token(text, tenant_id=TENANT, secrets=secrets, now=now)


def test_a_right_token_names_its_reader_and_groups():
    reader = verify(token())
    assert (reader.subject, reader.groups) == ("user-7", {"board", "sales"})
    assert verify(token(groups=[])).groups == frozenset()
    assert verify(token(aud=["atrium", "another"])).subject == "user-7"


def test_no_signature_and_other_algorithms_are_refused():
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = rsa_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    forged = [
        by_hand({"alg": "none", "typ": "JWT", "kid": KID}, claims(), key=None),
        by_hand({"alg": "none", "kid": KID}, claims()),
        by_hand({"alg": "None", "kid": KID}, claims(), key=None),
        by_hand({"kid": KID}, claims()),
        # Signed with RSA, and a public key used as an HMAC secret.
        token(key=rsa_key, algorithm="RS256"),
        by_hand({"alg": "RS256", "kid": KID}, claims(), key=pem),
        by_hand({"alg": "HS256", "kid": KID}, claims(), key=pem),
        token(algorithm="HS512", key="s" * 64),
        token(algorithm="HS384", key=VALUE + "s" * 10),
    ]
    for text in forged:
        with pytest.raises(InvalidEndUserToken) as refusal:
            verify(text)
        assert refusal.value.status == 401
    right = by_hand({"alg": "HS256", "kid": KID}, claims())
    assert verify(right).subject == "user-7"  # the forger's tool does make right ones
    for text in (right[:-2], right[:-1] + ("A" if right[-1] != "A" else "E"), right.rpartition(".")[0] + "."):
        with pytest.raises(InvalidEndUserToken):
            verify(text)


@pytest.mark.parametrize(
    "kid",
    [None, "", KID.removeprefix("esk_"), public_id("esk_", uuid7()), "esk_../../etc", public_id("key_", SECRET_ID)],
    ids=["none", "empty", "no prefix", "another secret", "path", "another kind"],  # the same in every process
)
def test_the_header_names_a_secret_of_this_tenant(kid):
    with pytest.raises(InvalidEndUserToken, match="kid"):
        verify(token(kid=kid))


@pytest.mark.parametrize("kid", [7, None, True, ["x"], {"a": 1}])
def test_a_kid_that_is_no_string_is_refused(kid):
    with pytest.raises(InvalidEndUserToken):
        named_secret(by_hand({"alg": "HS256", "kid": kid}, claims()))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        *(({name: ...}, name) for name in ("iss", "aud", "sub", "groups", "iat", "exp")),
        ({"iss": public_id("tenant_", uuid7())}, "iss"),
        ({"iss": ["x"]}, "iss"),
        ({"aud": "another"}, "aud"),
        ({"aud": []}, "aud"),
        ({"sub": ""}, "sub"),
        ({"sub": "x" * 201}, "sub"),
        ({"sub": "a\0b"}, "sub"),
        ({"groups": "board"}, "groups"),
        ({"groups": {"board": True}}, "groups"),
        ({"groups": None}, "groups"),
        ({"groups": [7]}, "groups"),
        ({"groups": ["board", None]}, "groups"),
        ({"groups": [["board"]]}, "groups"),
        ({"groups": [" board"]}, "groups"),
        ({"groups": [""]}, "groups"),
        ({"groups": ["x" * 129]}, "groups"),
        ({"groups": [f"g{number}" for number in range(101)]}, "groups"),
        ({"iat": int(NOW.timestamp()) + 31}, "future"),
        ({"nbf": int(NOW.timestamp()) + 31}, "future"),
        ({"exp": int(NOW.timestamp()) - 60 + 86_401}, "24 hours"),
        ({"exp": 1e400}, "exp"),
        ({"exp": "2030"}, "exp"),
        ({"exp": True}, "exp"),
        ({"iat": "yesterday"}, "iat"),
        ({"iat": float("nan")}, "iat"),
        ({"exp": 10**30}, "exp"),
        ({"nbf": None}, "nbf"),
    ],
)  # fmt: skip
def test_a_claim_that_is_missing_or_wrong_is_named(changes, word):
    with pytest.raises(InvalidEndUserToken, match=word) as refusal:
        verify(by_hand({"alg": "HS256", "kid": KID}, claims(**changes)))
    assert (refusal.value.code, refusal.value.param) == ("invalid_end_user_token", END_USER_HEADER)


def test_a_missing_sub_is_not_a_wrong_type():
    with pytest.raises(InvalidEndUserToken):
        verify(by_hand({"alg": "HS256", "kid": KID}, claims(sub=7)))


def test_a_token_ends_and_says_so():
    ends = NOW + timedelta(seconds=600)
    assert verify(token(), now=ends + timedelta(seconds=29)).subject == "user-7"
    with pytest.raises(EndUserTokenExpired) as refusal:
        verify(token(), now=ends + timedelta(seconds=30))
    assert (refusal.value.status, refusal.value.code) == (401, "end_user_token_expired")


def test_a_day_is_the_longest_life():
    issued = int(NOW.timestamp())
    assert verify(token(iat=issued, exp=issued + 86_400)).subject == "user-7"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "Bearer x",
        "ü.ü.ü",
        "a" * 10_240,
        "." * 10_240,
        token() + "," + token(),
        token() + ".x",
    ],
)
def test_what_is_no_token_is_refused(text):
    with pytest.raises(InvalidEndUserToken):
        verify(text)


def test_a_huge_or_deeply_nested_token_is_refused():
    deep = b"[" * 5_000
    for text in (
        by_hand(deep, claims()),
        by_hand({"alg": "HS256", "kid": KID}, deep),
        by_hand({"alg": "HS256", "kid": KID}, b"[]"),
        by_hand({"alg": "HS256", "kid": KID}, b"\xff\xfe"),
        token(padding="x" * 10_240),
    ):
        with pytest.raises(InvalidEndUserToken):
            verify(text)


def test_a_secret_past_its_overlap_is_not_in_use():
    ended = {SECRET_ID: Secret(VALUE, NOW)}
    with pytest.raises(InvalidEndUserToken, match="in use"):
        verify(token(), secrets=ended)
    assert verify(token(), secrets=ended, now=NOW - timedelta(seconds=1)).subject == "user-7"


# over REST -----------------------------------------------------------------------------------------------------------

URL = "/v1/vector_stores"


def signed(member, row, value, **changes):
    now = int(datetime.now(UTC).timestamp())
    own = {"iss": public_id("tenant_", member.tenant.id), "iat": now, "exp": now + 300, **changes}
    return jwt.encode({**claims(), **own}, value, algorithm="HS256", headers={"kid": public_id("esk_", row.id)})


def secret_of(member):
    with acting_for(member.tenant.id):
        return create_secret(name="app", by=COMMAND_LINE, now=datetime.now(UTC))


def get(member, text):
    return member.client.get(URL, headers={END_USER_HEADER: text})


def test_a_wrong_token_beside_a_right_key_is_401_everywhere(acme):
    row, value = secret_of(acme)
    assert get(acme, signed(acme, row, value)).status_code == 200
    for text in ("", "x", signed(acme, row, "wrong" * 9), signed(acme, row, value, exp=1, iat=1)):
        for url in (URL, "/v1/files", "/v1/models", "/v1/api_keys", "/v1/budgets"):
            response = acme.client.get(url, headers={END_USER_HEADER: text})
            assert response.status_code == 401
            assert response.json()["error"]["code"] in ("invalid_end_user_token", "end_user_token_expired")
            assert response.headers["www-authenticate"] == "Bearer"


def test_a_token_of_another_tenant_is_401_however_it_is_made(acme, globex):
    ours, value = secret_of(acme)
    theirs, their_value = secret_of(globex)
    assert get(globex, signed(globex, theirs, their_value)).status_code == 200
    for text in (
        signed(globex, theirs, their_value),  # right, for the other tenant
        signed(acme, theirs, their_value),  # in acme's name, with globex' secret
        signed(acme, ours, their_value),  # naming acme's secret, signed with globex'
        signed(globex, ours, value),  # acme's secret, in globex' name
    ):
        assert get(acme, text).status_code == 401


def test_a_token_without_a_key_opens_nothing(acme):
    row, value = secret_of(acme)
    acme.client.credentials()
    response = type(acme.client)().get(URL, headers={END_USER_HEADER: signed(acme, row, value)})
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")


def test_rotating_overlaps_and_revoking_does_not(acme):
    row, value = secret_of(acme)
    client = acme.client
    made = client.post(f"/v1/signing_secrets/{public_id('esk_', row.id)}/rotate", {"overlap_seconds": 600})
    assert made.status_code == 201
    body = made.json()
    assert (body["name"], body["algorithm"], body["audience"]) == ("app", "HS256", "atrium")
    assert body["issuer"] == public_id("tenant_", acme.tenant.id)
    now = int(datetime.now(UTC).timestamp())
    new = jwt.encode(
        {**claims(), "iss": body["issuer"], "iat": now, "exp": now + 300}, body["value"], headers={"kid": body["id"]}
    )
    assert get(acme, signed(acme, row, value)).status_code == get(acme, new).status_code == 200
    listed = {item["id"]: item for item in client.get("/v1/signing_secrets").json()["data"]}
    assert now + 590 <= listed[public_id("esk_", row.id)]["expires_at"] <= now + 610
    assert listed[body["id"]]["expires_at"] is None
    assert value not in json.dumps(listed) and body["value"] not in json.dumps(listed)
    assert client.delete(f"/v1/signing_secrets/{body['id']}").json()["deleted"] is True
    assert get(acme, new).status_code == 401
    assert get(acme, signed(acme, row, value)).status_code == 200


def test_a_secret_revoked_elsewhere_is_refused_once_it_is_forgotten(acme):
    row, value = secret_of(acme)
    assert get(acme, signed(acme, row, value)).status_code == 200
    with acting_for(acme.tenant.id):
        revoke_secret(secret_id=row.id, by=COMMAND_LINE, now=datetime.now(UTC))
    forget_verified_keys()  # as API_KEY_CACHE_SECONDS do
    assert get(acme, signed(acme, row, value)).status_code == 401


def test_a_secret_made_a_moment_ago_works_at_once(acme):
    first, value = secret_of(acme)
    caller = authenticate_key(acme.key)
    now = datetime.now(UTC)
    assert with_end_user(caller, signed(acme, first, value), now=now).end_user == "user-7"
    second, other = secret_of(acme)
    assert with_end_user(caller, signed(acme, second, other), now=now).end_user == "user-7"


def test_the_keys_groups_are_the_most_a_token_reaches(acme):
    with acting_for(acme.tenant.id):
        _, key = issue(name="n", scopes=["inference"], groups=["sales", "support"], by=COMMAND_LINE)
    free, capped = authenticate_key(acme.key), authenticate_key(key)
    assert (free.groups, free.limited, free.sight) == (frozenset(), False, None)
    assert (capped.groups, capped.limited) == ({"sales", "support"}, True)
    reader = verify(token())
    assert speaking_for(free, reader).groups == {"board", "sales"}
    assert speaking_for(capped, reader).groups == {"sales"}
    nobody = speaking_for(capped, verify(token(groups=["board"])))
    assert (nobody.groups, nobody.limited, nobody.sight) == (frozenset(), True, frozenset())
    # Not once more than it is: an end user's caller is not widened by a second token.
    assert speaking_for(nobody, reader).groups == frozenset()


def test_at_most_ten_secrets_are_in_use(acme):
    for _ in range(10):
        assert acme.client.post("/v1/signing_secrets", {"name": "n"}).status_code == 201
    refused = acme.client.post("/v1/signing_secrets", {"name": "n"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "too_many_signing_secrets")


@pytest.mark.parametrize("overlap", [-1, 2_592_001, "soon"])
def test_an_overlap_out_of_bounds_is_400(acme, overlap):
    row, _ = secret_of(acme)
    response = acme.client.post(f"/v1/signing_secrets/{public_id('esk_', row.id)}/rotate", {"overlap_seconds": overlap})
    assert response.status_code == 400


def test_rotating_without_overlap_ends_the_old_one(acme):
    row, value = secret_of(acme)
    with acting_for(acme.tenant.id):
        rotate_secret(secret_id=row.id, overlap=timedelta(), by=COMMAND_LINE, now=datetime.now(UTC))
    assert get(acme, signed(acme, row, value)).status_code == 401


def test_an_end_user_does_not_change_who_may_speak_for_end_users(acme):
    row, value = secret_of(acme)
    headers = {END_USER_HEADER: signed(acme, row, value)}
    ident = public_id("esk_", row.id)
    for method, url in (
        ("post", "signing_secrets"),
        ("delete", f"signing_secrets/{ident}"),
        ("post", f"signing_secrets/{ident}/rotate"),
    ):
        refused = getattr(acme.client, method)(f"/v1/{url}", {"name": "n"}, headers=headers)
        assert refused.status_code == 403


def test_the_secret_is_encrypted_where_it_is_stored(acme):
    row, value = secret_of(acme)
    with acting_for(acme.tenant.id), tenant_scope(), connection.cursor() as cursor:
        cursor.execute("SELECT s::text FROM tenants_signingsecret s WHERE id = %s", [row.id])
        stored = cursor.fetchone()[0]
        cursor.execute("SELECT string_agg(e::text, '') FROM tenants_auditevent e")
        assert value not in stored + cursor.fetchone()[0]
