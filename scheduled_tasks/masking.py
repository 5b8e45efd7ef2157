"""Hiding secrets: by the name of a value in data, and by the shape of a text.

Every pattern consumes what it looks at (possessive quantifiers), so the time grows with the length of a text
and not with its square.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from .conf import settings

MASK = "••••••"
"""Stands for a secret."""

MAX_DEPTH = 100
"""Levels of lists and dicts that a value may have: Python's own limit is not far above."""

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

LONGEST_NAME = 80
"""Characters of a name's beginning and of its end that are looked at, and of an item that names the next."""

NAMES = """
    password passwd passphrase passcode passkey pass pwd pswd pw secret token credential credentials auth
    oauth authorization bearer jwt cookie session sessionid sessid csrf xsrf signature sig otp totp cvv apikey
    api_key access_key account_key app_key application_key auth_key client_key consumer_key crypto_key
    decryption_key deploy_key encryption_key fernet_key hmac_key aes_key rsa_key ssh_key gpg_key pgp_key
    license_key master_key private_key secret_key service_key session_key shared_key signing_key storage_key
    tls_key ssl_key
"""
"""Names of secrets, matched as whole words of a name; the setting ``MASKED_WORDS`` adds to them."""

ENDINGS = ("password", "passwd", "passphrase", "pwd", "token", "secret", "apikey", "secretkey", "accesskey")
"""A word that ends so is one, too: ``csrftoken``, ``dbpassword``."""

HARMLESS = """
    age at backend count date enabled error exception expires expiry failed field file host kind label length
    lifetime limit method mode name number path policy port prefix py required scheme size status time timeout
    total ttl type uri url user username valid warning
"""
"""Last words of names that tell something about a secret: ``token_type``, ``password_file``."""

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")

ASSIGNED = re.compile(
    r"""(?<![\w.-])(?P<name>[\w.-]++(?:[ ](?:key|token|secret|password)\b)?+)"""
    r"""\\{0,7}["']?+[^\S\n]*+(?:=>|:=|==?|:(?!//))[^\S\n]*+""",
    re.IGNORECASE,
)
IN_PAIR = re.compile(r"""[(\[]\\{0,7}["'](?P<name>[\w.-]++)\\{0,7}["'],[ ]?(?=[bu]?\\{0,7}["'])""")
AFTER_FLAG = re.compile(r"(?<![\w-])--?+(?P<name>[A-Za-z][\w-]*+)[ \t]++(?![-=:])")

