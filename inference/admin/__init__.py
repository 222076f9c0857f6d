"""Admin pages of inference: calls, models, variants, prompts, safety; catalogue and routing for platform staff."""

from . import (  # noqa: F401  they register themselves
    deployments,
    grants,
    keys,
    models,
    playground,
    prompt_editor,
    prompts,
    requests,
    routing,
    safety,
    safety_policy,
    service,
    switches,
    tenants,
    variant_page,
)
