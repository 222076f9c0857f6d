"""What the demo asks of its documents, and what the answers can be checked against."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoQuestion:
    """A question, a phrase that a right answer contains, and the only document in which that phrase stands.

    The phrase is compared with runs of white space taken as one blank, because a PDF breaks its lines anywhere. Both
    are None where no document supports an answer and the honest reply is to say so.
    """

    text: str
    expected_phrase: str | None
    filename: str | None


QUESTIONS: tuple[DemoQuestion, ...] = (
    DemoQuestion(
        text="How often must the axis seals be replaced at a site close to the sea?",
        expected_phrase="every 12 months at sites within five kilometres of the sea",
        filename="meridian-40-manual.pdf",
    ),
    DemoQuestion(
        text="What does the mount do when it loses contact with the computer?",
        expected_phrase="it stops tracking and drives to its park position",
        filename="meridian-40-manual.pdf",
    ),
    DemoQuestion(
        text="How long is the warranty for cameras and filter wheels?",
        expected_phrase="Cameras and filter wheels are covered for three years",
        filename="warranty-and-returns.docx",
    ),
    DemoQuestion(
        text="By when must expense claims be submitted after a journey?",
        expected_phrase="within 30 days of the end of the journey",
        filename="travel-and-expenses.html",
    ),
    DemoQuestion(
        text="Until when does the 4.9 firmware branch receive security fixes?",
        expected_phrase="receives security fixes until 31 December 2028",
        filename="control-unit-release-notes.md",
    ),
    DemoQuestion(
        text="Which football club won the Norwegian cup final?",
        expected_phrase=None,
        filename=None,
    ),
)
