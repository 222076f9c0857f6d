"""What the filters above a list show."""

from typing import Any

from django import template

from tenants.desk.filters import Input

register = template.Library()


@register.simple_tag
def filter_choices(cl: Any, spec: Any) -> list[dict[str, Any]]:
    """A filter's values as links."""
    return list(spec.choices(cl))


@register.filter
def chosen(choices: list[dict[str, Any]]) -> str:
    """What is chosen of them, in words."""
    return next((str(choice["display"]) for choice in choices if choice["selected"]), "")


@register.simple_tag
def filter_inputs(cl: Any) -> list[Input]:
    """The fields of all filters, for one form."""
    return [field for spec in cl.filters if hasattr(spec, "inputs") for field in spec.inputs()]


@register.filter
def in_use(inputs: list[Input]) -> int:
    """How many fields are filled."""
    return sum(bool(field.value) for field in inputs)


@register.filter
def names(inputs: list[Input]) -> list[str]:
    """Theirs."""
    return [field.name for field in inputs]
