"""Ask OpenStack's API by its own command, on a host that has it: over one connection, some commands at a time, reading only.

Lists tell neither a port's network, host and instance nor a network's segment, in any release: each is asked for by ``show``, with
the columns that are wanted and no others (an instance's user data may hold secrets). Credentials stay on that host: a file of
them is sourced there, in silence, as its own errors may quote it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from netchecks.errors import NetchecksError, NotSeen, Unreadable
from netchecks.inventory.problems import did_you_mean, listed
from netchecks.models.subjects import Node
from netchecks.openstack import documents
from netchecks.openstack.documents import ROUTER_PORTS, Agent, Floating, Listed, Network, Port, Row, Rule, Server, Subnet
from netchecks.script import Alternative, Job, Ran
from netchecks.trip import Channel

T = TypeVar("T")
#: Seconds for one command: the client alone takes one or two to start, large clouds answer slowly.
COMMAND_SECONDS = 60.0
#: Ports that are asked for one by one in a run; more take longer than anybody waits.
MOST_PORTS = 5_000
#: Commands in one trip: its text has to be short enough for connections that take it as an argument (DESIGN, section 7).
_AT_ONCE = 64
_LIMIT = 16 * 1024 * 1024
#: What the wrapper exits with where the file of credentials is of no use; timeout(1); POSIX: 127, 126.
_NO_FILE, _TIMED_OUT, _NOT_THERE = 77, (124, 137, 143), (126, 127)

#: Sources the file ($1) and becomes the command (the rest).
_SOURCED = """\
[ -r "$1" ] || { echo "it cannot be read" >&2; exit 77; }
. "$1" >/dev/null 2>&1
[ -n "$OS_AUTH_URL$OS_CLOUD" ] || { echo "it sets neither OS_AUTH_URL nor OS_CLOUD" >&2; exit 77; }
shift; exec "$@"
"""
#: Does so ($1) with the user's own rights where they are enough, else by sudo ($2, where the inventory has it). Such files are
#: often written for bash.
_WITH_FILE = """\
in=$1; as=$2; shift 2; b=sh
command -v bash >/dev/null 2>&1 && b=bash
[ -r "$1" ] || [ -z "$as" ] || exec sudo -n "$b" -c "$in" netchecks "$@"
exec "$b" -c "$in" netchecks "$@"
"""

#: What the client says last, and what that means; the first that is in it counts (keystoneauth1.exceptions, openstack.exceptions).
_SAYS = (
    ("Missing value auth-url", "it has no credentials; see --rc-file and --os-cloud"),
    ("HTTP 401", "the credentials were refused"),
    ("HTTP 403", "this user may not ask for that, expected an administrator or a reader of the whole system"),
    ("Unable to establish connection", "the API cannot be reached from there"),
    ("sudo:", "no sudo there"),
)

_NETWORK = ("id", "name", "provider:network_type", "provider:physical_network", "provider:segmentation_id", "mtu")
_PORT = (
    "id", "network_id", "mac_address", "fixed_ips", "device_owner", "device_id", "binding_host_id", "binding_vif_type",
    "binding_vnic_type", "admin_state_up", "port_security_enabled", "security_group_ids",
)  # fmt: skip
#: The port of a floating address itself (neutron_lib.constants): bound nowhere, one for each.
_FLOATING_PORT = "network:floatingip"
_SERVER = ("id", "name", "status", "OS-EXT-SRV-ATTR:instance_name")


@dataclass(frozen=True, slots=True)
class Way:
    """How the client is called. ``command``: its argv; ``rc_file``: what sets its environment; ``cloud``: one of clouds.yaml."""

    command: tuple[str, ...] = ("openstack",)
    rc_file: str = ""
    cloud: str = ""

    def argv(self, words: Sequence[str], *, sudo: bool) -> tuple[str, ...]:
        """Give the whole command line for some words of the client's."""
        plain = (*self.command, *(("--os-cloud", self.cloud) if self.cloud else ()), *words)
        if not self.rc_file:
            return plain
        return ("sh", "-c", _WITH_FILE, "netchecks", _SOURCED, "sudo" if sudo else "", self.rc_file, *plain)


