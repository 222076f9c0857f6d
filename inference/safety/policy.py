"""A safety policy as a tenant writes it: which screens run where, and what is done about what they find.

    {"input": {"personal_data": {"action": "mask"}, "prompt_injection": {"action": "block"}},
     "passages": {"prompt_injection": {"action": "block"}},
     "output": {"secrets": {"action": "mask"}, "deny_list": {"action": "block"}},
     "deny_list": ["Project Halcyon"], "profanity": []}

`block` refuses a message, leaves a passage out, ends an answer; `mask` puts a placeholder such as `<EMAIL_ADDRESS>` in its
place; `flag` records it and nothing else. A screen that is not named is off; without a policy all are.
"""

from collections.abc import Iterator
from typing import Any, Literal

import phonenumbers
from pydantic import BaseModel, ConfigDict, Field, field_validator

from knowledge.preparation.recognisers import DEFAULT_REGIONS, ENTITIES

from .screens.profanity import LANGUAGES
from .screens.terms import LONGEST_TERM, MOST_NESTED, MOST_TERMS, nested_too_deep
from .text import Action

Stage = Literal["input", "passages", "output"]
_MODEL = Field(min_length=1, max_length=200, description="The alias of a granted model of the kind `moderation`.")


class Strict(BaseModel):
    """Refuses what it does not know: a screen that is spelled wrongly would be off without a word."""

    model_config = ConfigDict(extra="forbid")


class ScreenSettings(Strict):
    """A screen that is on."""

    action: Action = Field(description="`block`, `mask` by a placeholder, or `flag`: record it only.")


class PersonalDataSettings(ScreenSettings):
    """Which kinds of personal data are looked for; the kinds are those of a vector store's `preparation`."""

    entities: Literal["all"] | list[str] = Field("all", description="`all`, or a list of kinds.")
    phone_regions: list[str] = Field(
        list(DEFAULT_REGIONS), max_length=10, description="Where phone numbers without `+` are from: ISO 3166 codes."
    )

    @field_validator("entities")
    @classmethod
    def _known_kinds(cls, value: Any) -> Any:
        if value != "all" and (not value or set(value) - set(ENTITIES)):
            raise ValueError(f"kinds are {', '.join(ENTITIES)}")
        return value

    @field_validator("phone_regions")
    @classmethod
    def _known_regions(cls, value: list[str]) -> list[str]:
        if set(value) - set(phonenumbers.SUPPORTED_REGIONS):
            raise ValueError("regions are ISO 3166 codes such as US, GB, DE")
        return list(dict.fromkeys(value))


class ProfanitySettings(ScreenSettings):
    """Which of the built-in lists are used, beside the tenant's own words."""

    languages: list[Literal["de", "en", "es", "fr", "it"]] = Field(list(LANGUAGES))  # type: ignore[arg-type]


class ModerationSettings(Strict):
    """A moderation model is asked: an upstream's `/moderations`, or a guardrail. It sees the text and is paid for."""

    action: Literal["block", "flag"] = Field(description="It says what a text is, not where: nothing can be masked.")
    model: str = _MODEL
    thresholds: dict[str, float] = Field(
        default_factory=dict,
        max_length=50,
        description='Category → score from 0 to 1 from which it counts, such as `{"violence": 0.4}`, and no other category '
        "counts then. Empty: whatever the model itself flags.",
    )
    when_away: Literal["allow", "block"] = Field(
        "block", description="What becomes of a text while the moderation model does not answer."
    )

    @field_validator("thresholds")
    @classmethod
    def _shares(cls, value: dict[str, float]) -> dict[str, float]:
        if not all(0 <= threshold <= 1 for threshold in value.values()):
            raise ValueError("thresholds are from 0 to 1")
        return value


class PassageScreens(Strict):
    """The screens of retrieved passages: `block` leaves a passage out of the prompt."""

    personal_data: PersonalDataSettings | None = None
    secrets: ScreenSettings | None = None
    deny_list: ScreenSettings | None = None
    profanity: ProfanitySettings | None = None
    malicious_code: ScreenSettings | None = None
    prompt_injection: ScreenSettings | None = None


class InputScreens(PassageScreens):
    """The screens of a request's messages: `block` refuses it with 400 `content_filter` before any model is called.

    `prompt_injection` reads what users and tools say (roles `user`, `tool`, `function`), the others every message.
    """

    moderation: ModerationSettings | None = None


class OutputScreens(Strict):
    """The screens of answers: `block` ends an answer before what was found, with `finish_reason: content_filter`."""

    personal_data: PersonalDataSettings | None = None
    secrets: ScreenSettings | None = None
    deny_list: ScreenSettings | None = None
    profanity: ProfanitySettings | None = None
    malicious_code: ScreenSettings | None = None
    moderation: ModerationSettings | None = None
    tool_calls: bool = Field(
        True,
        description="Whether the arguments of tool calls are screened too; they are held back until they are whole.",
    )


class SafetySettings(Strict):
    """What a tenant wants screened, and its lists."""

    input: InputScreens = InputScreens()
    passages: PassageScreens = PassageScreens()
    output: OutputScreens = OutputScreens()
    deny_list: list[str] = Field(
        default_factory=list, max_length=MOST_TERMS, description="Words and phrases that the screen `deny_list` finds."
    )
    profanity: list[str] = Field(
        default_factory=list,
        max_length=MOST_TERMS,
        description="Words that the screen `profanity` finds beside its own.",
    )

    @field_validator("deny_list", "profanity")
    @classmethod
    def _usable_terms(cls, value: list[str]) -> list[str]:
        for term in value:
            if not term.strip() or len(term) > LONGEST_TERM:
                raise ValueError(f"a term has 1 to {LONGEST_TERM} characters")
        nested = nested_too_deep(value)
        if nested is not None:
            raise ValueError(f"more than {MOST_NESTED} terms are the end of {nested!r}")
        return list(dict.fromkeys(value))

    def stage(self, stage: Stage) -> InputScreens | PassageScreens | OutputScreens:
        """The screens of one stage."""
        found: InputScreens | PassageScreens | OutputScreens = getattr(self, stage)
        return found

    def moderations(self) -> Iterator[tuple[Stage, ModerationSettings]]:
        """Where a moderation model is asked."""
        if self.input.moderation:
            yield "input", self.input.moderation
        if self.output.moderation:
            yield "output", self.output.moderation

    def names(self) -> dict[str, list[str]]:
        """The screens that are on, by stage: what an audit row says, without lists."""
        return {
            stage: [name for name, settings in self.stage(stage) if isinstance(settings, BaseModel)]
            for stage in ("input", "passages", "output")
        }


#: Without a policy nothing is screened and nothing is held back.
NOTHING = SafetySettings()
