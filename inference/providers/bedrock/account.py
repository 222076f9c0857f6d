"""An account at Amazon Bedrock, and boto3's client for it.

The client does not retry by itself: routing decides, so that there is one retry layer. Its requests go over sockets
that `calls` can shut down. Nothing of the environment (endpoints, profiles, bearer tokens) changes where or as whom a
deployment with credentials of its own calls.
"""

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import boto3.session
import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
    AWSPreparedRequest,
    AWSResponse,
)
from botocore.config import Config
from botocore.httpsession import URLLib3Session
from botocore.loaders import Loader, create_loader
from botocore.utils import get_environ_proxies
from django.conf import settings

from ..base import ProviderError
from ..line import hold, let_go


@dataclass(frozen=True)
class Account:
    """Where and as whom Bedrock is called. Secrets are no part of its text.

    Attributes:
        region: as in `eu-central-1`.
        endpoint_url: empty for the region's own endpoint.
        api_key: a Bedrock API key; goes before the access key.
        ambient: without credentials, those of the machine may be used: never for a tenant's deployment.
    """

    region: str
    endpoint_url: str = ""
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    ambient: bool = False


def runtime(account: Account) -> Any:
    """boto3's `bedrock-runtime` client of `account`, remembered; may be shared by threads.

    Raises:
        ProviderError: it has no credentials, or half of them.
    """
    if bool(account.access_key_id) != bool(account.secret_access_key):
        raise _no_credentials("an access key has two parts")
    if not (account.api_key or account.access_key_id or account.ambient):
        raise _no_credentials("a deployment needs credentials of its own")
    with _making:  # making a client takes a tenth of a second, and sessions are not safe among threads
        return _runtime(account)


def _no_credentials(why: str) -> ProviderError:
    text = f"This model's credentials for Amazon Bedrock are missing: {why}."
    return ProviderError(text, code="upstream_credentials", temporary=False)


_making = threading.Lock()


@lru_cache(maxsize=1)
def _descriptions() -> Loader:
    """botocore's descriptions of services and endpoints, read once for all accounts."""
    return create_loader()


@lru_cache(maxsize=256)
def _runtime(account: Account) -> Any:
    core = botocore.session.Session()
    core.register_component("data_loader", _descriptions())
    session = boto3.session.Session(
        botocore_session=core,
        aws_access_key_id=account.access_key_id or None,
        aws_secret_access_key=account.secret_access_key or None,
        aws_session_token=account.session_token or None,
        region_name=account.region,
    )
    client = session.client(
        "bedrock-runtime",
        endpoint_url=account.endpoint_url or None,
        config=Config(
            # Said here, or a bearer token of the environment would go before the account's own credentials.
            signature_version=_signature(account),
            retries={"total_max_attempts": 1, "mode": "standard"},
            ignore_configured_endpoint_urls=True,
            user_agent_extra="atrium",
        ),
    )
    # botocore sends what nobody answers before: it never comes to that.
    client.meta.events.register("before-send.bedrock-runtime", _Sender(client.meta.endpoint_url, account.api_key))
    return client


def _signature(account: Account) -> Any:
    if account.api_key:
        return UNSIGNED  # `_Sender` adds the key
    return "v4" if account.access_key_id else None


class _Sender:
    """Sends botocore's requests over connections that know their line."""

    def __init__(self, endpoint_url: str, api_key: str) -> None:
        bundle = botocore.session.get_session().get_config_variable("ca_bundle")
        self._session = URLLib3Session(
            verify=bundle or True,
            proxies=get_environ_proxies(endpoint_url),
            timeout=(settings.UPSTREAM_CONNECT_SECONDS, settings.UPSTREAM_READ_SECONDS),
            max_pool_connections=settings.BEDROCK_THREADS,
        )
        # The session shares this mapping with the managers of its connections, proxies included.
        self._session._pool_classes_by_scheme.update({"http": _HTTPPool, "https": _HTTPSPool})
        self._api_key = api_key

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """Answer botocore in the place of its own HTTP."""
        if self._api_key:
            request.headers["Authorization"] = f"Bearer {self._api_key}"
        return self._session.send(request)


class _HTTPConnection(AWSHTTPConnection):
    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        """The wait for an answer, which can be long, is where a call is most often broken off."""
        hold(self.sock)
        return super().getresponse(*args, **kwargs)


class _HTTPSConnection(AWSHTTPSConnection):
    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        """As without TLS."""
        hold(self.sock)
        return super().getresponse(*args, **kwargs)


class _HTTPPool(AWSHTTPConnectionPool):
    ConnectionCls = _HTTPConnection

    def _put_conn(self, conn: Any) -> None:
        """The next call may take it from here on."""
        let_go()
        super()._put_conn(conn)


class _HTTPSPool(AWSHTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection

    def _put_conn(self, conn: Any) -> None:
        """As without TLS."""
        let_go()
        super()._put_conn(conn)
