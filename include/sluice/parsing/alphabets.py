"""Letters beyond ASCII and frequent words of languages, with the charsets that were used before UTF-8."""

from __future__ import annotations

from typing import NamedTuple

_SELDOM = 0.7


class Language(NamedTuple):
    name: str
    letters: dict[str, float]  # letter → weight; 1 for common letters
    frequent: frozenset[str]


def _language(name: str, letters: str, frequent: str, common: str = "") -> Language:
    weights = {letter: 1.0 if letter in (common or letters) else _SELDOM for letter in letters}
    capitals = {letter.upper(): weight for letter, weight in weights.items() if len(letter.upper()) == 1}
    return Language(name, {**capitals, **weights}, frozenset(frequent.split()))


_GERMAN = _language("deu", "äöüßéàê", "der die das und ist nicht ein eine zu den mit von für auf im dem wir sie")
_POLISH = _language("pol", "ąćęłńóśźż", "w i na się nie z jest że do to jak po od za")
_WESTERN = (
    _GERMAN,
    _language("fra", "àâæçéèêëîïôœùûüÿ", "le la les de des et est un une que qui dans pour pas sur au du il elle où"),
    _language("spa", "áéíñóúüªº", "el la los las de y que en un una es por con para no se del su"),
    _language("por", "áâãàçéêíóôõúüªº", "o a os as de e que em um uma é não com para se do da no na"),
    _language("ita", "àèéìíîòóùú", "il lo la gli le di e che in un una è per con non del della si"),
    _language("nld", "éëïóöüèêá", "de het een en van is niet dat op te in voor met zijn"),
    _language("dan", "æøåéèêóòôäöüà", "og i er det en et af på til ikke at som med den jeg"),
    _language("swe", "åäöéàüèš", "och i är det en ett av på till inte att som med den jag"),
    _language("fin", "äöåšžé", "ja on ei se että oli hän mutta kun ovat myös"),
    _language("isl", "áðéíóúýþæö", "og í er að á ekki sem við til það hann var"),
    _language("cat", "àçèéíïòóúü·", "el la els les de i que en un una és per amb no del"),
    _language("eng", "éèêñöüïôçàâáëæœ", "the of and to in is that it for was on with as are this"),
    _language("gle", "áéíóú", "an na agus is ar le go bhí sé"),
    _language("sqi", "çë", "dhe të në një që për me nuk është"),
)
_CENTRAL = (
    _POLISH,
    _language("ces", "áčďéěíňóřšťúůýžäöü", "a v je se na že to s z do ne pro jsem by"),
    _language("slk", "áäčďéíĺľňóôŕšťúýž", "a v je sa na že to s z do nie pre som by"),
    _language("hun", "áéíóöőúüű", "a az és egy hogy nem van is meg ez volt de"),
    _language("ron", "ăâîşţșțé", "și şi de la în a pe cu un o nu este care din că"),
    _language("hrv", "čćđšž", "i u je da se na su za od s ne koji"),
    _GERMAN,
)
_BALTIC = (
    _language("lit", "ąčęėįšųūž", "ir yra kad su į iš tai kaip bet ne buvo"),
    _language("lav", "āčēģīķļņōŗšūž", "un ir ar no par ka uz kas bet tas nav"),
    _language("est", "äöõüšž", "ja on ei et see oma kui ka oli mis"),
    _POLISH,
)
_TURKISH = (_language("tur", "çğıöşüâîûİ", "ve bir bu da de için ile ne çok olan gibi"),)
_VIETNAMESE = (
    _language("vie", "ăâđêôơưàáéèíìóòúùý\u0300\u0301\u0303\u0309\u0323₫", "là và của có không được một cho"),
)
_COMMON_CYRILLIC = "абвгдеиклмнопрстуяйзіјї"
_CYRILLIC = (
    _language("rus", "абвгдежзийклмнопрстуфхцчшщъыьэюяё", "и в не на что с это как по но из", _COMMON_CYRILLIC),
    _language("ukr", "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя", "і в не на що з це як до та у", _COMMON_CYRILLIC),
    _language("bul", "абвгдежзийклмнопрстуфхцчшщъьюя", "и в не на да се за от е си", _COMMON_CYRILLIC),
    _language("srp", "абвгдђежзијклљмнњопрстћуфхцчџш", "и у је да се на су за од", _COMMON_CYRILLIC),
    _language("mkd", "абвгдѓежзѕијклљмнњопрстќуфхцчџш", "и во на да се за од е со", _COMMON_CYRILLIC),
    _language("bel", "абвгдеёжзійклмнопрстуўфхцчшыьэюя", "і ў не на што з як да у", _COMMON_CYRILLIC),
)
_GREEK = (
    _language(
        "ell", "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ", "και το να του η της με που δεν είναι", "αοιετσνηυρπκμλςάίόδγ"
    ),
)
_HEBREW = (_language("heb", "אבגדהוזחטיךכלםמןנסעףפץצקרשת", "של את על לא הוא זה עם כי"),)
_ARABIC = (
    _language(
        "ara", "ءآأؤإئابةتثجحخدذرزسشصضطظعغـفقكلمنهوىيپچژگًٌٍَُِّْ،؛؟", "في من على أن إلى هذا لا ما", "ابتجحدرسعفقكلمنهويةأىش"
    ),
)
_THAI = (
    _language(
        "tha",
        "".join(map(chr, (*range(0x0E01, 0x0E3B), *range(0x0E3F, 0x0E5C)))),
        "",
        "กขคงจชซดตถทนบปผพมยรลวศสหอะาิีึืุูเแโใไ่้็์ัำๆ",
    ),
)

