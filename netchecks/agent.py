"""Runs on the node: sends what it is told, keeps what it is told, prints one JSON document, and is gone.

Python 3.6, standard library only, never installed: its text travels with the job in place of @JOB@. Bounded in time,
packets and bytes; it ends when the one who started it ends.
"""
import base64
import ctypes
import errno
import fcntl
import json
import os
import resource
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time

JOB = json.loads(base64.b64decode("@JOB@").decode())
MAX_BYTES = 16 << 20  # for all captures
BUFFERS = 48 << 20  # for all of the kernel's, which doubles what it is asked for
FILES = 4096  # that may be open: three captures for each of a thousand taps
AT_ONCE = 1000  # packets read in one go: a flood must not keep the timers from their time
LARGEST = 2048  # bytes of a frame; the kernel's filter keeps less of most
CLOSERS = 50  # threads
ETH_P_ALL = 3
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 26, 33, 35
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_STATISTICS, PACKET_AUXDATA = 263, 6, 8
TP_STATUS_CSUMNOTREADY, TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 0x8, 0x10, 0x40
CLONE_NEWNET, SIOCGIFHWADDR, CLOCK_BOOTTIME = 0x40000000, 0x8927, 7
IP_MTU_DISCOVER, IP_RECVERR, IPV6_MTU_DISCOVER, IPV6_RECVERR = 10, 11, 23, 25
PMTUDISC_DO = 2
MSG_ERRQUEUE = 0x2000
BEGAN = time.clock_gettime(CLOCK_BOOTTIME)
START = time.monotonic()
PARENT = os.getppid()
LOOP = selectors.DefaultSelector()
TIMERS = []
SOURCES = {}  # what is captured, by its key: {"packets", "opened", "error", "dropped", "of", "socket"}
LEFT = [MAX_BYTES]
TIMESPEC = struct.Struct("ll")
WALL = []  # what the wall clock showed when we began: seconds, nanoseconds
PROGRAMS = [ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in one)) for one in JOB["programs"]]
RESULTS = [{"outcome": "", "error": "", "seconds": 0.0, "sent": 0} for _ in JOB["actions"]]
OPEN = set()


def now():
    return time.monotonic() - START


def later(at, call):
    TIMERS.append((at, len(TIMERS), call))
    TIMERS.sort(key=lambda timer: timer[:2])


def done(index, outcome, error=""):
    if index in OPEN:
        OPEN.discard(index)
        RESULTS[index].update(outcome=outcome, error=error, seconds=round(now() - RESULTS[index].pop("since", 0.0), 6))


# -- frames and captures ---------------------------------------------------------------------------------------------


def inside(namespace, call):
    """Do something in a network namespace of this node; a socket stays in the one where it was made, and so does a child."""
    if not namespace:
        return call()
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open("/run/netns/" + namespace, os.O_RDONLY)
    try:
        if libc.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), namespace)
        try:
            return call()
        finally:
            if libc.setns(home, CLONE_NEWNET):
                os._exit(1)
    finally:
        os.close(home)
        os.close(there)


def named(device):
    """The name of a device that may be given by its MAC, as "mac:52:54:00:00:00:01"."""
    if not device.startswith("mac:"):
        return device
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            answer = fcntl.ioctl(sock, SIOCGIFHWADDR, struct.pack("256s", name.encode()))
            if ":".join("%02x" % byte for byte in answer[18:24]) == device[4:]:
                return name
    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), device)


def packet_socket(namespace, device, protocol, prepare):
    def make():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            prepare(sock)
            sock.bind((named(device), protocol))
        except BaseException:
            sock.close()
            raise
        return sock

    return inside(namespace, make)


