"""What nova's database says, against itself, against what is meant and against what iptables does. Nothing is ever written there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import TypeVar

import pytest

from netchecks.errors import Wrong
from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.netfilter.translations import translations
from netchecks.models.nova_network import DeclaredDatabase, FixedRow, FloatingRow, FreeRows, InstanceRow, NovaRows
from netchecks.models.subjects import Connection, Database, Interface, Inventory, Network, Node
from netchecks.seen import By

K = TypeVar("K")
R = TypeVar("R")
Rows = By[Database, NovaRows]
_NEEDS_ADDRESS = frozenset({"ipv4"})
_FLOATING = frozenset({"floating"})
#: Shown of a list: the rest is counted.
_SHOWN = 5


def _database(network: Network, nova_rows: Rows) -> Database:
    return next(database for database in nova_rows if database.network == network)


def _listed(items: Iterable[str]) -> str:
    found = list(items)
    return "; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def _tells(database: Database, fixed: str, inventory: Inventory) -> bool:
    """Tell whether it is this network that says what is wrong with a fixed address, where several have one database.

    That is the one with the address, and of what is in none of them the first.
    """
    sharing = [one for one in inventory.networks if one.nova and (one.database, one.database_way) == _where(database.network)]
    own = [network for network in sharing if fixed and _holds(network, fixed)]
    return (own or sharing)[0] == database.network


def _where(network: Network) -> tuple[DeclaredDatabase | None, Connection | None]:
    return network.database, network.database_way


@pytest.mark.kind("nova-network")
@pytest.mark.declares("database")
def test_floating_ips_are_of_living_instances(database: Database, nova_rows: Rows, inventory: Inventory) -> None:
    """No floating address is bound to an instance that is gone, or to a fixed address that is.

    Why: such an address can be neither used nor released by the usual tools, and its translation may lead to somebody else's instance.
    Remedy: platform: the UPDATE statements named here, after looking at the rows; netchecks never runs them
    Source: OpenStack operations guide, chapter 13, manually disassociating a floating IP
    """
    rows, stale = nova_rows[database], []
    for floating, fixed in rows.bound():
        if not _tells(database, fixed.address if fixed else "", inventory):
            continue
        instance = rows.instance(fixed.instance_uuid) if fixed and fixed.instance_uuid else None
        if instance is None or not instance.lives:
            stale.append((floating, _whose(fixed, instance)))
    if stale:
        shown = _listed(f"{one.address} (row {one.id}) is bound to fixed_ip_id {one.fixed_ip_id}{why}" for one, why in stale)
        raise Wrong(
            "nova.stale_floating_ip", f"{database.network}: {shown}; expected a living instance", place=database.network.name,
            remedy=" ".join(statement for floating, _ in stale[:_SHOWN] for statement in _release(floating)),
        )


def _whose(fixed: FixedRow | None, instance: InstanceRow | None) -> str:
    if fixed is None:
        return ", which is deleted"
    if instance is None:
        return f", {fixed.address}, of {f'the unknown instance {fixed.instance_uuid}' if fixed.instance_uuid else 'no instance'}"
    return f", {fixed.address}, of {instance}, which is {instance.vm_state or 'deleted'}"


def _release(floating: FloatingRow) -> Iterator[str]:
    """Give the document's statements. The second one, too, names the row: after the first one nothing has that fixed_ip_id."""
    # printed for a person to run: both values are whole numbers of the database's own
    yield f"update floating_ips set fixed_ip_id = NULL, host = NULL where fixed_ip_id = '{floating.fixed_ip_id}';"  # noqa: S608 - as above
    yield f"update floating_ips set project_id = NULL where id = '{floating.id}'; (this one gives it back to the pool)"  # noqa: S608


