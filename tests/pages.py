"""A parser for HTML pages in tests."""

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "input", "hr", "wbr", "col"}


class Page(HTMLParser):
    """A parser that checks that tags are closed in order, and collects parts of the page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.attributes, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["script"], ["style"]):
            self.text.append(data)


def markup(page):
    """The page without the content of its scripts and styles."""
    return re.sub(r"(<(script|style)\b[^>]*>).*?(</\2>)", r"\1\3", page, flags=re.DOTALL)


def check_that_it_needs_nothing_from_elsewhere(page):
    """The page loads nothing, links nowhere, and its own scripts use nothing that a sandboxed frame refuses."""
    for sign in ("http://", "https://", "@import", "url(", 'href="#'):
        assert sign not in markup(page)
    addresses = [value for _, name, value in Page(page).attributes if name in ("src", "srcset")]
    assert not [address for address in addresses if not address.startswith("data:image/")]
    own = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)[-1]
    for refused in (
        "localStorage",
        "sessionStorage",
        "indexedDB",
        "document.cookie",
        "window.open",
        "alert(",
        "fetch(",
    ):
        assert refused not in own
