"""Which deployment answers: by weight, without repeating one while another is left."""

from collections import Counter
from itertools import islice

import pytest

from inference import routing
from inference.catalogue import NoDeployment
from inference.models import Deployment
from inference.providers.extractive import LocalExtractive
from inference.providers.openai_chat import OpenAIChat


def served(**weights: int) -> list[Deployment]:
    return [Deployment(name=name, weight=weight, provider="openai") for name, weight in weights.items()]


def order(rows: list[Deployment]) -> list[str]:
    return [row.name for row in routing.in_order("m", rows)]


def test_first_choices_follow_the_weights() -> None:
    rows = served(a=6, b=3, c=1)
    firsts = Counter(order(rows)[0] for _ in range(10_000))
    # Binomial: the standard deviation of 10,000 draws is at most 50; five of them bound the chance of a false alarm.
    assert abs(firsts["a"] - 6_000) < 250 and abs(firsts["b"] - 3_000) < 250 and abs(firsts["c"] - 1_000) < 250


def test_second_choices_follow_the_weights_of_those_that_are_left() -> None:
    rows = served(a=6, b=3, c=1)
    seconds = Counter(
        second for first, second in (tuple(islice(order(rows), 2)) for _ in range(10_000)) if first == "a"
    )
    # After a, b and c stand three to one.
    assert seconds["b"] / seconds.total() == pytest.approx(0.75, abs=0.03)


def test_each_is_tried_once_before_any_is_tried_again() -> None:
    rows = served(a=1, b=1, c=1, d=1)
    assert all(len(set(order(rows))) == 3 for _ in range(50))
    rows = served(a=1, b=1)
    for _ in range(50):
        first, second, third = order(rows)
        assert first != second and third == first


def test_a_lone_deployment_is_tried_three_times() -> None:
    rows = served(only=1)
    assert order(rows) == ["only"] * 3


def test_without_a_deployment_the_model_is_away() -> None:
    rows = served()
    with pytest.raises(NoDeployment) as away:
        order(rows)
    assert (away.value.status, away.value.headers["retry-after"]) == (503, "10")


def test_a_deployment_names_its_client() -> None:
    assert isinstance(routing.provider_of(Deployment(provider="local-extractive")), LocalExtractive)
    assert isinstance(routing.provider_of(Deployment(provider="openai", base_url="http://x.example")), OpenAIChat)
