"""Links between pages of the desk."""

from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html


def request_link(generation_id: UUID) -> str:
    """To a call's page, by its id."""
    url = reverse("admin:inference_generation_change", args=[generation_id])
    return format_html('<a href="{}"><code>{}</code></a>', url, generation_id.hex)
