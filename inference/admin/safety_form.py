"""A safety policy as a form: a table of screens and stages, the lists below it; from and to `SafetySettings`.

What the form has no field for (thresholds, phone regions, kinds of personal data that differ by stage) is carried over from
the policy that it started from.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from knowledge.preparation.recognisers import ENTITIES

from ..requests import parse
from ..safety.policy import SafetySettings
from ..safety.screens.profanity import LANGUAGES

STAGES = {"input": "Messages", "passages": "Passages from documents", "output": "Answers"}
#: screen → what it looks for, in words.
SCREENS = {
    "personal_data": ("Personal data", "E-mail addresses, phone numbers, card, bank and identity numbers."),
    "secrets": ("Secrets", "API keys, tokens, private keys, passwords."),
    "deny_list": ("Denied words", "The words and phrases of your own list below."),
    "profanity": ("Profanity", "Coarse language, and words of your own."),
    "malicious_code": ("Malicious code", "Commands that are known from attacks."),
    "prompt_injection": ("Prompt injection", "Text that tries to give the model orders of its own."),
    "moderation": ("Moderation model", "A model that judges a text: violence, hate, self-harm and the like."),
}
ACTIONS = {"": "Off", "flag": "Note it", "mask": "Mask it", "block": "Block it"}
_NOWHERE = {("passages", "moderation"), ("output", "prompt_injection")}
_LANGUAGES = {"de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian"}


@dataclass(frozen=True)
class Cell:
    """One screen at one stage: the choices that it has; none where it does not exist."""

    stage: str
    name: str = ""
    label: str = ""
    action: str = ""
    choices: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Row:
    """One screen."""

    name: str
    title: str
    about: str
    cells: Sequence[Cell]


def rows_of(settings: SafetySettings, *, moderated: bool) -> list[Row]:
    """The table. `moderated`: whether there is a moderation model to choose."""
    return [
        Row(name, title, about, [_cell(settings, stage, name, title) for stage in STAGES])
        for name, (title, about) in SCREENS.items()
        if moderated or name != "moderation"
    ]


def _cell(settings: SafetySettings, stage: Any, name: str, title: str) -> Cell:
    if (stage, name) in _NOWHERE:
        return Cell(STAGES[stage])
    chosen = getattr(settings.stage(stage), name)
    offered = [pair for pair in ACTIONS.items() if not (name == "moderation" and pair[0] == "mask")]
    words = STAGES[stage]
    return Cell(words, f"{stage}.{name}", f"{title}, {words}", chosen.action if chosen else "", offered)


def lists_of(settings: SafetySettings) -> dict[str, Any]:
    """What stands below the table."""
    return {
        "deny_list": "\n".join(settings.deny_list),
        "profanity": "\n".join(settings.profanity),
        "kinds": _choices(ENTITIES, _shared(settings, "personal_data", "entities", "all")),
        "languages": _choices(_LANGUAGES, _shared(settings, "profanity", "languages", list(LANGUAGES)), _LANGUAGES),
        "moderation_model": next((asked.model for _, asked in settings.moderations()), ""),
        "when_away": next((asked.when_away for _, asked in settings.moderations()), "block"),
        "tool_calls": settings.output.tool_calls,
    }


def _shared(settings: SafetySettings, screen: str, member: str, default: Any) -> Any:
    """What all stages that have the screen say of it; None where they differ."""
    said = [getattr(one, member) for stage in STAGES if (one := getattr(settings.stage(stage), screen, None))]  # type: ignore[arg-type]
    return default if not said else said[0] if all(other == said[0] for other in said) else None


def _choices(
    names: Sequence[str] | Mapping[str, str], chosen: Any, words: Mapping[str, str] | None = None
) -> list[tuple[str, str, bool]] | None:
    """(value, label, whether it is chosen); None where the stages differ, which the form has no place for."""
    if chosen is None:
        return None
    return [(name, (words or {}).get(name) or _kind(name), chosen == "all" or name in chosen) for name in names]


def _kind(name: str) -> str:
    """`EMAIL_ADDRESS` as `Email address`, `DE_TAX_ID` as `DE tax id`: what begins with a country keeps it."""
    first, _, rest = name.partition("_")
    if len(first) > 4 or first == "CARD":
        return name.replace("_", " ").capitalize()
    return f"{first} {rest.replace('_', ' ').lower() if len(rest) > 6 else rest.replace('_', ' ')}".strip()


def settings_of(post: QueryDict, base: SafetySettings) -> SafetySettings:
    """What the form says, over what `base` says of that which it does not show.

    Raises:
        InvalidRequest: naming the setting at fault.
    """
    data = base.model_dump(exclude_none=True)
    for stage in STAGES:
        for name in SCREENS:
            if (stage, name) not in _NOWHERE:
                _set(data[stage], name, post.get(f"{stage}.{name}", ""), post)
    data["deny_list"], data["profanity"] = _lines(post.get("deny_list", "")), _lines(post.get("profanity", ""))
    data["output"]["tool_calls"] = "tool_calls" in post
    return parse(SafetySettings, json.dumps(data).encode())


def _set(stage: dict[str, Any], name: str, action: str, post: QueryDict) -> None:
    if not action:
        stage.pop(name, None)
        return
    chosen = stage.setdefault(name, {})
    chosen["action"] = action
    if name == "personal_data" and "kinds-shown" in post:
        kinds = post.getlist("kinds")
        chosen["entities"] = "all" if set(kinds) == set(ENTITIES) else kinds
    if name == "profanity" and "languages-shown" in post:
        chosen["languages"] = post.getlist("languages")
    if name == "moderation":
        chosen |= {"model": post.get("moderation_model", ""), "when_away": post.get("when_away", "block")}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
