"""Pages of the desk that bring all apps together."""

from . import home  # noqa: F401  for effect: it registers itself
