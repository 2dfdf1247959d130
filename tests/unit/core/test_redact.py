"""How a secret looks, wherever it stands: in a setting, a list of passwords, an address, a key, or a part of one."""

from __future__ import annotations

import pytest

from bot.core.text.redact import redact, redact_ends, redact_in_words, shorten

SECRETS = [
    "password = hush",
    "+  doveadm_password = hush",
    "-imapc_password=hush",
    "connect = host=db user=dovecot password=hush dbname=mail",
    "  api_key: hush",
    "uris = ldap://admin:hush@ldap.example/",
    "token xoxb-hush-hush",
    "Authorization: Bearer hushhush",
    "-----BEGIN RSA PRIVATE KEY-----\nhush\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nhush",
    "mail_crypt_private_password = hush",
    "connect = host=db password='hu sh' dbname=mail".replace("hu sh", "hush"),
    'connect = host=db password="hush" dbname=mail',
    "alice:{PLAIN}hush:1000:1000::/home/alice",
    "+alice:{SHA512-CRYPT}$6$hush/hush",
    "uris = ldap://admin:hu/sh@ldap.example/".replace("hu/sh", "a/hush"),
    '"password": "hush"',
    "access_key = hush",
    "sasl_password hush",
    "auth_policy_server_api_header = Authorization: Basic hush",
    "auth_policy_server_api_header = X-API-Key: hush",
    "account_key = hush",
    "shared-key=hush",
    "bob:$6$salt$hush:1000:1000",
    "bob:$2y$05$hush",
    "bob:hush:1000:1000::/home/bob",
    "+bob:hush::::::",
    "-bob@example.org:hush",
    "bob@example.org:hush:1000:1000",
    "alice:{plain}hush",
    "+alice:{sha256-crypt.b64}hush:1000:1000",
    "imapc_proxy_pw=hush",
    "proxy_pw=hush",
    "bindpw hush",
    "psk = hush",
    "+psk    =  hush",
    "wpa_psk=hush",
    "signing_key=hush",
    "  auth_token_signing_key = hush and more of it",
    "args = proxy=y pass=hush host=db",
    "ssl_client_key_passphrase = hush",
    "session_ticket = 4711hush",
    "tls ticket: OPS-4711-hush",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\nhush\n-----END PGP PRIVATE KEY BLOCK-----",
]
"""Lines with the secret hush in them."""


def test_a_secret_is_hidden_wherever_it_stands() -> None:
    shown = {text: redact(f"before\n{text}\nafter") for text in SECRETS}
    assert [text for text, rest in shown.items() if "hush" in rest or "before" not in rest] == []


def test_what_is_no_secret_stays() -> None:
    for text in (
        "ssl_key = </etc/dovecot/private/key.pem",
        "auth_mechanisms = plain login",
        "passdb {",
        "-rw-r--r-- 1 root root 12 passwd",
        "# Basic authorization is off",
        "mail_location = maildir:~/Maildir:INDEX=$1",
        "ssl_cipher_list = ALL:!PSK:!aNULL:!eNULL",
        "127.0.1.1:9090 127.0.1.2:9090",
        "2001:db8:1:2::1",
        "-+mail_plugins = $mail_plugins quota",
        "userdb {",
        "see ticket OPS-4711",
        "ticket=OPS-4711",
        "Ticket: #4711 of November",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  /etc/dovecot/dovecot.conf",
        "dovecot-core=1:2.3.19.1+dfsg1-2.1+deb12u7 dovecot-imapd=1:2.3.19.1+dfsg1-2.1+deb12u7",
    ):
        assert redact(text) == text


_BODY = "\n".join(
    (
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
        "MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu",
        "NMoSfm76oqFvAp8Gy0iz5sxjZmSnXyCdPEovGhLa0VzMaQ8s+CLOyS56YyCFGeJZ",
        "wIDAQAB",
    )
)


@pytest.mark.parametrize("sign", ["", "+", "-", " "])
def test_a_part_of_a_key_is_hidden_though_no_line_says_that_it_is_one(sign: str) -> None:
    """A difference shows three lines around a change: the body of a key, and neither its first line nor its last."""
    part = "\n".join(sign + line for line in _BODY.split("\n"))
    shown = redact(f"@@ -3,4 +3,4 @@\n{part}\n ssl = required")
    assert not any(line in shown for line in _BODY.split("\n"))
    assert shown.endswith("ssl = required")


@pytest.mark.parametrize("line", ["-" * 60_000, " " * 60_000, "password" * 8_000, "a:" * 30_000, "{A" * 30_000])
def test_no_output_of_a_host_keeps_the_bot_busy(line: str) -> None:
    """Bounded by work, not by time: every line is cut before anything is looked for in it."""
    assert len(redact(line)) < 3_000


@pytest.mark.parametrize(
    "secret",
    [
        "password = hush",
        "-----BEGIN PRIVATE KEY-----\n" + "hush\n" * 9 + "-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n" + "hush\n" * 99,
        _BODY,
    ],
    ids=["setting", "key", "key without an end", "part of a key"],
)
def test_the_ends_of_a_long_text_show_what_the_whole_would_wherever_a_secret_stands(secret: str) -> None:
    """Of four megabytes, the list of many files, people are shown some lines: to look through all took a second."""
    for before in range(40):
        text = "\n".join([*(f"line {n}" for n in range(before)), secret, *(f"line {n}" for n in range(before, 40))])
        shown, whole = redact_ends(text, 150), shorten(redact(text), 150)
        first, *_, last = shown.split("\n… (")
        assert whole.startswith(first)
        assert whole.endswith(last.split("left out)\n")[-1])
        assert not any(part in shown for part in ("hush", *_BODY.split("\n")))


def test_of_a_long_text_only_the_ends_are_looked_through() -> None:
    """So a secret in the middle, where nobody is shown anything, is counted as it is."""
    ends = "\n".join(f"line {n}" for n in range(40))
    text = f"{ends}\npassword = hush\n{ends}"
    assert redact_ends(text, 150) == shorten(text, 150) != shorten(redact(text), 150)


@pytest.mark.parametrize(
    "text",
    ["'password=hush' is not understood", "xoxb-1234567-hush", "imap://u:hush@host/", "{plain}hush", "$6$a$hush"],
)
def test_a_sentence_of_the_bots_own_says_no_secret(text: str) -> None:
    assert "hush" not in redact_in_words(text)


@pytest.mark.parametrize(
    "text",
    [
        "SLACK_BOT_TOKEN: is not set",
        "Slack does not take the app-level token: invalid_auth",
        "no such key: x",
        "ticket=…",
    ],
)
def test_a_sentence_of_the_bots_own_may_speak_of_one(text: str) -> None:
    """Seen: whoever had set a wrong token was not told what Slack has against it."""
    assert redact_in_words(text) == text