@dataclass(frozen=True, slots=True)
class Cloud:
    """What the API told of the chosen networks. ``servers``, ``rules`` of security groups: by id; what could not be asked for is not there.

    ``routers``: the agents of each router that has a port there, by its id. ``floating``: all floating addresses, asked for where there
    are routers. ``doubts``: what could not be seen and is not needed for the rest, a sentence each.
    """

    networks: tuple[Network, ...]
    subnets: tuple[Subnet, ...]
    ports: tuple[Port, ...]
    servers: dict[str, Server]
    agents: tuple[Agent, ...]
    rules: dict[str, tuple[Rule, ...]]
    routers: dict[str, tuple[Agent, ...]] = field(default_factory=dict)
    floating: tuple[Floating, ...] = ()
    doubts: tuple[str, ...] = ()


def ask(node: Node, way: Way, names: Sequence[str], seconds: float, say: Callable[[str], None]) -> Cloud:
    """Ask for the networks of these names or ids (of none: all), on a node, within these seconds. ``say``: hears what is done.

    Raises NetchecksError with everything that is wrong with the answers of one step.
    """
    return asyncio.run(_within(_Asking(node, way, Channel(node), say), names, seconds))


async def _within(asking: _Asking, names: Sequence[str], seconds: float) -> Cloud:
    try:
        async with asyncio.timeout(seconds):
            return await asking.cloud(names)
    except TimeoutError:
        message = f"{asking.node}: not everything could be asked for within {seconds:g} s; see --network and --timeout"
        raise NetchecksError(message) from None
    except NotSeen as reason:
        raise NetchecksError(f"{asking.node}: {reason}") from reason
    finally:
        await asking.channel.close()


@dataclass(slots=True)
class _Asking:
    node: Node
    way: Way
    channel: Channel
    say: Callable[[str], None]
    doubts: list[str] = field(default_factory=list)

    async def cloud(self, names: Sequence[str]) -> Cloud:
        """Ask step by step: which networks there are, the ports of those that are chosen, each port, each instance."""
        lists = [("network", "list", "--long"), ("subnet", "list", "--long"), ("network", "agent", "list")]
        networks, subnets, agents = await self._all(lists, documents.rows)
        chosen = _chosen(self._each(lists[0], networks, documents.listed), names)
        shown = await self._shown("network", [one.id for one in chosen], _NETWORK, documents.network)
        of_each = [("port", "list", "--long", "--network", one.id) for one in chosen]
        ports_of = zip(of_each, await self._all(of_each, documents.rows), strict=True)
        found = [one for words, rows in ports_of for one in self._each(words, rows, documents.listed)]
        wanted = [one.id for one in found if one.owner.startswith(("compute:", "network:")) and one.owner != _FLOATING_PORT]
        if len(wanted) > MOST_PORTS:
            raise NetchecksError(f"{self.node}: these networks have {len(wanted)} ports, expected at most {MOST_PORTS}: say --network")
        ports = await self._shown("port", wanted, _PORT, documents.port)
        known = {one.id for one in chosen}
        of_these = tuple(one for one in self._each(lists[1], subnets, documents.subnet) if one.network in known)
        own = [one for one in ports if one.owner.startswith("compute:")]
        servers = await self._some([one.device for one in own if one.device], lambda one: _show("server", one, _SERVER), documents.instance)
        rules = await self._some([group for one in own for group in one.groups if one.filtered], _rules, documents.rules)
        routers = await self._some([one.device for one in ports if one.owner in ROUTER_PORTS and one.device], _agents_of, documents.agents)
        floats = await self._some(["list"] if routers else [], lambda _: ("floating", "ip", "list"), documents.floats)
        told = tuple(self._each(lists[2], agents, documents.agent))
        every = tuple(one for some in floats.values() for one in some)
        return Cloud(tuple(shown), of_these, tuple(ports), servers, told, rules, routers, every, tuple(self.doubts))

    async def _some(self, ids: Iterable[str], command: Callable[[str], tuple[str, ...]], read: Callable[[str], T]) -> dict[str, T]:
        """Ask for each of these once; one that cannot be asked for (of another service, just deleted) is a doubt."""
        asked = list(dict.fromkeys(ids))
        commands = [command(one) for one in asked]
        found: dict[str, T] = {}
        for name, words, ran in zip(asked, commands, await self._run(commands), strict=True):
            try:
                found[name] = _read(ran, read, self.way)
            except (_Refused, Unreadable) as error:
                self.doubts.append(f"{_named(words)}: {error}")
        return found

    async def _shown(self, what: str, ids: Sequence[str], columns: Sequence[str], read: Callable[[Row], T]) -> list[T]:
        return await self._all([_show(what, one, columns) for one in ids], lambda text: read(documents.one(text)))

    def _each(self, words: Sequence[str], rows: Iterable[Row], read: Callable[[Row], T]) -> list[T]:
        """Read the rows of a list. Raises NetchecksError that names the command."""
        try:
            return list(map(read, rows))
        except Unreadable as error:
            raise NetchecksError(f"{self.node}: {_named(words)}: {error}") from error

    async def _all(self, commands: Sequence[tuple[str, ...]], read: Callable[[str], T]) -> list[T]:
        """Run commands of which each has to succeed. Raises NetchecksError with all that do not, the same words once."""
        found: list[T] = []
        wrong: dict[str, list[str]] = {}
        for words, ran in zip(commands, await self._run(commands), strict=True):
            try:
                found.append(_read(ran, read, self.way))
            except (_Refused, Unreadable) as error:
                wrong.setdefault(str(error), []).append(_named(words))
        if wrong:
            raise NetchecksError("\n".join(f"{self.node}: {listed(which, 3)}: {text}" for text, which in wrong.items()))
        return found

    async def _run(self, commands: Sequence[tuple[str, ...]]) -> list[Ran]:
        """Run commands, as many in one trip as it may hold, in their order."""
        got: list[Ran] = []
        for start in range(0, len(commands), _AT_ONCE):
            some = commands[start : start + _AT_ONCE]
            self.say(f"{self.node}: {_named(some[0])}{_more(start, len(commands))}")
            jobs = [self._job(str(number), words) for number, words in enumerate(some)]
            ran = {one.key: one for one in await self.channel.run(jobs, COMMAND_SECONDS * len(some))}
            if missing := [job.key for job in jobs if job.key not in ran]:
                raise NetchecksError(f"{self.node}: {_named(some[int(missing[0])])}: no answer came")
            got.extend(ran[job.key] for job in jobs)
        return got

    def _job(self, key: str, words: Sequence[str]) -> Job:
        argv = self.way.argv((*words, "-f", "json"), sudo=self.node.connection.sudo)
        return Job(key, (Alternative(argv),), seconds=COMMAND_SECONDS, limit=_LIMIT)


