from xml.etree.ElementTree import fromstring

from engine.server import twiml


def test_a_call_is_put_on_the_stream() -> None:
    text = twiml.connect(
        "wss://v.example.com/media", "https://v.example.com/after", {"token": "t", "from": "\"<&>' +1"}
    )
    connect = fromstring(text)[0]
    assert (connect.tag, connect.attrib) == ("Connect", {"action": "https://v.example.com/after", "method": "POST"})
    stream = connect[0]
    assert stream.attrib == {"url": "wss://v.example.com/media"}
    assert [each.attrib for each in stream] == [
        {"name": "token", "value": "t"},
        {"name": "from", "value": "\"<&>' +1"},
    ]


def test_a_parameter_is_cut_to_what_twilio_takes() -> None:
    parameter = fromstring(twiml.connect("wss://v/media", "https://v/after", {"from": "x" * 600}))[0][0][0]
    assert len(parameter.attrib["name"] + parameter.attrib["value"]) == 500


def test_what_no_document_may_hold_is_left_out() -> None:
    text = twiml.connect("wss://v/media", "https://v/after", {"from": "a\0\x1b\ud800\uffffb\t"})
    assert fromstring(text)[0][0][0].attrib["value"].strip() == "ab"


def test_a_caller_is_handed_over() -> None:
    dial = fromstring(twiml.dial("+15550001111", "https://v/dialled?a&b", "https://v/bridged"))[0]
    assert (dial.tag, dial.attrib["action"], dial.findtext("Number")) == (
        "Dial",
        "https://v/dialled?a&b",
        "+15550001111",
    )
    assert dial[0].attrib == {"statusCallback": "https://v/bridged", "statusCallbackEvent": "answered"}
    sip = "sip:a@b.example?x=1&y=2"
    assert fromstring(twiml.dial(sip, "https://v/a", "https://v/b")).findtext("Dial/Sip") == sip


def test_a_call_is_ended_with_words_and_without() -> None:
    assert [each.tag for each in fromstring(twiml.say("All busy <now>"))] == ["Say", "Hangup"]
    assert [each.tag for each in fromstring(twiml.hang_up())] == ["Hangup"]