VALUE = re.compile(
    r"""
    [bruf]{0,2} (?: \"\"\" .*? (?:\"\"\"|\Z) | ''' .*? (?:'''|\Z)
        | " [^"\\]*+ (?:\\. [^"\\]*+)*+ (?:"|\Z) | ' [^'\\]*+ (?:\\. [^'\\]*+)*+ (?:'|\Z) )
    | (?:digest|aws4[\w-]*+) [ ] [^\n]*+
    | (?:(?:bearer|basic|token|apikey|negotiate) [ \t]{1,5})?
      (?: [^\s,;()\[\]{}"'&\\] | & (?![\w.-]{1,40}=) | \\ (?!["']) )++
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
"""A quoted text, the credentials of an HTTP header, or a word."""

COOKIES = re.compile(r"""[^\n"']++|"[^"\n]*+"|'[^'\n]*+'""")
ESCAPED_QUOTE = re.compile(r"""\\{1,7}["']""")
BRACKETS = re.compile(
    r""""[^"\\\n]*+(?:\\.[^"\\\n]*+)*+(?:"|$)|'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+(?:'|$)|[\[({]|[\])}]|\n""",
    re.MULTILINE,
)
ARROW = re.compile(r"[ \t]*+(?:->|→)[ \t]*+")
"""Stands between an old value and a new one."""

PLAIN = re.compile(r"(?:true|false|none|null)\b", re.IGNORECASE)
NUMBER = re.compile(r"[-+]?\d[\d.,_]*+(?=[\s,;)\]}&]|\Z)")


class NestedTooDeeply(ValueError):
    """Data with more than :data:`MAX_DEPTH` levels."""


Replacement = str | Callable[[re.Match[str]], str]


def masked(value: Any, depth: int = 0) -> Any:
    """A printable copy of plain data in which secrets are :data:`MASK`, found by their names or shapes.

    Raises :class:`NestedTooDeeply`.
    """
    if isinstance(value, str):
        return masked_text(printable(value))
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth >= MAX_DEPTH:
        raise NestedTooDeeply
    if isinstance(value, Mapping):
        return dict(_masked_items(value, depth + 1))
    return list(_masked_elements(value, depth + 1))


def masked_text(text: str) -> str:
    """A text with its secrets masked. A text in JSON is masked as what it stands for."""
    if len(text) < 16 and text.isalnum():
        return text
    if text.lstrip()[:1] in ("{", "[", '"'):
        try:
            value = load_json(text)
        except ValueError:
            return _masked_shapes(text)
        shown = masked(value)
        is_whole = shown == value and not _repeats_names(text)
        return text if is_whole else json.dumps(shown, ensure_ascii=False)
    return _masked_shapes(text)


def _repeats_names(text: str) -> bool:
    """Whether an object in this JSON has a name twice: only the last value was looked at."""
    lost = [0]
    json.loads(text, object_pairs_hook=lambda pairs: lost.append(len(pairs) - len(dict(pairs))))
    return any(lost)


def printable(text: str) -> str:
    """``text`` without control characters and lone surrogates, which databases or JSON refuse."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def unmasked(value: Any, original: Any) -> Any:
    """``value`` with what was masked of ``original`` put back, or as it is where that would not be hidden."""
    try:
        found = _put_back(value, original, masked(original))
        return found if masked(found) in (value, masked(value)) else value
    except NestedTooDeeply:
        return value


def _put_back(value: Any, original: Any, shown: Any) -> Any:
    if isinstance(value, str):
        return original if MASK in value and value == shown else value
    if isinstance(value, dict) and isinstance(original, dict):
        kept = original.keys() & shown.keys()
        return {
            key: _put_back(item, original[key], shown[key]) if key in kept else item
            for key, item in value.items()
        }
    if isinstance(value, list) and isinstance(original, list):
        place = min(len(value), len(original))
        return [*map(_put_back, value, original, shown), *value[place:]]
    return value


def load_json(text: str) -> Any:
    """The value of a JSON text. Raises ``ValueError`` for what is no JSON or is nested too deeply."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise NestedTooDeeply from None
    if is_too_deep(value):
        raise NestedTooDeeply
    return value


def is_too_deep(value: Any, depth: int = 0) -> bool:
    """Whether lists and dicts are nested deeper than :data:`MAX_DEPTH`."""
    if not isinstance(value, dict | list | tuple):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return depth >= MAX_DEPTH or any(is_too_deep(item, depth + 1) for item in inside)


def _masked_items(value: Mapping[Any, Any], depth: int) -> Iterator[tuple[str, Any]]:
    # {"name": "password", "value": …} is a pair, too.
    folded = {str(key).lower(): item for key, item in value.items()}
    label = folded.get("name", folded.get("key"))
    for key, item in value.items():
        name = label if str(key).lower() == "value" and isinstance(label, str) else str(key)
        hides = is_secret(name, item)
        yield masked_text(printable(str(key))), _hidden(item, name, depth) if hides else masked(item, depth)


def _masked_elements(value: Sequence[Any], depth: int) -> Iterator[Any]:
    """A name stands before its secret in a list of names and values, and among a command's options."""
    in_pairs, name = len(value) % 2 == 0, ""
    for place, item in enumerate(value):
        if name and is_secret(name, item):
            yield _hidden(item, name, depth)
            name = ""
            continue
        yield masked(item, depth)
        may_name = isinstance(item, str) and len(item) <= LONGEST_NAME
        is_name = may_name and ((in_pairs and place % 2 == 0) or (item[:1] == "-" and "=" not in item))
        name = item if is_name else ""


def _hidden(value: Any, name: str, depth: int) -> Any:
    """A secret's :data:`MASK`. Lists and dicts in a secret keep their shape, and numbers that have a name."""
    if depth >= MAX_DEPTH:
        raise NestedTooDeeply
    if isinstance(value, Mapping):
        items = [(str(key), item) for key, item in value.items()]
        return {
            printable(key): item
            if isinstance(item, int | float) and not is_secret(key, item)
            else _hidden(item, key, depth + 1)
            for key, item in items
        }
    if isinstance(value, list | tuple):
        return [_hidden(item, name, depth + 1) for item in value]
    return value if value is None or isinstance(value, bool) else MASK


def is_secret(name: str, value: Any) -> bool:
    """Whether ``value`` is to be masked because of its name. A number, unlike a text, may be a count."""
    if value is None or isinstance(value, bool):
        return False
    certain = _secrecy(name, tuple(settings.MASKED_WORDS))
    return bool(certain) if isinstance(value, int | float) else certain is not None


@lru_cache(2_000)
def _secrecy(name: str, more: tuple[str, ...]) -> bool | None:
    """None for a name that holds no secret; True for one that holds a secret even if it is a number."""
    if len(name) > 2 * LONGEST_NAME:  # in a text, all that stands before a value may look like its name
        name = f"{name[:LONGEST_NAME]} {name[-LONGEST_NAME:]}"
    words = [word.lower() for word in WORD.findall(name)]
    while words and words[-1].isdigit():
        words.pop()
    known = _known(more)
    for last in range(len(words) - 1, -1, -1):
        at_end = last == len(words) - 1
        if not at_end and words[-1] in HARMLESS.split():
            return None
        if _ends_in_secret(words[: last + 1], known):
            return at_end
        if at_end and words[last].endswith("s") and _ends_in_secret([*words[:last], words[last][:-1]], known):
            return False
    return None


def _ends_in_secret(words: list[str], known: frozenset[str]) -> bool:
    return words[-1].endswith(ENDINGS) or any("_".join(words[-count:]) in known for count in (1, 2, 3))


@lru_cache(8)
def _known(more: tuple[str, ...]) -> frozenset[str]:
    added = ("_".join(word.lower() for word in WORD.findall(name)) for name in more)
    return frozenset(NAMES.split()) | frozenset(filter(None, added))


def _masked_shapes(text: str) -> str:
    for pattern, replacement in _SHAPES:
        text = pattern.sub(replacement, text)
    for head in (ASSIGNED, IN_PAIR, AFTER_FLAG):
        text = _masked_after(head, text)
    return text


def _masked_after(head: re.Pattern[str], text: str) -> str:
    """``text`` with the value masked that follows each name of a secret."""
    parts: list[str] = []
    done = 0
    for found in head.finditer(text):
        start = found.end()
        if found.start() < done or PLAIN.match(text, start):
            continue
        if not is_secret(found["name"], 0 if NUMBER.match(text, start) else ""):
            continue
        end = _end_of_value(text, start, found["name"])
        parts += text[done:start], MASK if end > start else ""
        while (arrow := ARROW.match(text, end)) is not None:
            parts += arrow[0], MASK
            end = _end_of_value(text, arrow.end(), found["name"])
        done = end
    return "".join([*parts, text[done:]]) if parts else text


def _end_of_value(text: str, start: int, name: str) -> int:
    if (quote := ESCAPED_QUOTE.match(text, start)) is not None:
        closing = re.compile(r"(?<!\\)" + re.escape(quote[0])).search(text, quote.end())
        return len(text) if closing is None else closing.end()
    pattern = COOKIES if name.lower().endswith("cookie") else VALUE
    found = pattern.match(text, start)
    end = start if found is None else found.end()
    return _end_of_brackets(text, end) if text[end : end + 1] in ("(", "[", "{") else end


def _end_of_brackets(text: str, start: int) -> int:
    """Where the bracket at ``start`` is closed, or else where its line ends."""
    depth = 0
    for found in BRACKETS.finditer(text, start):
        if found[0] == "\n":
            return found.start()
        depth += (found[0] in "([{") - (found[0] in ")]}")
        if depth == 0:
            return found.end()
    return len(text)


def _masked_url(found: re.Match[str]) -> str:
    """``scheme://user:password@host``; where a password holds a slash, the ``@`` comes after it."""
    rest = found["rest"]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    port = authority.rpartition(":")[2]
    if "@" not in authority and (":" not in authority or not port or port.isdigit() or "]" in port):
        return found[0]
    user, _at, host = (authority if "@" in authority else rest).rpartition("@")
    if not user:
        return found[0]
    name, colon, _password = user.partition(":")
    if not colon and not found["scheme"].lower().startswith("http"):
        return found[0]
    kept = f"{name}:{MASK}" if colon else MASK
    return f"{found['scheme']}{kept}@{host}{rest[len(user) + 1 + len(host) :]}"


def _masked_element(found: re.Match[str]) -> str:
    if not is_secret(found["name"].rpartition(":")[2], found["value"]):
        return found[0]
    return found[0][: found.start("value") - found.start()] + MASK


KEY_PREFIXES = (
    r"AKIA|ASIA|AIza|gh[opsur]_|github_pat_|glpat-|npm_|pypi-|hf_|xox[abeprs]-|sk-|[rs]k_live_|[rs]k_test_"
    r"|ya29\.|SG\.|whsec_"
)
"""What keys of well-known services begin with."""

SHAPES: tuple[tuple[str, Replacement], ...] = (
    (r"-----BEGIN[A-Z ]{1,40}PRIVATE KEY-----.*?(?:-----END[A-Z ]{1,40}KEY-----|\Z)", MASK),
    (r"""(?<![\w+.-])(?P<scheme>[a-z][\w+.-]*+://)(?P<rest>[^\s"'<>]++)""", _masked_url),
    (r"""(?<![\w.-])([\w.-]++:)[^\s@/:"']++(?=@[\w.-]++[:/])""", rf"\1{MASK}"),  # a URL without its scheme
    (r"(?<![\w-])eyJ[\w-]{8,}+\.[\w-]{4,}+(?:\.[\w-]*+)*+", MASK),  # a JWT
    (r"\b(bearer[ \t]{1,5})[\w.~+/=-]++", rf"\1{MASK}"),
    (r"\b((?:basic|token)[ \t]{1,5})(?=[\w.~+/-]*+=|\w*+\d)[\w.~+/=-]{8,}+", rf"\1{MASK}"),
    (rf"(?<![\w-])(?:{KEY_PREFIXES})(?=[\w.-]*?\d)[\w.-]{{12,}}+", MASK),
    (r"<(?P<name>[\w.:-]++)(?:\s[^<>]{0,500})?>(?P<value>[^<]++)(?=</)", _masked_element),
)
"""What is masked by its shape alone, whatever stands before it."""

_SHAPES = [(re.compile(pattern, re.IGNORECASE | re.DOTALL), replacement) for pattern, replacement in SHAPES]
