"""The page of hessian-plot --report, as a browser shows it."""

import html.parser
import json
import re
import shutil
import subprocess

import numpy
import pytest

import plot_runs
from plot_runs import probe_datasets, write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """A report on two probes with long names, one of which did not converge."""
    folder = tmp_path_factory.mktemp("report")
    for number, name in enumerate(("a-rather-long-name-of-a-checkpoint-prenorm", "a-rather-long-name-of-a-checkpoint-simplegpt")):
        norms = 10.0 ** -numpy.arange(12).reshape(3, 4, 1) * numpy.ones(2)
        converged = numpy.full(norms.shape, 1 - number, dtype=numpy.uint8)
        write_run(folder / f"{number}.h5", probe_datasets(norms, converged), config=f'[probe]\nmodel = "{name}"\n',
                  command_line=f"hessian-probe --model {name} --layer all --site residual --out {number}.h5")  # fmt: skip
    plot_runs.Plot(folder).done("0.h5", "1.h5", "--report", "--format", "none")
    return folder / "plots" / "report.html"


class Checker(html.parser.HTMLParser):
    """Collects the addresses that a page loads and its tags, and checks that the tags are closed."""

    VOID = {"meta", "br", "hr", "img", "link", "input"}

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.addresses = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "data", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "data", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_self_contained(page):
    checker = Checker()
    checker.feed(page.read_text(encoding="utf-8"))
    assert checker.open == []
    assert all(address.startswith("#") for address in checker.addresses), checker.addresses
    assert "script" not in checker.tags and "link" not in checker.tags and "img" not in checker.tags
    assert checker.tags.count("svg") == checker.tags.count("figure") >= 6
    assert sorted(path.name for path in page.parent.iterdir()) == ["report.html"]


def test_the_page_shows_the_commands_and_the_warnings(page):
    text = page.read_text(encoding="utf-8")
    assert "hessian-probe --model a-rather-long-name-of-a-checkpoint-simplegpt --layer all" in text
    assert "24 of 24 estimates at residual did not reach their tolerance" in text
    assert "<td>0 of 2</td>" in text and "<td>2 of 2</td>" in text


def in_browser(page, width, folder, expression, dark=False):
    """Returns the value of a JavaScript expression about the page, in a window of this width."""
    frame = folder / "frame.html"
    frame.write_text(
        f'<body style="margin:0"><iframe id="f" src="{page.as_uri()}" width="{width}" height="900"></iframe>'
        "<script>document.getElementById('f').onload = () => {"
        "const doc = document.getElementById('f').contentDocument, view = document.getElementById('f').contentWindow;"
        f"document.body.setAttribute('data-answer', JSON.stringify({expression}));"
        "};</script></body>"
    )
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
         *(["--blink-settings=preferredColorScheme=0"] if dark else []), frame.as_uri()],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=True, text=True,
    )  # fmt: skip
    answer = re.search(r'data-answer="([^"]*)"', done.stdout)
    assert answer, done.stdout[-500:] + done.stderr[-500:]
    return json.loads(html.unescape(answer.group(1)))


@needs_browser
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_fits_into_the_window(page, tmp_path, width):
    shown, figures = in_browser(
        page, width, tmp_path,
        "[doc.documentElement.scrollWidth, "
        "[...doc.querySelectorAll('figure svg')].map(svg => [svg.getBoundingClientRect().width, svg.getBoundingClientRect().height])]",
    )  # fmt: skip
    assert shown <= width
    assert figures and all(250 < drawn <= width and high > 150 for drawn, high in figures), figures


@needs_browser
def test_the_texts_of_a_figure_do_not_overlap(page, tmp_path):
    overlaps = in_browser(
        page, 1280, tmp_path,
        "[...doc.querySelectorAll('figure svg')].flatMap(svg => { const texts = [...svg.querySelectorAll('text')]"
        ".filter(t => t.textContent.trim()).map(t => [t.textContent, t.getBoundingClientRect()]);"
        "return texts.flatMap(([a, p], i) => texts.slice(i + 1).filter(([b, q]) => p.left < q.right - 1 && q.left < p.right - 1 && "
        "p.top < q.bottom - 3 && q.top < p.bottom - 3).map(([b, q]) => [a, b])); })",
    )  # fmt: skip
    assert overlaps == []


@needs_browser
def test_a_dark_page_has_light_text(page, tmp_path):
    colors = "[view.getComputedStyle(doc.body).backgroundColor, view.getComputedStyle(doc.body).color, " \
             "view.getComputedStyle(doc.querySelector('figure svg [fill=black] text')).fill, " \
             "view.getComputedStyle(doc.querySelector('figure svg rect')).fill]"  # fmt: skip
    brightness = lambda color: sum(map(int, re.findall(r"\d+", color)[:3]))
    *shown, sheet = in_browser(page, 1280, tmp_path, colors)
    background, ink, label = map(brightness, shown)
    assert sheet == "none", "a figure lies on the page, not on a sheet of its own"
    assert background > 700 and ink < 150 and label < 150
    *shown, sheet = in_browser(page, 1280, tmp_path, colors, dark=True)
    background, ink, label = map(brightness, shown)
    assert sheet == "none"
    assert background < 150 and ink > 600 and label > 600


@needs_browser
def test_a_screenshot_shows_colours_and_text(page, tmp_path):
    image = tmp_path / "page.png"
    subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1200,900",
         f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={image}", page.as_uri()],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120, check=True,
    )  # fmt: skip
    assert image.read_bytes().startswith(b"\x89PNG")
    assert image.stat().st_size > 30_000, "an empty page compresses to less"
