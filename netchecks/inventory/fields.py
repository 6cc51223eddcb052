"""The kinds of value an inventory has: how each is read from text, and what an editor is told about it.

Every reader takes what YAML held (text, list, mapping or None) and raises PydanticCustomError with what was found and expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import Annotated, NoReturn, TypeVar

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from netchecks.inventory.problems import did_you_mean, shown
from netchecks.inventory.ranges import placeholder_in
from netchecks.models.subjects import Address, AddressOnLink, AddressRange, Prefix

#: testinfra 10.2's backends and our own ``netns``. Held equal to testinfra's by a test: importing it here costs 0.2 s.
BACKENDS = (
    "ssh", "local", "netns", "safe-ssh", "paramiko", "salt", "docker", "podman", "ansible",
    "kubectl", "winrm", "lxc", "openshift", "chroot",
)  # fmt: skip
KINDS = ("switching", "routing", "ip-fabric", "nova-network", "neutron")
MANAGERS = ("flat-dhcp", "flat", "vlan")
#: Neutron's provider:network_type, as far as it is carried by Open vSwitch.
NETWORK_TYPES = ("vlan", "flat", "vxlan", "gre")
FAMILIES = (4, 6)
SYSTEMS = ("linux", "windows")

#: IFNAMSIZ is 16 with the final NUL (Linux, include/uapi/linux/if.h).
LONGEST_INTERFACE_NAME = 15
#: IPv4 hosts take 576 bytes (RFC 791 §3.1); the length field ends at 65535.
SMALLEST_MTU, LARGEST_MTU = 576, 65535
#: 0 and 4095 are reserved (IEEE 802.1Q-2018 §9.6).
FIRST_VLAN, LAST_VLAN = 1, 4094
#: A VNI has 24 bits (RFC 7348), the key of GRE 32 (RFC 2890); a VLAN's bound is checked with the network's type.
LAST_SEGMENT = (1 << 32) - 1
LAST_PORT = 65535
#: In bit/s; faster than any port.
FASTEST = 10 * 1000**4
LONGEST_NAME = 100
#: RFC 1035 §2.3.4.
LONGEST_DNS_NAME = 253

T = TypeVar("T")

_DIGITS = frozenset("0123456789")
#: Some read 010 as 8: ipaddress takes neither.
_LEADING_ZERO = re.compile(r"(?=[0-9.]*(?<![0-9])0[0-9])[0-9]{1,3}(\.[0-9]{1,3}){3}(?:/[0-9]+)?$")
_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")
_PREFIXES = ("", "K", "M", "G", "T")
_RATE = re.compile(r"([0-9]{1,14}(?:\.[0-9]{1,9})?) ?([KMGT]?)bit/s")
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._@+~-]{{0,{LONGEST_NAME - 1}}}")
_NAME_EXPECTED = f"a name of letters, digits and . _ @ + ~ - (at most {LONGEST_NAME}, beginning with a letter or digit)"
_WORD = re.compile(r"[!-~]{1,255}")
_TRUE, _FALSE = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off"})
_MAC_DIGITS = re.compile(r"[0-9a-f]{12}")
_MAC_FORMS = re.compile(r"(?:[0-9a-f]{2}(:[0-9a-f]{2}){5})|(?:[0-9a-f]{2}(-[0-9a-f]{2}){5})|(?:[0-9a-f]{4}(\.[0-9a-f]{4}){2})")
_PLACEHOLDER_JSON = {"type": "string", "pattern": r"\{[^{}]*n[^{}]*\}"}


def wrong(found: object, expected: str, hint: str = "") -> NoReturn:
    """Raise the one error that a reader raises."""
    if isinstance(found, dict) and len(found) == 1 and placeholder_in("{" + next(iter(found)) + "}"):
        hint = "; a value that begins with '{' needs quotes"
    raise PydanticCustomError("value", "{text}", {"text": f"found {shown(found)}, expected {expected}{hint}"})


def line(found: object, expected: str = "text") -> str:
    """Read one line of text that is not empty and that no tool can take for an option."""
    if not isinstance(found, str) or not found.strip():
        wrong(found, expected)
    if found.startswith("-"):
        wrong(found, expected, " (it must not begin with '-': a tool would take it for an option)")
    if not found.isprintable():
        wrong(found, expected, " on one line, of printable characters")
    return found


def prose(found: object) -> str:
    """Read text for people, of any number of lines."""
    if not isinstance(found, str) or not found.strip():
        wrong(found, "a sentence that says why")
    return found


def matching(found: object, *, pattern: re.Pattern[str], expected: str) -> str:
    """Read text of a syntax."""
    text = line(found, expected)
    if not pattern.fullmatch(text):
        wrong(found, expected)
    return text


def word(found: object) -> str:
    """Read one word of a command; an option too."""
    if not isinstance(found, str) or not _WORD.fullmatch(found):
        wrong(found, "one word of a command, without spaces")
    return found


def name(found: object) -> str:
    """Read a name: a pytest id, a file name and a label of metrics without any escaping."""
    return matching(found, pattern=_NAME, expected=_NAME_EXPECTED)


def whole(found: object, *, low: int, high: int, what: str) -> int:
    """Read a whole number in decimal: 022, 0x16, 1_000 and 1e3 mean different things to different readers of YAML."""
    expected = f"{what} from {low} to {high}"
    if not isinstance(found, str):
        wrong(found, expected)
    if not _WHOLE.fullmatch(found):
        wrong(found, expected, " in decimal digits, without a leading 0" if found[:1] in _DIGITS else "")
    if not low <= int(found) <= high:
        wrong(found, expected)
    return int(found)


def rate(found: object) -> int:
    """Read a rate with its unit; give bit/s.

    >>> rate("900 Mbit/s"), rate("2.5 Gbit/s"), rate("9600bit/s")
    (900000000, 2500000000, 9600)
    """
    expected = "a rate with its unit, such as 900 Mbit/s or 2.5 Gbit/s"
    match = _RATE.fullmatch(found) if isinstance(found, str) else None
    if not match:
        wrong(found, expected)
    value = Decimal(match[1]) * 1000 ** _PREFIXES.index(match[2])
    if value != int(value) or not 1 <= value <= FASTEST:
        wrong(found, f"{expected}, of whole bit/s up to {FASTEST // 1000**4} Tbit/s")
    return int(value)


def boolean(found: object) -> bool:
    """Read true or false, in the words of YAML 1.1 too."""
    word = found.lower() if isinstance(found, str) else ""
    if word not in _TRUE | _FALSE:
        wrong(found, "true or false")
    return word in _TRUE


def one_of(found: object, *, words: tuple[str, ...]) -> str:
    """Read one of several words."""
    if found not in words:
        hint = did_you_mean(found.lower(), words) if isinstance(found, str) else ""
        wrong(found, f"one of {', '.join(words)}", hint)
    return str(found)


def family(found: object) -> int:
    """Read 4 or 6."""
    return int(one_of(found, words=("4", "6")))


def device(found: object) -> str:
    """Read the name of a network interface, by the kernel's rule (dev_valid_name in net/core/dev.c)."""
    text = line(found, "the name of an interface")
    if len(text.encode()) > LONGEST_INTERFACE_NAME:
        wrong(found, f"the name of an interface, at most {LONGEST_INTERFACE_NAME} bytes long")
    if text in (".", "..") or any(sign in "/:" or sign.isspace() for sign in text):
        wrong(found, "the name of an interface, without spaces, '/' and ':'")
    return text


