"""Which embedding models a tenant may use."""

import pytest

from inference.catalogue import UnknownModel
from inference.embedding import LocalEmbedder, embedder_for
from tenants.scope import acting_for


@pytest.mark.parametrize("model", ["nothing-of-that-name", "local-extractive"])
def test_a_model_that_is_not_granted_or_does_not_embed_is_unknown(acme, model):
    with acting_for(acme.tenant.id), pytest.raises(UnknownModel, match=model):
        embedder_for(model)


def test_the_built_in_model_is_everybodys(acme):
    with acting_for(acme.tenant.id):
        assert isinstance(embedder_for("all-MiniLM-L6-v2"), LocalEmbedder)
