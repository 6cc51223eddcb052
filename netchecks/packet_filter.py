"""Classic BPF programs for the agent's captures: the kernel keeps what a capture is about, before Python sees it.

A program looks at the frame as AF_PACKET gives it: with its tags taken out (PACKET_AUXDATA), or still in the data (Open
vSwitch). Source: linux/filter.h; the instruction set of McCanne and Jacobson, 1993.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

#: One instruction: opcode, jump if true, jump if false, operand (linux/filter.h, sock_filter).
Program = tuple[tuple[int, int, int, int], ...]

#: Bytes kept of a frame: headers of several encapsulations, neighbour options and the mark.
SNAP = 320
#: Bytes kept of a frame whose UDP port is asked for: all of it, as the message in it (DHCP) is what one wants to read.
WHOLE = 2048

IPV4, IPV6 = 0x0800, 0x86DD
VLANS = (0x8100, 0x88A8)  # IEEE 802.1Q, 802.1ad
#: UDP ports that carry packets: VXLAN (RFC 7348), its Linux port, MPLS (RFC 7510), Tungsten's old one, Geneve (RFC 8926).
TUNNEL_PORTS = (4789, 8472, 6635, 51234, 6081)
#: IP protocols that do: IPv4, IPv6, GRE, MPLS (IANA protocol numbers).
TUNNEL_PROTOCOLS = (4, 41, 47, 137)

_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_LOAD_WORD_X, _LOAD_HALF_X, _LOAD_BYTE_X = 0x40, 0x48, 0x50
#: Of each load: its bytes, and whether the index is added.
_LOADS = {
    _LOAD_WORD: (4, False), _LOAD_HALF: (2, False), _LOAD_BYTE: (1, False),
    _LOAD_WORD_X: (4, True), _LOAD_HALF_X: (2, True), _LOAD_BYTE_X: (1, True),
}
_HEADER_LENGTH, _SET_X = 0xB1, 0x01
_EQUAL, _JUMP, _RETURN, _AND, _ADD = 0x15, 0x05, 0x06, 0x54, 0x04
_A_TO_X, _X_TO_A = 0x07, 0x87
_FAR = 256  # a conditional jump has a byte for its length
_ETHER = 14
_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58

#: Where in what a tunnel carries a mark may stand, counted from the outer IP header's end: behind an inner one at least; several
#: tunnels may lie between.
SCAN_FROM, SCAN_TO = 20, 244

#: One step of a list of steps that is tried in order: an instruction, or a test whose failure leads to the next list.
_Step = tuple[int, int, int, int]
#: Stands for the jump to the scan for the mark, which is made when its length is known.
_SCAN: _Step = (_JUMP, 0, 0, -1)


def _keep(size: int = SNAP) -> _Step:
    return (_RETURN, 0, 0, size)


def _drop() -> _Step:
    return (_RETURN, 0, 0, 0)


def _where(value: int, then: Sequence[_Step]) -> list[_Step]:
    """Run ``then``, which ends by itself, where the loaded value is this; else go on behind it."""
    if len(then) < _FAR:
        return [(_EQUAL, 0, len(then), value), *then]
    return [(_EQUAL, 1, 0, value), (_JUMP, 0, 0, len(then)), *then]


def _each(values: Sequence[int], then: Sequence[_Step]) -> list[_Step]:
    """Run ``then`` where the loaded value is one of these."""
    return [step for value in values for step in _where(value, then)]


def _any(values: Sequence[int], size: int = SNAP) -> list[_Step]:
    """Keep the frame where the loaded value is one of these."""
    return _each(values, [_keep(size)])


def whole(ethertypes: Sequence[int], udp_ports: Sequence[int] = ()) -> Program:
    """Keep these ethertypes, of IPv6 (0x86dd) only ICMPv6; and UDP from or to these ports of both families."""
    return (*_tagged(lambda base: _whole(base, ethertypes, udp_ports)), _drop())


def _whole(base: int, ethertypes: Sequence[int], udp_ports: Sequence[int]) -> list[_Step]:
    plain = [kind for kind in ethertypes if kind != IPV6]
    steps: list[_Step] = [(_LOAD_HALF, 0, 0, 12 + base), *_any(plain)]
    udp = [*_ports(base, udp_ports), _drop()]
    if udp_ports:
        four = [(_LOAD_BYTE, 0, 0, _ETHER + base + 9), (_HEADER_LENGTH, 0, 0, _ETHER + base), *_where(_UDP, udp), _drop()]
        steps += _where(IPV4, four)
    if IPV6 in ethertypes or udp_ports:
        six: list[_Step] = [(_LOAD_BYTE, 0, 0, _ETHER + base + 6), (_SET_X, 0, 0, 40)]
        six += _where(_ICMPV6, [_keep()]) if IPV6 in ethertypes else []
        steps += _where(IPV6, [*six, *(_where(_UDP, udp) if udp_ports else []), _drop()])
    return steps


def _ports(base: int, ports: Sequence[int]) -> list[_Step]:
    """Keep what has one of these ports. X is the length of the IP header."""
    if not ports:
        return []
    return [step for offset in (0, 2) for step in [(_LOAD_HALF_X, 0, 0, _ETHER + base + offset), *_any(ports, WHOLE)]]


def marked(prefix: bytes) -> Program:
    """Keep packets with a mark that begins with these four bytes, and ICMP errors.

    The mark is the beginning of an echo's or a datagram's payload; its first two bytes are the upper half of a SYN's sequence
    number, and of the acknowledgement that answers it; its first is the upper half of the port that a datagram is sent from.
    """
    word, half, block = (int.from_bytes(prefix[:length], "big") for length in (4, 2, 1))
    return (*_tagged(lambda base: _marked(base, word, half, block << 8)), _drop())


def _marked(base: int, word: int, half: int, block: int) -> list[_Step]:
    at = _ETHER + base
    payload: list[_Step] = [(_LOAD_WORD_X, 0, 0, at + 8), *_where(word, [_keep()]), _drop()]
    tcp = [(_LOAD_HALF_X, 0, 0, at + 4), *_any([half]), (_LOAD_HALF_X, 0, 0, at + 8), *_any([half]), _drop()]
    udp = [*_block(at, block), *_block(at + 2, block), *payload]  # last, as a load behind the packet's end drops it
    icmp = [(_LOAD_BYTE_X, 0, 0, at), *_any((3, 11, 12)), *payload]  # RFC 792: unreachable, time exceeded, parameter problem
    icmpv6 = [(_LOAD_BYTE_X, 0, 0, at), *_any((1, 2, 3, 4)), *payload]  # RFC 4443: its errors
    four = [(_LOAD_BYTE, 0, 0, at + 9), (_HEADER_LENGTH, 0, 0, at), *_where(_ICMP, icmp), *_where(_TCP, tcp), *_where(_UDP, udp)]
    six = [(_LOAD_BYTE, 0, 0, at + 6), (_SET_X, 0, 0, 40), *_where(_ICMPV6, icmpv6), *_where(_TCP, tcp), *_where(_UDP, udp)]
    return [(_LOAD_HALF, 0, 0, 12 + base), *_where(IPV4, [*four, _drop()]), *_where(IPV6, [*six, _drop()])]


def tunnels(prefix: bytes) -> Program:
    """Keep packets that carry others and have the mark's first two bytes somewhere, where headers of whole words put them.

    A node may carry hundreds of thousands of tunnelled packets in a second: none of the others must come out of the kernel.
    """
    steps = (*_tagged(_tunnels), _drop())
    half = int.from_bytes(prefix[:2], "big")
    scan = [step for at in range(SCAN_FROM, SCAN_TO, 2) for step in [(_LOAD_HALF_X, 0, 0, at), *_any([half])]]
    jumped = [(_JUMP, 0, 0, len(steps) - 1 - index) if step == _SCAN else step for index, step in enumerate(steps)]
    return (*jumped, *scan, _drop())


def _block(at: int, block: int) -> list[_Step]:
    return [(_LOAD_HALF_X, 0, 0, at), (_AND, 0, 0, 0xFF00), *_any([block])]


def _tunnels(base: int) -> list[_Step]:
    """Go to the scan with X at the packet's end of the IP header."""
    at = _ETHER + base
    go: list[_Step] = [(_X_TO_A, 0, 0, 0), (_ADD, 0, 0, at), (_A_TO_X, 0, 0, 0), _SCAN]
    udp = [(_LOAD_HALF_X, 0, 0, at + 2), *_each(TUNNEL_PORTS, go), _drop()]
    four = [(_LOAD_BYTE, 0, 0, at + 9), (_HEADER_LENGTH, 0, 0, at), *_each(TUNNEL_PROTOCOLS, go), *_where(_UDP, udp), _drop()]
    six = [(_LOAD_BYTE, 0, 0, at + 6), (_SET_X, 0, 0, 40), *_each(TUNNEL_PROTOCOLS, go), *_where(_UDP, udp), _drop()]
    return [(_LOAD_HALF, 0, 0, 12 + base), *_where(IPV4, four), *_where(IPV6, six)]