def mac(found: object) -> str:
    """Read a MAC address of one interface, in any of the three usual forms; give it in lower case with colons.

    >>> mac("5254.0000.0042"), mac("52-54-00-00-00-42")
    ('52:54:00:00:00:42', '52:54:00:00:00:42')
    """
    expected = "a MAC address such as 52:54:00:00:00:42"
    text = found.lower() if isinstance(found, str) else ""
    digits = re.sub("[:.-]", "", text)
    if not (_MAC_FORMS.fullmatch(text) and _MAC_DIGITS.fullmatch(digits)):
        wrong(found, expected)
    if int(digits, 16) == 0:
        wrong(found, expected, ": this one is all zeros")
    if int(digits[:2], 16) & 1:
        wrong(found, expected, ": this one is a group (multicast or broadcast) address")
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def address(found: object) -> Address:
    """Read an address of one host: no prefix length, no zone, not a group."""
    expected = "an IPv4 or IPv6 address"
    if not isinstance(found, str):
        wrong(found, expected)
    if "/" in found:
        wrong(found, expected, " without a prefix length: that comes from the subnet")
    value = _parsed(ip_address, found, expected)
    if isinstance(value, IPv6Address) and value.scope_id:
        wrong(found, expected, " without a zone ('%...')")
    reason = _no_host(value)
    if reason:
        wrong(found, f"{expected} of one host, this one is {reason}")
    return value


