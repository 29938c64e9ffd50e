"""Where a download may go: URLs, hosts and network addresses. Everything that is not plainly allowed is refused."""

import ipaddress
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urljoin

from recordings.download.errors import HostNotAllowed

_DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LIKE_DOTS = re.compile("[\u3002\uff0e\uff61]")
_LOOKS_LIKE_A_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_KEPT_IN_PATHS = "%/:?#[]@!$&'()*+,;=-._~"

_NOT_PUBLIC_4 = [
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network (RFC 791)
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # carriers' shared space (RFC 6598)
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; clouds' metadata (RFC 3927)
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.88.99.0/24",  # 6to4 relays (RFC 7526)
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved, and broadcast (RFC 1112, RFC 919)
    )
]
# Outside of it are, among others: unspecified and loopback, IPv4 compatible (::a.b.c.d) and mapped (::ffff:a.b.c.d),
# NAT64 (64:ff9b::/96 and 64:ff9b:1::/48), discard (100::/64), unique local (fc00::/7), link-local (fe80::/10),
# site-local (fec0::/10) and multicast (ff00::/8).
_GLOBAL_UNICAST_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = [
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, among them Teredo (RFC 2928, RFC 4380)
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4: an IPv4 address inside (RFC 3056)
        "3fff::/20",  # documentation (RFC 9637)
    )
]


@dataclass(frozen=True, slots=True)
class Target:
    """One place to ask: normalised, so that equal strings mean the same place."""

    scheme: str
    """"http" or "https"."""
    host: str
    """Lower case ASCII; an IPv6 address without brackets."""
    port: int
    path: str
    """Path and query, percent-encoded, beginning with "/"."""
    private: bool = False
    """True when the settings let it be plain http, another port, loopback or a private address."""

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what credentials are bound to."""
        return self.scheme, self.host, self.port

    @property
    def url(self) -> str:
        """The URL, built anew from its checked parts."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, by the special-purpose registries of IANA."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in network for network in _NOT_PUBLIC_4)
    return parsed in _GLOBAL_UNICAST_6 and not any(parsed in network for network in _NOT_PUBLIC_6)


def parse(url: str) -> Target:
    """Take an absolute http or https URL apart. Raises HostNotAllowed for anything that can be read in two ways."""
    match = None if _CONTROL.search(url) else _URL.fullmatch(url)
    if match is None:
        raise HostNotAllowed("The address is not an http or https URL.")
    scheme, authority, path, query = match.groups()
    scheme = scheme.lower()
    host, port = _host_and_port(authority, _DEFAULT_PORTS[scheme])
    return Target(scheme, host, port, quote(path or "/", safe=_KEPT_IN_PATHS) + quote(query or "", safe=_KEPT_IN_PATHS))


def join(base: Target, reference: str) -> Target:
    """Resolve a reference (RFC 3986 section 5) against a checked place. Raises HostNotAllowed as `parse` does."""
    if _CONTROL.search(reference):  # urljoin would take tabs and line ends out in silence
        raise HostNotAllowed("The address has control characters.")
    if _ABSOLUTE.match(reference):  # urljoin would take "https:x" for a relative one
        return parse(reference)
    try:
        return parse(urljoin(base.url, reference))
    except ValueError:
        raise HostNotAllowed("The address is not an http or https URL.") from None


def host_entry(entry: str) -> tuple[str, int]:
    """Read "host" (port 443) or "host:port", as accounts and settings have them. Raises HostNotAllowed."""
    return _host_and_port(entry.strip(), 443)


def require_listed(target: Target, hosts: tuple[str, ...]) -> None:
    """Raise HostNotAllowed unless the target's host and port are among an account's hosts."""
    if (target.host, target.port) not in _entries(hosts):
        raise HostNotAllowed(f"{target.host}:{target.port} is not one of the account's hosts.")


def approve(target: Target, hosts: tuple[str, ...], allow_private: frozenset[str]) -> Target:
    """The target, if it may be asked: on the account's hosts; https on 443, or else "host:port" in `allow_private`.

    Its network address is checked where the connection is made. Raises HostNotAllowed.
    """
    require_listed(target, hosts)
    private = (target.host, target.port) in _entries(allow_private)
    if not private and (target.scheme, target.port) != ("https", 443):
        raise HostNotAllowed(f"{target.scheme} on {target.host}:{target.port}: only https on port 443 is allowed.")
    return Target(target.scheme, target.host, target.port, target.path, private)


@lru_cache(maxsize=1024)
def _entries(hosts: Collection[str]) -> frozenset[tuple[str, int]]:
    found = set()
    for entry in hosts:
        try:
            found.add(host_entry(entry))
        except HostNotAllowed:
            continue  # an entry that names no host allows none
    return frozenset(found)


@lru_cache(maxsize=1024)  # few hosts, and each download reads theirs several times
def _host_and_port(authority: str, default_port: int) -> tuple[str, int]:
    match = _AUTHORITY.fullmatch(authority)
    if match is None or _LIKE_DOTS.search(authority):
        raise HostNotAllowed("The address has a malformed host.")
    port = int(match[2]) if match[2] else default_port
    if not 0 < port < 65536:
        raise HostNotAllowed("The address has a malformed port.")
    if match[1].startswith("["):
        return _ipv6(match[1][1:-1]), port
    return _name_or_ipv4(match[1]), port


def _ipv6(text: str) -> str:
    try:
        return ipaddress.IPv6Address(text).compressed
    except ValueError:
        raise HostNotAllowed("The address has a malformed IPv6 host.") from None


def _name_or_ipv4(text: str) -> str:
    host = text.lower()
    if not host.isascii():
        host = _idna(host)
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise HostNotAllowed("The address has a malformed host.")
    if _LOOKS_LIKE_A_NUMBER.fullmatch(labels[-1]):  # the C library reads 127.1, 0x7f.1, 0177.1 and 2130706433 as IPv4
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise HostNotAllowed("The address has a malformed IPv4 host.") from None
    return host


def _idna(host: str) -> str:
    """The ASCII form of a name in another script, if both forms name each other and nothing else."""
    try:
        encoded = host.encode("idna").decode("ascii")
        same = unicodedata.normalize("NFKC", host) == host == encoded.encode("ascii").decode("idna")
    except UnicodeError:
        same = False
    if not same:  # full-width digits, ligatures and what IDNA 2003 and 2008 read differently
        raise HostNotAllowed("The address has a malformed host.")
    return encoded
