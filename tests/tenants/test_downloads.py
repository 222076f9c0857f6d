"""Downloads leave as they are read, under ASGI too, and are no page of this origin."""

import asyncio
import io

from django.core.files import File

from tenants.downloads import Download


class Watched(io.BytesIO):
    """Says how much of it was read."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        part = super().read(size)
        self.taken += len(part)
        return part


def test_a_file_is_read_no_further_than_it_is_sent() -> None:
    content = Watched(b"x" * (3 * Download.block_size))

    async def first() -> bytes:
        parts = aiter(Download(File(content, name="a"), filename="a.bin"))
        return await anext(parts)

    assert len(asyncio.run(first())) == content.taken == Download.block_size


def test_a_name_with_a_script_is_a_name() -> None:
    answer = Download(File(io.BytesIO(b"<script>"), name="a"), filename='a";\r\nSet-Cookie: x=<b>.html')
    assert answer["Content-Disposition"].startswith("attachment; filename") and "\r" not in str(answer.headers)
    assert (answer["Content-Type"], answer["X-Content-Type-Options"]) == ("application/octet-stream", "nosniff")
