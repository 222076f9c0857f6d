"""Code that is hardly ever written for good: reverse shells, downloads piped into a shell, wiping of disks, credential
dumping, well-known injections.

It knows some forty phrases of shells, PowerShell, Python, PHP, SQL and JavaScript by their look. It does not understand
code: what is renamed, split, encoded or new passes, and a text that explains an attack by its code is found like the
attack. The window is 240 characters.
"""

from .anchored import AnchoredScreen
from .phrases import phrases

CATEGORY = "MALICIOUS_CODE"


def malicious_code_screen() -> AnchoredScreen:
    """The screen; it reads texts in their normal form."""
    return AnchoredScreen(list(phrases("malicious_code.toml", category=CATEGORY, whole_words=False)), normal=True)
