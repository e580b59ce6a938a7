import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.errors import CheckpointError, UngradedError
from grader.fetching.drive import download_address, next_address

ID = "1AbC-dEf_GhIjKlMnOpQrStUvWxYz012345"
PLAIN = f"https://drive.google.com/uc?export=download&id={ID}"


@pytest.mark.parametrize(
    "link",
    [
        f"https://drive.google.com/file/d/{ID}/view?usp=sharing",
        f"https://drive.google.com/file/d/{ID}/view?usp=drive_link",
        f"https://drive.google.com/file/d/{ID}/edit",
        f"https://drive.google.com/file/d/{ID}/preview",
        f"https://drive.google.com/file/d/{ID}",
        f"https://drive.google.com/file/u/1/d/{ID}/view",
        f"https://drive.google.com/a/example.edu/file/d/{ID}/view",
        f"https://drive.google.com/open?id={ID}",
        f"https://drive.google.com/open?id={ID}&usp=drive_fs",
        f"https://drive.google.com/uc?id={ID}",
        f"https://drive.google.com/uc?export=download&id={ID}",
        f"https://drive.google.com/uc?export=download&confirm=t&id={ID}",
        f"https://docs.google.com/uc?export=download&id={ID}",
        f"https://drive.usercontent.google.com/download?id={ID}&export=download&authuser=0&confirm=t&uuid=x",
        f"https://drive.usercontent.google.com/u/0/uc?id={ID}&export=download",
        f"http://drive.google.com/file/d/{ID}/view",
        f"HTTPS://DRIVE.GOOGLE.COM/file/d/{ID}/view",
        f"drive.google.com/file/d/{ID}/view?usp=sharing",
        f"  //drive.google.com/open?id={ID}  ",
    ],
)
def test_share_links_in_all_their_forms(link: str) -> None:
    assert download_address(link) == PLAIN


def test_the_key_of_an_old_file_is_kept() -> None:
    link = f"https://drive.google.com/file/d/{ID}/view?usp=sharing&resourcekey=0-aBc_123"
    assert download_address(link) == f"{PLAIN}&resourcekey=0-aBc_123"


@pytest.mark.parametrize(
    "link", ["https://www.dropbox.com/s/1/handin.pt?dl=1", "https://files.example.edu/a%20b.pt", "http://10.0.0.5:8000/x"]
)
def test_links_to_other_hosts_stay_as_they_are(link: str) -> None:
    assert download_address(link) == link


@pytest.mark.parametrize(
    ("link", "what"),
    [
        (
            f"https://drive.google.com/drive/folders/{ID}?usp=sharing",
            "leads to a folder; expected a link to the checkpoint file itself",
        ),
        (f"https://drive.google.com/drive/u/0/folders/{ID}", "a folder"),
        (f"https://drive.google.com/drive/mobile/folders/{ID}", "a folder"),
        (f"https://drive.google.com/folderview?id={ID}", "a folder"),
        ("https://drive.google.com/drive/my-drive", "a folder"),
        ("drive.google.com/drive/u/1/my-drive", "a folder"),
        (f"https://docs.google.com/document/d/{ID}/edit", "a Google document"),
        (f"https://docs.google.com/spreadsheets/d/{ID}/edit#gid=0", "a Google document"),
        (f"https://docs.google.com/presentation/d/{ID}/edit", "a Google document"),
        (f"https://colab.research.google.com/drive/{ID}?usp=sharing", "a Colab notebook"),
        ("https://drive.google.com/file/d/", "names no file"),
        ("https://drive.google.com/", "names no file"),
        ("https://drive.google.com/open?id=", "names no file"),
        ("https://drive.google.com/open?id=a/../b", "names no file"),
        ("https://[drive.google.com/x", "the link cannot be read"),
    ],
)
def test_links_that_lead_to_no_file(link: str, what: str) -> None:
    with pytest.raises(CheckpointError, match=what):
        download_address(link)


@given(
    st.text(max_size=60),
    st.sampled_from(["", "https://drive.google.com/", "drive.google.com/file/d/", "https://docs.google.com/"]),
)
def test_any_text_is_an_address_or_a_mistake_of_the_students(text: str, start: str) -> None:
    try:
        assert "://" in download_address(start + text)
    except CheckpointError as error:
        assert str(error)


@given(st.text(max_size=300).map(lambda text: f'<p id="download-form">{text}'))
def test_any_page_leads_somewhere_or_is_judged(page: str) -> None:
    try:
        assert next_address(page, PLAIN)
    except (CheckpointError, UngradedError) as error:
        assert str(error)


def test_a_page_that_signs_in_at_its_top_may_still_be_confirmed() -> None:
    signing_in = '<a href="https://accounts.google.com/ServiceLogin">Sign in</a>'
    page = f'{signing_in}\n<a href="/uc?export=download&amp;confirm=t&amp;id=1">Download</a>'
    assert next_address(page, "https://drive.google.com/uc?id=1") == "https://docs.google.com/uc?export=download&confirm=t&id=1"
