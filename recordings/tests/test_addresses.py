"""Where downloads may go: strict URLs, listed hosts, public addresses, and nothing that reaches loopback by a trick."""

import ipaddress
import socket
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordings.download.errors import HostNotAllowed, Unreachable
from recordings.download.providers import Account, addresses, network
from recordings.download.providers.http import Client, Transfer
from recordings.tests.raw_origin import RawOrigin, body

NOT_PUBLIC_TEXT = """
0.0.0.0 0.1.2.3 10.1.2.3 100.64.0.1 100.127.255.254 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.254
192.0.0.1 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.254 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255
240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 100::1
2001::1 2001:10::1 2001:db8::1 2002:7f00:1:: 2002:808:808:: 3fff::1 4000::1 5f00::1 fc00::1 fd12:3456::1 fe80::1
fe80::1%1 fec0::1 ff02::1
"""
NOT_PUBLIC = NOT_PUBLIC_TEXT.split()
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.254",
    "100.128.0.1",
    "172.32.0.1",
    "223.255.255.254",
    "2606:4700::1111",
    "2a00::1",
]

LOOPBACK_TEXT = """
http://127.0.0.1:PORT/ https://127.0.0.1:PORT/ http://localhost:PORT/ http://LOCALHOST:PORT/ http://localhost.:PORT/
http://127.1:PORT/ http://127.0.1:PORT/ http://2130706433:PORT/ http://0x7f000001:PORT/ http://0x7f.0.0.1:PORT/
http://0177.0.0.1:PORT/ http://017700000001:PORT/ http://127.0.0.1.:PORT/ http://0:PORT/ http://0.0.0.0:PORT/
http://127.000.000.001:PORT/ http://[::1]:PORT/ http://[::]:PORT/ http://[::ffff:127.0.0.1]:PORT/
http://[::ffff:7f00:1]:PORT/ http://[::127.0.0.1]:PORT/ http://[::1%25lo]:PORT/ http://[::1%lo]:PORT/
http://[64:ff9b::7f00:1]:PORT/ http://[fe80::1%251]:PORT/ http://[0:0:0:0:0:0:0:1]:PORT/ http://[::1]PORT/
http://api.example.com@127.0.0.1:PORT/ http://user:pass@127.0.0.1:PORT/ http://api.example.com%40127.0.0.1:PORT/
http://api.example.com\\@127.0.0.1:PORT/ http://127.0.0.1:PORT\\@api.example.com/ http:\\\\127.0.0.1:PORT\\
http:127.0.0.1:PORT/ http:/127.0.0.1:PORT/ http:///127.0.0.1:PORT/ http://127%2e0%2e0%2e1:PORT/ http://%31%32%37.0.0.1:PORT/
http://127\u30020\u30020\u30021:PORT/ http://127\uff0e0\uff0e0\uff0e1:PORT/ http://127\uff610\uff610\uff611:PORT/
http://\uff11\uff12\uff17.0.0.1:PORT/ http://\u2460\u2461\u2466.0.0.1:PORT/ http://\u24db\u24de\u24d2alhost:PORT/
http://loc\u00adalhost:PORT/ http://localhost\u200b:PORT/ http://127.0.0.1:PORT#@api.example.com/
http://127.0.0.1:PORT?@api.example.com/ http://api.example.com:443@127.0.0.1:PORT/ http://127.0.0.1:0PORT/
http://127.0.0.1:+PORT/ //127.0.0.1:PORT/ ftp://127.0.0.1:PORT/ file:///etc/passwd gopher://127.0.0.1:PORT/
HTTP://127.0.0.1:PORT/ hTTps://LocalHost:PORT/ dict://127.0.0.1:PORT/ jar:http://127.0.0.1:PORT/!/
"""
LOOPBACK_FORMS = [
    *LOOPBACK_TEXT.split(),
    "http://127.0.0.1:PORT\t/",
    "http://127.0.\t0.1:PORT/",
    "ht\ntp://127.0.0.1:PORT/",
    "http://127.0.0.1\r\n:PORT/",
    " http://127.0.0.1:PORT/",
    "http:// 127.0.0.1:PORT/",
    "http://127.0.0.1 :PORT/",
    "http://api.example.com \x00@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT/\x7f",
    "",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_of_the_public_internet_is_refused(address: str) -> None:
    assert not addresses.is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    assert addresses.is_public(address)


@given(st.ip_addresses())
def test_whatever_python_does_not_call_global_is_refused(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not address.is_global or address.is_multicast:
        assert not addresses.is_public(str(address))


@pytest.mark.parametrize("form", LOOPBACK_FORMS)
@pytest.mark.parametrize(
    "hosts",
    [
        ("api.example.com",),
        ("api.example.com", "localhost:PORT", "127.0.0.1:PORT", "[::1]:PORT", "0.0.0.0:PORT", "127.1:PORT", "0:PORT"),
    ],
    ids=["a sound account", "an account whose hosts are loopback"],
)
def test_no_form_of_a_url_reaches_a_loopback_honeypot(form: str, hosts: tuple[str, ...]) -> None:
    with RawOrigin(body(b"secret")) as honeypot:
        port = str(honeypot.port)
        listed = tuple(host.replace("PORT", port) for host in hosts)
        account = Account("generic", "https://api.example.com", listed, "none", "", "")
        client = Client(2, frozenset(), 5, 5)
        with pytest.raises(HostNotAllowed), client.fetch(account, form.replace("PORT", port), Transfer(30, 1000)):
            pass
        client.close()
        assert honeypot.connections == 0


@pytest.mark.parametrize("address", [address for address in NOT_PUBLIC if "%" not in address])
def test_a_name_that_resolves_to_an_address_that_is_not_public_is_not_connected_to(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawOrigin(body(b"secret")) as honeypot:
        _resolve_to(monkeypatch, address)
        target = addresses.Target("https", "rebinding.example.com", honeypot.port, "/")
        with pytest.raises(HostNotAllowed, match="no public network address"):
            network.reach(target, Transfer(30, 1000), 5)
        assert honeypot.connections == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "127.1.2.3"])
def test_an_address_in_place_of_a_name_is_checked_too(address: str) -> None:
    with RawOrigin(body(b"secret")) as honeypot:
        with pytest.raises(HostNotAllowed):
            network.reach(addresses.Target("https", address, honeypot.port, "/"), Transfer(30, 1000), 5)
        assert honeypot.connections == 0


def test_only_the_public_ones_of_a_names_addresses_are_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawOrigin(body(b"secret")) as honeypot:
        _resolve_to(monkeypatch, "127.0.0.1", "1.1.1.1")
        tried: list[str] = []
        monkeypatch.setattr(network, "_connect", _refuse_and_note(tried))
        with pytest.raises(Unreachable):
            network.reach(addresses.Target("https", "mixed.example.com", honeypot.port, "/"), Transfer(30, 1000), 5)
        assert (tried, honeypot.connections) == (["1.1.1.1"], 0)


def test_the_next_address_is_tried_when_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawOrigin(body(b"secret")) as origin:
        _resolve_to(monkeypatch, "127.0.0.2", "127.0.0.1")
        transfer = Transfer(30, 1000)
        sock = network.reach(addresses.Target("http", "two.example.com", origin.port, "/", True), transfer, 5)
        assert sock.getpeername() == ("127.0.0.1", origin.port)
        sock.close()
        assert transfer.let_go()


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://api.example.com", "api.example.com", 443, "/"),
        ("HTTPS://API.Example.COM:443/A?b=C#d", "api.example.com", 443, "/A?b=C"),
        ("https://api.example.com/a b/\u05e9?c=d e", "api.example.com", 443, "/a%20b/%D7%A9?c=d%20e"),
        ("https://api.example.com/%2e%2E/x", "api.example.com", 443, "/%2e%2E/x"),
        ("https://m\u00fcller.example/x", "xn--mller-kva.example", 443, "/x"),
        ("https://XN--MLLER-KVA.example/x", "xn--mller-kva.example", 443, "/x"),
        ("https://[2606:4700:0::1111]/x", "2606:4700::1111", 443, "/x"),
        ("https://[2606:4700::ABcd]/x", "2606:4700::abcd", 443, "/x"),
        ("http://a_b.example:8080/x", "a_b.example", 8080, "/x"),
        ("https://1.1.1.1/x", "1.1.1.1", 443, "/x"),
    ],
)
def test_a_url_is_normalised(url: str, host: str, port: int, path: str) -> None:
    target = addresses.parse(url)
    assert (target.host, target.port, target.path) == (host, port, path)
    assert addresses.parse(target.url) == target


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com./x",
        "https://.example.com/x",
        "https://api..example.com/x",
        "https://-api.example.com/x",
        "https://api.example.com:/x",
        "https://api.example.com:0/x",
        "https://api.example.com:65536/x",
        "https://api.example.com:443443/x",
        "https://me@api.example.com/x",
        "https://:secret@api.example.com/x",
        "https://stra\u00dfe.example/x",
        "https://api.example.com\\x",
        "https://" + "a" * 64 + ".example/x",
        "https://" + "a." * 130 + "example/x",
        "https:///x",
        "https://[fe80::1%25eth0]/x",
        "https://[v1.a]/x",
        "https://1.2.3/x",
        "https://example.123/x",
        "https://example.0x1/x",
        "api.example.com/x",
    ],
)
def test_a_url_that_can_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(HostNotAllowed):
        addresses.parse(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://api.example.com/x", "The address is not an http or https URL."),
        ("https://api.example.com/a\tb", "The address is not an http or https URL."),
        ("https://api.example.com:x/", "The address has a malformed host."),
        ("https://api.example.com:70000/", "The address has a malformed port."),
        ("https://[1::2::3]/", "The address has a malformed IPv6 host."),
        ("https://-api.example.com/", "The address has a malformed host."),
        ("https://127.1/", "The address has a malformed IPv4 host."),
        ("https://stra\u00dfe.example/", "The address has a malformed host."),
        ("https://\u05e9..example/", "The address has a malformed host."),
        ("https://" + "\u05e9" * 64 + ".example/", "The address has a malformed host."),
    ],
)
def test_a_refusal_says_what_is_wrong_with_the_address(url: str, said: str) -> None:
    with pytest.raises(HostNotAllowed) as refused:
        addresses.parse(url)
    assert str(refused.value) == said