@pytest.mark.kind("nova-network")
@pytest.mark.declares("database")
def test_addresses_are_bound_once(database: Database, nova_rows: Rows, inventory: Inventory) -> None:
    """No address stands twice: no fixed one of a network, and no floating one.

    Why: two rows of one address are two instances that take each other's packets away.
    Remedy: platform: find which of the rows is right, and set deleted of the other; netchecks never writes
    Source: OpenStack operations guide, chapter 13, fixed_ips, floating_ips
    """
    rows = nova_rows[database]
    floating = _groups((row.address, row) for row in rows.floating if _tells(database, "", inventory))
    twice = [f"{address} in floating_ips {_ids(some)}" for address, some in floating.items() if len(some) > 1]
    fixed = _groups(((row.network_id, row.address), row) for row in rows.fixed if _tells(database, row.address, inventory))
    twice += [f"{address} of network {network} in fixed_ips {_ids(some)}" for (network, address), some in fixed.items() if len(some) > 1]
    if twice:
        raise Wrong("nova.address_twice", f"{database.network}: {_listed(twice)}; expected one row each", place=database.network.name)


def _groups(pairs: Iterable[tuple[K, R]]) -> dict[K, list[R]]:
    found: dict[K, list[R]] = {}
    for key, row in pairs:
        found.setdefault(key, []).append(row)
    return found


def _ids(rows: Iterable[FixedRow | FloatingRow]) -> str:
    return f"(ids {', '.join(str(row.id) for row in rows)})"


# -- each instance -----------------------------------------------------------------------------------------------------


@pytest.mark.kind("nova-network")
@pytest.mark.declares("database")
@pytest.mark.hop("database", "address")
def test_instance_has_fixed_ip(interface: Interface, nova_rows: Rows) -> None:
    """The database has the instance with a fixed address of the network, and it is the one that is meant.

    Why: dnsmasq's hosts file, the translation and the security group are all written from this row.
    Remedy: platform: nova add-fixed-ip INSTANCE NETWORK, or boot the instance anew; where none is free, nova-manage fixed create
    Source: OpenStack operations guide, chapter 13, fixed_ips and instances
    """
    if not interface.vm.runs:
        return
    rows, network = nova_rows[_database(interface.network, nova_rows)], interface.network
    named = (row for row in rows.instances if row.lives and row.hostname == interface.vm.name)
    instance = rows.instance_of_mac(interface.mac) or next(named, None)
    if instance is None:
        raise Wrong("nova.instance_unknown", f"{network}: no row of virtual_interfaces has {interface.mac}, the MAC of {interface}")
    own = [row for row in rows.fixed_of(instance.uuid) if _is_of(row, network)]
    wanted = [str(address) for address in interface.addresses if address.version == 4]
    if own and any(row.address in wanted for row in own):
        return
    if own:
        found = ", ".join(row.address for row in own)
        message = f"{network}: {instance} has the fixed address {found}, expected {wanted[0]}"
        raise Wrong("nova.database_differs", message, breaks=_NEEDS_ADDRESS)
    if not any(row.count and _is_of(row, network) for row in rows.free):
        raise Wrong(
            "nova.no_free_fixed_ip", f"{network}: {instance} has no fixed address, and no row of fixed_ips is free", place=network.name,
            breaks=_NEEDS_ADDRESS, remedy="release fixed addresses of instances that are gone, or nova-manage fixed create for more",
        )
    raise Wrong("nova.no_fixed_ip", f"{network}: {instance} has no row in fixed_ips, expected {wanted[0]}", breaks=_NEEDS_ADDRESS)


def _is_of(row: FixedRow | FreeRows, network: Network) -> bool:
    return _holds(network, row.address)


def _holds(network: Network, address: str) -> bool:
    try:
        return any(ip_address(address) in subnet.prefix for subnet in network.subnets)
    except ValueError:  # a row without an address
        return False