class _Refused(NetchecksError):
    """A command did not do what it was asked for; its text says why."""


def _read(ran: Ran, read: Callable[[str], T], way: Way) -> T:
    """Read what a command printed. Raises _Refused where it failed, Unreadable where it printed something else."""
    if ran.status:
        raise _Refused(_why(ran, way))
    return read(ran.stdout.decode("utf-8", "replace"))


def _why(ran: Ran, way: Way) -> str:
    """Say why a command failed, by its exit status and the last line that it said."""
    said = [line.strip() for line in ran.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    last = said[-1][:200] if said else f"exit status {ran.status}"
    if ran.status == _NO_FILE and way.rc_file:
        return f"--rc-file {way.rc_file}: {last}"
    if ran.status in _TIMED_OUT:
        return f"it did not end within {COMMAND_SECONDS:g} s"
    if ran.status in _NOT_THERE:
        return f"{way.command[0]!r} is not installed there, or not where it is looked for ({last}); see --command"
    return next((f"{meaning} ({last})" for text, meaning in _SAYS if text in last), last)


def _chosen(there: Sequence[Listed], names: Sequence[str]) -> list[Listed]:
    """Give the networks of these names or ids, each once; all where none is named. Raises NetchecksError with all that there are not."""
    known = [name for one in there for name in (one.name, one.id)]
    missing = [name for name in names if name not in known]
    if missing:
        names_there = listed(sorted(one.name for one in there)) or "none"
        told = (f"--network {name}: there is no such network{did_you_mean(name, known)}" for name in missing)
        raise NetchecksError("\n".join((*told, f"the networks are: {names_there}")))
    return [one for one in there if not names or one.name in names or one.id in names]


def _show(what: str, name: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Give the command that shows some columns of one thing."""
    return (what, "show", name, *(word for column in columns for word in ("-c", column)))


def _agents_of(router: str) -> tuple[str, ...]:
    """Give the command that lists the L3 agents of a router."""
    return ("network", "agent", "list", "--router", router)


def _rules(group: str) -> tuple[str, ...]:
    """Give the command that lists what a security group lets in."""
    return ("security", "group", "rule", "list", group, "--ingress", "--long")


def _named(words: Sequence[str]) -> str:
    """Name a command without its columns."""
    return " ".join(("openstack", *words[: words.index("-c") if "-c" in words else None]))


def _more(start: int, count: int) -> str:
    """Say how many commands of a step are still to come, and how many are done."""
    done = f", {start} done" if start else ""
    return f" (and {count - start - 1} more{done})" if count - start > 1 or start else ""
