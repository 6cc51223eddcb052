"""What works in a lab, measured again where it is not what was expected: on a busy machine an answer may come too late once."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from netchecks.lab.labs import Lab


def broken(silent: Callable[[Lab], AbstractSet[str]], lab: Lab, expected: AbstractSet[str]) -> AbstractSet[str]:
    """Give the ways that do not work, as ``silent`` finds them. What is broken, or whole, is so the second time too."""
    first = silent(lab)
    return first if first == expected else silent(lab)