# The more common charset comes first; it is used if two fit equally well.
LANGUAGES: tuple[tuple[tuple[str, ...], tuple[Language, ...]], ...] = (
    (("cp1252", "cp850", "mac_roman", "cp437", "iso8859_15"), _WESTERN),
    (("cp1250", "iso8859_2", "cp852", "mac_latin2", "iso8859_16"), _CENTRAL),
    (("cp1257", "iso8859_13", "cp775", "iso8859_4"), _BALTIC),
    (("cp1254", "cp857", "mac_turkish"), _TURKISH),
    (("cp1258",), _VIETNAMESE),
    (("cp1251", "koi8_r", "cp866", "iso8859_5", "mac_cyrillic", "koi8_u", "cp855"), _CYRILLIC),
    (("cp1253", "iso8859_7", "cp737"), _GREEK),
    (("cp1255", "cp862"), _HEBREW),
    (("cp1256", "iso8859_6", "cp720"), _ARABIC),
    (("cp874",), _THAI),
)


def _rows(encoding: str, first: int, last: int, trails: range = range(0xA1, 0xFF)) -> str:
    """Returns the characters whose first byte lies in a range: charsets list their frequent characters first."""
    pairs = (bytes((lead, trail)) for lead in range(first, last + 1) for trail in trails)
    return "".join(pair.decode(encoding, "ignore") for pair in pairs)


_BIG5_TRAILS = (range(0x40, 0x7F), range(0xA1, 0xFF))
_WIDE = "".join(map(chr, (*range(0x3000, 0x3016), *range(0xFF01, 0xFF5F)))) + "“”‘’…—–・"
TOP = frozenset(  # the most frequent characters of Chinese and Korean
    "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年這來國個說們為時年會對學生家可後過"
    "이다는을의에가고하지기도로사한은어서리아를인나그자니대시들해요문"
)
_KANA = "".join(map(chr, range(0x3041, 0x30FF)))

EAST_ASIAN: dict[str, frozenset[str]] = {
    "cp949": frozenset(_rows("euc_kr", 0xB0, 0xC8) + _WIDE),
    "gb18030": frozenset(_rows("gb2312", 0xB0, 0xD7) + _WIDE),
    "cp932": frozenset(_rows("euc_jp", 0xB0, 0xCF) + _KANA + _WIDE),
    "euc_jp": frozenset(_rows("euc_jp", 0xB0, 0xCF) + _KANA + _WIDE),
    "big5hkscs": frozenset("".join(_rows("big5", 0xA4, 0xC6, trails) for trails in _BIG5_TRAILS) + _WIDE),
}
