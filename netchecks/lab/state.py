"""Where a lab is written down: one folder per lab, with what is needed to enter it and to take it down after a crash."""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from netchecks.errors import LabError

FILE = "lab.json"
FOLDER = "netchecks-lab"
ID = re.compile(r"[a-z0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class State:
    """One lab. ``holder``: PID of its holder in the maker's PID namespace, ``started``: that process's start in clock ticks.

    ``cgroup``: the lab's cgroup, empty where it has none. ``inotify``: fs.inotify.max_user_instances before the lab raised
    it, 0 where it did not.
    """

    folder: Path
    id: str
    topology: str
    rooted: bool
    count: int = 1
    holder: int = 0
    started: int = 0
    cgroup: str = ""
    inotify: int = 0

    def netns(self, place: str) -> str:
        """Give the name of a place's network namespace: unique on the machine."""
        return f"nc-{self.id}-{place}"

    def alive(self) -> bool:
        """Tell whether the lab's holder is still that very process."""
        return bool(self.holder) and start_of(self.holder) == self.started

    def save(self) -> None:
        """Write it down, by rename: a reader never sees half of it."""
        data = {**asdict(self), "folder": str(self.folder)}
        new = self.folder / f"{FILE}.new"
        new.write_text(json.dumps(data, indent=1), encoding="utf-8")
        new.rename(self.folder / FILE)


def start_of(pid: int) -> int:
    """Give when the process was started, in clock ticks since boot (proc(5), field 22); 0 where there is none or a zombie."""
    try:
        fields = Path("/proc", str(pid), "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def base(state_dir: Path | str | None = None) -> Path:
    """Give the folder that holds the folders of all labs of this user; it need not be there yet."""
    if state_dir:
        return Path(state_dir).resolve()
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.access(runtime, os.W_OK):
        return Path(runtime, FOLDER)
    return Path(tempfile.gettempdir(), f"{FOLDER}-{os.geteuid()}").resolve()


def new_folder(state_dir: Path | str | None, lab_id: str) -> Path:
    """Make the folder of a new lab, for its user only. Raises LabError where there is one or the parent is not ours."""
    if not ID.fullmatch(lab_id):
        raise LabError(f"lab name {lab_id!r}: expected 1 to 12 of a-z and 0-9")
    parent = base(state_dir)
    if re.search(r"[,:%\"\\]", str(parent)):
        raise LabError(f"{parent}: a comma, colon, %, quote or backslash in its path breaks mounts; choose another with --state-dir")
    parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    if parent.stat().st_uid != os.geteuid():
        raise LabError(f"{parent} belongs to another user; choose another with --state-dir")
    try:
        (parent / lab_id).mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise LabError(f"there is a lab {lab_id!r} in {parent} already: netchecks lab down {lab_id}") from None
    return parent / lab_id


def load(folder: Path) -> State:
    """Read the state of a lab. Raises LabError where it cannot be read."""
    try:
        data = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return State(**{**data, "folder": Path(data["folder"])})
    except FileNotFoundError:
        return State(folder, folder.name, "", rooted=os.geteuid() == 0)  # its maker was killed in its first moments
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise LabError(f"{folder / FILE}: {error}") from error


def every(state_dir: Path | str | None = None) -> list[State]:
    """Give the state of all labs, those of which only the folder is left too."""
    parent = base(state_dir)
    folders = sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
    return [load(folder) for folder in folders if ID.fullmatch(folder.name)]
