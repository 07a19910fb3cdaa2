"""Links of the documentation lead to files and headings that exist."""

import re
import subprocess

import pytest

from tests.support.paths import ROOT

LINK = re.compile(r"\[[^\]]*\]\((?!\w+:)([^)\s]*)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def pages() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(name for name in listed.stdout.split() if (ROOT / name).exists())


def anchors(text: str) -> set[str]:
    """The anchors that GitHub and mkdocs give to a page's headings."""
    headings = re.findall(r"^#{1,6} (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages())
def test_links_of_a_page_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in LINK.findall(FENCE.sub("", text)):
        path, _, anchor = target.partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        assert found.exists(), f"{page}: {target} does not exist"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found.read_text(encoding="utf-8")), f"{page}: {target} has no such heading"


def test_every_page_of_the_docs_is_in_the_site_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in pages():
        if page.startswith("docs/"):
            assert page.removeprefix("docs/") in navigation, f"mkdocs.yml does not list {page}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900
