"""Admin pages of inference: calls, models, variants, prompts, safety; catalogue and routing for platform staff."""

from . import deployments, grants, models, prompts, requests, routing, safety  # noqa: F401  they register themselves
