"""What of a value is kept with a run."""

import json

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from scheduled_tasks import masking, values


def test_secrets_are_masked_wherever_they_nest():
    kept = json.loads(values.stored({"user": "ada", "auth": [{"api_key": "k", "Password": "p", "n": 1}]}))
    assert kept == {"user": "ada", "auth": [{"api_key": masking.MASK, "Password": masking.MASK, "n": 1}]}


def test_what_json_lacks_is_kept_as_its_repr():
    assert json.loads(values.stored([{1, 2}])) == ["{1, 2}"]


def test_huge_values_are_capped_and_say_so():
    text = values.stored(["x" * 50_000])
    assert len(text) <= values.MAX_STORED
    assert "characters left out" in text
    assert isinstance(json.loads(text), str)


def test_stored_arguments_come_back():
    assert values.restored(values.stored([1, "a", {"b": None}]), []) == [1, "a", {"b": None}]
    assert values.restored("", {}) == {}


@pytest.mark.parametrize("original", [["x" * 50_000], [{"token": "t"}]])
def test_arguments_not_kept_in_full_do_not_come_back(original):
    with pytest.raises(values.NotKept, match="not kept in full"):
        values.restored(values.stored(original), [])


@pytest.mark.parametrize(
    ("returned", "kept"),
    [
        (None, ""),
        ({"deleted": 3}, '{"deleted": 3}'),
        ("done", "\"'done'\""),
        (12, '"12"'),
    ],
)
def test_summary_of_a_return_value(returned, kept):
    assert values.summary(returned) == kept


def test_summary_of_a_huge_return_value_is_short():
    assert len(values.summary(list(range(100_000)))) < values.MAX_REPR + 100


def test_summary_never_raises():
    class Hostile:
        def __repr__(self):
            raise RuntimeError("no")

    assert "RuntimeError" in values.summary(Hostile())
    assert "RuntimeError" in values.summary({"a": Hostile()})
    loop: dict = {}
    loop["self"] = loop
    assert "NestedTooDeeply" in values.summary(loop)


def test_control_characters_are_replaced_and_line_breaks_kept():
    assert masking.printable("a\x00b\x1b[31m\n\tc\udc80") == "a�b�[31m\n\tc�"


def test_capped_keeps_beginning_and_end():
    text = values.capped("begin" + "x" * 5_000_000 + "end")
    assert text.startswith("begin")
    assert text.endswith("end")
    assert len(text) < values.MAX_TEXT + 100


@pytest.mark.parametrize("key", ["X-Api-Key", "apikey", "access_key", "db_pwd", "passphrase", "csrfToken"])
def test_common_names_of_secrets(key):
    assert masking.masked({key: "hush"}) == {key: masking.MASK}
    assert masking.masked_text(f"<Client {key}='hush'>") == f"<Client {key}={masking.MASK}>"


def test_masked_values_are_filled_in_from_the_original():
    own = {"api_token": "k", "list": [{"password": "p"}, 2], "n": 1}
    sent = {"api_token": masking.MASK, "list": [{"password": masking.MASK}, 3, 4], "new": [masking.MASK]}
    filled = {"api_token": "k", "list": [{"password": "p"}, 3, 4], "new": [masking.MASK]}
    assert masking.unmasked(sent, own) == filled
    assert masking.unmasked(masking.masked(own), own) == own


def test_texts_are_masked_only_where_they_hold_secrets():
    assert masking.masked_text('{"n":  1}') == '{"n":  1}'
    assert masking.masked_text("not JSON") == "not JSON"
    assert json.loads(masking.masked_text('{"token": "k"}')) == {"token": masking.MASK}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Config(user='ada', password='hunter2', n=1)", "Config(user='ada', password=••••••, n=1)"),
        ('[{"api_key": "a\\"b"}, {1}]', '[{"api_key": ••••••}, {1}]'),
        ("{'API-Token' : b'k', 'n': 1}", "{'API-Token' : ••••••, 'n': 1}"),
        ("{'access_token_2': b'k', 'n': 1}", "{'access_token_2': ••••••, 'n': 1}"),
        ("Authorization: Bearer abc; n", "Authorization: ••••••; n"),
        ("<Client token=abc123>", "<Client token=••••••"),
        ("credentials=('ada', 'hunter2'), n=1", "credentials=••••••, n=1"),
        ("secret='cut off here", "secret=••••••"),
        ("the token was refused", "the token was refused"),
    ],
)
def test_secrets_in_texts_that_are_not_json_are_masked(text, shown):
    assert masking.masked_text(text) == shown


def test_secrets_in_a_repr_are_masked_before_it_is_cut():
    class Client:
        def __repr__(self):
            return "Client(api_key='hunter2')" + "x" * 1000

    for kept in (values.stored([Client()]), values.summary([Client()]), values.summary({"c": Client()})):
        assert "hunter2" not in kept
        assert masking.MASK in str(json.loads(kept))


@pytest.mark.timeout(20)
def test_masking_takes_no_longer_than_the_text_is_long():
    for text in ("token" * 50_000, "token=[" * 50_000, "token" + "a" * 250_000, "token='" + "\\" * 250_000):
        masking.masked_text(text)


def test_soft_time_limit_that_strikes_while_a_value_is_read() -> None:
    class Slow:
        def __repr__(self) -> str:
            raise SoftTimeLimitExceeded

    with pytest.raises(SoftTimeLimitExceeded):
        values.stored([Slow()])
