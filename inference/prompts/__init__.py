"""Prompts: templates with typed variables, in immutable versions that labels point at.

`templating` and `variables` say what a template is and what values may be; `definition` puts both together and renders,
all three without a database. `library` keeps prompts, versions and labels; `references` expands what a call names.
"""

from .references import Expanded, Reference, expand, forget_prompts

__all__ = ["Expanded", "Reference", "expand", "forget_prompts"]
