"""Reading nova's database from this machine: ``python -m netchecks.database WORD``, where the word is what Database.words says.

Prints the rows as JSON. Reads in one transaction that the server itself keeps read-only, with bounds on time and rows. The
credentials come from nova's configuration on a node, an option file or the environment, stay in this process, and are in
nothing that it prints. Needs SQLAlchemy and PyMySQL (pytest-netchecks[openstack]).
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from netchecks import connect
from netchecks.errors import NetchecksError, NotSeen
from netchecks.models.nova_network import MYSQL_PORT, DeclaredDatabase
from netchecks.models.subjects import Connection, Node
from netchecks.script import Alternative, Job, command_line

#: Seconds: to connect, to read one answer, and for one statement on the server.
CONNECT_SECONDS, READ_SECONDS, STATEMENT_SECONDS = 5, 10, 5
#: Rows of one table; more is no answer, as what is missing would be taken for absent.
MOST = 50_000
#: The tables, and of each the columns that operators look at (OpenStack operations guide, chapter 13; nova/db/sqlalchemy/models.py).
COLUMNS: dict[str, tuple[str, ...]] = {
    "instances": ("id", "uuid", "hostname", "host", "vm_state", "deleted"),
    "networks": ("id", "label", "cidr", "bridge", "bridge_interface", "vlan", "multi_host", "host"),
    "virtual_interfaces": ("id", "address", "network_id", "instance_uuid"),
    "fixed_ips": ("id", "address", "network_id", "virtual_interface_id", "instance_uuid", "allocated", "leased", "reserved", "host"),
    "floating_ips": ("id", "address", "fixed_ip_id", "project_id", "host", "pool", "interface"),
}
#: Deleted rows of these stay in the answer: they are the point.
WITH_DELETED = frozenset({"instances"})
#: Sections and names under which nova has had its connection (nova/openstack/common/db/sqlalchemy/session.py).
_CONNECTIONS = (("database", "connection"), ("DEFAULT", "sql_connection"), ("DATABASE", "sql_connection"))

#: What stands behind the user and the password, and the other databases that nova knows.
_PLACE = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]*)(?::(?P<port>[0-9]{1,5}))?(?:/(?P<name>[^/?#:@]*))?/?(?:\?.*)?", re.DOTALL,
)
_OTHERS = frozenset({"sqlite", "postgresql", "postgres"})


class Refused(NetchecksError):
    """The database cannot be read: its text is all that is told, and holds no secret."""


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """Where to log in, and as whom. ``secret``: what no message may hold: the password, and a host that may be a part of it."""

    host: str
    port: int
    name: str
    user: str
    password: str
    secret: tuple[str, ...] = ()


def main(arguments: list[str]) -> int:
    """Print the rows and give 0, or say on stderr why not and give 1."""
    try:
        print(json.dumps(rows(login_of(json.loads(arguments[0])))))  # noqa: T201 - what it is for
    except Refused as error:
        print(error, file=sys.stderr)  # noqa: T201 - as above
        return 1
    except Exception as error:  # noqa: BLE001 - whatever it is: its text may hold the credentials, and a traceback their line
        print(f"the database cannot be read: {type(error).__name__}", file=sys.stderr)  # noqa: T201 - as above
        return 1
    return 0


# -- the credentials ---------------------------------------------------------------------------------------------------


def login_of(told: Mapping[str, Any]) -> Login:
    """Find the credentials where the inventory says. Raises Refused."""
    declared = DeclaredDatabase(**told["declared"])
    found = {"config": _from_config, "option_file": _from_option_file, "environment": _from_environment}[declared.source](declared, told)
    return Login(
        declared.address or found.host, declared.port if declared.port != MYSQL_PORT or not found.port else found.port,
        declared.name or found.name or "nova", found.user, found.password, found.secret,
    )


def _from_config(declared: DeclaredDatabase, told: Mapping[str, Any]) -> Login:
    where = f"{declared.value} on {declared.node}"
    way = Connection(**told["way"]) if told["way"] else Connection("local")
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True, default_section="none")
    try:
        parser.read_string(_file_at(Node(declared.node, way), declared.value))
    except configparser.Error:
        raise Refused(f"{where} cannot be read as a configuration file") from None
    url = next((parser[part][name] for part, name in _CONNECTIONS if parser.has_option(part, name)), None)
    if not url:
        raise Refused(f"{where} has no connection of a database")
    return _from_url(url, where)


def _from_url(url: str, where: str) -> Login:
    """Read ``mysql+pymysql://nova:secret@host:3306/nova?charset=utf8``.

    The last @ ends the password, as in the SQLAlchemy of nova's time: it may hold / # ? : @ unescaped. What cannot be read is not
    repeated: any part of it may be the password.
    """
    scheme, _, rest = url.strip().strip("\"'").partition("://")
    kind = scheme.partition("+")[0]
    if kind not in {"mysql", "mariadb"}:
        raise Refused(f"{where}: its database is {kind if kind in _OTHERS else 'something else'}, expected mysql://...")
    login, at, place = rest.rpartition("@")
    match = _PLACE.fullmatch(place)
    if not at or match is None:
        raise Refused(f"{where}: the connection of its database is not of the form mysql://USER:PASSWORD@HOST:PORT/NAME")
    user, _, password = login.partition(":")
    host, port, name = match["host"].strip("[]"), int(match["port"] or MYSQL_PORT), unquote(match["name"] or "")
    # of several @ one is the password's own: what stands after the last may be too, where somebody forgot the host
    return Login(host, port, name, unquote(user), unquote(password), (host,) if host and "@" in login else ())


def reading(path: str) -> Job:
    """Give what runs at a node to read its configuration, as ``netchecks commands`` tells it; what it prints is in no record."""
    return Job("credentials", (Alternative(("cat", path)),), root=True)


def _file_at(node: Node, path: str) -> str:
    """Read a file at a node, with sudo where the inventory has it. Raises Refused."""
    text = shlex.join(command_line(reading(path), reading(path).ways[0], sudo=node.connection.sudo))
    try:
        done = subprocess.run(connect.shell(node), input=f"exec {text}\n", capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired, NotSeen) as error:
        raise Refused(f"{path} on {node} cannot be read: {type(error).__name__}") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise Refused(f"{path} on {node} cannot be read: {said[:200]}")
    return done.stdout


def _from_option_file(declared: DeclaredDatabase, _told: Mapping[str, Any]) -> Login:
    """Read the group ``client`` of an option file (mysql(1), .my.cnf)."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True, default_section="none")
    try:
        parser.read_string(Path(declared.value).read_text(encoding="utf-8"))
        group = {name.replace("-", "_"): (value or "").strip().strip("\"'") for name, value in parser["client"].items()}
        port = int(group.get("port") or 0)
    except (OSError, configparser.Error, KeyError, ValueError) as error:
        raise Refused(f"the option file {declared.value} cannot be read: {type(error).__name__}") from None
    return Login(group.get("host", ""), port, group.get("database", ""), group.get("user", ""), group.get("password", ""))


