"""The configuration: all of its problems at once, each with its place, and never a value."""

from __future__ import annotations

import pytest

from mhbridge import config
from mhbridge.errors import ConfigurationError, explanations

CANARY = "Zyxwvutsrq"

DESIGN = """
[gateway]
name = "example-ics"
store = "sqlite:var/mhbridge.db"
mappings = ["./mappings"]
mode = "live"

[http]
listen = "127.0.0.1:8080"

[[receiver]]
supplier = "example-mental-health"
kind = "mllp"
listen = "127.0.0.1:2575"
tls = {certificate = "file:tls/gw.pem", key = "file:tls/gw.key", clients = "file:tls/ca.pem"}
parked = "accept"
expect = {at_least = "1/h", between = "08:00-20:00"}

[[receiver]]
supplier = "example-mental-health"
kind = "http"

[[receiver]]
supplier = "example-mental-health"
kind = "folder"
path = "in"
pattern = "*.csv"

[[destination]]
name = "community-fhir"
kind = "fhir"
url = "https://fhir.example.nhs.uk/R4"
target = "r4"
auth = {kind = "private_key_jwt", client_id = "us", key = "env:KEY", token_url = "https://auth.example.nhs.uk/token"}
acknowledged_by = "accepted"
deadline = "24h"

[[destination]]
name = "letters"
kind = "folder"
path = "out"
deadline = "90s"

[[destination]]
name = "relay"
kind = "mllp"
url = "mllp://127.0.0.1:2576"
acknowledged_by = "sent"
deadline = "7d"

[[route]]
documents = ["mental-health-inpatient-discharge"]
to = ["community-fhir", "letters"]
when = "= not sensitivity"
retention = {days = 2920, basis = "UK GDPR Art. 6(1)(e), 9(2)(h)"}

[[access]]
token = "env:TOKEN"
roles = ["viewer", "clinical"]
"""

ENVIRON = {"KEY": "k", "TOKEN": "t"}


@pytest.fixture
def base(tmp_path):
    (tmp_path / "tls").mkdir()
    (tmp_path / "mappings" / "suppliers").mkdir(parents=True)
    for name in ("gw.pem", "gw.key", "ca.pem"):
        (tmp_path / "tls" / name).write_text("x")
    return tmp_path


def problems(text, base=None, **environ):
    """(code, place and key) of every problem."""
    with pytest.raises(ConfigurationError) as raised:
        config.parse(text, base=base, environ={**ENVIRON, **environ})
    for code, message in raised.value.problems:
        assert code in explanations()
        assert CANARY not in message
    assert CANARY not in repr(raised.value) + str(raised.value)
    places = [":".join(message.removeprefix("mhbridge.toml:").split(": ")[:2]) for _, message in raised.value.problems]
    return [(code, place) for (code, _), place in zip(raised.value.problems, places, strict=True)]


def text_of(text, base=None, **environ):
    with pytest.raises(ConfigurationError) as raised:
        config.parse(text, base=base, environ={**ENVIRON, **environ})
    return "\n".join(message for _, message in raised.value.problems)


def test_the_whole_of_it(base):
    found = config.parse(DESIGN, base=base, environ=ENVIRON)
    assert found.gateway.name == "example-ics"
    assert found.gateway.store == f"sqlite:{base / 'var' / 'mhbridge.db'}"
    assert found.gateway.mappings == (base / "mappings",)
    mllp, http, folder = found.receivers
    assert (mllp.feed, mllp.listen, mllp.tls.clients) == (
        "example-mental-health/mllp", ("127.0.0.1", 2575), base / "tls" / "ca.pem",
    )  # fmt: skip
    assert mllp.expect.at_least == 3600
    assert [str(hour) for hour in mllp.expect.between] == ["08:00:00", "20:00:00"]
    assert (http.feed, http.listen) == ("example-mental-health/http", None)
    assert (folder.path, folder.settle) == (base / "in", 5.0)
    fhir, letters, relay = found.destinations
    assert (fhir.deadline, letters.deadline, relay.deadline) == (86400, 90, 604800)
    assert fhir.auth.key.reveal() == "k"
    assert relay.address == ("127.0.0.1", 2576)
    (route,) = found.routes
    assert (route.to, route.when, route.retention.days) == (("community-fhir", "letters"), "= not sensitivity", 2920)
    (access,) = found.access
    assert (access.who, access.token.reveal()) == ("env:TOKEN", "t")


def test_nothing_at_all_listens_nowhere_and_sends_nowhere(tmp_path):
    found = config.parse("", base=tmp_path, environ={})
    assert (found.http, found.receivers, found.destinations, found.access) == (None, (), (), ())
    assert found.gateway.store == f"sqlite:{tmp_path / 'var' / 'mhbridge.db'}"


def test_a_configuration_is_frozen(base):
    found = config.parse(DESIGN, base=base, environ=ENVIRON)
    with pytest.raises(Exception, match="frozen"):
        found.gateway.name = "other"


RECEIVER = '[[receiver]]\nsupplier = "s"\nkind = "mllp"\n'
HTTP = '[http]\nlisten = "127.0.0.1:0"\n'
TLS = 'tls = {certificate = "file:tls/gw.pem", key = "file:tls/gw.key"}\n'
NAMED = '[[destination]]\nname = "d"\n'
FHIR = NAMED + 'kind = "fhir"\nurl = "https://x.example.org"\n'

