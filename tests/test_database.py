"""netchecks/database.py against a real MariaDB: what is read, that nothing can be written, and that no secret is told."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from netchecks import database
from netchecks.lab.topology import FOLDER
from netchecks.models.nova_network import DeclaredDatabase
from netchecks.observe import OBSERVATIONS

SECRET = "n0va-secret"
DAEMON = next((path for name in ("mariadbd", "mysqld") if (path := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"))), None)
INSTALL = shutil.which("mariadb-install-db")
needs_mariadb = pytest.mark.skipif(not (DAEMON and INSTALL), reason="no MariaDB here")


def free_port():
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory):
    """A MariaDB on the loopback interface with the rows of the lab; gives its port."""
    folder, port = tmp_path_factory.mktemp("mariadb"), free_port()
    own = ["--no-defaults", f"--datadir={folder}/data", f"--user={getpass.getuser()}"]
    subprocess.run([INSTALL, *own, "--auth-root-authentication-method=normal", "--skip-test-db"], check=True, capture_output=True)
    files = yaml.safe_load((FOLDER / "nova-flatdhcp.yaml").read_text())["places"]["cloud1"]["node"]["files"]
    (folder / "data" / "nova.sql").write_text(files["etc/lab/nova.sql"])
    process = subprocess.Popen([
        DAEMON, *own, f"--socket={folder}/data/my.sock", f"--port={port}", "--bind-address=127.0.0.1", "--skip-log-bin", "--skip-name-resolve",
        "--performance-schema=off", "--innodb-buffer-pool-size=16M", f"--init-file={folder}/data/nova.sql",
    ], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield port
    process.terminate()
    process.wait(20)


def login(port, user="nova", password=SECRET, name="nova"):
    return database.Login("127.0.0.1", port, name, user, password)


@needs_mariadb
def test_the_rows_are_read_and_their_parser_takes_them(mariadb):
    found = OBSERVATIONS["nova_rows"].parse(json.dumps(database.rows(login(mariadb))))
    assert found.instance_of_mac("fa:16:3e:00:00:42").hostname == "vm42"
    assert [(one.address, fixed.address) for one, fixed in found.bound()] == [
        ("203.0.113.30", "10.0.2.24"), ("203.0.113.31", "10.0.2.25"), ("203.0.113.32", "10.0.2.26"),
    ]
    assert found.instance("a2f1c7d0-0000-4000-8000-000000000011") is None, "it is deleted, and nothing points to it"
    assert [(row.address, row.count) for row in found.free] == [("10.0.2.27", 2)]
    assert not any(row.free for row in found.fixed)


def administer(port, *statements):
    import pymysql

    with pymysql.connect(host="127.0.0.1", port=port, user="nova", password=SECRET, database="nova", autocommit=True) as some, some.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@needs_mariadb
def test_what_something_points_to_is_read_though_it_is_free_there_twice_or_deleted(mariadb):
    gone = "a2f1c7d0-0000-4000-8000-000000000011"
    administer(mariadb, f"insert into fixed_ips (id, address, network_id, instance_uuid) values (29, '10.0.2.29', 1, '{gone}'), (30, '10.0.2.24', 1, null)",
               "update floating_ips set fixed_ip_id = 27 where id = 33")
    try:
        found = OBSERVATIONS["nova_rows"].parse(json.dumps(database.rows(login(mariadb))))
    finally:
        administer(mariadb, "delete from fixed_ips where id in (29, 30)", "update floating_ips set fixed_ip_id = null where id = 33")
    assert [row.id for row in found.fixed] == [1, 2, 24, 25, 26, 27, 29, 30]
    assert found.fixed_by_id(27).free
    assert not found.instance(gone).lives
    assert [(row.address, row.count) for row in found.free] == [("10.0.2.24", 3)]


@needs_mariadb
def test_a_network_of_65536_addresses_is_read_within_a_statement_s_time(mariadb):
    fill = "insert into fixed_ips (id, address, network_id) select 1000 + seq, concat('10.7.', seq div 256, '.', seq mod 256), 7 from seq_0_to_65535"
    administer(mariadb, fill)
    try:
        found = database.rows(login(mariadb))
    finally:
        administer(mariadb, "delete from fixed_ips where id >= 1000")
    assert {row["id"]: row["free"] for row in found["free_fixed_ips"]} == {1: 2, 7: 65536}
    assert len(found["fixed_ips"]) == 5


class OldServer:
    """A connection on which a server that is too old for some statements answers them as those do."""

    def __init__(self, connection, number, *unknown):
        self._connection, self._number, self._unknown, self.said = connection, number, unknown, []

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def exec_driver_sql(self, text):
        from sqlalchemy import exc

        self.said.append(text)
        if any(words in text for words in self._unknown):
            raise exc.ProgrammingError(text, (), Exception(self._number, "it is not known"))
        return self._connection.exec_driver_sql(text)


@needs_mariadb
@pytest.mark.parametrize(("mariadb_too", "version", "read_only"), [(True, (5, 5, 68), False), (True, (10, 0, 0), True), (False, (5, 1, 73), False), (False, (5, 6, 5), True)])
def test_an_old_server_is_read_without_what_it_does_not_know(mariadb, monkeypatch, mariadb_too, version, read_only):
    olds = []

    def begin(connection):
        old = OldServer(connection, 1193, "max_statement_time", "max_execution_time")
        monkeypatch.setattr(connection.dialect, "is_mariadb", mariadb_too)
        monkeypatch.setattr(connection.dialect, "server_version_info", version)
        olds.append(old)
        original(old)

    original = database._begin
    monkeypatch.setattr(database, "_begin", begin)
    assert database.rows(login(mariadb))["networks"]
    assert ("START TRANSACTION READ ONLY" in olds[0].said) is read_only
    assert ("max_statement_time" in olds[0].said[0]) is mariadb_too


@needs_mariadb
@pytest.mark.parametrize(("number", "words"), [(1193, "SESSION TRANSACTION READ ONLY"), (1064, "START TRANSACTION READ ONLY"), (2013, "max_statement_time")])
def test_a_server_that_can_keep_a_transaction_read_only_has_to(mariadb, monkeypatch, number, words):
    original = database._begin
    monkeypatch.setattr(database, "_begin", lambda connection: original(OldServer(connection, number, words)))
    with pytest.raises(database.Refused, match="it is not known"):
        database.rows(login(mariadb))


@needs_mariadb
def test_a_user_that_may_only_read_is_enough(mariadb):
    assert database.rows(login(mariadb, "netchecks", "l00k-only"))["floating_ips"]


@needs_mariadb
def test_not_even_a_user_that_may_write_can_within_the_transaction(mariadb, monkeypatch):
    from sqlalchemy import exc

    told = []

    def read(connection, *arguments):
        try:
            connection.exec_driver_sql("update floating_ips set project_id = 'x'")
        except exc.DBAPIError as error:
            told.append(str(error.orig))
        return original(connection, *arguments)

    original = database._read
    monkeypatch.setattr(database, "_read", read)
    database.rows(login(mariadb))
    assert len(told) >= len(database.COLUMNS)
    assert all("READ ONLY" in words for words in told)


@needs_mariadb
@pytest.mark.parametrize(("change", "words"), [
    ({"password": "wr0ng"}, "Access denied for user 'nova'"),
    ({"name": "no_such"}, "database 'no_such'"),
    ({"user": "netchecks", "password": "l00k-only", "name": "mysql"}, "denied"),
])
def test_a_refusal_says_why_and_no_password(mariadb, change, words):
    with pytest.raises(database.Refused) as raised:
        database.rows(login(mariadb, **change))
    assert words in str(raised.value)
    assert change.get("password", SECRET) not in str(raised.value)


def test_nobody_at_the_address_is_said_in_time():
    started = time.monotonic()
    with pytest.raises(database.Refused) as raised:
        database.rows(login(free_port()))
    assert "127.0.0.1 port" in str(raised.value)
    assert time.monotonic() - started < database.CONNECT_SECONDS + 30


@needs_mariadb
def test_a_table_with_more_rows_than_are_read_is_no_answer(mariadb, monkeypatch):
    monkeypatch.setattr(database, "MOST", 2)
    with pytest.raises(database.Refused, match="the table virtual_interfaces has more than 2 rows"):
        database.rows(login(mariadb))


# -- the credentials ---------------------------------------------------------------------------------------------------


def told(source, value, **more):
    declared = DeclaredDatabase(source, str(value), **more)
    fields = {name: getattr(declared, name) for name in DeclaredDatabase.__slots__}
    return {"declared": fields, "way": {"backend": "local"} if source == "config" else None}


CONNECTIONS = {
    "juno": "[DEFAULT]\nmy_ip = 1\n[database]\nconnection = mysql://nova:n0va-secret@10.0.0.1/nova?charset=utf8\n",
    "folsom": "[DEFAULT]\nsql_connection=mysql://nova:n0va-secret@10.0.0.1/nova\n",
    "quoted": "[database]\nconnection = mysql+pymysql://nova:n0va%2Dsecret@10.0.0.1:3306/nova\n",
}


@pytest.mark.parametrize("form", CONNECTIONS)
def test_novas_configuration_holds_the_credentials(form, tmp_path):
    path = tmp_path / "nova.conf"
    path.write_text(CONNECTIONS[form])
    assert database.login_of(told("config", path, node="cloud1")) == database.Login("10.0.0.1", 3306, "nova", "nova", SECRET)


def test_the_inventory_may_name_another_address_and_database(tmp_path):
    path = tmp_path / "nova.conf"
    path.write_text(CONNECTIONS["juno"])
    found = database.login_of(told("config", path, node="cloud1", address="db.example", port=3307, name="nova_copy"))
    assert (found.host, found.port, found.name) == ("db.example", 3307, "nova_copy")


def test_an_option_file_holds_them(tmp_path):
    path = tmp_path / "my.cnf"
    path.write_text('[client]\nuser=netchecks\npassword="l00k-only"\nhost=10.0.0.9\nport=3310\n[mysqld]\nuser=mysql\n')
    assert database.login_of(told("option_file", path)) == database.Login("10.0.0.9", 3310, "nova", "netchecks", "l00k-only")


def test_the_environment_holds_them(monkeypatch):
    monkeypatch.setenv("NOVA_DATABASE", "netchecks:l00k:only")
    found = database.login_of(told("environment", "NOVA_DATABASE", address="10.0.0.9"))
    assert (found.user, found.password, found.host) == ("netchecks", "l00k:only", "10.0.0.9")


@pytest.mark.parametrize(("source", "text", "words"), [
    ("config", "[DEFAULT]\nmy_ip = 1\n", "has no connection of a database"),
    ("config", "not a configuration", "cannot be read as a configuration file"),
    ("config", "[database]\nconnection = sqlite:////var/lib/nova.sqlite\n", "expected mysql://"),
    ("config", None, "cannot be read"),
    ("option_file", None, "cannot be read"),
    ("option_file", "[mysqld]\nuser=mysql\n", "cannot be read"),
    ("environment", None, "has no variable"),
])
def test_what_holds_no_credentials_is_refused(source, text, words, tmp_path):
    path = tmp_path / "nova.conf"
    if text is not None:
        path.write_text(text)
    with pytest.raises(database.Refused, match=words):
        database.login_of(told(source, path if source != "environment" else "NO_SUCH_VARIABLE", node="cloud1"))


#: Each is one word between marks that URLs, configuration files or SQL take for something else.
UNESCAPED = [f"zq1{mark}zq2" for mark in ("/", "#", "?", ":", "@", "%", "[", "]", "/:@?#", "://", "@127.0.0.1:1/", ":12/", "%zz", " ")]


def program(path, text, **more):
    path.write_text(text)
    argument = json.dumps(told("config", path, node="c", **more))
    return subprocess.run([sys.executable, "-m", "netchecks.database", argument], capture_output=True, text=True, check=False,
                          cwd=Path(__file__).parents[1])


@pytest.mark.parametrize("password", UNESCAPED)
def test_a_password_with_unescaped_marks_is_read_to_the_last_at(password):
    found = database._from_url(f"mysql://nova:{password}@127.0.0.1:3307/nova?charset=utf8", "f")
    assert replace(found, secret=()) == database.Login("127.0.0.1", 3307, "nova", "nova", password)


@pytest.mark.parametrize("place", ["@127.0.0.1:1/nova", "@127.0.0.1:port/nova", "@127.0.0.1:99999/nova", "@/nova", "", "/nova", "@[::1/nova"])
@pytest.mark.parametrize("password", ["zq1/zq2", "zq1#zq2", "12/zq2", "zq1:zq2@zq3@127.0.0.1", "zq1?zq2%zq3"])
def test_no_part_of_a_password_is_told_whatever_stands_around_it(password, place, tmp_path, capsys):
    path = tmp_path / "nova.conf"
    for scheme in ("mysql://nova:", "mysql://", "", "zq0://"):
        path.write_text(f"[database]\nconnection = {scheme}{password}{place}\n")
        assert database.main([json.dumps(told("config", path, node="c"))]) == 1
        done = capsys.readouterr()
        assert done.out == ""
        assert "zq" not in done.err, done.err
        assert done.err.count("\n") == 1
        assert password.rpartition("@")[2] not in done.err


def test_an_error_that_nobody_expected_is_told_by_its_type_alone(capsys, tmp_path):
    path = tmp_path / "nova.conf"
    path.write_bytes(b"[database]\nconnection = mysql://nova:zq1\xff@127.0.0.1/nova\n")
    assert database.main([json.dumps(told("config", path, node="c"))]) == 1
    assert capsys.readouterr().err == "the database cannot be read: UnicodeDecodeError\n"


@needs_mariadb
@pytest.mark.parametrize("password", ["zq1/zq2", "zq1#zq2", "zq1?zq2", "zq1:zq2", "zq1@zq2", "zq1%zq2", "12/zq2"])
def test_the_program_tells_no_part_of_a_wrong_password(mariadb, password, tmp_path):
    done = program(tmp_path / "nova.conf", f"[database]\nconnection = mysql://nova:{password}@127.0.0.1:{mariadb}/nova\n")
    assert done.returncode == 1
    assert "Access denied for user 'nova'" in done.stderr
    assert "zq" not in done.stdout + done.stderr


@needs_mariadb
def test_the_program_prints_rows_or_why_not_and_never_the_password(mariadb, tmp_path):
    path = tmp_path / "nova.conf"
    for password, status in ((SECRET, 0), ("wr0ng", 1)):
        done = program(path, f"[database]\nconnection = mysql://nova:{password}@127.0.0.1:{mariadb}/nova\n")
        assert done.returncode == status, done.stderr
        assert password not in done.stdout + done.stderr
        assert json.loads(done.stdout)["networks"] if not status else "Access denied" in done.stderr


def test_without_sqlalchemy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(database.Refused, match=r"pytest-netchecks\[openstack\]"):
        database.rows(login(1))
