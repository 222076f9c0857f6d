"""A policy's screens, made ready once and remembered: lists of thousands of words take a moment to prepare."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from knowledge.preparation.recognisers import ENTITIES
from knowledge.preparation.settings import Redaction

from .policy import PersonalDataSettings, ProfanitySettings, SafetySettings, ScreenSettings, Stage
from .screens.base import Screen
from .screens.malicious_code import malicious_code_screen
from .screens.personal_data import PersonalDataScreen
from .screens.profanity import profanity_screen
from .screens.prompt_injection import PromptInjectionScreen
from .screens.secret_keys import secrets_screen
from .screens.terms import TermScreen
from .text import ActiveScreen

PROMPT_INJECTION = "prompt_injection"
#: The screens that Atrium runs itself, in the order in which the API lists them.
LOCAL = ("personal_data", "secrets", "deny_list", "profanity", "malicious_code", PROMPT_INJECTION)
_DENIED = "DENIED_TERM"


@dataclass(frozen=True)
class CompiledPolicy:
    """A policy with its screens ready. `version` is the id of its row; two calls under one version are screened alike."""

    settings: SafetySettings
    input: Sequence[ActiveScreen]
    passages: Sequence[ActiveScreen]
    output: Sequence[ActiveScreen]
    version: str = ""


def compiled(settings: SafetySettings, *, version: str = "") -> CompiledPolicy:
    """`settings` with its screens ready; equal screens of two stages are one object."""
    stages = (_stage(settings, "input"), _stage(settings, "passages"), _stage(settings, "output"))
    return CompiledPolicy(settings, *stages, version)


def _stage(settings: SafetySettings, stage: Stage) -> Sequence[ActiveScreen]:
    chosen = settings.stage(stage)
    named = ((name, getattr(chosen, name, None)) for name in LOCAL)
    return [ActiveScreen(name, one.action, _screen(name, one, settings)) for name, one in named if one is not None]


def _screen(name: str, one: ScreenSettings, settings: SafetySettings) -> Screen:
    if isinstance(one, PersonalDataSettings):
        entities = frozenset(ENTITIES if one.entities == "all" else one.entities)
        return _personal_data(entities, tuple(one.phone_regions))
    if isinstance(one, ProfanitySettings):
        return _profanity(tuple(one.languages), tuple(settings.profanity))
    if name == "deny_list":
        return _deny_list(tuple(settings.deny_list))
    return _fixed(name)


@lru_cache(maxsize=64)
def _personal_data(entities: frozenset[str], regions: tuple[str, ...]) -> Screen:
    return PersonalDataScreen(Redaction(entities, regions))


@lru_cache(maxsize=32)
def _profanity(languages: tuple[str, ...], additions: tuple[str, ...]) -> Screen:
    return profanity_screen(languages, additions)


@lru_cache(maxsize=32)
def _deny_list(terms: tuple[str, ...]) -> Screen:
    return TermScreen(terms, _DENIED)


_FIXED: dict[str, Callable[[], Screen]] = {
    "secrets": secrets_screen,
    "malicious_code": malicious_code_screen,
    PROMPT_INJECTION: PromptInjectionScreen,
}


@lru_cache(maxsize=8)
def _fixed(name: str) -> Screen:
    return _FIXED[name]()