MESH_TLS = 'tls = {certificate = "file:tls/gw.pem", key = "file:tls/gw.key"}\n'
MESH = (
    '[[receiver]]\nsupplier = "s"\nkind = "mesh"\nurl = "https://mesh.example.org/"\nmailbox = "X26ABC2"\n'
    'password = "env:KEY"\nshared_key = "env:KEY"\n' + MESH_TLS
)
OUT = (
    '[[destination]]\nname = "gp"\nkind = "mesh"\nurl = "https://mesh.example.org"\nmailbox = "X26ABC1"\n'
    'password = "env:KEY"\nshared_key = "env:KEY"\n' + MESH_TLS + 'workflow = "EXAMPLE_DISCHARGE"\n'
)
COLLECTED = 'acknowledged_by = "collected"\n'
PROBLEMS = {
    "not TOML": ("[gateway\n", [("C802", "1:this is not TOML")]),
    "a path of Windows": (
        "[[receiver]]\nsupplier = 's'\nkind = 'folder'\npath = 'C:\\in'\n",
        [("C806", "4:receiver[0].path")],
    ),
    "a machine of Windows": (
        "[[destination]]\nname = 's'\nkind = 'folder'\npath = '\\\\server\\in'\n",
        [("C806", "4:destination[0].path")],
    ),
    "a folder of mappings that is not there": (
        '[gateway]\nmappings = ["./mappings", "./nomaps"]\n',
        [("C808", "2:gateway.mappings[1]")],
    ),
    "a folder of mappings that holds none": ('[gateway]\nmappings = ["."]\n', [("C808", "2:gateway.mappings[0]")]),
    "a deadline of nothing": (FHIR + 'deadline = "0s"\n', [("C806", "5:destination[0].deadline")]),
    "a timeout of nothing": (FHIR + 'timeout = "0.0ms"\n', [("C806", "5:destination[0].timeout")]),
    "a blank in an address": (NAMED + 'kind = "fhir"\nurl = "https://x/a b"\n', [("C810", "4:destination[0].url")]),
    "a blank at the end of an address": (
        NAMED + 'kind = "mllp"\nurl = "mllps://x.example.org:1 "\n',
        [("C810", "4:destination[0].url")],
    ),
    "a line break in an address": (
        NAMED + 'kind = "fhir"\nurl = "https://x.example.org/\\n"\n',
        [("C810", "4:destination[0].url")],
    ),
    "more than any number of requests": (
        HTTP + '[[receiver]]\nsupplier = "s"\nkind = "http"\nat_most = "many"\n',
        [("C806", "6:receiver[0].at_most")],
    ),
    "a connection that nobody keeps": (
        '[[receiver]]\nsupplier = "s"\nkind = "folder"\npath = "in"\nexpect = {connection = "5m"}\n',
        [("C806", "5:receiver[0].expect")],
    ),
    "nothing expected": (
        RECEIVER + 'listen = "127.0.0.1:1"\nexpect = {between = "08:00-20:00"}\n',
        [("C804", "5:receiver[0].expect")],
    ),
    "by an hour, but how many": (
        RECEIVER + 'listen = "127.0.0.1:1"\nexpect = {at_least = "1/h", by = "16:00"}\n',
        [("C804", "5:receiver[0].expect")],
    ),
    "an hour that is none": (
        RECEIVER + 'listen = "127.0.0.1:1"\nexpect = {at_least = "1/d", by = "25:00"}\n',
        [("C806", "5:receiver[0].expect.by")],
    ),
    "a holiday that is none": ('[watch]\nholidays = ["Christmas"]\n', [("C806", "2:watch.holidays[0]")]),
    "a heartbeat in the open": (
        '[watch]\nheartbeat = {url = "http://x.example.org/ping"}\n',
        [("C810", "2:watch.heartbeat.url")],
    ),
    "alarms in the open": (
        '[[alarm]]\nurl = "http://x.example.org"\nkey = "env:TOKEN"\n',
        [("C810", "2:alarm[0].url")],
    ),
    "alarms that are not signed": ('[[alarm]]\nurl = "https://x.example.org"\n', [("C804", "1:alarm[0].key")]),
    "an alarm's key in the file itself": (
        '[[alarm]]\nurl = "https://x.example.org"\nkey = "abc"\n',
        [("C807", "3:alarm[0].key")],
    ),
    "one secret for two": (
        '[[access]]\ntoken = "env:TOKEN"\nroles = ["viewer"]\n[[access]]\ntoken = "env:TOKEN"\nroles = ["clinical"]\n',
        [("C811", "5:access[1].token")],
    ),
    "a mailbox that is polled too often": (MESH + 'every = "4m"\n', [("C840", "1:receiver[0]")]),
    "a mailbox that is polled too seldom": (MESH + 'every = "25h"\n', [("C840", "1:receiver[0]")]),
    "a mailbox in the open": (
        MESH.replace("https://mesh.", "http://mesh."),
        [("C810", "4:receiver[0].url")],
    ),
    "a mailbox without a certificate of ours": (MESH.replace(MESH_TLS, ""), [("C804", "1:receiver[0]")]),
    "a mailbox in small letters": (MESH.replace("X26", "x26"), [("C806", "5:receiver[0].mailbox")]),
    "a mailbox's password in the file itself": (
        MESH.replace("env:KEY", CANARY, 1),
        [("C807", "6:receiver[0].password")],
    ),
    "a workflow that is none": (MESH + 'workflows = ["A B"]\n', [("C806", "9:receiver[0].workflows[0]")]),
    "a mailbox that refuses": (MESH + 'parked = "refuse"\n', [("C805", "9:receiver[0].parked")]),
    "two receivers of the same messages": (
        MESH + MESH + 'name = "b"\nworkflows = ["B"]\n',
        [("C841", "13:receiver[1].mailbox")],
    ),
    "two receivers of the same workflow": (
        MESH + 'workflows = ["A"]\n' + MESH + 'name = "b"\nworkflows = ["B", "A"]\n',
        [("C841", "14:receiver[1].mailbox")],
    ),
    "an unknown section": ("[gatway]\n", [("C803", "1:gatway")]),
    "an unknown key": ('[gateway]\nnam = "x"\n', [("C803", "2:gateway.nam")]),
    "an unknown key in an inline table": (
        RECEIVER + 'listen = "127.0.0.1:1"\nexpect = {at_most = "1/h", at_least = "1/h"}\n',
        [("C803", "5:receiver[0].expect.at_most")],
    ),
    "a key is missing": (RECEIVER, [("C804", "1:receiver[0].listen")]),
    "no kind": ('[[receiver]]\nsupplier = "s"\n', [("C804", "1:receiver[0].kind")]),
    "an unknown kind": ('[[receiver]]\nkind = "mlpp"\n', [("C805", "2:receiver[0].kind")]),
    "a letter to nobody": (OUT + COLLECTED, [("C842", "1:destination[0]")]),
    "a letter to two": (
        OUT + 'recipient = "X26ABC2"\norganisation = "X26"\n' + COLLECTED,
        [("C842", "1:destination[0]")],
    ),
    "a mailbox out of which nobody takes reports": (
        OUT + 'recipient = "X26ABC2"\n',
        [("C843", "5:destination[0].mailbox")],
    ),
    "reports of another mailbox": (
        MESH + OUT.replace("X26ABC1", "X26ABC3") + 'recipient = "X26ABC2"\n',
        [("C843", "13:destination[0].mailbox")],
    ),
    "reports of a mailbox that is written wrongly, which is said alone": (
        MESH.replace("X26ABC2", "x26abc1") + OUT + 'recipient = "X26ABC2"\n',
        [("C806", "5:receiver[0].mailbox")],
    ),
    "asked for too often": (
        OUT + 'recipient = "X26ABC2"\ntracks = "1m"\n' + COLLECTED,
        [("C840", "1:destination[0]")],
    ),
    "pieces that are too large": (
        OUT + 'recipient = "X26ABC2"\nchunk = "101MB"\n' + COLLECTED,
        [("C806", "11:destination[0].chunk")],
    ),
    "a subject with a line break": (
        OUT + 'recipient = "X26ABC2"\nsubject = "a\\nb"\n' + COLLECTED,
        [("C806", "11:destination[0].subject")],
    ),
    "an answer of a kind that MESH does not carry": (
        OUT + 'recipient = "X26ABC2"\nacknowledged_by = "business"\n',
        [("C815", "11:destination[0].acknowledged_by")],
    ),
    "a collection that nobody tells of": (
        FHIR + COLLECTED,
        [("C815", "5:destination[0].acknowledged_by")],
    ),
    "a value that is none of them": ('[gateway]\nmode = "prod"\n', [("C805", "2:gateway.mode")]),
    "one section where several may be": ('[receiver]\nkind = "mllp"\n', [("C806", "1:receiver")]),
    "text for a table": ('gateway = "x"\n', [("C806", "1:gateway")]),
    "a number for text": ("[gateway]\nname = 7\n", [("C806", "2:gateway.name")]),
    "a length of time without a unit": (FHIR + 'deadline = "24"\n', [("C806", "5:destination[0].deadline")]),
    "a length of time as a number": (FHIR + "deadline = 24\n", [("C806", "5:destination[0].deadline")]),
    "a marker that is no ending": (
        '[[receiver]]\nsupplier = "s"\nkind = "folder"\npath = "in"\nmarker = "done"\n',
        [("C806", "5:receiver[0].marker")],
    ),
    "a size that is none": (RECEIVER + 'listen = "[::1]:1"\nlimit = "big"\n', [("C806", "5:receiver[0].limit")]),
    "no size": (RECEIVER + 'listen = "[::1]:1"\nlimit = 0\n', [("C806", "5:receiver[0].limit")]),
    "a size that is a yes": (RECEIVER + 'listen = "[::1]:1"\nlimit = true\n', [("C806", "5:receiver[0].limit")]),
    "hours that do not exist": (
        RECEIVER + 'listen = "[::1]:1"\nexpect = {at_least = "1/h", between = "08:00-25:00"}\n',
        [("C806", "5:receiver[0].expect.between")],
    ),
    "a rate that is none": (
        RECEIVER + 'listen = "[::1]:1"\nexpect = {at_least = "often"}\n',
        [("C806", "5:receiver[0].expect.at_least")],
    ),
    "a store that is none": ('[gateway]\nstore = "var/x.db"\n', [("C806", "2:gateway.store")]),
    "a folder without a name": ('[gateway]\nmappings = [""]\n', [("C806", "2:gateway.mappings[0]")]),
    "a key file that is no reference": (
        RECEIVER + 'listen = "[::1]:1"\ntls = {certificate = "tls/gw.pem", key = "file:tls/gw.key"}\n',
        [("C807", "5:receiver[0].tls.certificate")],
    ),
    "an address that is none": (NAMED + 'kind = "fhir"\nurl = "https://[x"\n', [("C810", "4:destination[0].url")]),
    "no address": (NAMED + 'kind = "fhir"\nurl = "https:///R4"\n', [("C810", "4:destination[0].url")]),
    "TLS without a listener": (
        HTTP + '[[receiver]]\nsupplier = "s"\nkind = "http"\n' + TLS,
        [("C804", "3:receiver[0]")],
    ),
    "a token endpoint in plain text": (
        FHIR
        + 'auth = {kind = "private_key_jwt", client_id = "x", key = "env:KEY", token_url = "http://x.example.org"}\n',
        [("C810", "5:destination[0].auth.token_url")],
    ),
    "an address without a port": (RECEIVER + 'listen = "127.0.0.1"\n', [("C806", "4:receiver[0].listen")]),
    "a port that does not exist": (RECEIVER + 'listen = "127.0.0.1:70000"\n', [("C806", "4:receiver[0].listen")]),
    "no connections": (RECEIVER + 'listen = "[::1]:1"\nconnections = 0\n', [("C806", "5:receiver[0].connections")]),
    "a name with blanks": (
        '[[destination]]\nname = "a b"\nkind = "folder"\npath = "x"\n',
        [("C806", "2:destination[0].name")],
    ),
    "a condition that is no expression": (
        FHIR + '[[route]]\ndocuments = ["x"]\nto = ["d"]\nwhen = "not x"\n',
        [("C806", "8:route[0].when")],
    ),
    "a route to nowhere": (FHIR + '[[route]]\ndocuments = ["x"]\nto = []\n', [("C806", "7:route[0].to")]),
    "a secret written out": (f'[[access]]\ntoken = "{CANARY}"\nroles = ["viewer"]\n', [("C807", "2:access[0].token")]),
    "a secret that looks like a reference": (
        f'[[access]]\ntoken = "vault:{CANARY}"\nroles = ["viewer"]\n',
        [("C807", "2:access[0].token")],
    ),
    "a variable that is not set": (
        '[[access]]\ntoken = "env:NOT_SET"\nroles = ["viewer"]\n',
        [("C808", "2:access[0].token")],
    ),
    "a file that is not there": (
        '[[access]]\ntoken = "file:nowhere"\nroles = ["viewer"]\n',
        [("C808", "2:access[0].token")],
    ),
    "a role that does not exist": (
        '[[access]]\ntoken = "env:TOKEN"\nroles = ["admin"]\n',
        [("C805", "3:access[0].roles[0]")],
    ),
    "MLLP beyond this machine": (RECEIVER + 'listen = "0.0.0.0:2575"\n', [("C809", "1:receiver[0]")]),
    "MLLP on a name": (RECEIVER + 'listen = "gateway.example.org:2575"\n', [("C809", "1:receiver[0]")]),
    "HTTP beyond this machine": ('[http]\nlisten = "0.0.0.0:80"\n', [("C809", "1:http")]),
    "a password in an address": (
        NAMED + f'kind = "fhir"\nurl = "https://u:{CANARY}@x.example.org"\n',
        [("C810", "4:destination[0].url")],
    ),
    "FHIR in plain text": (NAMED + 'kind = "fhir"\nurl = "http://x.example.org"\n', [("C810", "4:destination[0].url")]),
    "FHIR over something else": (NAMED + 'kind = "fhir"\nurl = "ftp://x"\n', [("C810", "4:destination[0].url")]),
    "an address that only looks like this machine": (
        NAMED + 'kind = "fhir"\nurl = "http://127.0.0.1.example.org"\n',
        [("C810", "4:destination[0].url")],
    ),
    "a query in an address": (NAMED + 'kind = "fhir"\nurl = "https://x/?a=b"\n', [("C810", "4:destination[0].url")]),
    "MLLP out in plain text": (
        NAMED + 'kind = "mllp"\nurl = "mllp://x.example.org:1"\n',
        [("C810", "4:destination[0].url")],
    ),
    "MLLP out without a port": (
        NAMED + 'kind = "mllp"\nurl = "mllps://x.example.org"\n',
        [("C810", "4:destination[0].url")],
    ),
    "two receivers of one name": ((RECEIVER + 'listen = "127.0.0.1:0"\n') * 2, [("C811", "5:receiver[1].name")]),
    "two receivers of one address": (
        RECEIVER + 'listen = "127.0.0.1:1"\n' + RECEIVER + 'name = "b"\nlisten = "127.0.0.1:1"\n',
        [("C811", "9:receiver[1].listen")],
    ),
    "a receiver on the address of the API": (
        '[http]\nlisten = "127.0.0.1:1"\n' + RECEIVER + 'listen = "127.0.0.1:1"\n',
        [("C811", "2:http.listen")],
    ),
    "in is out": (
        '[[receiver]]\nsupplier = "s"\nkind = "folder"\npath = "x"\n' + NAMED + 'kind = "folder"\npath = "./x"\n',
        [("C811", "8:destination[0].path")],
    ),
    "two destinations of one name": (FHIR + FHIR, [("C811", "6:destination[1].name")]),
    "an unknown destination": (FHIR + '[[route]]\ndocuments = ["x"]\nto = ["e"]\n', [("C812", "7:route[0].to[0]")]),
    "a password in the address": (
        f'[gateway]\nstore = "postgresql://u:{CANARY}@x/y"\nstore_key = "env:KEY"\n',
        [("C807", "2:gateway.store")],
    ),
    "a password behind the address": (
        f'[gateway]\nstore = "postgresql://u@x/y?password={CANARY}"\nstore_key = "env:KEY"\n',
        [("C807", "2:gateway.store")],
    ),
    "no database": (
        '[gateway]\nstore = "postgresql://u@x"\nstore_key = "env:KEY"\n',
        [("C806", "2:gateway.store")],
    ),
    "a database without a key": ('[gateway]\nstore = "postgresql://u@x/y"\n', [("C804", "1:gateway")]),
    "a password of a file": (
        '[gateway]\nstore = "sqlite:x.db"\nstore_password = "env:KEY"\n',
        [("C804", "1:gateway")],
    ),
    "an acknowledgement that never comes": (
        FHIR + 'acknowledged_by = "business"\n',
        [("C815", "1:destination[0]")],
    ),
    "an acknowledgement that is not of this kind": (
        FHIR + 'acknowledged_by = "infrastructure"\n',
        [("C815", "5:destination[0].acknowledged_by")],
    ),
    "a message without an event": (
        FHIR + 'how = "message"\nsource = "https://example.org"\n',
        [("C827", "1:destination[0]")],
    ),
    "an event of what is no message": (FHIR + 'event = "https://example.org"\n', [("C827", "1:destination[0]")]),
    "a pace that is none": (FHIR + "catch_up = 50\n", [("C806", "5:destination[0].catch_up")]),
    "a webhook in plain text": (
        NAMED + 'kind = "webhook"\nurl = "http://hooks.example.org/x"\nsecret = "file:tls/gw.key"\n',
        [("C810", "4:destination[0].url")],
    ),
    "a webhook that signs nothing": (
        NAMED + 'kind = "webhook"\nurl = "https://hooks.example.org/x"\n',
        [("C804", "1:destination[0].secret")],
    ),
    "an http receiver without a listener": (
        '[[receiver]]\nsupplier = "s"\nkind = "http"\n',
        [("C804", "1:receiver[0].listen")],
    ),
    "a queue that is not there": (
        '[[queue]]\nname = "night"\nnext = "safty"\n[[duty]]\ncauses = ["M740"]\nqueue = "nigt"\n',
        [("C824", "3:queue[0].next"), ("C824", "6:duty[0].queue")],
    ),
    "queues that go round": (
        '[[queue]]\nname = "safety"\nnext = "records"\n',
        [("C825", "3:queue[0].next")],
    ),
    "a cause twice": (
        '[[duty]]\ncauses = ["*"]\nqueue = "safety"\n[[duty]]\ncauses = ["M740", "*"]\nqueue = "safety"\n',
        [("C811", "5:duty[1].causes")],
    ),
    "a cause that is no code": (
        '[[duty]]\ncauses = ["restricted"]\nqueue = "safety"\n',
        [("C806", "2:duty[0].causes")],
    ),
    "half a client certificate": (
        FHIR + 'tls = {certificate = "file:tls/gw.pem"}\n',
        [("C804", "5:destination[0].tls")],
    ),
    "an unknown way to say who we are": (FHIR + 'auth = {kind = "basic"}\n', [("C805", "5:destination[0].auth.kind")]),
    "no way to say who we are": (FHIR + "auth = {}\n", [("C804", "5:destination[0].auth.kind")]),
    "a token in plain text": (
        FHIR + f'auth = {{kind = "bearer", token = "{CANARY}"}}\n',
        [("C807", "5:destination[0].auth.token")],
    ),
}


