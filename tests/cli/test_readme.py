"""The example programs that README.md shows are those of examples/, which are built and run as tests."""

import re

from programs import ROOT

# A line <!-- examples/NAME.cpp -->, and after it a fenced block of C++.
MARKER = re.compile(r"^<!-- (examples/\S+\.cpp) -->$", re.M)
FENCE = re.compile(r"\n+```cpp\n(.*?)^```$", re.M | re.S)


def shown_examples(text):
    """Returns the examples of a Markdown text as pairs of path and code; the code is None without a fenced block."""
    examples = []
    for marker in MARKER.finditer(text):
        fence = FENCE.match(text, marker.end())
        examples.append((marker[1], fence and fence[1]))
    return examples


def test_the_readme_repeats_its_example_verbatim():
    examples = shown_examples((ROOT / "README.md").read_text(encoding="utf-8"))
    assert examples, "README.md shows no example: a line `<!-- examples/NAME.cpp -->` and a ```cpp block after it are expected"
    for path, code in examples:
        assert code is not None, f"README.md: no ```cpp block follows the line <!-- {path} -->"
        assert (ROOT / path).is_file(), f"README.md shows {path}, which does not exist"
        assert code == (ROOT / path).read_text(encoding="utf-8"), f"README.md and {path} differ"


def test_examples_are_found_with_their_code():
    text = "# Title\n\n<!-- examples/a.cpp -->\n\n```cpp\nint main() {\n}\n```\n\nText.\n<!-- examples/b.cpp -->\nText.\n"
    assert shown_examples(text) == [("examples/a.cpp", "int main() {\n}\n"), ("examples/b.cpp", None)]
