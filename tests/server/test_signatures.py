import pytest

from engine.server.signatures import Form, genuine, signature, spellings

KEY = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
CALL = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
]
SEVERAL = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")]
INCOMING = [
    ("AccountSid", "AC" + 32 * "0"),
    ("ApiVersion", "2010-04-01"),
    ("CallSid", "CA" + 32 * "1"),
    ("CallStatus", "ringing"),
    ("Direction", "inbound"),
    ("From", "+15550001111"),
    ("To", "+15550002222"),
]
VECTORS = [
    (URL, CALL, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
    (URL.replace("com/", "com:443/"), CALL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
    (URL.replace("https://mycompany.com/", "http://mycompany.com:80/"), CALL, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
    (URL.replace("https://mycompany.com/", "http://mycompany.com:1234/"), CALL, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
    (URL, SEVERAL, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
    ("https://voice.example.com/voice/incoming", INCOMING, "S4vd6BFUkTgZGWRSQDYjAaC5BIk="),
    ("wss://voice.example.com/media", [], "jFDHVhI8XO69C49uXR3xmdZPylY="),
    ("wss://voice.example.com/media/", [], "BXF4dPv/qKwfALEQ/o2fVPPvK/c="),
]


@pytest.mark.parametrize(("url", "form", "expected"), VECTORS)
def test_the_signature_is_the_one_twilio_makes(url: str, form: Form, expected: str) -> None:
    assert signature(KEY, url, form) == expected
    assert genuine(KEY, expected, [url], form)


def test_a_default_port_may_be_written_or_left_out() -> None:
    assert spellings(URL) == (URL, URL.replace("com/", "com:443/"))
    for _, _, given in VECTORS[:2]:
        assert genuine(KEY, given, [URL], CALL)
        assert genuine(KEY, given, [VECTORS[1][0]], CALL)
    assert spellings("wss://[::1]:9000/media") == ("wss://[::1]:9000/media", "wss://[::1]/media")


def test_anything_else_is_not_genuine() -> None:
    url, form, given = VECTORS[5]
    assert genuine(KEY, given, ["https://elsewhere/", url], form)
    assert not genuine("54321", given, [url], form)
    assert not genuine(KEY, "", [url], form)
    assert not genuine(KEY, "é", [url], form)
    assert not genuine(KEY, given, [url + "/"], form)
    assert not genuine(KEY, given, [url], [*form, ("CallerName", "")][1:])


@pytest.mark.parametrize("host", ["[bad", "a:99999", "a:b"])
def test_a_host_that_is_none_is_not_genuine(host: str) -> None:
    assert not genuine(KEY, signature(KEY, f"https://{host}/a"), [f"https://{host}/a"])


def test_blank_fields_are_signed_by_their_names() -> None:
    url, form, _ = VECTORS[5]
    assert genuine(KEY, signature(KEY, url, [*form, ("FromCity", "")]), [url], [("FromCity", ""), *form])
    assert not genuine(KEY, signature(KEY, url, [*form, ("FromCity", "")]), [url], form)
