"""The pages of the project name files that exist, and docs/options.md the options and keys that the programs have."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
# A path in backticks that begins with a folder of the project, and a link to a file.
PATH = re.compile(r"`((?:libhessian|models|experiments|analysis|configs|docs|examples|tests|scripts|cmake)/[\w./-]*)`")
LINK = re.compile(r"\]\(([\w./-]+)\)")
PROGRAMS = ["hessian-probe", "hessian-train", "hessian-sweep", "hessian-plot", "hessian-reproduce", "hessian-tokens"]


def output(name, option):
    path = pathlib.Path(os.path.abspath(os.environ["HESSIAN_PROBE"])).with_name(name)
    return subprocess.run([path, option], check=True, timeout=120, capture_output=True, encoding="utf-8").stdout


def section(name):
    """Returns the section of docs/options.md about a program. That of hessian-sweep refers to that of hessian-train."""
    text = (ROOT / "docs/options.md").read_text(encoding="utf-8")
    own = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
    return section("hessian-train") + own if name == "hessian-sweep" else own


def first_cells(text):
    """Returns the words in backticks in the first column of all tables."""
    return {word.split()[0] for row in re.findall(r"^\| (`[^|]*`) \|", text, re.M) for word in re.findall(r"`([^`]*)`", row)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_files_that_exist(page):
    text = page.read_text(encoding="utf-8")
    absent = [path for path in PATH.findall(text) if "NAME" not in path and not (ROOT / path).exists()]
    absent += [path for path in LINK.findall(text) if not (page.parent / path).exists()]
    assert not absent


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_page_of_options_has_the_options_of_each_program(name):
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", output(name, "--help"))) - {"--help"}
    assert options
    assert {word for word in first_cells(section(name)) if word.startswith("--")} == options


def known_words(model):
    """Returns the words that hessian-probe accepts in the place where the name of a model has an unknown one."""
    done = subprocess.run(
        [os.environ["HESSIAN_PROBE"], "--describe", model], timeout=120, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 2
    return set(done.stderr.strip().split("known are ")[1].split(", "))


def test_the_page_of_models_has_a_row_for_each_family_and_all_of_its_sizes():
    text = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    families = known_words("new:x-20M")
    assert len(families) > 10
    covered, fresh = (text.split(f"\n## {title}\n")[1].split("\n## ")[0] for title in ("Families", "Fresh models"))
    table = covered.split("### ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == families
    sizes = {row[0]: set(re.findall(r"[\w.-]+", row[1])) for row in re.findall(r"^\| `(\w+)` \| \w+ \| (.*?) \|", fresh, re.M)}
    assert set(sizes) == families
    for family in families:
        assert known_words(f"new:{family}-x") <= sizes[family], family


@pytest.mark.parametrize("name", ["hessian-train", "hessian-sweep"])
def test_the_page_of_options_has_the_keys_of_each_configuration(name):
    keys = {line.split()[0] for line in output(name, "--keys").splitlines() if line.strip()}
    assert keys
    assert {word for word in first_cells(section(name)) if not word.startswith("--")} == keys