def test_one_mailbox_for_several_that_can_be_told_apart(base):
    by_sender = MESH + 'name = "c"\nsenders = ["M3"]\n'
    text = MESH + 'senders = ["M1"]\n' + MESH + 'name = "b"\nsenders = ["M2"]\n' + by_sender
    found = config.parse(text, base=base, environ=ENVIRON).receivers
    assert [(one.feed, one.url, one.every) for one in found[:1]] == [("s/mesh", "https://mesh.example.org", 300.0)]
    text = MESH.replace("X26ABC2", "X26ABC1") + OUT + 'recipient = "X26ABC2"\n'
    (out,) = config.parse(text, base=base, environ=ENVIRON).destinations
    assert (out.needs, out.timeout, out.chunk) == (2, 60.0, None)
    (out,) = config.parse(OUT + 'organisation = "X26"\n' + COLLECTED, base=base, environ=ENVIRON).destinations
    assert (out.needs, out.recipient) == (3, "")
    near = MESH.replace("https://mesh.example.org/", "http://127.0.0.1:8700").replace(MESH_TLS, "") + 'every = "1s"\n'
    assert config.parse(near, base=base, environ=ENVIRON).receivers[0].every == 1.0


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_named_with_its_place(name, base):
    text, expected = PROBLEMS[name]
    assert problems(text, base) == expected


