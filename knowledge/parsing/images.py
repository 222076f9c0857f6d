"""Pictures to shades of grey for recognition; in a step only (see `steps`)."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from . import failures
from .documents import INVALID_FILE, UnreadableFile

_MOST_BYTES = 130_000_000  # decoded: A4 in colour at 600 dots per inch
_MOST_PIXELS = 20_000_000  # for recognition: A3 at 300 dots per inch
_FEW_PIXELS = 1_500_000  # a screenshot or a snippet: letters too small to be recognised as they are
_ENLARGED = 3
_FORMATS = ("PNG", "JPEG", "TIFF")

Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns first; ours is checked before anything is decoded
TiffImagePlugin.READ_LIBTIFF = False


def count(data: bytes, limit: int) -> int:
    """How many images (pages of a TIFF), counted no further than just beyond `limit`."""
    with _opened(data) as image:
        found = 0
        for found in range(1, limit + 2):
            try:
                image.seek(found)
            except EOFError:
                break
        return found


def grey(data: bytes, number: int) -> Image.Image:
    """Image `number` (from 1), upright as its camera was held, of a size that suits recognition."""
    with _opened(data) as image:
        try:
            image.seek(number - 1)
        except EOFError as error:
            raise UnreadableFile(INVALID_FILE, f"The file has no page {number}.") from error
        width, height = image.size
        if width * height * _bytes_per_pixel(image) > _MOST_BYTES:
            raise failures.too_many_pixels(width, height)
        image.draft("L", None)  # a JPEG decodes to grey at once
        return _resized(ImageOps.exif_transpose(_flattened(image)))


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            yield image
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise failures.corrupt() from error


def _bytes_per_pixel(image: Image.Image) -> int:
    wide = 4 if image.mode in ("I", "F") else 2 if image.mode.startswith("I;16") else 1
    return wide * len(image.getbands())


def _flattened(image: Image.Image) -> Image.Image:
    """On white paper, where parts are transparent."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image).convert("L")
    if image.mode.startswith("I"):
        return image.point(lambda value: value / 256).convert("L")
    return image.convert("L")


def _resized(image: Image.Image) -> Image.Image:
    pixels = image.width * image.height
    factor = math.sqrt(_MOST_PIXELS / pixels) if pixels > _MOST_PIXELS else 1.0
    if pixels < _FEW_PIXELS:
        factor = min(_ENLARGED, math.sqrt(2 * _FEW_PIXELS / pixels))
    if factor == 1.0:
        return image
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)
