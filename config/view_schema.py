"""How drf-spectacular reads our views: a serializer nested in its view is named after both."""

from typing import Any

from drf_spectacular.openapi import AutoSchema


class ViewSchema(AutoSchema):
    """Lets every view call its serializers `Input` and `Output`."""

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        """`SearchView.Output` as `SearchOutput`."""
        *outer, name = type(serializer).__qualname__.split(".")
        return "".join(part.removesuffix("View") for part in outer) + name
