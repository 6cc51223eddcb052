"""Virtual machines: ``virsh``, one run for their names and one for every hundred of them."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from netchecks.errors import Unreadable
from netchecks.models.domains import Domain, DomainInterface
from netchecks.models.guests import AgentAddress
from netchecks.models.subjects import Vm
from netchecks.models.table import Table
from netchecks.observe import observation
from netchecks.parsing import clean, lines, mac_or_none, number, on_link, optional_number

#: Read-only where the connection has that. Without root the default would be the user's own, empty session.
#: A name reaches virsh in single quotes behind ``--domain=``, so none is taken for an option, a command or shell.
_SCRIPT = r"""
set --
[ -n "${LIBVIRT_DEFAULT_URI:-}${VIRSH_DEFAULT_CONNECT_URI:-}" ] || [ "$(id -u)" = 0 ] || set -- -c qemu:///system
r=-r; names=$(virsh -q -r "$@" list --all --name 2>/dev/null) || { r=; names=$(virsh -q "$@" list --all --name) || exit; }
printf '%s\n' "$names" |
sed -n "/./{s/'/'\\\\''/g;s/.*/echo @domain:;domstate --domain='&';dumpxml --domain='&';/p;}" |
awk '{ s = s $0; if (NR % 100 == 0) { print s; s = "" } } END { if (s != "") print s }' |
while IFS= read -r batch; do virsh -q $r "$@" "$batch"; done
echo @end
"""


@observation(shell=_SCRIPT, tool="virsh", root=True, seconds=10.0, limit=16 * 1024 * 1024)
def domains(text: str) -> Table[Domain]:
    """Every domain of the node, by its libvirt name, running or not, with its interfaces as they are now.

    Source: libvirt's formatdomain (interfaces) and virsh(1), domstate.
    """
    text, found, position = clean(text), {}, 0
    while match := _DOMAIN.match(text, position):
        domain = _domain(match[1].strip(), match[2])
        found[domain.name] = domain
        position = match.end()
    if text[position:].strip() != "@end":
        raise Unreadable("a domain's state and its XML, or '@end'", text[position:position + 100])
    return Table("domain", found)


#: One domain of the script's output. The XML ends with its own last line: what looks like a mark in a description is text.
_DOMAIN = re.compile(r"\s*+@domain:\s*+([^\n<]++)\n\s*+(<domain[ >].*?\n</domain>)(?=\s)", re.DOTALL)


def _domain(state: str, xml: str) -> Domain:
    root = _xml(xml)
    name = root.findtext("name")
    if not name:
        raise Unreadable("<domain> with a <name>", xml)
    interfaces = tuple(map(_interface, root.iterfind("devices/interface")))
    return Domain(name, state, (root.findtext("uuid") or "").strip(), interfaces)


def _xml(text: str) -> ET.Element:
    """Read XML. What could expand or refer to something else is refused before it is looked at."""
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise Unreadable("XML without a document type", text)
    try:
        return ET.fromstring(  # noqa: S314 - entities, the danger S314 means, are refused above
            text.encode("utf-8", "surrogateescape"), ET.XMLParser(encoding="utf-8"),  # noqa: S314 - as above
        )
    except (ET.ParseError, ValueError, LookupError) as error:
        raise Unreadable("XML", text) from error


def _interface(item: ET.Element) -> DomainInterface:
    kind, source = item.get("type", ""), _attributes(item, "source")
    vlans = tuple(number(tag.get("id", "")) for tag in item.iterfind("vlan/tag"))
    return DomainInterface(
        _attributes(item, "mac").get("address", "").lower(), kind,
        next((source[key] for key in (kind, "bridge", "network", "dev", "path", "address") if source.get(key)), ""),
        source.get("bridge", ""), _attributes(item, "target").get("dev", ""), _attributes(item, "link").get("state", "up"),
        _attributes(item, "model").get("type", ""), _attributes(item, "driver").get("name", ""),
        _attributes(item, "filterref").get("filter", ""), optional_number(_attributes(item, "mtu").get("size", "")),
        _attributes(item, "virtualport").get("type", ""), vlans, _attributes(item, "alias").get("name", ""),
    )


def _attributes(item: ET.Element, tag: str) -> dict[str, str]:
    found = item.find(tag)
    return {} if found is None else found.attrib


#: Reading by an agent needs a connection that may write, though nothing is written: -r forbids virDomainInterfaceAddresses.
#: ``qemu-agent-command`` would taint the domain; this does not. Only an agent that is connected is asked: others cost seconds.
#: The test driver makes addresses up.
_AGENT = r"""
c=; [ "$(id -u)" = 0 ] || c="-c qemu:///system"
case $(virsh -q -r $c uri) in qemu*) ;; *) echo @none; exit 0 ;; esac
virsh -q -r $c dumpxml --domain="$1" 2>/dev/null | grep -q "name='org.qemu.guest_agent.0' state='connected'" || { echo @none; exit 0; }
echo @agent; exec timeout 4 virsh -q $c domifaddr --full --source=agent --domain="$1"
"""
_ROW = re.compile(r"\s*(\S+)\s+(\S+)\s+(ipv[46]|N/A)\s+(\S+)\s*")


@observation("{vm.domain}", of=Vm, shell=_AGENT, tool="virsh", root=True, seconds=8.0)
def agent_addresses(text: str) -> tuple[AgentAddress, ...] | None:
    """The addresses inside a VM as its guest agent tells them; None where no agent is connected. Nothing is entered.

    Source: virsh(1), domifaddr --source agent; libvirt's guest-network-get-interfaces.
    """
    head, _, rest = clean(text).lstrip().partition("\n")
    if head.strip() == "@none" and not rest.strip():
        return None
    if head.strip() != "@agent":
        raise Unreadable("@agent or @none", text)
    return tuple(found for line in lines(rest) if (found := _agent_address(line)) is not None)


def _agent_address(line: str) -> AgentAddress | None:
    row = _ROW.fullmatch(line)
    if row is None:
        raise Unreadable("'eth0 52:54:00:00:00:01 ipv4 10.20.0.53/24'", line)
    return None if row[3] == "N/A" else AgentAddress(row[1], mac_or_none(row[2]), on_link(row[4]))
