"""Documents from a URL, through every process of the stack."""

from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import Atrium, Tenant, eventually
from tests.knowledge.sources.servers import site

pytestmark = pytest.mark.e2e

FIRST = b"The heron nests on the northern island. " * 10
SECOND = b"The heron moved to the southern lagoon. " * 10


def call(tenant: Tenant, method: str, path: str, **request: Any) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {tenant.key}"}
    answer = httpx2.request(method, f"{tenant.url}/v1/{path}", headers=headers, timeout=30, **request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_url_is_fetched_searched_and_refreshed(atrium: Atrium) -> None:
    tenant = atrium.new_tenant()
    sdk = tenant.sdk()
    with site() as web:
        web.pages["/heron.txt"] = (200, {"ETag": '"1"'}, FIRST)
        body = {"url": web.url("/heron.txt"), "purpose": "assistants"}
        file = call(tenant, "POST", "files", json=body)
        store = sdk.vector_stores.create(file_ids=[file["id"]])
        done = sdk.vector_stores.files.poll(file["id"], vector_store_id=store.id, poll_interval_ms=100)
        assert (done.status, done.last_error) == ("completed", None)
        assert sdk.files.wait_for_processing(file["id"], poll_interval=0.1).status == "processed"
        web.pages["/heron.txt"] = (200, {"ETag": '"2"'}, SECOND)
        call(tenant, "POST", f"files/{file['id']}/refresh")

        def texts() -> str:
            return " ".join(hit.content[0].text for hit in sdk.vector_stores.search(store.id, query="heron"))

        eventually(lambda: "lagoon" in texts(), seconds=40)
        assert "northern" not in texts()
        assert [seen.headers.get("if-none-match") for seen in web.seen] == [None, '"1"']