def address_range(found: object) -> AddressRange:
    """Read a range of addresses such as ``10.20.0.100-10.20.0.199``; one address alone is a range too."""
    expected = "a range of addresses such as 10.20.0.100-10.20.0.199"
    if not isinstance(found, str):
        wrong(found, expected)
    low, _, high = (part.strip() for part in found.partition("-"))
    first, last = _parsed(ip_address, low, expected), _parsed(ip_address, high or low, expected)
    if first.version != last.version or int(first) > int(last):
        wrong(found, expected, ", the smaller address first")
    return AddressRange(first, last)


def _no_host(value: IPv4Address | IPv6Address) -> str:
    """Say why an address cannot be one host's, or nothing."""
    broadcast = value == IPv4Address("255.255.255.255")
    if broadcast or value.is_unspecified:
        return "the broadcast address" if broadcast else "the unspecified one"
    return "a group (multicast)" if value.is_multicast else ""


def prefix(found: object) -> Prefix:
    """Read a subnet: no host bits, and its length written out."""
    expected = "a subnet such as 10.20.0.0/24 or fd20::/64"
    if not isinstance(found, str) or "/" not in found:
        wrong(found, expected)
    onlink = _parsed(ip_interface, found, expected)
    if onlink.ip != onlink.network.network_address:
        wrong(found, "a subnet without host bits", f"; did you mean '{onlink.network}'?")
    return onlink.network


def destination(found: object) -> Prefix | str:
    """Read where a route leads: a subnet, an address (a host route), or ``default``."""
    if found == "default":
        return "default"
    if isinstance(found, str) and "/" not in found:
        return _parsed(ip_network, found, "a subnet, an address or 'default'")
    return prefix(found)


def address_on_link(found: object) -> AddressOnLink:
    """Read an address with its prefix length."""
    expected = "an address with its prefix length, such as 10.20.0.11/24"
    if not isinstance(found, str) or "/" not in found:
        wrong(found, expected)
    return _parsed(ip_interface, found, expected)


def _parsed(parse: Callable[[str], T], found: str, expected: str) -> T:
    """Parse with ipaddress."""
    try:
        return parse(found)
    except ValueError:
        wrong(found, expected, " (leading zeros are ambiguous)" if _LEADING_ZERO.match(found) else "")


def until(found: object) -> str:
    """Read a day, or a day and a time, by ISO 8601."""
    if not isinstance(found, str):
        wrong(found, "a day such as 2027-01-31")
    try:
        date.fromisoformat(found[:10])
    except ValueError:
        wrong(found, "a day such as 2027-01-31")
    if len(found) > len("2027-01-31"):
        wrong(found, "a day such as 2027-01-31, without a time")
    return date.fromisoformat(found).isoformat()


def _json(description: str, **more: object) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "description": description, **more})


def _number(low: int, high: int, what: str) -> tuple[PlainValidator, WithJsonSchema]:
    """Give reader and schema of a whole number; in a range it may be a placeholder."""
    return PlainValidator(partial(whole, low=low, high=high, what=what)), WithJsonSchema(_number_json(low, high))


def _number_json(low: int, high: int) -> dict[str, object]:
    return {"anyOf": [{"type": "integer", "minimum": low, "maximum": high}, _PLACEHOLDER_JSON]}


PORT_JSON = _number_json(1, LAST_PORT)


def _syntax(pattern: str, expected: str) -> tuple[PlainValidator, WithJsonSchema]:
    """Give reader and schema of text with a syntax. The editor is not given the pattern: placeholders would offend it."""
    return PlainValidator(partial(matching, pattern=re.compile(pattern), expected=expected)), _json(f"{expected}.")


_JUMP_EXPECTED = "a node or what ssh -J takes: [user@]host[:port]"
#: The form of a key that names objects, for editors: with at most one range.
KEY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@+~-]*(\[[0-9, -]+\][A-Za-z0-9._@+~-]*)?$"
_NAMES_EXPECTED = "a name, or a range such as node[2-50]"
_TEXT_OR_NUMBER = {"type": ["string", "number", "boolean"]}