def capture(key, wanted):
    source = SOURCES[key] = {
        "packets": [], "unfinished": [], "opened": None, "error": "", "dropped": 0, "of": (wanted["namespace"], wanted["device"]),
    }

    def prepare(sock):
        text = PROGRAMS[wanted["program"]]
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(text) // 8, ctypes.addressof(text)))
        sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        size = min(8 << 20, BUFFERS // len(JOB["captures"]))
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
        except OSError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, min(size, 1 << 20))

    try:
        sock = packet_socket(wanted["namespace"], wanted["device"], ETH_P_ALL, prepare)
    except OSError as error:
        source.update(error=str(error), denied=error.errno in (errno.EPERM, errno.EACCES))
        return
    sock.setblocking(False)
    source.update(opened=round(now(), 6), socket=sock)
    kept = source["packets"]

    def readable():
        for _ in range(AT_ONCE):
            try:
                data, ancillary, _, where = sock.recvmsg(LARGEST, 128)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EINTR):
                    source["error"] = str(error)
                return
            status, vlan = auxiliary(ancillary)
            at, data = came(ancillary), data[:12] + vlan + data[12:]
            LEFT[0] -= len(data)
            if len(kept) < wanted["most"] and LEFT[0] > 0:
                if status & TP_STATUS_CSUMNOTREADY:
                    source["unfinished"].append(len(kept))
                kept.append((at, where[2] == PACKET_OUTGOING, data))
            else:
                source["dropped"] += 1

    LOOP.register(sock, selectors.EVENT_READ, readable)


def came(ancillary):
    """When the kernel saw a frame, however late it is read: its stamp is of the wall clock, which may be set meanwhile."""
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(value) >= TIMESPEC.size:
            seconds, nanoseconds = TIMESPEC.unpack(value[:TIMESPEC.size])
            at = ((seconds - WALL[0]) * 1000000000 + nanoseconds - WALL[1]) / 1e9
            if 0.0 <= at <= now():
                return round(at, 6)
    return round(now(), 6)


def watch_clock():
    """Note when the wall clock showed our beginning; again only where it was set, so that a frame has one time in all captures."""
    began = time.time() - now()
    if not WALL or abs(WALL[0] + WALL[1] / 1e9 - began) > 0.005:
        WALL[:] = int(began), int(began % 1 * 1e9)


def auxiliary(ancillary):
    """What the kernel tells beside a frame: its state, and the VLAN tag that it has taken out of the data."""
    for level, kind, value in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA and len(value) >= 20:
            status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", value[:20])
            tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
            return status, struct.pack("!HH", tpid, tci) if status & TP_STATUS_VLAN_VALID else b""
    return 0, b""


def frames(index, action):
    sock = packet_socket(action["namespace"], action["device"], 0, lambda sock: None)
    texts = [base64.b64decode(text) for text in action["frames"]]
    schedule(index, action, texts, sock.send, lambda: action["unless"] and seen(action))


def packets(index, action):
    """IP packets as they are, by the way that the routes of this node take."""
    family = family_of(action["target"])
    sock = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
    texts = [base64.b64decode(text) for text in action["packets"]]
    schedule(index, action, texts, lambda text: sock.sendto(text, (action["target"], 0)), lambda: False)


def schedule(index, action, texts, send_one, needless):
    OPEN.add(index)
    RESULTS[index].update(since=action["at"], times=[])

    def send(position):
        if needless():
            return done(index, "not needed")
        try:
            RESULTS[index]["times"].append(round(now(), 6))
            send_one(texts[position])
            RESULTS[index]["sent"] += 1
        except OSError as error:
            return done(index, "failed", str(error))
        if position + 1 < len(texts):
            return later(now() + action["gap"], lambda: send(position + 1))
        return done(index, "sent")

    later(action["at"], lambda: send(0))


def seen(action):
    """An answer on another device (the uplink, of which the bridge is a port) may be somebody else's."""
    wanted = [(offset, base64.b64decode(text)) for offset, text in action["unless"]]
    here = (action["namespace"], action["device"])
    return any(
        not outgoing and all(data[offset:offset + len(text)] == text for offset, text in wanted)
        for source in SOURCES.values() if source["of"] == here for _, outgoing, data in source["packets"]
    )


