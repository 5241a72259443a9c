"""Checks every link of the built site, and those of the Markdown files beside it: the file is there, and so is the heading.

Ours rather than mdbook-linkcheck2, which looks at no `#heading` and builds 300 crates with an HTTP client for it.
Links to other sites are not followed, so that a check says the same with and without a network.

    check_links.py FOLDER_OF_THE_SITE [FILE.md...]
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page, and what can be linked to on it."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" or (tag == "a" and name == "name"):
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def target_of(page, link, root):
    """The file that a link means, or None when it leads to another site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    if not parts.path:
        return page
    path = Path(unquote(parts.path))
    target = root / path.relative_to("/") if path.is_absolute() else page.parent / path
    return (target / "index.html" if target.is_dir() else target).resolve()


def check_site(root):
    pages = {path.resolve(): Page(path) for path in root.rglob("*.html")}
    for path, page in pages.items():
        # print.html has all pages in one, with ids of its own; 404.html is served from anywhere.
        if path.name in ("print.html", "404.html", "toc.html"):
            continue
        for link in page.links:
            target = target_of(path, link, root)
            if target is None:
                continue
            fragment = unquote(urlsplit(link).fragment)
            if not target.exists():
                yield f"{path.relative_to(root)}: {link}: no such file"
            elif fragment and target in pages and fragment not in pages[target].ids:
                yield f"{path.relative_to(root)}: {link}: no such heading"


def check_markdown(file):
    """Only that the files are there: their headings are checked in the site."""
    text = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target = target_of(file.resolve(), link, file.resolve().parent)
        if target is not None and not target.exists():
            yield f"{file}: {link}: no such file"


def main():
    root = Path(sys.argv[1]).resolve()
    found = list(check_site(root))
    for name in sys.argv[2:]:
        found += check_markdown(Path(name))
    print("\n".join(found) or f"links: all good in {root}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
