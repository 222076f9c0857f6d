"""Which languages scans can be recognised in; what is recognised is tried on the real scans of `test_parsing_formats`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from knowledge.parsing import recognition
from knowledge.parsing.documents import UNSUPPORTED_FILE, UnreadableFile


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Two folders in place of the machine's."""
    made = [tmp_path / "environment", tmp_path / "system"]
    for folder in made:
        folder.mkdir()
    monkeypatch.setattr(recognition, "_FOLDERS", (*made, tmp_path / "missing"))
    recognition.languages.cache_clear()
    yield made
    recognition.languages.cache_clear()


def install(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"{name}.traineddata").touch()


def test_the_folder_with_the_most_languages_is_used_english_first(folders: list[Path]) -> None:
    install(folders[0], "eng", "osd", "equ")
    install(folders[1], "deu", "eng", "chi_sim", "osd")
    assert recognition.languages() == (folders[1], ("eng", "chi_sim", "deu"))


def test_without_a_language_an_image_is_refused_with_what_to_do(folders: list[Path]) -> None:
    install(folders[0], "osd")
    with pytest.raises(UnreadableFile, match="tesseract-ocr-eng") as caught:
        recognition.recognise(Image.new("L", (10, 10)), None)
    assert caught.value.code == UNSUPPORTED_FILE
