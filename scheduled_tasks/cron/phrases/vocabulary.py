"""The words of each language, by what they mean: in lower case and without accents, as they are read."""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from django.utils import translation
from django.utils.dates import MONTHS, WEEKDAYS

from ..labels import words

LANGUAGES = ("en", "de", "fr", "es")
"""In the order of the columns below."""

SIGNS = {"and": "& +", "comma": ",", "to": "-", "skip": "( ) ."}

WORDS = {
    "every": (
        "every each", "jede jeder jeden jedes jedem alle aller", "tous toutes tout toute chaque",
        "cada todo todos todas"),
    "other": ("other", "", "", ""),
    "and": ("and or", "und oder", "et ou", "y e o u"),
    "to": ("to through thru until till", "bis", "au", "al hasta"),
    "between": ("between", "zwischen", "entre", "entre"),
    "mode clock": ("at from", "um von ab", "de des", "la las de desde"),
    "mode date": ("on", "am vom den", "le les du", "el los del"),
    "except": ("except excluding", "ausser", "sauf", "excepto salvo"),
    "unit second": ("seconds sec secs", "sekunde sekunden", "seconde secondes", "segundos"),
    "unit minute": (
        "minute minutes min mins", "minute minuten min", "minute minutes min", "minuto minutos min"),
    "unit hour": ("hour hours hr hrs", "stunde stunden std", "", ""),
    "unit h": ("h", "h", "heure heures h", "hora horas h"),
    "unit day": ("day days", "tag tage tagen tages", "jour jours", "dia dias"),
    "unit week": ("week weeks", "woche wochen", "semaine semaines", "semana semanas"),
    "unit month": ("month months", "monat monate monaten monats", "mois", "mes meses"),
    "unit year": ("year years", "jahr jahre jahren", "an ans annee annees", "ano anos"),
    "frequency hour": ("hourly", "stundlich stuendlich", "", ""),
    "flag daily": ("daily", "taglich taeglich", "", "diariamente"),
    "flag weekly": ("weekly", "wochentlich woechentlich", "", "semanalmente"),
    "flag monthly": ("monthly", "monatlich", "", "mensualmente"),
    "flag yearly": ("yearly annually", "jahrlich jaehrlich", "", "anualmente"),
    "clock 0": ("midnight", "mitternacht", "minuit", "medianoche"),
    "clock 720": ("noon midday", "mittag mittags", "midi", "mediodia"),
    "meridiem 0": ("am", "", "", ""),
    "meridiem 720": ("pm", "", "", ""),
    "half": ("half-past", "", "", ""),
    "hour-sign": ("clock", "uhr", "", ""),
    "suffix": ("st nd rd th", ".", "er", ""),
    "odd": ("odd", "ungerade ungeraden", "impair impairs", "impar impares"),
    "even": ("even", "gerade geraden", "pair pairs", "par pares"),
    "flag anchored": ("start beginning", "beginn anfang", "debut", "comienzo inicio"),
    "flag leap": ("leap", "schaltjahren", "bissextiles", "bisiestos"),
    "flag last": ("last", "letzte letzten letzter", "dernier derniere", "ultimo ultima"),
    "workdays": (
        "weekday weekdays workday workdays",
        "wochentags werktag werktags werktage arbeitstag arbeitstags arbeitstage", "ouvrables ouvres",
        "laborable laborables"),
    "weekend": ("weekend weekends", "wochenende wochenenden", "weekend weekends", "finde"),
    "skip": (
        "the of a an that fall falls in o", "der die das des dem im in an zu zur nur",
        "la l en d tombant un une partir aux", "en que caen cae"),
    "at-or-to": ("", "", "a", "a"),
    "weekday 6": ("", "sonnabend sonnabends", "", ""),
    "date 1": ("first", "erste ersten erster", "premier premiere", "primer primero primera"),
    "date 2": ("second", "zweite zweiten zweiter", "deuxieme second", "segundo segunda"),
    "date 3": ("third", "dritte dritten dritter", "troisieme", "tercer tercero tercera"),
    "date 4": ("fourth", "vierte vierten vierter", "quatrieme", "cuarto cuarta"),
    "date 5": ("fifth", "funfte funften funfter", "cinquieme", "quinto quinta"),
}  # fmt: skip
"""Words by the kind of their token, and its value or name."""

NUMBERS = (
    "two three four five six seven eight nine ten eleven twelve",
    "zwei drei vier funf sechs sieben acht neun zehn elf zwolf",
    "deux trois quatre cinq six sept huit neuf dix onze douze",
    "dos tres cuatro cinco seis siete ocho nueve diez once doce",
)
"""From two on."""

IDIOMS = (
    {
        "only in months with that day": "", "leap years only": "leap", "a . m .": "am", "p . m .": "pm",
        "half past": "half-past",
        "half - past": "half-past", "working days": "workdays", "business days": "workdays",
    },
    {"nur in monaten mit diesem tag": "", "nur in schaltjahren": "schaltjahren"},
    {
        "seulement les mois qui ont ce jour": "", "annees bissextiles seulement": "bissextiles",
        "week - end": "weekend", "week - ends": "weekends", "jours de semaine": "ouvrables",
        "en semaine": "ouvrables",
    },
    {
        "solo en los meses que tienen ese dia": "", "solo en anos bisiestos": "bisiestos",
        "fines de semana": "finde", "fin de semana": "finde", "entre semana": "laborables",
        "al mediodia": "mediodia",
    },
)  # fmt: skip
"""Several words, spaced as tokens, that mean one, or nothing."""


class Word(NamedTuple):
    """What a word, number or sign means: ``("clock", 570)`` is half past nine, ``("unit", 1, "hour")`` hours.

    The unit ``h`` is an hour that also follows a clock time: 9 h.
    """

    kind: str
    value: int = 0
    name: str = ""
    text: str = ""


@lru_cache(maxsize=len(LANGUAGES))
def vocabulary(code: str) -> dict[str, Word]:
    """What each word of a language means."""
    column = LANGUAGES.index(code)
    table = dict(_names(code))
    for key, texts in (*SIGNS.items(), *((key, texts[column]) for key, texts in WORDS.items())):
        kind, _, rest = key.partition(" ")
        meaning = Word(kind, int(rest)) if rest.isdigit() else Word(kind, 1, rest)
        table.update((text, meaning) for text in texts.split())
    table.update((word, Word("number", value)) for value, word in enumerate(NUMBERS[column].split(), 2))
    return table


def plain(text: str) -> str:
    """`text` in lower case without accents: ``"März"`` and ``"MARZ"`` are both ``"marz"``."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign))


def _names(code: str) -> Iterator[tuple[str, Word]]:
    """The names of weekdays and months as the labels and Django write them, and what begins only one name."""
    with translation.override(code):
        names = [
            *((plain(str(name)), Word("weekday", (day + 1) % 7)) for day, name in WEEKDAYS.items()),
            *((plain(str(name)), Word("weekday", day)) for day, name in enumerate(words.WEEKDAYS)),
            *((plain(str(name)), Word("month", month)) for month, name in MONTHS.items()),
        ]
    names += [(f"{name}s", meaning) for name, meaning in names if meaning.kind == "weekday"]
    meanings: dict[str, set[Word]] = {}
    for name, meaning in names:
        for end in range(2 if meaning.kind == "weekday" else 3, len(name) + 1):
            meanings.setdefault(name[:end], set()).add(meaning)
    meanings.update((name, {meaning}) for name, meaning in names)
    return ((word, found.pop()) for word, found in meanings.items() if len(found) == 1)
