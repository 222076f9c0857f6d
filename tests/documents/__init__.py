"""Small real files of every format, made by real producers; `make` says which and made them."""

from pathlib import Path

HERE = Path(__file__).parent


def read(name: str) -> bytes:
    """The bytes of the file `name`."""
    return (HERE / name).read_bytes()
