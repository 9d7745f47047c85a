"""scripts/check_rooms.py on a small tree: silent if the tree is in order, and otherwise it names file, line and rule."""

import subprocess
import sys

import pytest

from programs import ROOT

RULES = """\
# room: rooms and headers that it may include, besides itself
libhessian/device:
libhessian/linalg:       libhessian/device
libhessian/eigensolvers: libhessian/linalg/matrix.h
models/io:
models/gpt:              models/io libhessian

hessian/algebra.h = libhessian/linalg
"""
HEAD = "# Which room may include which.\nwithout LibTorch: models/io\n\n"
FILES = {
    "libhessian/include/hessian/device.h": "#pragma once\n",
    "libhessian/include/hessian/algebra.h": '#include "hessian/device.h"\n',
    "libhessian/src/device/device.cpp": '#include "hessian/device.h"\n#include <ATen/ATen.h>\n',
    "libhessian/src/linalg/matrix.h": "#include <hessian/device.h>\n#include <vector>\n",
    "libhessian/src/eigensolvers/lanczos.cpp": '#include "linalg/matrix.h"\n',
    "models/src/io/file.h": "#include <string>\n",
    "models/src/gpt/model.cpp": '#include "../io/file.h"\n#include <hessian/algebra.h>\n',
}


class Tree:
    """A project without violations. Tests change its files and run check_rooms.py on it."""

    def __init__(self, folder):
        self.folder = folder
        self.write("scripts/rooms.txt", HEAD + RULES)
        self.write("docs/architecture.md", f"# Architecture\n\n```\n{RULES}```\n")
        for path, text in FILES.items():
            self.write(path, text)

    def write(self, path, text):
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def write_rules(self, rules, head=HEAD):
        """Writes the table, and its copy in the documentation."""
        self.write("scripts/rooms.txt", head + rules)
        self.write("docs/architecture.md", rules)

    def check(self):
        command = [sys.executable, ROOT / "scripts" / "check_rooms.py", self.folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.stdout == ""
        return done.returncode, done.stderr.splitlines()


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_a_tree_in_order_passes_silently(tree):
    assert tree.check() == (0, [])


@pytest.mark.parametrize("include", ['"gpt/model.h"', "<gpt/model.h>", '"../gpt/model.h"'])
def test_an_include_against_the_order_is_named_with_its_file_line_and_rule(tree, include):
    tree.write("models/src/gpt/model.h", "#pragma once\n")
    tree.write("models/src/io/file.h", f"#include <string>\n\n#  include {include}\n")
    name = include.strip('"<>')
    assert tree.check() == (
        1,
        [f"models/src/io/file.h:3: includes {name} of models/gpt; models/io may include: no other room"],
    )


def test_public_headers_count_in_quotes_and_in_angle_brackets(tree):
    tree.write("libhessian/src/device/device.cpp", '#include "hessian/algebra.h"\n#include <hessian/algebra.h>\n')
    complaint = "includes hessian/algebra.h of libhessian/linalg; libhessian/device may include: no other room"
    assert tree.check() == (1, [f"libhessian/src/device/device.cpp:{line}: {complaint}" for line in (1, 2)])


def test_an_allowed_header_does_not_open_its_room(tree):
    tree.write("libhessian/src/linalg/inverse.h", "#pragma once\n")
    tree.write("libhessian/src/eigensolvers/lanczos.cpp", '#include "linalg/matrix.h"\n#include "linalg/inverse.h"\n')
    assert tree.check() == (
        1,
        [
            "libhessian/src/eigensolvers/lanczos.cpp:2: includes linalg/inverse.h of libhessian/linalg; "
            "libhessian/eigensolvers may include: libhessian/linalg/matrix.h"
        ],
    )


@pytest.mark.parametrize(
    "path", ["models/src/attic/old.h", "models/src/stray.cpp", "libhessian/include/hessian/nobody.h", "stray.h"]
)
def test_a_file_outside_every_room_is_named(tree, path):
    tree.write(path, "#pragma once\n")
    assert tree.check() == (1, [f"{path}:1: belongs to no room of scripts/rooms.txt"])


def test_a_public_header_with_sources_of_its_name_in_two_rooms_needs_a_line_of_the_table(tree):
    tree.write("libhessian/src/linalg/device.cpp", "")
    status, complaints = tree.check()
    assert status == 1
    assert "libhessian/include/hessian/device.h:1: belongs to no room of scripts/rooms.txt" in complaints
    tree.write_rules(RULES + "hessian/device.h = libhessian/device\n")
    assert tree.check() == (0, [])


def test_a_room_without_libtorch_includes_none_of_its_headers(tree):
    tree.write("models/src/io/file.h", "#include <string>\n#include <ATen/core/Tensor.h>\n")
    assert tree.check() == (
        1,
        ["models/src/io/file.h:2: includes ATen/core/Tensor.h of LibTorch; models/io is without LibTorch"],
    )


def test_a_room_without_libtorch_may_not_include_one_with_it(tree):
    tree.write_rules(RULES, HEAD.replace("models/io", "models/io models/gpt"))
    status, complaints = tree.check()
    line = 1 + HEAD.count("\n") + RULES[: RULES.index("models/gpt:")].count("\n")
    assert status == 1
    rule = "models/gpt is without LibTorch, but may include libhessian/device, which is not"
    assert f"scripts/rooms.txt:{line}: {rule}" in complaints


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("models/io libhessian", "models/ioo libhessian", "models/gpt may include models/ioo, which is no room"),
        ("/device:\n", "/device: models/io\n", "libhessian/device may include models/io, which stands below it"),
        ("models/io:\n", "models/io:\nmodels/data:\n", "room models/data has no files"),
        ("= libhessian/linalg", "= libhessian/algebra", "hessian/algebra.h = libhessian/algebra, which is no room"),
    ],
)
def test_rules_about_rooms_that_do_not_exist_or_against_their_order_are_refused(tree, old, new, complaint):
    rules = RULES.replace(old, new)
    tree.write_rules(rules)
    status, complaints = tree.check()
    assert status == 1
    assert any(line.startswith("scripts/rooms.txt:") and line.endswith(f": {complaint}") for line in complaints), complaints


def test_the_architecture_page_repeats_the_table_verbatim(tree):
    tree.write("docs/architecture.md", "# Architecture\n\n```\n" + RULES.replace("models/io libhessian", "models/io") + "```\n")
    complaint = "docs/architecture.md:1: does not show the table of scripts/rooms.txt as it stands, from '# room:' on"
    assert tree.check() == (1, [complaint])
    (tree.folder / "docs/architecture.md").unlink()
    assert tree.check() == (1, [complaint])
