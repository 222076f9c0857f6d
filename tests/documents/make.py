"""Makes the files beside it: `python -m tests.documents.make`. What they say is in this module and `sources/`.

Producers: LibreOffice (`soffice`), Chromium (`chromium`), Pillow and the fonts of Debian's `fonts-liberation` for what
looks scanned, pdfium for the page that is scanned among others, Python's email and zipfile.
"""

import io
import subprocess
import tempfile
import zipfile
from email.message import EmailMessage
from pathlib import Path

import numpy as np
import pypdfium2
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tests.documents import HERE

_FONT = "/usr/share/fonts/truetype/liberation/LiberationSerif-Regular.ttf"
_SOURCES = HERE / "sources"

#: What the scanned pages say, by name.
SCANS = {
    "english": (
        "Harbour regulations for the winter season",
        "The lights at the northern pier are switched on at dusk and stay green until the last ferry has left.",
        "Every vessel longer than 25 metres reports to the harbour master by radio before it passes the outer buoy.",
        "A mooring fee of 18.50 euros per night is due on arrival.",
    ),
    "german": (
        "Hafenordnung für die Wintermonate",
        "Die Lichter an der nördlichen Mole bleiben grün, bis die letzte Fähre abgelegt hat.",
        "Jedes Schiff über 25 Meter Länge meldet sich über Funk, bevor es die äußere Boje passiert.",
        "Die Liegegebühr beträgt 18,50 Euro je Nacht und ist bei Ankunft fällig.",
    ),
    "french": (
        "Règlement du port pour la saison d'hiver",
        "Les feux de la jetée nord restent verts jusqu'au départ du dernier bac.",
        "Tout navire de plus de 25 mètres s'annonce par radio avant de passer la bouée extérieure.",
        "Le droit d'amarrage s'élève à 18,50 euros par nuit ; il est dû à l'arrivée.",
    ),
    "crane": (
        "Crane log of the eastern quay",
        "On Tuesday the crane lifted fourteen containers from the Juliana.",
        "The next inspection of the crane is due on 3 May.",
    ),
}

#: What the text files say, by encoding (and name).
TEXTS = {
    "utf_8": "Der Hafen ist geöffnet, natürlich auch für große Schiffe.\nDie Gebühr beträgt 5 €.\n",
    "utf_16": "Hafen, port, порт, 港. 🚢 Die Boje ist außen.\n",
    "utf_16_be": "The buoy without a byte order mark lies outside.\nIt is red.\n",
    "cp1252": "Le bâtiment coûte 5 €, c’est l’été – à côté du « phare ».\nLa fenêtre est fermée.\n",
    "iso8859_2": "Żegluga przybrzeżna jest dozwolona. Łódź płynie do portu, gdzie święto trwa całą noc.\n",
    "koi8_r": "Порт открыт с утра до вечера. Каждое судно сообщает о прибытии по радио.\n",
    "cp1251": "Порт открыт с утра до вечера. Каждое судно сообщает о прибытии по радио.\n",
    "shift_jis": "港の灯りは夕方に点灯します。フェリーが出るまで緑のままです。\n",
    "euc_jp": "港の灯りは夕方に点灯します。フェリーが出るまで緑のままです。\n",
    "gb18030": "港口的灯在黄昏时点亮，直到最后一班渡轮离开。每艘船都要通过无线电报告。\n",
    "big5": "港口的燈在黃昏時點亮，直到最後一班渡輪離開。每艘船都要透過無線電報告。\n",
    "euc_kr": "항구의 등은 해질 무렵에 켜집니다. 마지막 여객선이 떠날 때까지 초록색입니다.\n",
    "cp1253": "Το λιμάνι είναι ανοιχτό από το πρωί μέχρι το βράδυ. Κάθε πλοίο αναφέρει την άφιξή του.\n",
    "cp1255": "הנמל פתוח מהבוקר עד הערב. כל ספינה מדווחת על הגעתה ברדיו.\n",
    "cp1256": "الميناء مفتوح من الصباح حتى المساء. كل سفينة تبلغ عن وصولها بالراديو.\n",
}


def make() -> None:
    """Write every file."""
    _office("handbook.fodt", "docx", "odt", "rtf", "pdf")
    _office("briefing.fodp", "pptx")
    _office("berths.fods", "xlsx", "ods")
    _browser("notice.html", "notice.pdf")
    _scans()
    _texts()
    _mail()
    _archive()


def _office(source: str, *formats: str) -> None:
    with tempfile.TemporaryDirectory() as profile:
        for suffix in formats:
            subprocess.run(
                ["soffice", f"-env:UserInstallation=file://{profile}", "--headless", "--convert-to", suffix,
                 "--outdir", HERE, _SOURCES / source],
                check=True, capture_output=True,
            )  # fmt: skip


