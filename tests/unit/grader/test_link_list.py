import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.link_list import inside, is_web, parse_links

TASKS = {"vanilla": "lab8_vanilla.ipynb", "cwgan": "lab8_cwgan.ipynb"}


@pytest.mark.parametrize(
    ("data", "links"),
    [
        (b"", {}),
        (b"a.pt\nb.pt\n", {"vanilla": "a.pt", "cwgan": "b.pt"}),
        (b"# mine\n\n  a.pt  \r\n\r\nb.pt", {"vanilla": "a.pt", "cwgan": "b.pt"}),
        (b"\xef\xbb\xbfa.pt", {"vanilla": "a.pt"}),
        ("a.pt\r\nb.pt".encode("utf-16"), {"vanilla": "a.pt", "cwgan": "b.pt"}),
        (b"caf\xe9.pt", {"vanilla": "café.pt"}),
        (b"cwgan: b.pt\na.pt", {"vanilla": "a.pt", "cwgan": "b.pt"}),
        (b"CWGAN = 'b.pt'", {"cwgan": "b.pt"}),
        (b"lab8_cwgan.ipynb: b.pt\nlab8_vanilla: a.pt", {"vanilla": "a.pt", "cwgan": "b.pt"}),
        (b"https://drive.google.com/file/d/1#x  # mine", {"vanilla": "https://drive.google.com/file/d/1#x"}),
        (b"vanilla: https://x.org/a?b=c:d", {"vanilla": "https://x.org/a?b=c:d"}),
        (b"<https://x.org/a>", {"vanilla": "https://x.org/a"}),
        (b"file:///etc/passwd", {"vanilla": "file:///etc/passwd"}),
        (b"C:\\Users\\me\\handin.pt", {"vanilla": "C:\\Users\\me\\handin.pt"}),
    ],
)
def test_understands_what_people_write(data: bytes, links: dict[str, str]) -> None:
    assert parse_links(data, TASKS) == (links, ())


def test_a_task_that_does_not_exist_is_named() -> None:
    links, (warning,) = parse_links(b"a.pt\nvanila: b.pt", TASKS)
    assert links == {"vanilla": "a.pt"}
    assert "line 2" in warning
    assert "'vanila'" in warning


def test_more_links_than_tasks_are_mentioned() -> None:
    assert "1 more" in parse_links(b"a\nb\nc", TASKS)[1][0]


@given(st.binary(max_size=200))
def test_any_bytes_are_read(data: bytes) -> None:
    links, _ = parse_links(data, TASKS)
    assert set(links) <= set(TASKS)


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("handin.pt", "handin.pt"),
        ("./a//b/handin.pt", "a/b/handin.pt"),
        ("a\\b.pt", "a/b.pt"),
        ("/etc/passwd", None),
        ("\\\\server\\share", None),
        ("../other/handin.pt", None),
        ("a/../../b", None),
        ("a\\..\\..\\b", None),
        ("file:handin.pt", None),
        ("https://x.org/handin.pt", None),
        ("C:\\handin.pt", None),
        ("", None),
        (".", None),
        ("a\0b", None),
    ],
)
def test_only_plain_relative_paths_are_inside(link: str, path: str | None) -> None:
    assert inside(link) == path


@pytest.mark.parametrize(
    "link",
    [
        *("HTTPS://x.org", "http://x", "https://files.example.edu/handin.pt", "http://10.0.0.5:8000/x"),
        *(
            "drive.google.com/file/d/1/view",
            "Drive.Google.com",
            "docs.google.com/uc?id=1",
            "www.dropbox.com",
            "www.x.org/handin.pt",
        ),
        *("bit.ly/3xYz", "1drv.ms/u/s!A", "files.example.edu:8443/x"),
    ],
)
def test_links_to_the_web_with_or_without_their_scheme(link: str) -> None:
    assert is_web(link)
    assert inside(link) is None


@pytest.mark.parametrize(
    "link",
    [
        "handin.pt",
        "runs/best.pt",
        "file:///x",
        "runs.old/best.pt",
        "lab8.1/handin.ckpt",
        "./my.model/x",
        "/x.y/z",
        "C:\\x",
        "a.b",
    ],
)
def test_files_are_no_links_to_the_web(link: str) -> None:
    assert not is_web(link)


@pytest.mark.parametrize(
    "line",
    [
        "https://x.org/a",
        "1. https://x.org/a",
        "- https://x.org/a.",
        "[handin.pt](https://x.org/a)",
        "my model: https://x.org/a",
        "<https://x.org/a>",
    ],
)
def test_what_stands_around_a_url_is_dropped(line: str) -> None:
    links, _ = parse_links(line.encode(), {"vanilla": "lab8_vanilla.ipynb"})
    assert links.get("vanilla", "none") == ("https://x.org/a" if not line.startswith("my") else "none")