def _from_environment(declared: DeclaredDatabase, _told: Mapping[str, Any]) -> Login:
    user, colon, password = os.environ.get(declared.value, "").partition(":")
    if not colon:
        raise Refused(f"the environment has no variable {declared.value} of the form user:password")
    return Login("", 0, "", user, password)


# -- the rows ----------------------------------------------------------------------------------------------------------


def rows(login: Login) -> dict[str, list[dict[str, Any]]]:
    """Give the rows of all tables, in one read-only transaction. Raises Refused."""
    try:
        from sqlalchemy import URL, create_engine, exc
        from sqlalchemy.pool import NullPool
    except ImportError:
        raise Refused("SQLAlchemy is not installed here: pip install 'pytest-netchecks[openstack]'") from None
    if not login.host:
        raise Refused("the host of the database is not known: neither the inventory nor the place of the credentials names it")
    url = URL.create("mysql+pymysql", login.user, login.password, login.host, login.port, login.name)
    times = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS, "write_timeout": READ_SECONDS}
    where = _hidden(f"the database {login.name} at {login.host} port {login.port}", login)
    try:
        engine = create_engine(url, connect_args=times, poolclass=NullPool, hide_parameters=True)
        with engine.connect() as connection:
            return dict(_tables(connection))
    except exc.DBAPIError as error:
        raise Refused(f"{where}: {_said(error.orig, login)}") from None
    except (exc.SQLAlchemyError, ImportError, RuntimeError, OSError) as error:
        raise Refused(f"{where}: {type(error).__name__}") from None


def _said(error: BaseException | None, login: Login) -> str:
    """Give what the server or the driver said, without the password, which neither should say."""
    return _hidden(str(error.args[-1] if error is not None and error.args else error), login)[:200]


def _hidden(text: str, login: Login) -> str:
    for secret in filter(None, (login.password, *login.secret)):
        text = text.replace(secret, "***")
    return text


def _tables(connection: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    from sqlalchemy import column, select, table
    from sqlalchemy import exc as errors

    try:  # MariaDB's name for it; MySQL has max_execution_time
        connection.exec_driver_sql(f"SET SESSION max_statement_time = {STATEMENT_SECONDS}")
    except errors.DBAPIError:
        connection.exec_driver_sql(f"SET SESSION max_execution_time = {STATEMENT_SECONDS * 1000}")
    connection.rollback()
    connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
    connection.exec_driver_sql("START TRANSACTION READ ONLY")
    for name, columns in COLUMNS.items():
        wanted: Any = select(*(column(one) for one in columns)).select_from(table(name)).order_by(column("id")).limit(MOST + 1)
        if name not in WITH_DELETED:
            wanted = wanted.where(column("deleted") == 0)
        found = [dict(row) for row in connection.execute(wanted).mappings()]
        if len(found) > MOST:
            raise Refused(f"the table {name} has more than {MOST} rows")
        yield name, found
    connection.rollback()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