def broadcasts(senders: Sequence[str]) -> Program:
    """Keep broadcasts from these MACs."""
    lows = [int(mac.replace(":", "")[4:], 16) for mac in senders]  # four bytes tell them apart, the rest is looked at later
    steps = [(_LOAD_WORD, 0, 0, 8), *_any(lows)]
    return ((_LOAD_WORD, 0, 0, 2), *_where(0xFFFFFFFF, [(_LOAD_HALF, 0, 0, 0), *_where(0xFFFF, [*steps, _drop()]), _drop()]), _drop())


def kept(program: Program, data: bytes) -> int:
    """Give how many bytes a program keeps of a frame, 0 for none, as the kernel would: a load from behind its end drops it."""
    loaded = index = at = 0
    while True:
        code, yes, no, value = program[at]
        at += 1
        if code == _RETURN:
            return value
        if code in _LOADS:
            length, indexed = _LOADS[code]
            offset = value + (index if indexed else 0)
            if offset + length > len(data):
                return 0
            loaded = int.from_bytes(data[offset:offset + length], "big")
        elif code == _HEADER_LENGTH:
            if value >= len(data):
                return 0
            index = (data[value] & 15) * 4
        elif code == _EQUAL:
            at += yes if loaded == value else no
        else:
            loaded, index, at = _simple(code, value, loaded, index, at)