def test_a_name_may_have_as_many_characters_as_dns_allows_and_no_more() -> None:
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert addresses.parse(f"https://{longest}/").host == longest
    with pytest.raises(HostNotAllowed):
        addresses.parse(f"https://{longest}d/")


def test_a_port_may_be_any_of_the_65535() -> None:
    assert [addresses.host_entry(f"a.example:{port}") for port in (1, 65535)] == [
        ("a.example", 1),
        ("a.example", 65535),
    ]


def test_what_was_approved_is_the_target_that_was_asked_for() -> None:
    target = addresses.parse("https://api.example.com/a?b")
    assert addresses.approve(target, ("api.example.com",), frozenset()) == target
    local = addresses.parse("http://localhost:8101/a?b")
    approved = addresses.approve(local, ("localhost:8101",), frozenset({"localhost:8101"}))
    assert (approved.url, approved.origin, approved.private) == (local.url, ("http", "localhost", 8101), True)


def test_a_host_that_is_not_the_accounts_and_a_scheme_that_is_not_allowed_are_named_in_the_refusal() -> None:
    target = addresses.parse("http://api.example.com/x")
    with pytest.raises(HostNotAllowed, match=r"^api\.example\.com:80 is not one of the account's hosts\.$"):
        addresses.approve(target, ("api.example.com",), frozenset())
    with pytest.raises(HostNotAllowed, match=r"^http on api\.example\.com:80: only https on port 443 is allowed\.$"):
        addresses.approve(target, ("api.example.com:80",), frozenset())


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("https://api.example.com/x", ("other.example.com",)),
        ("https://api.example.com.evil.example/x", ("api.example.com",)),
        ("https://evilapi.example.com/x", ("api.example.com",)),
        ("https://sub.api.example.com/x", ("api.example.com",)),
        ("https://example.com/x", ("api.example.com",)),
        ("https://api.example.com:8443/x", ("api.example.com",)),
        ("https://api.example.com:8443/x", ("api.example.com:8443",)),
        ("http://api.example.com/x", ("api.example.com",)),
        ("http://api.example.com/x", ("api.example.com:80",)),
        ("http://api.example.com:443/x", ("api.example.com",)),
        ("https://api.example.com/x", ("", "*", "*.example.com", "https://api.example.com", "api.example.com.")),
    ],
)
def test_another_host_scheme_or_port_is_refused(url: str, hosts: tuple[str, ...]) -> None:
    with pytest.raises(HostNotAllowed):
        addresses.approve(addresses.parse(url), hosts, frozenset())