def lease(index, action):
    """DHCP's whole handshake (RFC 2131) for a test MAC, with an expected server only; what is taken is given back at once."""
    sock = packet_socket(action["namespace"], action["device"], 0, lambda sock: None)
    discover, request, release, identifier = (
        base64.b64decode(action[name]) for name in ("discover", "request", "release", "identifier")
    )
    servers = [socket.inet_aton(server) for server in action["servers"]]
    here = (action["namespace"], action["device"])
    OPEN.add(index)
    RESULTS[index]["since"] = action["at"]

    def heard(kinds):
        for source in SOURCES.values():
            for _, outgoing, data in source["packets"] if source["of"] == here else ():
                if not outgoing and data[12:14] == b"\x08\0" and data[42:43] == b"\x02" and data[46:50] == identifier:
                    kind, server = dhcp_option(data, 53), dhcp_option(data, 54)
                    if kind in kinds and server in servers:
                        return kind, data[58:62], server
        return None

    def say(frame, *filled):
        for offset, value in filled:
            frame = frame[:offset] + value + frame[offset + 4:]
        sock.send(frame)
        RESULTS[index]["sent"] += 1

    def wait(kinds, call):
        found = heard(kinds)
        if found:
            return call(*found)
        if now() < action["at"] + action["seconds"]:
            return later(now() + 0.05, lambda: wait(kinds, call))
        return done(index, "silent", "no %s" % ("offer" if kinds == (b"\x02",) else "ACK"))

    def offered(_, address, server):
        say(request, *zip(action["request_at"], (address, server)))
        wait((b"\x05", b"\x06"), lambda kind, given, who: ended(kind, given, who))

    def ended(kind, address, server):
        if kind == b"\x05":
            say(release, *zip(action["release_at"], (address, server)))
        return done(index, "answered" if kind == b"\x05" else "refused", socket.inet_ntoa(server))

    def begin():
        say(discover)
        wait((b"\x02",), offered)

    later(action["at"], begin)


def dhcp_option(data, code):
    """One option of a BOOTP message in an untagged frame, None where it is not there."""
    at = 14 + (data[14] & 15) * 4 + 8 + 240
    while at + 1 < len(data) and data[at] != 255:
        if data[at] == code:
            return data[at + 2:at + 2 + data[at + 1]]
        at += 1 if data[at] == 0 else 2 + data[at + 1]
    return None


# -- sockets ---------------------------------------------------------------------------------------------------------


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def open_icmp(family):
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    try:
        return socket.socket(family, socket.SOCK_RAW, protocol)
    except PermissionError:
        return socket.socket(family, socket.SOCK_DGRAM, protocol)


def tune(sock, family, fragment):
    six = family == socket.AF_INET6
    level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
    sock.setsockopt(level, IPV6_RECVERR if six else IP_RECVERR, 1)
    if not fragment:
        sock.setsockopt(level, IPV6_MTU_DISCOVER if six else IP_MTU_DISCOVER, PMTUDISC_DO)


def said(sock, error):
    """Who said that it does not go, from the error queue: 'Message too long (from 10.0.0.1, mtu 1400)'."""
    text = os.strerror(error.errno) if error.errno else str(error)
    try:
        _, ancillary, _, _ = sock.recvmsg(2048, 1024, MSG_ERRQUEUE)
    except OSError:
        return text
    for _, _, data in ancillary:
        if len(data) >= 16:
            _, origin, _, _, _, info, _ = struct.unpack_from("=IBBBBII", data)
            who = "this machine"
            if origin in (2, 3) and len(data) >= 24:
                six = struct.unpack_from("=H", data, 16)[0] == socket.AF_INET6
                raw = data[24:40] if six else data[20:24]
                who = socket.inet_ntop(socket.AF_INET6 if six else socket.AF_INET, raw)
            return "%s (from %s%s)" % (text, who, ", mtu %d" % info if error.errno == errno.EMSGSIZE else "")
    return text


def outcome_of(error):
    if error.errno == errno.ECONNREFUSED:
        return "refused"
    return "too_big" if error.errno == errno.EMSGSIZE else "unreachable"


