import pytest
from pydantic import ValidationError

from grader.errors import CheckpointError
from grader.fetching.hosts import LinkSettings, address, allowed_hosts

COURSE = allowed_hosts(
    LinkSettings(
        hosts=("www.dropbox.com", "*.DropboxUserContent.com"), internal=("http://10.0.0.5:8000/", "https://files.example.edu")
    )
)


@pytest.mark.parametrize(
    "url",
    [
        "https://drive.google.com/file/d/1/view",
        "HTTPS://Drive.Google.COM./x",
        "https://drive.usercontent.google.com/download?id=1",
        "https://doc-0s-1c-docs.googleusercontent.com/docs/x",
        "https://www.dropbox.com/s/1/x.pt?dl=1",
        "https://uc1.dl.dropboxusercontent.com/x",
        "http://10.0.0.5:8000/x.pt",
        "https://files.example.edu:443/x.pt",
    ],
)
def test_listed_hosts_are_asked(url: str) -> None:
    COURSE.expect_listed(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://google.com/",
        "https://evil-drive.google.com/",
        "https://drive.google.com.evil.org/",
        "https://googleusercontent.com/",
        "https://xgoogleusercontent.com/",
        "https://dropbox.com/x",
        "https://drive.google.com:22/",
        "http://drive.google.com/",
        "https://10.0.0.5:8000/x.pt",
        "http://10.0.0.5:8001/x.pt",
        "http://10.0.0.5/x.pt",
        "http://files.example.edu/x.pt",
        "https://evil.org\\@drive.google.com/",
        "https://evil.org#@drive.google.com/",
        "https://evil.org?@drive.google.com/",
        "https://drive.google.com@evil.org/",
        "https://user:word@drive.google.com/",
        "https://drive.google.com:99999/",
        "https:///x",
        "https://[::1/",
        "https://①②⑦.0.0.1/",
        "ftp://drive.google.com/x",
        "javascript:alert(1)",
        "",
    ],
)
def test_other_hosts_are_not(url: str) -> None:
    with pytest.raises(CheckpointError):
        COURSE.expect_listed(url)


def test_the_message_names_the_host_and_the_list() -> None:
    with pytest.raises(CheckpointError) as caught:
        COURSE.expect_listed("https://bit.ly/3xYz")
    assert "leads to bit.ly, from where no files are taken" in str(caught.value)
    assert "drive.google.com, docs.google.com" in str(caught.value)
    assert "*.dropboxusercontent.com, 10.0.0.5:8000, files.example.edu" in str(caught.value)


def test_only_the_courses_own_servers_may_be_private() -> None:
    assert COURSE.may_be_private("10.0.0.5", 8000)
    assert COURSE.may_be_private("files.example.edu", 443)
    assert not COURSE.may_be_private("10.0.0.5", 80)
    assert not COURSE.may_be_private("www.dropbox.com", 443)


@pytest.mark.parametrize(
    ("field", "entry"),
    [
        ("hosts", "https://dropbox.com"),
        ("hosts", "dropbox.com/s"),
        ("hosts", "dropbox.com:443"),
        ("hosts", "*.com"),
        ("hosts", "*"),
        ("hosts", ""),
        ("internal", "files.example.edu"),
        ("internal", "https://files.example.edu/folder"),
        ("internal", "ftp://files.example.edu"),
        ("internal", "http://10.0.0.5:99999"),
    ],
)
def test_settings_that_make_no_sense_are_named(field: str, entry: str) -> None:
    with pytest.raises(ValidationError, match=r"is not a (host|server) such as"):
        LinkSettings(**{field: (entry,)})


def test_an_address_reads_like_its_url() -> None:
    assert str(address("https://Files.example.edu./x")) == "files.example.edu"
    assert str(address("http://10.0.0.5:8000")) == "10.0.0.5:8000"
