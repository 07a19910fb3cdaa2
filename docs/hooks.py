"""Links of the documentation that lead to source files: on the site they become the file's name.

In the repository such a link opens the file. The site contains only pages, and does not know where the repository is
published.
"""

import posixpath
import re
from typing import Any

LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:)([^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replaces links that leave docs/ by their text and the file's path."""

    def replace(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page.file.src_uri), link[2]))
        if target.startswith("docs/"):
            return link[0]
        return link[1] if posixpath.basename(target) in link[1] else f"{link[1]} (`{target}`)"

    return LINK.sub(replace, markdown)