def _browser(source: str, target: str) -> None:
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer",
             f"--user-data-dir={profile}", f"--print-to-pdf={HERE / target}", (_SOURCES / source).as_uri()],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip


def scan(sentences: tuple[str, ...], *, angle: float = 0.6, noise: float = 4, seed: int = 1) -> Image.Image:
    """Half a page at 300 dpi as a scanner sees it: greyish, a little askew and blurred, with noise."""
    width, height = 1748, 1240
    page = Image.new("L", (width, height), 248)
    font = ImageFont.truetype(_FONT, 46)
    draw, y = ImageDraw.Draw(page), 130
    for sentence in sentences:
        for line in _wrapped(sentence, draw, font, width - 300):
            draw.text((150, y), line, font=font, fill=25)
            y += 62
        y += 40
    page = page.rotate(angle, fillcolor=248, resample=Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(0.7))
    grain = np.random.default_rng(seed).normal(0, noise, (height, width))
    return Image.fromarray((np.asarray(page, np.int16) + grain).clip(0, 255).astype(np.uint8))


def _wrapped(text: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=font) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _scans() -> None:
    english, german, french, crane = (scan(text, seed=seed) for seed, text in enumerate(SCANS.values()))
    english.save(HERE / "scan.jpg", quality=30, dpi=(300, 300))
    german.convert("1", dither=Image.Dither.NONE).save(HERE / "scan.png", dpi=(300, 300))
    english.rotate(90, expand=True).save(HERE / "sideways.jpg", quality=30, dpi=(300, 300), exif=_turned())
    pages = [page.point(lambda value: 255 * (value > 140)).convert("1") for page in (english, french, crane)]
    pages[0].save(
        HERE / "fax.tiff", save_all=True, append_images=pages[1:], compression="group4", dpi=(300, 300)
    )  # fmt: skip
    english.save(HERE / "scan.pdf", save_all=True, append_images=[crane], resolution=300, quality=30)
    with pypdfium2.PdfDocument(HERE / "handbook.pdf") as text, pypdfium2.PdfDocument(HERE / "scan.pdf") as scanned:
        mixed = pypdfium2.PdfDocument.new()
        mixed.import_pages(text, [0])
        mixed.import_pages(scanned, [1])
        mixed.import_pages(text, [1])
        mixed.save(HERE / "mixed.pdf")


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees to view
    return exif


def _texts() -> None:
    for encoding, text in TEXTS.items():
        (HERE / f"{encoding}.txt").write_bytes(text.encode(encoding))
    rows = 'Schiff;Liegeplatz;Gebühr\r\nAnna;4;18,50\r\n"Süße; Elfe";7;21,00\r\n'
    (HERE / "berths.csv").write_bytes(rows.encode("cp1252"))
    (HERE / "berths.tsv").write_text("ship\tberth\tfee\nAnna\t4\t18.50\nJuliana\t7\t21.00\n")


def _mail() -> None:
    inner = _message("Tide tables", "High water on Monday is at 06:40.")
    outer = _message("Berths for Monday", "Dear colleagues,\n\nthe Anna moves to berth 4. The list is attached.\n")
    outer.add_alternative("<p>Dear colleagues,</p><p>the <b>Anna</b> moves to berth 4.</p>", subtype="html")
    office = "vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    outer.add_attachment((HERE / "berths.xlsx").read_bytes(), "application", office, filename="berths.xlsx")
    outer.add_attachment((HERE / "scan.jpg").read_bytes(), "image", "jpeg", filename="scan.jpg")
    outer.add_attachment(inner)
    (HERE / "berths.eml").write_bytes(outer.as_bytes())


def _message(subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Jörg Müller <harbour@example.com>"
    message["To"] = "crew@example.com"
    message["Date"] = "Mon, 04 May 2026 08:15:00 +0200"
    message["Subject"] = subject
    message.set_content(text)
    return message


def _archive() -> None:
    with zipfile.ZipFile(HERE / "papers.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("handbook.docx", "berths.csv", "notice.pdf"):
            archive.write(HERE / name, f"papers/{name}")
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w") as nested:
            nested.writestr("tide.txt", "High water on Monday is at 06:40.")
        archive.writestr("papers/more.zip", inner.getvalue())
        archive.writestr("papers/engine.bin", bytes(range(256)) * 4)


if __name__ == "__main__":
    make()
    for made in sorted(Path(HERE).iterdir()):
        print(f"{made.stat().st_size:>8} {made.name}")
