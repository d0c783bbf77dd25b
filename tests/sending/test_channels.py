"""What may stand in [channels.NAME], and what is said of what may not."""

import pytest
from pgagent_runner.sending.channels import KEYS, read_channels
from pgagent_runner.sending.messages import NAMES

SMTP = 'type = "smtp"\nhost = "mail"\nfrom = "a@b"\nto = "c@d"\n'
HOOK = 'type = "webhook"\nurl = "https://example.org/hook"\n'
COMMAND = 'type = "command"\ncommand = ["logger", "-t", "pgagent"]\n'
APPRISE = 'type = "apprise"\nurl = "json://127.0.0.1"\n'


@pytest.mark.parametrize(
    "text",
    [
        SMTP,
        SMTP + 'port = 2525\nsecurity = "none"\n',
        SMTP.replace('"c@d"', '["c@d", "Erika <e@f>"]'),
        SMTP + 'security = "tls"\nlogin = "me"\npassword = "hush"\nsubject = "{job}"\n',
        HOOK,
        HOOK + 'headers = { Authorization = "Bearer hush" }\n',
        HOOK + 'template = { text = "{subject}", tags = ["{event}", 1, true] }\n',
        COMMAND,
        COMMAND + 'text = "{{}} {output}"\n',
        APPRISE,
        'type = "apprise"\nurls = ["json://a", "json://b"]\n',
    ],
)
def test_a_channel_that_makes_sense_is_taken(channel, text):
    assert channel(text).name == "ops"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", f"type: none is not one of {', '.join(KEYS)}"),
        ('type = "pager"', 'type: "pager" is not one of smtp, webhook, '),
        ("type = 7", "type: 7 is not one of smtp"),
        (SMTP + "hosts = 1", "has the unknown key 'hosts'; allowed are from, host, "),
        (HOOK + 'host = "x"', "has the unknown key 'host'; allowed are headers, subj"),
        (SMTP.replace('host = "mail"', ""), "lacks host: the name of a mail server"),
        (SMTP + "port = 70000", "port: 70000 is not a whole number from 1 to 65535"),
        (SMTP + 'port = "25"', 'port: "25" is not a whole number'),
        (SMTP + "port = true", "port: true is not a whole number"),
        (
            SMTP + 'security = "ssl"',
            'security: "ssl" is not one of starttls, tls, none',
        ),
        (SMTP.replace('"c@d"', "[]"), "to: that is not an address, or a list of some"),
        (SMTP.replace('"c@d"', '"c@d, e@f"'), "(several are a list)"),
        (SMTP.replace('"a@b"', '"a@b\\nBcc: x@y"'), "is not the address of the sender"),
        (SMTP + 'login = "me"', "lacks password: login and password go together"),
        (SMTP + 'password = "hush"', "lacks login"),
        (
            SMTP + 'security = "none"\nlogin = "me"\npassword = "hush"',
            'security: "none", and a password is sent through TLS only',
        ),
        (HOOK.replace("https", "ftp"), "url: that is not an address as https://"),
        (HOOK.replace("example", "me:hush@example"), "told in headers"),
        (HOOK.replace(".org", ".org:x"), "url: that is not an address"),
        (HOOK + 'headers = { "A b" = "hush" }', "'A b' is no name of a header"),
        (HOOK + 'headers = { A = "hush\\r\\nB: c" }', "headers: that is not a table"),
        (
            HOOK.replace("https", "http") + 'headers = { X-Api-Key = "hush" }',
            "X-Api-Key is sent through https only",
        ),
        (HOOK + "template = { a = 2020-01-01 }", "a date has no place in JSON"),
        (
            COMMAND.replace('"logger", "-t", "pgagent"', ""),
            "command: that is not a list",
        ),
        (
            COMMAND.replace('["logger", "-t", "pgagent"]', '"logger"'),
            'command: "logger"',
        ),
        (APPRISE.replace("url", "urls"), "urls: that is not a list of addresses"),
        ('type = "apprise"', "needs either url or urls"),
        (SMTP + 'subject = "{jobs}"', "subject: {jobs} can't be inserted; allowed are"),
        (SMTP + 'text = "{job.__class__}"', "{job.__class__} can't be inserted"),
        (SMTP + 'text = "{job[0]}"', "{job[0]} can't be inserted"),
        (SMTP + 'text = "{0}"', "{0} can't be inserted"),
        (SMTP + 'text = "{}"', "{} can't be inserted"),
        (SMTP + 'text = "{job!r}"', "{job!r} can't be inserted"),
        (SMTP + 'text = "{job:>{count}}"', "{job:>{count}} can't be inserted"),
        (SMTP + 'text = "{job"', "a brace itself is written {{ or }}"),
        (SMTP + 'text = ""', 'text: "" is not text with names in braces'),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(written, text, complaint):
    file = written(f"[channels.ops]\n{text}\n[channels.other]\n{COMMAND}")
    found, (told,) = read_channels(file)
    assert complaint in told
    assert told.startswith(f"{file.path}: [channels.ops]")
    assert "hush" not in told
    assert list(found) == ["other"]  # which is not affected


@pytest.mark.parametrize("name", ["notify", "job", "'job:nightly'"])
def test_names_that_the_database_knows_are_refused(written, name):
    found, (told,) = read_channels(written(f"[channels.{name}]\n{COMMAND}"))
    assert not found
    assert "choose another name" in told


@pytest.mark.parametrize("text", [HOOK, APPRISE, SMTP + 'login="a"\npassword="hush"'])
def test_secrets_that_others_can_read_are_refused(written, text):
    found, (told,) = read_channels(written(f"[channels.ops]\n{text}", 0o644))
    assert not found
    assert "others can read it: chmod 06" in told


@pytest.mark.parametrize("text", [SMTP, COMMAND])
def test_what_is_no_secret_may_be_read_by_others(written, text):
    assert read_channels(written(f"[channels.ops]\n{text}", 0o644)).complaints == []


def test_no_error_tells_a_secret(channel):
    ops = channel(
        'type = "webhook"\nurl = "https://example.org/services/T0/hush?key=quiet"\n'
        'headers = { Authorization = "Bearer silence" }\n'
    )
    told = ops.hidden(
        "GET /services/T0/hush?key=quiet: hush, quiet, Bearer silence; silence"
    )
    assert not [word for word in ("hush", "quiet", "silence") if word in told]


def test_every_name_can_be_inserted(channel):
    text = " ".join(f"{{{name}}}" for name in NAMES)
    assert channel(COMMAND + f'text = "{text}"')