def test_a_listed_host_is_approved_in_any_case_and_script() -> None:
    hosts = ("API.example.COM", "m\u00fcller.example:443", " spaced.example ")
    for url in ("https://api.EXAMPLE.com/x", "https://xn--mller-kva.example/x", "https://spaced.example/x"):
        assert not addresses.approve(addresses.parse(url), hosts, frozenset()).private


def test_an_entry_that_names_no_host_allows_none_and_hides_no_other() -> None:
    target = addresses.parse("https://api.example.com/x")
    assert addresses.approve(target, ("*", "api.example.com", "-"), frozenset()) == target


@pytest.mark.parametrize("url", ["http://localhost:8101/x", "https://localhost:8101/x"])
def test_the_setting_lets_one_host_and_port_be_http_and_private(url: str) -> None:
    hosts, allowed = ("localhost:8101", "localhost:8102"), frozenset({"LocalHost:8101"})
    assert addresses.approve(addresses.parse(url), hosts, allowed).private
    with pytest.raises(HostNotAllowed):
        addresses.approve(addresses.parse("http://localhost:8102/x"), hosts, allowed)


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("/b?c=d", "https://api.example.com/b?c=d"),
        ("b", "https://api.example.com/folder/b"),
        ("//cdn.example.com/b", "https://cdn.example.com/b"),
        ("https://cdn.example.com/b#c", "https://cdn.example.com/b"),
        ("?c=d", "https://api.example.com/folder/a?c=d"),
    ],
)
def test_a_reference_is_resolved(reference: str, url: str) -> None:
    assert addresses.join(addresses.parse("https://api.example.com/folder/a"), reference).url == url


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("ht\ttps://127.0.0.1/", "The address has control characters."),
        ("javascript:alert(1)", "The address is not an http or https URL."),
        ("HTTPS:cdn.example.com/b", "The address is not an http or https URL."),
        ("//[::1/", "The address is not an http or https URL."),
        ("https://[", "The address has a malformed host."),
        ("//a@b/", "The address has a malformed host."),
    ],
)
def test_a_reference_to_nowhere_is_refused_and_why(reference: str, said: str) -> None:
    with pytest.raises(HostNotAllowed) as refused:
        addresses.join(addresses.parse("https://api.example.com/folder/a"), reference)
    assert str(refused.value) == said


def _resolve_to(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    """Let every name have these addresses."""

    def getaddrinfo(_host: object, port: int, *_: object, **__: object) -> list[object]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in found]
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port))
            for family, address in zip(families, found, strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def _refuse_and_note(tried: list[str]) -> Callable[..., socket.socket]:
    def connect(place: tuple[int, tuple[str, int]], *_: object) -> socket.socket:
        tried.append(place[1][0])
        raise ConnectionRefusedError(111, "Connection refused")

    return connect