def echo(index, action):
    family = family_of(action["target"])
    OPEN.add(index)
    RESULTS[index]["since"] = now()
    message, cookie = base64.b64decode(action["message"]), base64.b64decode(action["cookie"])
    try:
        sock = open_icmp(family)
    except OSError:
        return ping(index, action, len(message))
    tune(sock, family, action["fragment"])
    sock.setblocking(False)
    first = []  # who said first that it does not go: after that this machine knows it by itself, and says only so

    def send(turn):
        if index not in OPEN:
            return None
        if turn == action["count"]:
            return done(index, *(first or [("silent",)])[0])
        try:
            sock.send(message)
            RESULTS[index]["sent"] += 1
        except OSError as error:
            first.append((outcome_of(error), said(sock, error)))
        return later(now() + 1.0, lambda: send(turn + 1))

    def readable():
        try:
            data = sock.recv(65535)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                first.append((outcome_of(error), said(sock, error)))
            return
        header = (data[0] & 15) * 4 if family == socket.AF_INET and data and data[0] >> 4 == 4 else 0
        if cookie in data and data[header:header + 1] in (b"\0", b"\x81"):  # echo reply: 0, of ICMPv6 129
            done(index, "answered")

    try:
        sock.connect((action["target"], 0))
    except OSError as error:
        return done(index, "unreachable", said(sock, error))
    LOOP.register(sock, selectors.EVENT_READ, readable)
    return send(0)


