#!/usr/bin/env python3
"""Checks every #include of the project against the order of its rooms in scripts/rooms.txt.

Usage: scripts/check_rooms.py [ROOT]      ROOT is the tree to check (by default this project)
Prints a line for each include against the order: the file, its line, and the rule. Checks also that docs/architecture.md shows
the table as it stands. Exit status: 0 if all is in order, 1 otherwise.
"""

import re
import sys
from pathlib import Path

INCLUDE = re.compile(r'\s*#\s*include\s*"([^"]+)"')
SOURCES = {".h", ".cpp", ".cu", ".cuh"}
# From where the quoted includes are found, and the room that a path below it begins with.
ROOTS = {
    "libhessian/src": "libhessian/",
    "models/src": "models/",
    "experiments/src": "experiments/",
    "experiments": "experiments/",
    "analysis/src": "analysis/",
}
PUBLIC = ["libhessian/include", "models/include", "experiments/include", "experiments/run_file/include"]
MAINS = ["experiments/programs", "analysis/programs"]


def read_table(text):
    """Reads `room: rooms and headers that it may include` and `public header = its room`."""
    table, placed = {}, {}
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if "=" in line:
            header, room = line.split("=")
            placed[header.strip()] = room.strip()
        elif line:
            room, allowed = line.split(":")
            table[room.strip()] = allowed.split()
    return table, placed


class Tree:
    def __init__(self, root, table, placed):
        self.root = root
        self.table = table
        self.placed = placed
        self.files = sorted(
            path.relative_to(root)
            for top in ("libhessian", "models", "experiments", "analysis")
            for path in (root / top).rglob("*")
            if path.suffix in SOURCES and "gloo" not in path.parts
        )
        self.room_of_source = {}
        for path in self.files:
            room = self.room_of_folder(path)
            if room and not any(path.is_relative_to(public) for public in PUBLIC):
                self.room_of_source.setdefault((path.parts[0], path.stem), room)

    def room_of_folder(self, path):
        """The room of the longest name that the path lies in."""
        for prefix, replacement in ROOTS.items():
            if path.is_relative_to(prefix):
                inner = replacement + str(path.relative_to(prefix).with_suffix(""))
                rooms = [room for room in self.table if inner == room or inner.startswith(room + "/")]
                if rooms:
                    return max(rooms, key=len)
        for main in MAINS:
            if path.is_relative_to(main):
                return main
        return None

    def room(self, path):
        """A public header belongs to the room that the table says, or else to the one with the source file of its name."""
        for public in PUBLIC:
            if path.is_relative_to(public):
                placed = self.placed.get(str(path.relative_to(public)))
                return placed or self.room_of_source.get((path.parts[0], path.stem))
        return self.room_of_folder(path)

    def find(self, source, included):
        """The file that an include names, or None if it is not one of the project's."""
        folders = [source.parent, *map(Path, PUBLIC), *map(Path, ROOTS)]
        for folder in folders:
            if (self.root / folder / included).is_file():
                path = folder / included
                return path if path.parts[0] in ("libhessian", "models", "experiments", "analysis") else None
        return None

    def allows(self, room, other, header):
        if other == room or ("/" not in room and other.startswith(room + "/")):
            return True
        return any(
            allowed in (other, header) or (("/" not in allowed) and other.startswith(allowed + "/"))
            for allowed in self.table.get(room, ())
        )

    def complaints(self):
        for source in self.files:
            room = self.room(source)
            if room is None:
                yield f"{source}:1: belongs to no room of scripts/rooms.txt"
                continue
            for number, line in enumerate((self.root / source).read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                path = match and self.find(source, match.group(1))
                if not path:
                    continue
                other = self.room(path)
                header = f"{other}/{path.name}"
                if other is None:
                    yield f"{source}:{number}: includes {path}, which belongs to no room of scripts/rooms.txt"
                elif not self.allows(room, other, header):
                    allowed = " ".join(self.table[room]) or "nothing else"
                    yield f"{source}:{number}: includes {match.group(1)} of {other}; {room} may include: {allowed}"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    text = (root / "scripts/rooms.txt").read_text()
    complaints = list(Tree(root, *read_table(text)).complaints())
    architecture = root / "docs/architecture.md"
    table = text[text.index("# room:") :].strip()
    if architecture.is_file() and table not in architecture.read_text():
        complaints.append("docs/architecture.md:1: does not show the table of scripts/rooms.txt as it stands")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
