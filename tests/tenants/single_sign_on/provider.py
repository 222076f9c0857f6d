"""A real, small OpenID Connect provider on loopback: discovery, keys, codes with PKCE, signed ID tokens, userinfo."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Provider:
    """What it says of people is `people` (subject → claims). `forge` changes an ID token's claims, `key` signs it."""

    client_id, client_secret = "atrium at acme", "s/ecret:"

    def __init__(self) -> None:
        self.people: dict[str, dict[str, Any]] = {}
        self.forge: dict[str, Any] = {}
        self.key, self.algorithm = _KEY, "RS256"
        self.thin = False
        self.codes: dict[str, dict[str, str]] = {}
        self.issuer = ""

    def log_in(self, address: str, subject: str) -> str:
        """What the browser does at `address`: the person logs in and is sent back; returns where to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{self.issuer}/authorize?")
        assert (asked["client_id"], asked["response_type"]) == (self.client_id, "code")
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked | {"sub": subject}
        back = urlsplit(asked["redirect_uri"])
        return f"{back.path}?code={code}&state={asked['state']}"

    def description(self) -> dict[str, Any]:
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        found = {name: f"{self.issuer}/{path}" for name, path in paths.items()}
        return {"issuer": self.issuer, "userinfo_endpoint": f"{self.issuer}/userinfo", **found}

    def keys(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(_KEY.public_key()))
        return {"keys": [public | {"kid": "one", "use": "sig", "alg": "RS256"}]}

    def tokens(self, form: dict[str, str], authorization: str) -> dict[str, Any]:
        asked = self.codes.pop(form["code"], None)
        given = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        fits = asked is not None and [unquote(part) for part in given] == [self.client_id, self.client_secret]
        if not fits or asked["code_challenge"] != challenge.decode() or asked["redirect_uri"] != form["redirect_uri"]:
            return {"error": "invalid_grant"}
        now = int(time.time())
        said = {} if self.thin else self.people[asked["sub"]]
        claims = {"iss": self.issuer, "aud": self.client_id, "sub": asked["sub"], "iat": now, "exp": now + 300}
        claims |= {"nonce": asked["nonce"], **said, **self.forge}
        token = jwt.encode(claims, self.key, algorithm=self.algorithm, headers={"kid": "one"})
        return {"id_token": token, "access_token": asked["sub"], "token_type": "Bearer"}


@contextmanager
def running() -> Iterator[Provider]:
    """A provider that listens, at `issuer`."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers = {"/.well-known/openid-configuration": provider.description, "/keys": provider.keys}
            if self.path == "/userinfo":
                subject = self.headers["Authorization"].removeprefix("Bearer ")
                self._answer({"sub": subject, **provider.people[subject]})
            elif self.path in answers:
                self._answer(answers[self.path]())
            else:
                self._answer({"error": "not found"}, 404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            found = provider.tokens(form, self.headers["Authorization"])
            self._answer(found, 400 if "error" in found else 200)

        def _answer(self, found: dict[str, Any], status: int = 200) -> None:
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