Name = Annotated[str, PlainValidator(name), _json("A name, or a range such as node[2-50].")]
#: A name in the place of a key; ranges are expanded before models see them.
Key = Annotated[str, PlainValidator(str), _json("A name, or a range.")]
#: Names, one or a range of them; looked up when the inventory is built.
Names = Annotated[str, PlainValidator(partial(line, expected=_NAMES_EXPECTED)), _json("A name, or a range.")]
Line = Annotated[str, PlainValidator(line), WithJsonSchema(_TEXT_OR_NUMBER)]
Prose = Annotated[str, PlainValidator(prose), WithJsonSchema(_TEXT_OR_NUMBER)]
Yes = Annotated[bool, PlainValidator(boolean), WithJsonSchema({"type": "boolean"})]
Device = Annotated[str, PlainValidator(device), _json("The name of a network interface, at most 15 bytes.")]
Mac = Annotated[str, PlainValidator(mac), _json("A MAC address, in quotes.")]
Host = Annotated[Address, PlainValidator(address), _json("An IPv4 or IPv6 address without a prefix length.")]
Cidr = Annotated[Prefix, PlainValidator(prefix), _json("A subnet such as 10.20.0.0/24.")]
To = Annotated[Prefix | str, PlainValidator(destination), _json("A subnet, an address, or 'default'.")]
Range = Annotated[AddressRange, PlainValidator(address_range), _json("A range of addresses such as 10.20.0.100-10.20.0.199.")]
OnLink = Annotated[AddressOnLink, PlainValidator(address_on_link), _json("An address with its prefix length.")]
Port = Annotated[int, *_number(1, LAST_PORT, "a port")]
Mtu = Annotated[int, *_number(SMALLEST_MTU, LARGEST_MTU, "an MTU in bytes")]
Vlan = Annotated[int, *_number(FIRST_VLAN, LAST_VLAN, "a VLAN")]
Speed = Annotated[int, *_number(1, 10_000_000, "a speed in Mb/s")]
Rate = Annotated[int, PlainValidator(rate), _json("A rate with its unit, such as 900 Mbit/s or 2.5 Gbit/s.")]
Version = Annotated[int, PlainValidator(partial(whole, low=1, high=1, what="a format version")), WithJsonSchema({"const": 1})]
Family = Annotated[int, PlainValidator(family), WithJsonSchema({"enum": list(FAMILIES)})]
Backend = Annotated[str, PlainValidator(partial(one_of, words=BACKENDS)), WithJsonSchema({"enum": list(BACKENDS)})]
System = Annotated[str, PlainValidator(partial(one_of, words=SYSTEMS)), WithJsonSchema({"enum": list(SYSTEMS)})]
Kind = Annotated[str, PlainValidator(partial(one_of, words=KINDS)), WithJsonSchema({"enum": list(KINDS)})]
Manager = Annotated[str, PlainValidator(partial(one_of, words=MANAGERS)), WithJsonSchema({"enum": list(MANAGERS)})]
NetworkType = Annotated[str, PlainValidator(partial(one_of, words=NETWORK_TYPES)), WithJsonSchema({"enum": list(NETWORK_TYPES)})]
Segment = Annotated[int, *_number(1, LAST_SEGMENT, "a segmentation ID")]
Uuid = Annotated[str, *_syntax(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "a UUID in lower case, such as that of 'openstack network show'",
)]  # fmt: skip
Until = Annotated[str, PlainValidator(until), _json("The last day of the waiver, such as 2027-01-31.")]
Reach = Annotated[str, *_syntax(r"[^\s]{1,255}", "an address, a host name or the name of a container, without spaces")]
User = Annotated[str, *_syntax(r"[A-Za-z0-9_][A-Za-z0-9_.@\\+-]{0,63}\$?", "the name of a user")]
Jump = Annotated[str, *_syntax(r"[A-Za-z0-9_\[][A-Za-z0-9_.@:,%\[\]+\\-]{0,255}", _JUMP_EXPECTED)]
Role = Annotated[str, *_syntax(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", "the name of a role")]
Unit = Annotated[str, *_syntax(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,254}", "the name of a systemd unit")]
Word = Annotated[str, PlainValidator(word), _json("One word of a command, without spaces.")]
Tool = Annotated[str, *_syntax(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}", "the name of a command, without its path")]
LogFile = Annotated[str, *_syntax(r"/[^\s]{1,1023}", "an absolute path, without spaces")]
DnsName = Annotated[str, *_syntax(
    rf"(?=.{{1,{LONGEST_DNS_NAME}}}\.?$)[A-Za-z0-9_]([A-Za-z0-9_-]{{0,62}})(\.[A-Za-z0-9_][A-Za-z0-9_-]{{0,62}})*\.?",
    "a DNS name (an international one in its xn-- form)",
)]  # fmt: skip
SysctlKey = Annotated[str, *_syntax(r"[A-Za-z0-9_]+([./-][A-Za-z0-9_]+)*", "a sysctl key such as net.ipv4.ip_forward")]
