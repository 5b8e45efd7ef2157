"""Secrets are found by their names and by their shapes, counts are not, and no text takes long."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from scheduled_tasks import masking, values
from scheduled_tasks.masking import MASK, masked, masked_text, unmasked

SECRET = "hunter2x"

NAMES = [
    "password", "passwd", "pass", "pw", "pwd", "secret", "token", "auth", "jwt", "cookie", "session",
    "signature",
    "api_key", "api_token", "apiKey", "apikey", "APIKey", "X-Api-Key", "encryption_key", "encryptionKey",
    "secret_key", "SECRET_KEY", "aws_secret_access_key", "access_key", "accessToken", "refresh-token",
    "refresh.token", "csrfToken", "csrfmiddlewaretoken", "db_password", "dbPass", "user_pw", "DB_PASS",
    "client_secret", "clientsecret", "private_key", "privateKey", "ssh_key", "signing_key", "session_id",
    "sessionid", "Set-Cookie", "Proxy-Authorization", "oauth_token", "passphrase", "credentials",
    "GOOGLE_CREDENTIALS_JSON", "password1", "access_token_2", "password_hash", "passwords", "api_keys",
    "AccountKey",
    "hmac_key", "SharedAccessKey", "user.password", "api key", "bearer",
]  # fmt: skip

SHOWN = {
    "tokens_used": 5, "sessions_deleted": 41, "tokens": 12, "max_tokens": 4096, "token_count": 7,
    "total_tokens": 9,
    "sessions_expired": 3, "session_count": 3, "password_resets": 4, "passwords_rotated": 4,
    "cookies_purged": 2,
    "passed": "12", "passengers": "ada", "compass": "north", "bypass": "x", "author": "ada", "authors": "ada",
    "authorized_users": "ada", "secretary": "ada", "keyboard": "qwerty", "primary_key": "17",
    "public_key": "k",
    "cache_key": "a:b", "key": "k", "foreign_keys": 3, "tokenizer": "bpe", "tokenized": "yes",
    "token_type": "jwt",
    "password_file": "/run/x", "auth_method": "ldap", "token_expires_at": "2020", "is_private": True,
    "password_changed": True, "privacy": "x", "pwned": "x", "secrets_found": 0, "signed": "x",
    "session_minutes": 4.5,
    "opposition": "x", "jwts_issued": 3, "sessionless": "x", "cookies": 3, "token": None,
}  # fmt: skip

TEXTS = [
    f"password={SECRET}",
    f"password: {SECRET}",
    f"password = '{SECRET}'",
    f'"password" : "{SECRET}"',
    f"PASSWORD={SECRET}; n=1",
    f"pw={SECRET},user=ada",
    f"password=>{SECRET}",
    f"api key: {SECRET}",
    f"Secret Access Key = {SECRET}",
    f"Authorization: Bearer {SECRET}",
    f"authorization: bearer {SECRET}",
    f"Authorization: Basic {SECRET}==",
    f"Authorization: Token {SECRET}",
    f'Authorization: Digest username="ada", response="{SECRET}"',
    f"sent with Bearer {SECRET} to the server",
    f"Proxy-Authorization: {SECRET}",
    f"Cookie: a=b; c={SECRET}",
    f"Set-Cookie: sessionid={SECRET}; Path=/",
    f"curl -H 'X-Api-Key: {SECRET}' https://x.io",
    f"mysql --password={SECRET} -u ada",
    f"tool --api-token {SECRET} run",
    f"postgres://ada:{SECRET}@db/app",
    f"postgresql+psycopg://ada:{SECRET}@db:5432/app?sslmode=off",
    f"redis://:{SECRET}@cache:6379/0",
    f"amqp://ada:{SECRET}/x@mq//",
    f"https://ada:a@{SECRET}@x.io/",
    f"https://{SECRET}@o1.ingest.sentry.io/1",
    f"could not reach ada:{SECRET}@db.local:5432",
    f"https://x.io/hook?token={SECRET}&n=1",
    f"https://x.io/?a=1&access_token={SECRET}",
    f"https://x.blob.core/?sv=1&sig={SECRET}",
    f"https://s3/?X-Amz-Signature={SECRET}",
    f"host=db user=ada password={SECRET} dbname=x",
    f"Server=db;Uid=ada;Pwd={SECRET};",
    f"AccountName=x;AccountKey={SECRET}==;",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0." + SECRET,
    f"AKIA{SECRET.upper()}ABCDEF",
    f"ghp_{SECRET}{SECRET}{SECRET}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}",
    f"<soap><password>{SECRET}</password></soap>",
    f"<wsse:Password Type='x'>{SECRET}</wsse:Password>",
    f"('password', '{SECRET}')",
    f"[['api_key', '{SECRET}'], 3]",
    f"{{'password': b'{SECRET}'}}",
    f"{{'auth': ('ada', '{SECRET}')}}",
    f"{{'auth': {{'user': '{SECRET}'}}}}",
    f"Config(token=Token('{SECRET}'), n=1)",
    json.dumps({"password": SECRET}),
    json.dumps([["password", SECRET]]),
    json.dumps({"body": json.dumps({"password": SECRET})}),
    json.dumps(json.dumps({"password": json.dumps({"a": SECRET})})),
    f'payload: {{"a": "{{\\"token\\": \\"{SECRET}\\"}}"}}',
    f'log {{\\"password\\":\\"{SECRET}\\"}}',
    f"api_token: OLD → {SECRET}",
    f"api_token: 'OLD' -> '{SECRET}'",
    f"kwargs {{'api_token': 'OLD'}} → {{'api_token': '{SECRET}'}}",
    f'password="""{SECRET}"""',
    f"psycopg.OperationalError: connection to postgres://ada:{SECRET}@db failed",
    json.dumps({f"postgres://ada:{SECRET}@db": 1}),
    f"user=ada&password={SECRET}&n=1",
    f"host                = db\npassword            =          {SECRET}",
    f"  File x, line 3\n    connect(password='{SECRET}')\n",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_value_of_a_secret_name(name: str) -> None:
    assert masked({name: SECRET}) == {name: MASK}
    assert masked([name, SECRET]) == [name, MASK]
    assert masked([["user", "ada"], [name, SECRET]])[1] == [name, MASK]
    assert masked({"name": name, "value": SECRET})["value"] == MASK
    assert masked({"Name": f"/app/{name}", "Type": "String", "Value": SECRET})["Value"] == MASK
    assert SECRET not in json.dumps(masked({"outer": [{name: {"deep": [SECRET]}}]}))


@pytest.mark.parametrize("name", [name for name in NAMES if " " not in name])
def test_value_of_a_secret_name_in_a_text(name: str) -> None:
    for text in (
        f"{name}={SECRET}",
        f"{name}: {SECRET} n=1",
        f"<X {name}='{SECRET}'>",
        f"('{name}', '{SECRET}')",
    ):
        assert SECRET not in masked_text(text), text


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_no_secret_is_shown(name: str) -> None:
    value = SHOWN[name]
    assert masked({name: value}) == {name: value}
    for text in (f"{name}={value}", f"{name}: {value}, n=1", f"{{'{name}': {value!r}}}"):
        assert masked_text(text) == text


@pytest.mark.parametrize("text", TEXTS)
def test_secret_is_found_by_its_shape(text: str) -> None:
    for kept in (
        masked_text(text),
        values.stored([text]),
        values.stored({"a": {"b": text}}),
        values.summary([text]),
    ):
        assert SECRET not in kept
        assert MASK in kept
    assert SECRET not in values.capped(f"first line\n{text}\nlast line")


@pytest.mark.parametrize(
    "text",
    [
        "the token was refused",
        "a user's session has ended",
        "https://x.io:8080/path?email=a@b.io&n=1",
        "ssh://git@host/repo and postgres://postgres@127.0.0.1/db",
        "http://[::1]:8000/",
        "mail to ada@example.com, at 12:30:05",
        "Basic authentication is on",
        '{"tokens":  5}',
        "Traceback (most recent call last):\n  File 'a.py', line 1, in run\n    x = y[0]\nKeyError: 'a'",
        "used 5 tokens: 3 in, 2 out",
        "npm_config_registry_is_set",
        "jwt.exceptions.ExpiredSignatureError: Signature has expired",
        "TokenError: it is too old, InvalidPasswordException: too short",
        "auth.py:12: in login",
        "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert masked_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f'{{"password": "{SECRET}", "password": null}}',
        f'[{{"a": {{"token": "{SECRET}", "token": true}}}}]',
        f'{{"a": "password={SECRET}", "a": 1}}',
        json.dumps(f'{{"password": "{SECRET}", "password": null}}'),
    ],
)
def test_secret_under_a_name_that_comes_again(text: str) -> None:
    assert SECRET not in masked_text(text)
    assert json.loads(masked_text(text))


def test_rest_of_a_text_stays_readable() -> None:
    assert masked_text(f"a=1, auth=('ada', '{SECRET}'), b=2") == f"a=1, auth={MASK}, b=2"
    assert (
        masked_text(f"auth=(\n    user={SECRET},\nValueError: no")
        == f"auth={MASK}\n    user={SECRET},\nValueError: no"
    )
    assert masked_text(f"redis://:{SECRET}@cache:6379/0 is down") == f"redis://:{MASK}@cache:6379/0 is down"
    assert masked_text(f"/hook?token={SECRET}&n=1") == f"/hook?token={MASK}&n=1"


@pytest.mark.parametrize("before", ["x" * 500 + " ", "x" * 500 + "_", "x " * 500, "x" * 100 + " y "])
def test_secret_behind_a_long_word_is_found(before: str) -> None:
    assert masked_text(f"{before}token={SECRET}") == f"{before}token={MASK}"


def test_option_of_a_command_line_is_followed_by_its_secret() -> None:
    assert masked(["run", "--password", SECRET, "-v"]) == ["run", "--password", MASK, "-v"]
    assert masked(["--fast", "a", "b"]) == ["--fast", "a", "b"]
    assert masked(["username", "password", "email"]) == ["username", "password", "email"]


def test_setting_adds_names(settings: Any) -> None:
    settings.SCHEDULED_TASKS = {"MASKED_WORDS": ["iban", "card_number"]}
    assert masked({"userIban": "x", "card-number": "y", "cardNumber": 4, "number": "z", "caliban": "w"}) == {
        "userIban": MASK, "card-number": MASK, "cardNumber": MASK, "number": "z", "caliban": "w",
    }  # fmt: skip
    assert masked_text("iban=DE12, n=1") == f"iban={MASK}, n=1"


@pytest.mark.parametrize("wrong", [None, "iban", 5, [None, 5], {"iban": 1}])
def test_setting_of_a_wrong_kind_loses_nothing(settings: Any, wrong: Any) -> None:
    settings.SCHEDULED_TASKS = {"MASKED_WORDS": wrong}
    assert masked({"password": "x", "name": "y", "a": 1}) == {"password": MASK, "name": "y", "a": 1}


def test_masked_texts_come_back_when_they_are_sent_unchanged() -> None:
    own = {
        "dsn": f"postgres://ada:{SECRET}@db/x",
        "pair": ["password", SECRET],
        "header": [f"Set-Cookie: sessionid={SECRET}", "b"],
        "auth": {"user": SECRET, "n": 1},
    }
    assert SECRET not in json.dumps(masked(own))
    assert unmasked(masked(own), own) == own
    with pytest.raises(values.NotKept):
        values.restored(values.stored([own["dsn"]]), [])


PAIR = {"name": "password", "value": SECRET}
MOVED = [
    (["--password", SECRET], ["x", MASK]),
    (["-v", "--password", SECRET], ["--password", MASK]),
    (["password", SECRET], ["password", MASK, "x"]),
    (PAIR, {"name": "x", "value": MASK}),
    ({"password": SECRET}, {"passw0rd": MASK}),
    ({"password": {"a": SECRET}}, {"password": MASK}),
    ({"dsn": f"https://u:{SECRET}@h/"}, {"dsn": f"https://u:{MASK}@h2/"}),
    ({f"token={SECRET}": 1}, {f"token={MASK}": 1}),
    ({"password": [SECRET]}, {"password": SECRET, "a": [MASK]}),
]


@pytest.mark.parametrize(("own", "typed"), MOVED)
def test_a_secret_comes_back_only_where_it_is_masked_again(own: Any, typed: Any) -> None:
    assert unmasked(typed, own) == typed
    assert unmasked(masked(own), own) == own or f"token={MASK}" in typed


def test_other_secrets_and_values_may_be_typed_beside_a_masked_one() -> None:
    own = {"password": SECRET, "n": 1, "more": [PAIR, 1]}
    typed = {"password": MASK, "n": True, "token": "a new s3cret", "more": [masked(PAIR), 2, 3]}
    assert unmasked(typed, own) == {**typed, "password": SECRET, "more": [PAIR, 2, 3]}
    assert unmasked(typed, own)["n"] is True


def deep(levels: int) -> Any:
    value: Any = SECRET
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_nested_too_deeply_is_noted() -> None:
    assert json.loads(values.stored(deep(50))) == deep(50)
    for levels in (480, 700, 100_000):
        assert "NestedTooDeeply" in values.stored(deep(levels))
        with pytest.raises(masking.NestedTooDeeply):
            masking.load_json("[" * levels + "]" * levels)
    for levels in range(98, 104):
        assert masked_text("[" * levels + "]" * levels) == "[" * levels + "]" * levels
    assert unmasked([MASK], deep(480)) == [MASK]
    assert masked_text("[" * 100_000) == "[" * 100_000
    wide: dict[str, Any] = {}
    wide["a"] = wide["b"] = wide
    assert "NestedTooDeeply" in values.stored(wide)


class Hostile(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "value", [Hostile(a=1), {"a": 10**5000}, {1: {2: {3}}}, [float("nan")], b"x", {None: object()}]
)
def test_masking_never_raises(value: Any) -> None:
    assert isinstance(values.stored(value), str)
    assert isinstance(values.summary(value), str)


SLOW = [
    "a", "a-", "a.", "a:", "a=", "=", " ", "\\", "(", "[", "token", "token=[", "token=[\n", "token='\\'",
    'token=\\"',
    "a://a:", "a://:@", "a:b@", "eyJ", "eyJaaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", "<a ", "<password>",
    "basic ",
    "Basic a/", "('", "('a', ", "--token ", "token=a&", "&a", "token: a -> ", "a -> ", "password: ",
    "cookie: a\n",
    "sk-a", "bearer ", "\"a\":", "{'token': ('", "api key ", "token     ", "token =   ",
]  # fmt: skip


@pytest.mark.parametrize("piece", SLOW)
def test_time_grows_with_the_length_of_a_text(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        return min(_timed(text) for _ in range(2))

    assert seconds(80_000) < 4 * max(seconds(20_000), 0.01) * 2.5


def _timed(text: str) -> float:
    began = time.process_time()
    masked_text(text)
    masked_text("token='" + text)
    return time.process_time() - began


@pytest.mark.timeout(30)
def test_enormous_traceback_is_kept_in_part() -> None:
    text = (
        f"password={SECRET}\n"
        + "  File 'x.py', line 1, in f\n    f(n=1)\n" * 130_000
        + f"ValueError: pw={SECRET}"
    )
    kept = values.capped(text)
    assert len(kept) < values.MAX_TEXT + 100
    assert SECRET not in kept
    assert kept.endswith(f"ValueError: pw={MASK}")
