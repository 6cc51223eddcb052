"""Runs on the node: sends what it is told, keeps what it is told, prints one JSON document, and is gone.

Python 3.6, standard library only, never installed: its text travels with the job in place of @JOB@. Bounded in time,
packets and bytes; it ends when the one who started it ends.
"""
# ruff: noqa: ANN, D, FBT, FA, UP, C901, PLR, PTH, INP001, T201, BLE001, EM, TRY, S - runs on Python 3.6 without any of our tools
import base64
import ctypes
import errno
import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import time

JOB = json.loads(base64.b64decode("@JOB@").decode())
MAX_PACKETS = 5000  # for each device
AT_ONCE = 1000  # packets read in one go: a flood must not keep the timers from their time
SNAP = 320  # bytes kept of a frame: headers, neighbour options and the cookie
ETH_P_ALL = 3
SO_ATTACH_FILTER = 26
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_STATISTICS = 263, 6
IP_MTU_DISCOVER, IP_RECVERR, IPV6_MTU_DISCOVER, IPV6_RECVERR = 10, 11, 23, 25
PMTUDISC_DO = 2
MSG_ERRQUEUE = 0x2000
START = time.monotonic()
PARENT = os.getppid()
LOOP = selectors.DefaultSelector()
TIMERS = []
PACKETS = {}
CAPTURES = []
DROPPED = [0]
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


def bpf(ethertypes):
    """A classic BPF program that keeps these ethertypes, and of IPv6 (0x86dd) only ICMPv6."""
    load_type, load_next_header, equals, give = 0x28, 0x30, 0x15, 0x06
    plain = [kind for kind in ethertypes if kind != 0x86DD]
    program = [(load_type, 0, 0, 12)]
    for left, kind in enumerate(reversed(plain)):
        program.insert(1, (equals, left + 4, 0, kind))
    program += [(equals, 0, 2, 0x86DD if 0x86DD in ethertypes else 0x1FFFF), (load_next_header, 0, 0, 20), (equals, 1, 0, 58)]
    return program + [(give, 0, 0, 0), (give, 0, 0, SNAP)]


def capture(index, action):
    device = action["device"]
    if device in PACKETS:  # one socket serves all asks for a device
        RESULTS[index]["outcome"] = "captured"
        return
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    every = (other for other in JOB["actions"] if other["do"] == "Capture" and other["device"] == device)
    program = bpf(sorted({kind for other in every for kind in other["ethertypes"]}))
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    text = ctypes.create_string_buffer(code)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(text)))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind((device, ETH_P_ALL))
    sock.setblocking(False)
    kept = PACKETS[device] = []
    CAPTURES.append(sock)

    def readable():
        for _ in range(AT_ONCE):
            try:
                data, where = sock.recvfrom(SNAP)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EINTR):
                    RESULTS[index]["error"] = str(error)
                return
            if len(kept) < MAX_PACKETS:
                kept.append((round(now(), 6), where[2] == PACKET_OUTGOING, data))
            else:
                DROPPED[0] += 1

    LOOP.register(sock, selectors.EVENT_READ, readable)
    RESULTS[index]["outcome"] = "captured"


def frames(index, action):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.bind((action["device"], 0))
    texts = [base64.b64decode(text) for text in action["frames"]]
    OPEN.add(index)
    RESULTS[index]["since"] = action["at"]

    def send(position):
        if action["unless"] and seen(action["device"], action["unless"]):
            return done(index, "not needed")
        try:
            sock.send(texts[position])
            RESULTS[index]["sent"] += 1
        except OSError as error:
            return done(index, "failed", str(error))
        if position + 1 < len(texts):
            return later(now() + action["gap"], lambda: send(position + 1))
        return done(index, "sent")

    later(action["at"], lambda: send(0))


def seen(device, conditions):
    """An answer on another device (the uplink, of which the bridge is a port) may be somebody else's."""
    wanted = [(offset, base64.b64decode(text)) for offset, text in conditions]
    return any(
        not outgoing and all(data[offset:offset + len(text)] == text for offset, text in wanted)
        for _, outgoing, data in PACKETS.get(device, ())
    )


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
        PACKETS["udp:%d" % index] = [(round(now(), 6), False, data)]
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


# -- the loop --------------------------------------------------------------------------------------------------------

HANDLERS = {"Capture": capture, "Frames": frames, "Echo": echo, "Connect": connect, "Datagram": datagram}


def start(index, action):
    try:
        HANDLERS[action["do"]](index, action)
    except OSError as error:
        OPEN.discard(index)
        denied = error.errno in (errno.EPERM, errno.EACCES)
        RESULTS[index].update(outcome="denied" if denied else "failed", error=str(error))


def wanted():
    """Tell whether somebody waits for the answer: the one who started us lives, and the file we write is there."""
    return os.getppid() == PARENT and os.fstat(1).st_nlink > 0


def main():
    for kinds in (("Capture",), ("Frames", "Echo", "Connect", "Datagram")):
        for index, action in enumerate(JOB["actions"]):
            if action["do"] in kinds:
                start(index, action)
    while now() < JOB["deadline"] and wanted():
        if not OPEN and now() >= JOB["seconds"]:
            break
        while TIMERS and TIMERS[0][0] <= now():
            TIMERS.pop(0)[2]()
        until = min([timer[0] for timer in TIMERS[:1]] + [now() + 0.2])
        for key, _ in LOOP.select(max(0.0, until - now())):
            key.data()
    for index in list(OPEN):
        done(index, "silent", "ended by its own deadline")
    for sock in CAPTURES:  # (seen, dropped) since the socket was opened: what did not fit into its buffer
        DROPPED[0] += struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
    packets = {device: [(at, out, base64.b64encode(data).decode()) for at, out, data in kept]
               for device, kept in PACKETS.items()}
    for result in RESULTS:
        result.pop("since", None)
    json.dump({"version": 1, "results": RESULTS, "packets": packets, "dropped": DROPPED[0]}, sys.stdout)


main()
