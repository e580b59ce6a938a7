"""What a browser would make of a page: tags, attributes and text."""

from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "img", "input", "br", "rect", "line", "circle", "path"}
IMAGES = ("data:image/png;base64,", "data:image/jpeg;base64,")
LOADS = {
    "script",
    "iframe",
    "object",
    "embed",
    "link",
    "video",
    "audio",
    "source",
    "base",
    "form",
    "frame",
    "applet",
}


class Page(HTMLParser):
    """A parsed page; tags must nest."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.style = ""
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.style += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text, white space collapsed."""
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each tag of this name."""
        return [attributes for name, attributes in self.tags if name == tag]


def assert_self_contained(page: Page) -> None:
    """Nothing is run or loaded from outside, and the policy forbids it."""
    assert not {tag for tag, _ in page.tags} & LOADS
    for tag, attributes in page.tags:
        assert not [
            name
            for name in attributes
            if name.startswith("on") or name in ("srcset", "srcdoc", "style", "formaction", "xlink:href")
        ]
        assert (attributes.get("src") or IMAGES[0]).startswith(IMAGES)
        allowed = {"image": IMAGES, "use": ("#",)}.get(tag, ("#", "./"))  # parts of SVG pictures, which may load as well
        assert (attributes.get("href") or "#").startswith(allowed)
    assert "url(" not in page.style and "@import" not in page.style
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert {"default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"} <= set(policy.split("; "))


def assert_accessible(page: Page) -> None:
    """Pictures have a text, tables have headers, headings skip no level."""
    assert all(image.get("alt") for image in page.all("img"))
    assert all(
        svg.get("aria-hidden") == "true" or (svg.get("role") == "img" and svg.get("aria-label")) for svg in page.all("svg")
    )
    assert all(th.get("scope") for th in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
