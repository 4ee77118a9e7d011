"""Links and anchors of the site, without the network: `python tests/site_links.py site` looks at what was built.

`broken_in_markdown` looks at the pages before they are built.
"""

import html.parser
import pathlib
import re
import sys
import unicodedata
import urllib.parse

LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")


def without_code(text):
    """A page's text, in which what looks like a link is one."""
    return re.sub(r"`[^`\n]*`", "`code`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def slug(heading):
    """The anchor that Python-Markdown makes of a heading."""
    text = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading)
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def anchors(text):
    code = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", code, flags=re.MULTILINE)}


def links_of(text):
    """(path, anchor) of each link that stays here."""
    for link in LINK.findall(without_code(text)):
        if not re.match(r"[a-z]+:", link):
            path, _, anchor = link.partition("#")
            yield path, anchor


def broken_in_markdown(file, made=()):
    """Links of a page that lead nowhere.

    Args:
        file: of the page.
        made: files that are not there until the site is built.
    """
    text, made = file.read_text(), {path.resolve() for path in made}
    for path, anchor in links_of(text):
        target = (file.parent / path).resolve() if path else file
        if target in made:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            yield f"{file.name}: {path}{'#' * bool(anchor)}{anchor}"


class _Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.links, self.names = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for key, value in attributes:
            if key in ("href", "src") and value and tag != "base":
                self.links.append(value)
            elif key in ("id", "name") and value:
                self.names.add(value)


def broken_in_site(folder):
    """Links and images of a built site that lead nowhere in it."""
    pages = {path: _Page(path.read_text()) for path in folder.rglob("*.html")}
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            to = urllib.parse.unquote(parts.path)
            target = (path.parent / to).resolve() if to else path
            if target.is_dir():
                target /= "index.html"
            anchor = urllib.parse.unquote(parts.fragment)
            there = target.exists() and (not anchor or target not in pages or anchor in pages[target].names)
            if not there and not anchor.startswith("__"):
                yield f"{path.relative_to(folder)}: {link}"


if __name__ == "__main__":
    found = sorted(set(broken_in_site(pathlib.Path(sys.argv[1]).resolve())))
    print("\n".join(found) or f"all links of {sys.argv[1]} lead somewhere")
    sys.exit(bool(found))