MUTUAL = 'tls = {certificate = "file:tls/gw.pem", key = "file:tls/gw.key", clients = "file:tls/ca.pem"}\n'
ACCESS = '[[access]]\ntoken = "env:TOKEN"\nroles = ["viewer"]\n'
OPEN = {
    "MLLP to whoever comes": (RECEIVER + 'listen = "0.0.0.0:1"\n' + TLS, RECEIVER + 'listen = "0.0.0.0:1"\n' + MUTUAL),
    "HTTP to whoever comes": (
        '[[receiver]]\nsupplier = "s"\nkind = "http"\nlisten = "0.0.0.0:1"\n' + TLS,
        '[[receiver]]\nsupplier = "s"\nkind = "http"\nlisten = "0.0.0.0:1"\ntoken = "env:TOKEN"\n' + TLS,
    ),
    "the API to whoever comes": (
        '[http]\nlisten = "0.0.0.0:1"\n' + TLS,
        '[http]\nlisten = "0.0.0.0:1"\n' + TLS + ACCESS,
    ),
    "messages to the API's listener from whoever comes": (
        '[http]\nlisten = "0.0.0.0:1"\n' + TLS + ACCESS + '[[receiver]]\nsupplier = "s"\nkind = "http"\n',
        '[http]\nlisten = "0.0.0.0:1"\n' + MUTUAL + ACCESS + '[[receiver]]\nsupplier = "s"\nkind = "http"\n',
    ),
}


