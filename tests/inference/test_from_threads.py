"""A provider of the event loop, asked from a thread."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from inference.providers.base import Cancelled, Prompt, ProviderError, Usage
from inference.providers.from_threads import FromThreads
from inference.providers.openai_chat import OpenAIChat
from inference.providers.threaded_call import ThreadedCall
from tests.inference.test_openai_chat import CountingUpstream


@pytest.fixture
def upstream() -> Iterator[CountingUpstream]:
    server = CountingUpstream()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


def asked(said: str) -> Prompt:
    return Prompt({"messages": [{"role": "user", "content": said}]}, 9)


def test_it_answers_and_fails_as_on_its_loop(upstream: CountingUpstream) -> None:
    provider = FromThreads(OpenAIChat(base_url=upstream.url, model="up", api_key=""))
    assert provider.complete(asked("hello"), ThreadedCall()).usage == Usage(7, 10)
    with pytest.raises(ProviderError, match="bad temperature"):
        provider.complete(asked("fault:refuses"), ThreadedCall())


def test_another_thread_breaks_it_off(upstream: CountingUpstream) -> None:
    provider = FromThreads(OpenAIChat(base_url=upstream.url, model="up", api_key=""))
    call = ThreadedCall()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(provider.complete, asked("fault:hangs"), call)
        assert upstream.streaming.wait(5)
        call.stop()
        with pytest.raises(Cancelled):
            answer.result(5)
    assert upstream.gone.wait(5)