def most(program: Program) -> int:
    """Give how many bytes a program keeps of a frame at most."""
    return max(value for code, _, _, value in program if code == _RETURN)


def _simple(code: int, value: int, loaded: int, index: int, at: int) -> tuple[int, int, int]:
    """Do what touches no frame: reckon, set the index, jump. Raises ValueError where no program of this module has it."""
    if code in {_AND, _ADD}:
        return loaded & value if code == _AND else (loaded + value) & 0xFFFFFFFF, index, at
    if code in {_A_TO_X, _X_TO_A}:
        return (loaded, loaded, at) if code == _A_TO_X else (index, index, at)
    if code == _SET_X:
        return loaded, value, at
    if code == _JUMP:
        return loaded, index, at + value
    raise ValueError(f"unknown instruction {code:#x}")


def _tagged(steps: Callable[[int], list[_Step]]) -> Iterator[_Step]:
    """Give the steps for a frame with two tags that still stand in the data, with one, and with none.

    ``steps`` takes by how many bytes tags move what comes behind them.
    """
    inner = [*_where_tagged(4, [*steps(8), _drop()]), *steps(4), _drop()]
    yield from [*_where_tagged(0, inner), *steps(0)]


def _where_tagged(base: int, then: list[_Step]) -> list[_Step]:
    """Run ``then``, which ends by itself, where a tag stands at this place. It is too long for a conditional jump."""
    test = [(_LOAD_HALF, 0, 0, 12 + base), (_EQUAL, 2, 0, VLANS[0]), (_EQUAL, 1, 0, VLANS[1]), (_JUMP, 0, 0, len(then))]
    return [*test, *then]