@pytest.mark.parametrize("name", OPEN)
def test_what_other_machines_reach_asks_who_they_are(name, base):
    refused, taken = OPEN[name]
    assert [code for code, _ in problems(refused, base)] == ["C816"]
    config.parse(taken, base=base, environ=ENVIRON)


def test_all_problems_are_reported_at_once(base):
    text = (
        "[gatway]\n" + RECEIVER + '[[destination]]\nkind = "ftp"\n' + '[[route]]\ndocuments = []\nto = ["x"]\n' + ACCESS
    )
    found = problems(text, base, TOKEN="", MHBRIDGE_GATEWAY__NAM="x")
    assert sorted(code for code, _ in found) == ["C803", "C803", "C804", "C805", "C806", "C808", "C812"]


#: Something is wrong at one key of a section; what else is, is said with it, and nothing that only comes of it.
BESIDE = {
    "beyond this machine, and a size that is none": (
        RECEIVER + 'listen = "0.0.0.0:1"\nlimit = "big"\n',
        ["C806 limit", "C809 receiver[0]"],
    ),
    "beyond this machine, and a certificate that is not there": (
        RECEIVER + 'listen = "0.0.0.0:1"\ntls = {certificate = "file:no.pem", key = "file:tls/gw.key"}\n',
        ["C808 tls.certificate"],
    ),
    "no address, and a name that comes again": (
        RECEIVER + 'listen = "127.0.0.1:0"\n' + RECEIVER + 'listen = "127.0.0.1:0"\nlimit = 0\n',
        ["C806 limit", "C811 name"],
    ),
    "one address for two, and each with a fault": (
        (RECEIVER + 'listen = "127.0.0.1:1"\nlimt = 1\n') * 2,
        ["C803 limt", "C803 limt", "C811 listen", "C811 name"],
    ),
    "an address that is none is nobody's": (
        (RECEIVER + 'listen = "127.0.0.1"\n') + RECEIVER + 'name = "b"\nlisten = "127.0.0.1"\n',
        ["C806 listen", "C806 listen"],
    ),
    "a route with a condition that is none, to nowhere": (
        FHIR + '[[route]]\ndocuments = ["x"]\nto = ["e"]\nwhen = "x"\n',
        ["C806 when", "C812 to[0]"],
    ),
    "a message without an event, and with a deadline that is none": (
        FHIR + 'how = "message"\nsource = "https://example.org"\ndeadline = 1\n',
        ["C806 deadline", "C827 destination[0]"],
    ),
    "a message whose event is a number": (
        FHIR + 'how = "message"\nsource = "https://example.org"\nevent = 1\n',
        ["C806 event"],
    ),
    "a queue with a fault is there all the same": (
        '[[queue]]\nname = "night"\nnxt = "x"\n[[duty]]\ncauses = ["M740"]\nqueue = "night"\n',
        ["C803 nxt"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BESIDE)
def test_a_fault_hides_none_beside_it_and_makes_none(name, base):
    text, expected = BESIDE[name]
    found = [(code, place.partition(":")[2]) for code, place in problems(text, base)]
    places = [f"{code} {place.partition('.')[2] or place}" for code, place in found]
    assert sorted(places) == expected


def test_what_is_right_is_judged_further_and_keeps_its_place(base):
    """The control: what is not right is not there, and the lines are those of the file."""
    seen: list[config.Config] = []

    def further(found: config.Config) -> list[tuple[str, str]]:
        seen.append(found)
        return [("C818", found.where("receiver", 0, "supplier"))]

    text = RECEIVER + "limit = 0\n" + RECEIVER + 'listen = "127.0.0.1:1"\n'
    with pytest.raises(ConfigurationError) as raised:
        config.parse(text, base=base, environ={}, further=further)
    assert [code for code, _ in raised.value.problems] == ["C804", "C806", "C818"]
    assert raised.value.problems[-1][1] == "mhbridge.toml:6: receiver[0].supplier"
    [found] = seen
    assert [str(receiver.listen) for receiver in found.receivers] == ["127.0.0.1:1"]
    with pytest.raises(ConfigurationError) as raised:
        config.parse("[gateway]\nnam = 1\n" + text, base=base, environ={}, further=further)
    assert len(seen) == 1, "where the mappings are is not known"


HINTS = {
    '[gateway]\nmappins = ["x"]\n': "did you mean mappings?",
    FHIR + '[[route]]\ndocuments = ["x"]\nto = ["de"]\n': "did you mean d?",
    RECEIVER + 'listen = "127.0.0.1:1"\nexpect = {at_leest = "1/h"}\n': "did you mean at_least?",
    FHIR + 'auth = {kind = "bearer", tokn = "env:TOKEN"}\n': "did you mean token?",
    '[[receiver]]\nkind = "htp"\n': "did you mean http?",
}


SYNTAX = {
    "[gateway\n": "expected ']' at the end of a table declaration",
    "[gateway]\nname = \n": "invalid value",
    "[gateway]\nname\n": "expected '=' after a key in a key/value pair",
    "[gateway]\n[gateway]\n": "a table is declared twice",
    '[gateway]\nname = "a"\nname = "b"\n': "cannot overwrite a value",
    "[http]\nfoo = True\n": "invalid value; write true or false",
    "[http]\nlisten = “127.0.0.1:0”\n": "invalid value; text stands in straight quotes",
    '[http]\nlisten\u00a0= "x"\n': "expected '=' after a key in a key/value pair; "
    "there is a U+00A0, which only looks like a blank, or like nothing",
    '[[receiver]]\npath = "C:\\users\\in"\n': "invalid hex value; "
    "in double quotes a backslash begins an escape: write a path with /, or in single quotes",
    # What the parser quotes is what was written, and may be a secret.
    f'[[access]]\ntoken = "\x01{CANARY}"\n': "",
    f'[[access]]\ntoken = {{a = "x", {CANARY} = 1, {CANARY} = 2}}\n': "",
}


@pytest.mark.parametrize("text", SYNTAX)
def test_what_the_parser_says_is_said_unless_it_quotes(text, base):
    said = text_of(text, base)
    assert said.split(": ", 1)[1] == "this is not TOML" + (f": {SYNTAX[text]}" if SYNTAX[text] else "")
    assert CANARY not in said


def test_what_goes_nowhere_is_said_in_so_many_words() -> None:
    (route,) = config.parse('[[route]]\ndocuments = ["care-contact"]\nto = "nobody"\n', environ={}).routes
    assert route.to == ()


def test_known_destinations_are_named_once(base):
    said = text_of(FHIR + FHIR + '[[route]]\ndocuments = ["x"]\nto = ["nowhere"]\n', base)
    assert said.endswith("known: d")
    # The same name twice is one problem, and the route to it is none.
    assert [code for code, _ in problems(FHIR + FHIR + '[[route]]\ndocuments = ["x"]\nto = ["d"]\n', base)] == ["C811"]


def test_a_file_may_be_settled_at_once(base):
    text = '[[receiver]]\nsupplier = "s"\nkind = "folder"\npath = "in"\nsettle = "0s"\n'
    assert config.parse(text, base=base, environ={}).receivers[0].settle == 0
    assert [code for code, _ in problems(text.replace("settle", "every"), base)] == ["C806"]


@pytest.mark.parametrize("text", HINTS)
def test_a_misspelling_gets_a_hint(text, base):
    assert HINTS[text] in text_of(text, base)


# --- the environment ---------------------------------------------------------------------------------------


def test_the_environment_overrides_the_file(base):
    for name in ("a", "b"):
        (base / name / "suppliers").mkdir(parents=True)
    environ = {
        "MHBRIDGE_GATEWAY__NAME": "other",
        "MHBRIDGE_GATEWAY__MAPPINGS": '["a", "b"]',
        "MHBRIDGE_RECEIVER__0__LISTEN": "127.0.0.1:9",
        "MHBRIDGE_RECEIVER__0__CONNECTIONS": "5",
        "MHBRIDGE_RECEIVER__0__EXPECT__AT_LEAST": "2/d",
        "MHBRIDGE_DESTINATION__3": '{name = "more", kind = "folder", path = "more"}',
        "MHBRIDGE_CONFIG": "where the file is",
        "PATH": "/bin",
    }
    found = config.parse(DESIGN, base=base, environ=ENVIRON | environ)
    assert found.gateway.name == "other"
    assert found.gateway.mappings == (base / "a", base / "b")
    mllp = found.receivers[0]
    assert (mllp.listen.port, mllp.connections, mllp.expect.at_least) == (9, 5, 43200)
    assert found.destinations[3].name == "more"


def test_the_environment_alone_is_a_configuration(tmp_path):
    environ = {"MHBRIDGE_HTTP__LISTEN": "127.0.0.1:0", "MHBRIDGE_GATEWAY__STORE": f"sqlite:{tmp_path}/x.db"}
    found = config.load(None, environ)
    assert (found.http.listen.port, found.gateway.store) == (0, f"sqlite:{tmp_path}/x.db")


OVERRIDES = {
    "MHBRIDGE_GATEWAY__NAM": ("x", "C803"),
    "MHBRIDGE_GATEWAY": ("x", "C813"),
    "MHBRIDGE_GATWAY__NAME": ("x", "C813"),
    "MHBRIDGE_RECEIVER__7__LISTEN": ("127.0.0.1:1", "C813"),
    "MHBRIDGE_GATEWAY__NAME__FIRST": ("x", "C813"),
    "MHBRIDGE_GATEWAY__MODE": (CANARY, "C805"),
    "MHBRIDGE_GATEWAY__MAPPINGS": ("[" + CANARY, "C806"),
    "MHBRIDGE_": ("x", "C813"),
}


@pytest.mark.parametrize("variable", OVERRIDES)
def test_an_override_with_a_problem_is_named_by_its_variable(variable, base):
    value, code = OVERRIDES[variable]
    ((found, place),) = problems('[gateway]\nname = "x"\n', base, **{variable: value})
    assert (found, place.split(":")[0]) == (code, variable)


def test_a_variable_that_a_secret_refers_to_is_no_override(base):
    text = '[[access]]\ntoken = "env:MHBRIDGE_TOKEN"\nroles = ["operator"]\n'
    found = config.parse(text, base=base, environ={"MHBRIDGE_TOKEN": "secret"})
    assert found.access[0].token.reveal() == "secret"


# --- secrets -----------------------------------------------------------------------------------------------


def test_a_configuration_can_be_shown_without_its_secrets(base):
    (base / "secret").write_text(CANARY + "\n")
    text = DESIGN.replace("env:TOKEN", "file:secret")
    found = config.parse(text, base=base, environ={"KEY": CANARY})
    assert found.access[0].token.reveal() == CANARY
    assert CANARY not in repr(found) + str(found)
    assert all(CANARY not in str(section.model_dump()) for section in (*found.access, *found.destinations))


def test_a_byte_order_mark_is_no_statement(tmp_path):
    (tmp_path / "x.toml").write_bytes(b'\xef\xbb\xbf[gateway]\nname = "x"\n')
    assert config.load(tmp_path / "x.toml", {}).gateway.name == "x"


def test_a_secret_file_is_read_anew(base):
    (base / "secret").write_text("one\n")
    token = config.parse('[[access]]\ntoken = "file:secret"\nroles = ["viewer"]', base=base, environ={}).access[0].token
    (base / "secret").write_text("two\n")
    assert token.reveal() == "two"


# --- the file ----------------------------------------------------------------------------------------------


def test_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "mhbridge.toml"
    file.write_text('[gateway]\nstore = "sqlite:../var/x.db"\n')
    found = config.load(file, {})
    assert (found.gateway.store, found.file) == (f"sqlite:{tmp_path}/var/x.db", str(file))


@pytest.mark.parametrize("content", [None, b"\xff\xfe[gateway]"])
def test_a_file_that_cannot_be_read_is_said(tmp_path, content):
    file = tmp_path / "mhbridge.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError) as raised:
        config.load(file, {})
    assert [code for code, _ in raised.value.problems] == ["C801"]


def test_every_task_has_an_owner_who_must_answer_also_without_any_configuration():
    duties = config.duties_of(config.parse("", environ={}))
    for duty in (*duties.causes.values(), duties.otherwise):
        queue, seen = duties.queue(duty.queue), set()
        while queue.next:
            assert queue.name not in seen
            seen.add(queue.name)
            queue = duties.queues[queue.next]
        assert (queue.name, queue.role != "") == ("safety", True)
    assert duties.queue("nobody-described-it").next == "operations"
    text = """
[[queue]]
name = "records"
role = "R"
unclaimed_after = "1h"
[[duty]]
causes = ["M740", "*"]
queue = "records"
within = "3h"
"""
    duties = config.duties_of(config.parse(text, environ={}))
    assert (duties.queue("records").role, duties.queue("records").next) == ("R", "")
    assert duties.of("M740") == duties.of("Z999") == duties.otherwise
    assert duties.of("M720").severity == "high"


def test_what_is_expected_of_a_feed_has_several_forms(base):
    forms = [
        '{at_least = "3/d", by = "16:00", days = "working"}',
        '{connection = "5m", between = "07:00-19:00"}',
        '{at_least = "20/h"}',
    ]
    text = "".join(
        RECEIVER + f'name = "r{n}"\nlisten = "127.0.0.1:{n}"\nexpect = {form}\n' for n, form in enumerate(forms, 1)
    )
    by, connected, hourly = (r.expect for r in config.parse(text, base=base, environ=ENVIRON).receivers)
    assert (by.at_least.count, str(by.by), by.days) == (3, "16:00:00", "working")
    assert (connected.at_least, connected.connection) == (None, 300)
    assert (hourly.at_least, hourly.at_least.count, hourly.days) == (180, 20, "all")


def test_who_watches_from_outside(base):
    found = config.parse(
        '[watch]\nholidays = [2026-12-25]\nheartbeat = {url = "https://x.example.org/ping", every = "30s"}\n'
        '[[alarm]]\nurl = "http://127.0.0.1:1/a"\nkey = "env:TOKEN"\nseverity = "high"\n',
        base=base,
        environ=ENVIRON,
    )
    assert [day.isoformat() for day in found.watch.holidays] == ["2026-12-25"]
    assert (found.watch.heartbeat.url, found.watch.heartbeat.every) == ("https://x.example.org/ping", 30)
    (alarm,) = found.alarms
    assert (alarm.key.reveal(), alarm.severity) == ("t", "high")
