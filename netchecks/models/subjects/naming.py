"""What subjects have in common: a name, and the words for addresses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Prefix: TypeAlias = IPv4Network | IPv6Network
AddressOnLink: TypeAlias = IPv4Interface | IPv6Interface
#: RFC 4253 section 4.1.
SSH_PORT = 22


class Named:
    """Shows only the name, and is the same subject when the name is the same."""

    __slots__ = ()
    name: str

    def __str__(self) -> str:
        """Give the name."""
        return self.name

    def __repr__(self) -> str:
        """Give the name: no report shows more."""
        return self.name

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash((type(self), self.name))

    def __eq__(self, other: object) -> bool:
        """Compare types and names."""
        return type(self) is type(other) and self.name == other.name
