#!/usr/bin/env python3
"""Checks every #include of the project against the order of its rooms in scripts/rooms.txt.

Usage: scripts/check_rooms.py [ROOT]      ROOT is the tree to check (by default this project)
Prints one line per violation: the file, its line, and the rule. Also checks the table itself (every room has files, may include
only rooms above it, and stands in docs/architecture.md as it does here), and that rooms without LibTorch include none of its
headers. Exit status: 0 if all is in order, 1 otherwise.
"""

import os
import re
import sys
from pathlib import Path

TABLE = "scripts/rooms.txt"
DOCUMENT = "docs/architecture.md"
INCLUDE = re.compile(r'\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')
LIBTORCH = re.compile(r"(ATen|c10|torch|caffe2)/")
SOURCES = {".h", ".hpp", ".cpp", ".cc", ".cu", ".cuh"}
PROJECTS = ("libhessian", "models", "experiments", "analysis")
THIRD_PARTY = ("experiments/src/distributed/gloo",)
# The folders that includes are relative to; a room is the path below one of them, preceded by the project's name.
ROOTS = ("libhessian/src", "models/src", "experiments/src", "experiments", "analysis/src")
PUBLIC = ("libhessian/include", "models/include", "experiments/include", "experiments/run_file/include", "analysis/include")
MAINS = ("experiments/programs", "analysis/programs")


class Table:
    """The rules of rooms.txt: rooms in order with what each may include, the rooms of public headers, those without LibTorch."""

    def __init__(self, text):
        self.allowed, self.lines, self.header_rooms, self.without_libtorch = {}, {}, {}, []
        for number, line in enumerate(text.splitlines(), 1):
            line = line.split("#")[0].strip()
            if "=" in line:
                header, room = (word.strip() for word in line.split("="))
                self.header_rooms[header] = room
                self.lines[header] = number
            elif line.startswith("without LibTorch:"):
                self.without_libtorch = line.split(":")[1].split()
                self.lines["without LibTorch"] = number
            elif line:
                room, words = line.split(":")
                self.allowed[room.strip()] = words.split()
                self.lines[room.strip()] = number

    def allows(self, room, other, header):
        """Returns whether files of `room` (or of a whole project) may include this header (room/name.h) of the room `other`."""
        if other == room or ("/" not in room and other.startswith(room + "/")):
            return True
        return any(
            word in (other, header) or ("/" not in word and other.startswith(word + "/"))
            for word in self.allowed.get(room, ())
        )

    def rooms_named(self, word):
        """Returns the rooms that an entry allows: one, those of a whole project, or that of a header."""
        if word.endswith(tuple(SOURCES)):
            word = word.rsplit("/", 1)[0]
        return [room for room in self.allowed if room == word or ("/" not in word and room.startswith(word + "/"))]

    def violations(self):
        above = []
        for room, words in self.allowed.items():
            for word in words:
                rooms = self.rooms_named(word)
                if not rooms:
                    yield f"{TABLE}:{self.lines[room]}: {room} may include {word}, which is no room"
                for other in rooms:
                    if other != room and other not in above:
                        yield f"{TABLE}:{self.lines[room]}: {room} may include {other}, which stands below it"
                    if room in self.without_libtorch and other not in self.without_libtorch:
                        yield f"{TABLE}:{self.lines[room]}: {room} is without LibTorch, but may include {other}, which is not"
            above.append(room)
        for header, room in self.header_rooms.items():
            if room not in self.allowed and room not in PROJECTS:
                yield f"{TABLE}:{self.lines[header]}: {header} = {room}, which is no room"
        for room in self.without_libtorch:
            if room not in self.allowed:
                yield f"{TABLE}:{self.lines['without LibTorch']}: {room} is no room"


class Tree:
    """The source files below a root, each with its room."""

    def __init__(self, root, table):
        self.root = root
        self.table = table
        found = [path for project in PROJECTS for path in (root / project).rglob("*")] + list(root.glob("*"))
        self.files = sorted(
            path.relative_to(root)
            for path in found
            if path.suffix in SOURCES and not any(path.is_relative_to(root / folder) for folder in THIRD_PARTY)
        )
        self.rooms_of_stems = {}
        for path in self.files:
            room = self.room_of_folder(path)
            if room and not self.is_public(path):
                self.rooms_of_stems.setdefault((path.parts[0], path.stem), set()).add(room)

    @staticmethod
    def is_public(path):
        return any(path.is_relative_to(folder) for folder in PUBLIC)

    def room_of_folder(self, path):
        """Returns the longest room name that contains the path, or None."""
        rooms = []
        for folder in ROOTS:
            if path.is_relative_to(folder):
                inner = f"{path.parts[0]}/{path.relative_to(folder).with_suffix('')}"
                rooms += [room for room in self.table.allowed if inner == room or inner.startswith(room + "/")]
        rooms += [room for room in MAINS if path.is_relative_to(room) and room in self.table.allowed]
        return max(rooms, key=len, default=None)

    def room(self, path):
        """Returns a file's room. A public header has that of rooms.txt, or else that of the only source file of its name."""
        if not self.is_public(path):
            return self.room_of_folder(path)
        folder = next(folder for folder in PUBLIC if path.is_relative_to(folder))
        placed = self.table.header_rooms.get(str(path.relative_to(folder)))
        rooms = {placed} if placed else self.rooms_of_stems.get((path.parts[0], path.stem), set())
        return next((room for room in rooms if room in self.table.allowed or room in PROJECTS), None) if len(rooms) == 1 else None

    def find(self, source, quoted, bracketed):
        """Returns the project's file that an include names, or None. Searches quoted names first next to the source."""
        own = [folder for folder in (*PUBLIC, *ROOTS) if source.parts[0] == folder.split("/")[0]]
        folders = [*([source.parent] if quoted else []), *own, *PUBLIC, *ROOTS]
        for folder in folders:
            path = Path(os.path.normpath(Path(folder) / (quoted or bracketed)))
            if path in self.known:
                return path
        return None

    def violations(self):
        self.known = set(self.files)
        inhabited = set()
        for source in self.files:
            room = self.room(source)
            inhabited.add(room)
            if room is None:
                yield f"{source}:1: belongs to no room of {TABLE}"
            else:
                yield from self.violations_of(source, room)
        for room in self.table.allowed:
            if room not in inhabited:
                yield f"{TABLE}:{self.table.lines[room]}: room {room} has no files"

    def violations_of(self, source, room):
        for number, line in enumerate((self.root / source).read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            name = match[1] or match[2]
            path = self.find(source, *match.groups())
            if path is None:
                if room in self.table.without_libtorch and LIBTORCH.match(name):
                    yield f"{source}:{number}: includes {name} of LibTorch; {room} is without LibTorch"
                continue
            other = self.room(path)
            if other is None:
                yield f"{source}:{number}: includes {path}, which belongs to no room of {TABLE}"
            elif not self.table.allows(room, other, f"{other}/{path.name}"):
                allowed = " ".join(self.table.allowed[room]) or "no other room"
                yield f"{source}:{number}: includes {name} of {other}; {room} may include: {allowed}"


def violations(root):
    text = (root / TABLE).read_text(encoding="utf-8")
    table = Table(text)
    yield from table.violations()
    yield from Tree(root, table).violations()
    document = root / DOCUMENT
    shown = text[text.index("# room:") :].strip()
    if not document.is_file() or shown not in document.read_text(encoding="utf-8"):
        yield f"{DOCUMENT}:1: does not show the table of {TABLE} as it stands, from '# room:' on"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    found = list(violations(root))
    for violation in found:
        print(violation, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
