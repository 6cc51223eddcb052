"""A stand-in for the client ``openstack`` in a lab: prints documents that the real one printed, by its command line.

``openstack.py [DOCUMENTS.json] WORDS... -f json [-c COLUMN]...`` Asks no API. Wants credentials as the real one does.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Print the document of a command line, or say why not as the client does (10.5)."""
    path = Path(__file__).with_suffix(".json")
    if arguments and arguments[0].endswith(".json"):
        path = Path(arguments.pop(0))
    if not os.environ.get("OS_AUTH_URL"):
        return fail("Missing value auth-url required for auth plugin password")
    if os.environ.get("OS_PASSWORD") != "lab-secret":
        return fail("The request you have made requires authentication. (HTTP 401)")
    words, columns = parted(arguments)
    documents = json.loads(path.read_text(encoding="utf-8"))
    if words not in documents:
        what, _, name = words.partition(" show ")
        return fail(f"No {what.capitalize()} found for {name}")
    found = documents[words]
    if columns and isinstance(found, dict):
        found = {name: value for name, value in found.items() if name in columns}
    print(json.dumps(found, indent=2))
    return 0


def parted(arguments: list[str]) -> tuple[str, list[str]]:
    """Give the words of a command without its options for output, and the columns that it asks for."""
    words: list[str] = []
    columns: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word == "-c":
            columns.append(next(rest))
        elif word == "-f":
            next(rest)
        else:
            words.append(word)
    return " ".join(words), columns


def fail(text: str) -> int:
    """Say what is wrong."""
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