def ping(index, action, size):
    """Without the right to open an ICMP socket: the node's own setuid ping."""
    argv = ["ping", "-n", "-c", str(action["count"]), "-W", "1", "-s", str(size - 8)]
    argv += [] if action["fragment"] else ["-M", "do"]
    try:
        child = subprocess.Popen(argv + [action["target"]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError as error:
        return done(index, "failed", "no right to open an ICMP socket, and ping: %s" % error.strerror)

    def poll():
        if child.poll() is None and now() < JOB["deadline"] - 0.5:
            return later(now() + 0.05, poll)
        child.kill()
        text = child.stdout.read().decode("utf-8", "replace").strip()
        RESULTS[index]["sent"] = action["count"]
        return done(index, pinged(child.wait(), text), "ping: " + (text.splitlines() or [""])[-1])

    return poll()


def pinged(status, text):
    """What ping means: of iputils and busybox 0 is an answer, 1 none or a mistake; the words are the kernel's."""
    if status == 0:
        return "answered"
    if "nreachable" in text:
        return "unreachable"
    if "essage too long" in text or "rag needed" in text:
        return "too_big"
    return "silent" if "packets transmitted" in text else "failed"


def connect(index, action):
    family = family_of(action["target"])
    OPEN.add(index)
    RESULTS[index].update(since=now(), sent=1)
    sock = socket.socket(family, socket.SOCK_STREAM)
    tune(sock, family, True)
    sock.setblocking(False)

    def finish(outcome, error=""):
        if index in OPEN:
            done(index, outcome, error)
            LOOP.unregister(sock)
            sock.close()

    def writable():
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code:
            return finish("answered")
        error = OSError(code, os.strerror(code))
        return finish("silent" if code == errno.ETIMEDOUT else outcome_of(error), said(sock, error))

    code = sock.connect_ex((action["target"], action["port"]))
    if code not in (0, errno.EINPROGRESS):
        error = OSError(code, os.strerror(code))
        return done(index, outcome_of(error), said(sock, error))
    LOOP.register(sock, selectors.EVENT_WRITE, writable)
    return later(now() + action["seconds"], lambda: finish("silent"))


def datagram(index, action):
    family = family_of(action["target"])
    OPEN.add(index)
    RESULTS[index]["since"] = now()
    sock = socket.socket(family, socket.SOCK_DGRAM)
    tune(sock, family, True)
    sock.setblocking(False)
    payload = base64.b64decode(action["payload"])

    def fail(error):
        if error.errno not in (errno.EAGAIN, errno.EINTR):
            done(index, outcome_of(error), said(sock, error))

    def readable():
        try:
            data = sock.recv(65535)
        except OSError as error:
            return fail(error)
        LOOP.unregister(sock)  # the first answer counts: what comes after it is not kept
        RESULTS[index]["data"] = [round(now(), 6), base64.b64encode(data).decode()]
        return done(index, "answered")

    def send():
        if index in OPEN:
            try:
                sock.send(payload)
                RESULTS[index]["sent"] += 1
            except OSError as error:
                fail(error)

    try:
        sock.connect((action["target"], action["port"]))
    except OSError as error:
        return done(index, "unreachable", said(sock, error))
    LOOP.register(sock, selectors.EVENT_READ, readable)
    send()
    later(now() + action["seconds"] / 2, send)
    return later(now() + action["seconds"], lambda: done(index, "silent"))


def checksum(data):
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def series(index, action):
    """A bounded row of small packets, and which are answered: echoes, or SYNs from several ports, which nobody accepts.

    What answers a SYN finds no socket here: this machine's kernel resets it, so that no connection comes about.
    """
    family, count, port = family_of(action["target"]), action["count"], action["port"]
    six = family == socket.AF_INET6
    protocol = socket.IPPROTO_TCP if port else socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    raw = True
    try:
        sock = socket.socket(family, socket.SOCK_RAW, protocol)
    except PermissionError:
        if port:
            return connections(index, action)
        sock, raw = socket.socket(family, socket.SOCK_DGRAM, protocol), False  # the kernel's own: it sets and checks the identifier
    sock.setblocking(False)
    sock.connect((action["target"], 0))  # the kernel gives it only what comes from there
    pseudo = b"".join(socket.inet_pton(family, address) for address in (sock.getsockname()[0].split("%")[0], action["target"]))
    pseudo += struct.pack("!II", 20, protocol) if six else struct.pack("!HH", protocol, 20)
    mark, answered = struct.unpack("!I", os.urandom(4))[0] & 0x7FFF0000, [0] * count
    OPEN.add(index)
    RESULTS[index].update(since=now())

    def packet(turn):
        if port:
            own = action["ports"][turn % len(action["ports"])]
            head, tail = struct.pack("!HHIIBBH", own, port, mark + turn, 0, 0x50, 2, 64240), struct.pack("!H", 0)
            return head + struct.pack("!H", checksum(pseudo + head + b"\0\0" + tail)) + tail
        rest = struct.pack("!HH", mark >> 16, turn) + b"netchecks\n" + bytes(22)
        return struct.pack("!BBH", 128, 0, 0) + rest if six else struct.pack("!BBH", 8, 0, checksum(b"\x08\0\0\0" + rest)) + rest

    def position(data):
        if port:
            ack, flags = struct.unpack_from("!I", data, 8)[0], data[13]
            return ack - 1 - mark if flags & 0x10 and flags & 6 and data[:2] == struct.pack("!H", port) else -1
        kind, _, _, identifier, turn = struct.unpack_from("!BBHHH", data)
        return turn if kind in (0, 129) and (identifier == mark >> 16 or not raw) else -1

    def readable():
        for _ in range(AT_ONCE):
            try:
                data = sock.recv(2048)
            except OSError:
                return
            data = data if six or not raw else data[(data[0] & 15) * 4:]
            turn = position(data) if len(data) >= (20 if port else 8) else -1
            if 0 <= turn < count:
                answered[turn] = 1

    def send(turn):
        if index not in OPEN:
            return None
        try:
            sock.send(packet(turn))
            RESULTS[index]["sent"] += 1
        except OSError as error:
            RESULTS[index]["error"] = str(error)
        if turn + 1 < count:
            return later(now() + action["gap"], lambda: send(turn + 1))
        return later(now() + 0.8, end)

    def end():
        readable()  # what came while this machine was too busy to look
        LOOP.unregister(sock)
        rowed(index, action, answered)

    LOOP.register(sock, selectors.EVENT_READ, readable)
    return later(action["at"], lambda: send(0))


def rowed(index, action, answered):
    ports = action["ports"]
    sources = [ports[turn % len(ports)] for turn in range(len(answered))] if ports else []
    text = json.dumps([answered, sources]).encode()
    RESULTS[index]["data"] = (round(now(), 6), base64.b64encode(text).decode())
    done(index, "sent", RESULTS[index]["error"])


def connections(index, action):
    """Without the right to send SYNs: a connection from each port, closed at once; the kernel tries each twice meanwhile."""
    family, ports, good, open_ones = family_of(action["target"]), action["ports"], set(), {}
    OPEN.add(index)
    RESULTS[index].update(since=now())

    def begin(turn):
        own = ports[turn]
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            sock.bind(("", own))
            code = sock.connect_ex((action["target"], action["port"]))
        except OSError as error:
            code = error.errno
        if code in (0, errno.ECONNREFUSED, errno.EADDRINUSE):  # a port of somebody else's tells nothing
            good.add(own)
        if code == errno.EINPROGRESS:
            open_ones[own] = sock
            LOOP.register(sock, selectors.EVENT_WRITE, lambda: close(own))
        else:
            sock.close()
        RESULTS[index]["sent"] += 1
        return later(now() + 2 * action["gap"], lambda: begin(turn + 1)) if turn + 1 < len(ports) else later(now() + 1.5, end)

    def close(own):
        sock = open_ones.pop(own)
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (0, errno.ECONNREFUSED):
            good.add(own)
        LOOP.unregister(sock)
        sock.close()

    def end():
        for own in list(open_ones):
            LOOP.unregister(open_ones[own])
            open_ones.pop(own).close()
        rowed(index, action, [int(ports[turn % len(ports)] in good) for turn in range(action["count"])])

    later(action["at"], lambda: begin(0))


# -- the loop --------------------------------------------------------------------------------------------------------

HANDLERS = {
    "Frames": frames, "Lease": lease, "Packets": packets, "Echo": echo, "Connect": connect, "Datagram": datagram, "Series": series,
}


def start(index, action):
    try:
        inside(action["namespace"], lambda: HANDLERS[action["do"]](index, action))
    except OSError as error:
        OPEN.discard(index)
        denied = error.errno in (errno.EPERM, errno.EACCES)
        RESULTS[index].update(outcome="denied" if denied else "failed", error=str(error))


def wanted():
    """Tell whether somebody waits for the answer: the one who started us lives, and the file we write is there."""
    return os.getppid() == PARENT and os.fstat(1).st_nlink > 0


def more_files():
    """A node may have more taps than a process may open files by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def main():
    watch_clock()
    more_files()
    for key, what in JOB["captures"].items():
        capture(key, what)
    for index, action in enumerate(JOB["actions"]):
        if action["do"] in HANDLERS:
            start(index, action)
    while now() < JOB["deadline"] and wanted():
        if not OPEN and now() >= JOB["seconds"]:
            break
        while TIMERS and TIMERS[0][0] <= now():
            TIMERS.pop(0)[2]()
        watch_clock()
        until = min([timer[0] for timer in TIMERS[:1]] + [now() + 0.2])
        for key, _ in LOOP.select(max(0.0, until - now())):
            key.data()
    for index in list(OPEN):
        done(index, "silent", "ended by its own deadline")
    for result in RESULTS:
        result.pop("since", None)
    ended = round(now(), 6)
    for source in SOURCES.values():
        told(source)
    close([source.pop("socket") for source in SOURCES.values() if "socket" in source])
    json.dump({"version": 2, "began": BEGAN, "ended": ended, "results": RESULTS, "captures": SOURCES}, sys.stdout)


def told(source):
    sock = source.get("socket")
    if sock is not None:  # (seen, dropped) since the socket was opened: what did not fit into its buffer
        source["dropped"] += struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
    del source["of"]
    source["packets"] = [(at, out, base64.b64encode(data).decode()) for at, out, data in source["packets"]]


def close(sockets):
    """The kernel waits some 20 ms at the end of each packet socket (RCU), for all that end at the same time once."""
    def work():
        while sockets:
            try:
                sockets.pop().close()
            except IndexError:
                return

    threads = []
    for _ in range(min(len(sockets), CLOSERS)):
        thread = threading.Thread(target=work)
        try:
            thread.start()
        except RuntimeError:  # no more threads for this user: the others do it, or the end of this process
            break
        threads.append(thread)
    for thread in threads:
        thread.join()


main()