@pytest.mark.kind("nova-network")
@pytest.mark.declares("database")
@pytest.mark.hop("database", "policy")
def test_floating_ip_is_bound(interface: Interface, nova_rows: Rows) -> None:
    """The database binds each floating address to the fixed address of its instance.

    Why: nova-network writes its translation from this row: iptables without it lasts until the next restart.
    Remedy: platform: nova floating-ip-disassociate and nova floating-ip-associate for the instance and the address named here
    Source: OpenStack operations guide, chapter 13, floating_ips is related to instances by way of fixed_ips
    """
    rows, wanted = nova_rows[_database(interface.network, nova_rows)], [str(one) for one in interface.addresses]
    for floating in interface.floating:
        row = next((one for one in rows.floating if one.address == str(floating)), None)
        fixed = rows.fixed_by_id(row.fixed_ip_id) if row else None
        if fixed is not None and fixed.address in wanted:
            continue
        if row is None:
            says = "has no row in floating_ips"
        elif fixed is None:
            says = f"is bound to no fixed address (row {row.id}, fixed_ip_id {row.fixed_ip_id if row.fixed_ip_id is not None else 'NULL'})"
        else:
            owner = rows.instance(fixed.instance_uuid)
            says = f"is bound to {fixed.address} of {owner or fixed.instance_uuid or 'no instance'} (row {row.id})"
        raise Wrong(
            "nova.floating_ip_not_bound", f"{interface.network}: {floating} {says}, expected {interface} ({wanted[0]})", breaks=_FLOATING,
        )


# -- against the nodes -------------------------------------------------------------------------------------------------


@pytest.mark.kind("nova-network")
@pytest.mark.declares("database")
def test_database_matches_iptables(database: Database, nova_rows: Rows, iptables: By[Node, Ruleset], inventory: Inventory) -> None:
    """The nodes translate those floating addresses that the database binds, to the same fixed addresses, and no others.

    Those of instances of the inventory are judged by themselves.

    Why: what the two disagree on changes at the next restart of nova-network, or leads to an instance that is gone.
    Remedy: node administrator: restart nova-network on the node named here, when the database is right
    Source: OpenStack operations guide, chapter 13: what the database says, and iptables-save
    """
    rows, network = nova_rows[database], database.network
    known = {str(floating) for interface in inventory.interfaces for floating in interface.floating}
    known |= {row.address for row, fixed in rows.bound() if fixed is None or not _lives(rows, fixed)}  # stale: another check says so
    bound = {row.address: fixed.address for row, fixed in rows.bound() if fixed is not None and row.address not in known}
    done = {
        floating: (rule.to, node.name) for node in _gates(network) for rule in translations(iptables[node], "DNAT")
        if rule.whole and rule.port is None and rule.chain.startswith("nova-") and _is_floating(rows, rule.matches[0], known)
        and _tells(database, bound.get(floating := rule.matches[0].partition("/")[0], rule.to), inventory)
    }
    bound = {floating: fixed for floating, fixed in bound.items() if _tells(database, fixed, inventory)}
    # those of other hosts are translated on nodes that are not looked at
    near = {row.address for row in rows.floating if _is_one_of(row.host, _gates(network))}
    lacking = [address for address in bound if address not in done and address in near]
    differ = [f"{address} shall lead to {bound[address]}, and no node translates it" for address in lacking]
    differ += [
        f"{node} translates {address} to {to}, and the database has {bound.get(address, 'nothing')} for it"
        for address, (to, node) in done.items() if bound.get(address) != to
    ]
    if differ:
        place = next((node for address, (to, node) in done.items() if bound.get(address) != to), network.name)
        raise Wrong("nova.iptables_differ", f"{network}: {_listed(differ)}", place=place)


def _gates(network: Network) -> list[Node]:
    """Give the nodes that translate: each one with multi-host, else the network host."""
    host = network.nova.host if network.nova else ""
    return [end.node for end in network.attachments if not host or end.node.name == host]


def _is_one_of(host: str, nodes: Iterable[Node]) -> bool:
    """Tell whether nova's name of a host is that of one of these nodes, with or without its domain."""
    return any(host == node.name or host.partition(".")[0] == node.name for node in nodes)


def _lives(rows: NovaRows, fixed: FixedRow) -> bool:
    instance = rows.instance(fixed.instance_uuid)
    return instance is not None and instance.lives


def _is_floating(rows: NovaRows, prefix: str, known: set[str]) -> bool:
    address = prefix.partition("/")[0]
    return address not in known and any(row.address == address for row in rows.floating)


