"""Secrets with valid checksums, made here so that no file of the repository holds what looks like one."""

import base64
import json
import string
import zlib

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def github_token(body: str = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1") -> str:
    """`ghp_`, thirty characters, and their CRC-32 in base 62."""
    number, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        check = _BASE62[digit] + check
    return f"ghp_{body}{check}"


def json_web_token() -> str:
    """With a header, a claim and a signature."""
    parts = [
        json.dumps({"alg": "HS256", "typ": "JWT"}),
        json.dumps({"sub": "1234567890"}),
        "signature-of-32-bytes-here",
    ]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


def private_key(lines: int = 4) -> str:
    """A PEM block of random-looking lines."""
    body = "\n".join(base64.b64encode(bytes(range(line, line + 48))).decode() for line in range(lines))
    return f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"


AWS_KEY = "AKIA" + "IOSFODNN7EXAMPLE"
STRIPE_KEY = "sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc"
ASSIGNED = "Zx8#qL2v!9pTfW4e"
