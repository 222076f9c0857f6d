"""Which embedding models a tenant may use, and how those of other servers are asked."""

import threading

import pytest

from inference.catalogue import UnknownModel
from inference.embedding import LocalEmbedder, RemoteEmbedder, embedder_for
from inference.models import Deployment
from inference.providers.base import ProviderError
from knowledge.ports import EmbedderUnavailable
from tenants.errors import InvalidRequest
from tenants.scope import acting_for


@pytest.mark.parametrize("model", ["nothing-of-that-name", "local-extractive"])
def test_a_model_that_is_not_granted_or_does_not_embed_is_unknown(acme, model):
    with acting_for(acme.tenant.id), pytest.raises(UnknownModel, match=model):
        embedder_for(model)


def test_the_built_in_model_is_everybodys(acme):
    with acting_for(acme.tenant.id):
        assert isinstance(embedder_for("all-MiniLM-L6-v2"), LocalEmbedder)


class Server:
    """Stands in for the HTTP client: answers in the given order, an exception by raising it; counts requests."""

    def __init__(self, *answers, tokens=0):
        self.answers, self.asked, self._lock = list(answers), [], threading.Lock()
        self.tokens = tokens

    def embed(self, texts):
        with self._lock:
            self.asked.append(texts)
            answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return [[float(text), 0.0] for text in texts] if answer is None else answer, self.tokens


def remote(server):
    embedder = RemoteEmbedder("m", 2, Deployment(base_url="http://model.test/v1", upstream_model="m"))
    embedder._client = server
    return embedder


def test_many_texts_go_in_several_requests_and_keep_their_order():
    server = Server()
    vectors = remote(server).embed([str(number) for number in range(300)])
    assert vectors[:, 0].tolist() == list(range(300))
    assert sorted(map(len, server.asked)) == [44, 128, 128]


def overloaded(after):
    return ProviderError("The model's server is overloaded.", code="upstream_rate_limited", retry_after=after)


def test_token_arrays_are_passed_on_to_a_server_and_refused_by_the_built_in_model():
    server = Server([[0.5, 0.5]] * 2)
    assert remote(server).embed([[15339, 1917], [9906]]).shape == (2, 2)
    assert server.asked == [[[15339, 1917], [9906]]]
    with pytest.raises(InvalidRequest, match="reads text, not token arrays") as refused:
        LocalEmbedder().embed([[15339, 1917]])
    assert refused.value.param == "input"


def test_a_temporary_fault_is_tried_again_and_a_lasting_one_is_not():
    server = Server(overloaded(0.01), ProviderError("broke", code="upstream_error"))
    assert remote(server).embed(["1"]).tolist() == [[1.0, 0.0]]
    assert len(server.asked) == 3
    for fault in (ProviderError("no such model", code="x", temporary=False), overloaded(60.0)):
        server = Server(fault)
        with pytest.raises(EmbedderUnavailable):
            remote(server).embed(["1"])
        assert len(server.asked) == 1


@pytest.mark.parametrize("answer", [[[1.0]], [[1.0, float("nan")]], [["a", "b"]], [[1.0, 2.0], [1.0]]])
def test_vectors_of_another_shape_are_refused(answer):
    with pytest.raises(InvalidRequest, match="2 finite numbers"):
        remote(Server(answer)).embed(["1", "2"][: len(answer)])


def test_tokens_are_the_servers_count_and_ours_where_it_has_none():
    texts = [str(number) for number in range(300)]
    # Three requests, of which each says 1,000.
    assert remote(Server(tokens=1_000)).embed_counted(texts)[1] == 3_000
    assert remote(Server()).embed_counted(["1", "2"])[1] == 2
    assert remote(Server([[0.5, 0.5]])).embed_counted([[15339, 1917]])[1] == 2
    assert LocalEmbedder().embed_counted(["hello there"])[1] == 2


def test_a_refusal_of_the_passages_is_the_clients_to_read():
    refusal = ProviderError("too long", code="upstream_refused", status=400, temporary=False, param="input")
    with pytest.raises(InvalidRequest, match="too long") as refused:
        remote(Server(refusal)).embed(["1"])
    assert refused.value.param == "input"


def test_no_texts_are_no_request():
    server = Server()
    assert remote(server).embed([]).shape == (0, 2) and not server.asked
