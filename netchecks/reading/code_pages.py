"""Text of Windows' console tools: it comes in the console's code page, which is the country's and seldom UTF-8.

Source: Microsoft, "Code Page Identifiers"; chcp prints the page's number in words of the country.
"""

from __future__ import annotations

import codecs
import re

from netchecks.parsing import clean

#: ``Active code page: 866``, in any language; some end it with a full stop, Chinese has a colon of its own width.
_CHCP = re.compile(rb"[^\r\n]{0,120}?(?::|\xa3\xba|\xef\xbc\x9a)\s{0,4}([0-9]{3,5})\.?[ \t]*\r?\n")
#: Pages that are tried where nobody told which one it is, by what the text then says.
_TRIED = ("cp866", "cp1251", "gbk")
#: Words of ``ipconfig`` and ``route print`` in Russian and Chinese.
_WORDS = ("адрес", "шлюз", "маска", "метрика", "интерфейс", "адаптер", "地址", "网关", "掩码", "接口", "适配器")


def decoded(text: str) -> str:
    """Give what a Windows tool said, without the line of ``chcp``; ``text``: its bytes as facts have them.

    ``chcp`` before it tells the page. Without it: UTF-8 or UTF-16 if it is that, else the page in which it has words of
    those tools. What fits none is taken byte for byte: its figures can be read all the same.
    """
    raw = clean(text).encode("utf-8", "surrogateescape")
    told = _CHCP.match(raw)
    body = raw[told.end():] if told else raw
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16", "replace")
    codec = _codec(told[1].decode()) if told else ""
    if codec:
        return body.decode(codec, "replace").removeprefix("\ufeff")
    try:
        return body.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        return _likeliest(body)


def _codec(page: str) -> str:
    """Give Python's name of a code page; empty where it has none."""
    name = "utf-8" if page == "65001" else f"cp{page}"
    try:
        return codecs.lookup(name).name
    except LookupError:
        return ""


def _likeliest(raw: bytes) -> str:
    found = [raw.decode(codec, "replace") for codec in _TRIED]
    best = max(found, key=_score)
    return best if _score(best) else raw.decode("latin-1")


def _score(text: str) -> int:
    low = text.lower()
    return sum(low.count(word) for word in _WORDS)
