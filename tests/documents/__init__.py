"""Small real files of every format, made by real producers; `make` says which and made them."""

from pathlib import Path

HERE = Path(__file__).parent
#: The documents here.
NAMES = sorted(path.name for path in HERE.glob("*.*") if path.suffix != ".py")


def read(name: str) -> bytes:
    """The bytes of the file `name`."""
    return (HERE / name).read_bytes()
