"""Text that was once read in a wrong charset is flagged; good text of any language is not."""

from __future__ import annotations

import pytest

from sluice.quality.mojibake import mojibake
from unit.test_quality import document, documents_gate

GOOD = (
    "„Fuß“ und „Ä“, Spaß“ – Öl… Übergröße",
    "CAFÉ» dit-il, voilà» et « À » ; Être ou ne pas être…",
    "the café”—said ‘naïve’ “coöperate” Ångström",
    "AMANHÃ” é IRMÃ» ; não há coração ; NÃO”",
    "PÄÄ» on YÖ» ; hyvää päivää",
    "Съешь же ещё, Пётр, Рёбра, СССР» и «Россия»…",
    "Рік і Їжак, «Об'єднання» ґанок",
    "ESPAÑA… Ñandú ¿qué? ¡sí!",
    "Łódź, żółć – „Śląsk” ŁÓDŹ”",
    "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "Árvíztűrő tükörfúrógép „ŐRÜLT”",
    "Ţară, ÎN ŢARĂ» Ă“ şi învăţământ",
    "İstanbul’da ŞİŞ» çok güzel yağmur",
    "Þórður ÐÍÐ» og ævi",
    "smørrebrød på Å” Æ» øen",
    "Καλημέρα «Αθήνα» ελληνικά",
    "שלום “עולם” טקסט",
    "مرحبا «بالعالم» نص",
    "สวัสดีชาวโลก “ไทย”",
    "今天天气“很好”。——我们",
    "カタカナ「日本」名前と住所",
    "안녕하세요 “반갑습니다”",
    "Tiếng Việt – “được” rồi",
    "Šis ir ŽAGATA ĒĢ» Pēteris",
    "20 °C ± 5 µm² × 3, € 5 – £ 6 © ® ™ ½",
    "├──┬─┤ box ═╬═ │░▒▓│",
)
WORDS = (
    "Grüße aus München",
    "L'été à Besançon",
    "Zażółć gęślą",
    "Привет, мир",
    "Καλημέρα",
    "“quoted” – it’s",
    "€ 5",
    "日本語テキスト",
)


@pytest.mark.parametrize("text", GOOD)
def test_good_text_is_not_flagged(text: str) -> None:
    assert mojibake(text) == 0


@pytest.mark.parametrize("text", WORDS)
@pytest.mark.parametrize("charset", ["cp1252", "cp1250", "cp1251", "latin-1"])
def test_wrong_letters_are_found(text: str, charset: str) -> None:
    wrong = "".join(bytes((byte,)).decode(charset, "ignore") or chr(byte) for byte in text.encode())
    assert mojibake(f"some words before {wrong} and after") > 0
    assert mojibake(f"some words before {text} and after") == 0


def test_the_gate_flags_it() -> None:
    good, bad = "Gute Grüße aus München und noch mehr Wörter.", "GrÃ¼ÃŸe aus MÃ¼nchen und noch mehr Worte."
    verdict = documents_gate([document("a", good), document("b", bad)])
    flags = [each.metadata.get("gate_flags", []) for each in verdict.passed]
    assert ["mojibake" in each for each in flags] == [False, True]
    assert [row.observed for row in verdict.rows if row.code == "mojibake"] == [2]
