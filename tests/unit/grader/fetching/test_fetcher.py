"""Downloads over real sockets, from servers that behave like Google Drive, well and badly."""

import hashlib
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from grader.errors import CheckpointError, UngradedError
from grader.fetching.hosts import LinkSettings
from grader.fetching.network import Network
from solutions import drive_server as on
from solutions.drive_server import DriveServer

from .clients import MB, Client, client_of

DATA = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize(
    "link",
    [
        "https://drive.google.com/file/d/1a-_Z/view?usp=sharing",
        "drive.google.com/file/d/1a-_Z/view",
        "https://drive.google.com/open?id=1a-_Z",
        "http://drive.google.com/uc?id=1a-_Z&export=download",
        "https://drive.usercontent.google.com/download?id=1a-_Z&export=download&confirm=t",
    ],
)
def test_every_kind_of_share_link_leads_to_the_file(google: DriveServer, google_client: Client, link: str) -> None:
    google.shared["1a-_Z"] = on.file(DATA)
    received = google_client.fetch(link)
    assert (received.sha256, received.size, received.host) == (SHA256, len(DATA), "drive.usercontent.google.com")
    assert google_client.data == DATA
    assert [request.headers["Host"] for request in google.requests] == ["drive.google.com", "drive.usercontent.google.com"]


def test_the_page_about_viruses_is_confirmed_with_its_cookie(google: DriveServer, google_client: Client) -> None:
    google.shared["big"] = on.confirmed(DATA)
    assert google_client.fetch("https://drive.google.com/file/d/big/view").sha256 == SHA256
    assert google.asked("big") == 3


def test_the_certificate_must_be_the_hosts_own(google: DriveServer) -> None:
    google.shared["1a"] = on.file(DATA)
    network = Network(resolve=lambda host, port: [("127.0.0.1", google.port)], is_public=lambda ip: True)
    with pytest.raises(UngradedError, match=r"drive\.google\.com: its certificate cannot be verified; tried 4 times"):
        client_of(LinkSettings(), network).fetch("https://drive.google.com/file/d/1a/view")
    assert google.requests == []


def test_a_link_to_a_server_of_the_course(drive: DriveServer, client: Client) -> None:
    drive.shared["a"] = on.confirmed(DATA)
    assert client.fetch(drive.link("a")).host == "127.0.0.1"
    assert client.data == DATA


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (on.missing(), r"there is no file at the link \(404\).*share the file once more"),
        (on.forbidden(), r"not shared.*‘Anyone with the link’.*\(403\)"),
        (on.sign_in(), "not shared: its host asks to sign in.*‘Anyone with the link’"),
        (on.sign_in_page(), "not shared: its host asks to sign in"),
        (
            on.page("My <b>lab</b> &amp; more"),
            r"HTML page \(‘My lab & more’\), not to a file; expected a link to the checkpoint file",
        ),
        (on.refused("Sorry, this file is infected with a virus."), "‘Sorry, this file is infected with a virus.’"),
        (on.redirect("https://example.org/x.pt"), r"leads to example\.org.*expected one of drive\.google\.com, docs"),
        (on.redirect("https://drive.google.com:8443/x.pt"), "https alone, at its usual port"),
        (on.redirect("http://drive.google.com/x.pt"), "https alone"),
        (on.redirect("http://169.254.169.254/latest/meta-data/"), r"leads to 169\.254\.169\.254, from where no files are taken"),
        (on.redirect("file:///etc/passwd"), "no address on the web"),
        (on.redirect("https://drive.google.com@127.0.0.1/"), "no address on the web"),
    ],
)
def test_what_the_student_can_mend_is_the_students(drive: DriveServer, client: Client, answer: on.Answer, message: str) -> None:
    drive.shared["a"] = answer
    with pytest.raises(CheckpointError, match=message):
        client.fetch(drive.link("a"))
    assert drive.asked("a") == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (on.quota(), "quota is exceeded.*24 hours"),
        (on.quota(403), "quota is exceeded"),
        (on.redirect("https://www.google.com/sorry/index?continue=x"), "takes the grader for a robot"),
        (lambda request: request.reply(418), r"does not understand \(418"),
    ],
)
def test_what_nobody_can_mend_now_is_not_tried_again_at_once(
    drive: DriveServer, client: Client, answer: on.Answer, message: str
) -> None:
    drive.shared["a"] = answer
    with pytest.raises(UngradedError, match=message):
        client.fetch(drive.link("a"))
    assert drive.asked("a") == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_recovers_is_asked_again_after_doubling_pauses(drive: DriveServer, client: Client, status: int) -> None:
    drive.shared["a"] = on.failing(on.file(DATA), times=3, status=status)
    assert client.fetch(drive.link("a")).sha256 == SHA256
    first, second, third = client.pauses
    assert 0.5 <= first <= 1 <= second <= 2 <= third <= 4


def test_a_server_that_does_not_recover_leaves_the_task_ungraded(drive: DriveServer, client: Client) -> None:
    drive.shared["a"] = on.failing(on.file(DATA), times=99, status=503)
    with pytest.raises(UngradedError, match=r"error of its own \(503 .*tried 4 times"):
        client.fetch(drive.link("a"))
    assert drive.asked("a") == 4


def test_a_server_that_names_its_pause_gets_it(drive: DriveServer, client: Client) -> None:
    drive.shared["a"] = on.failing(on.file(DATA), status=429, retry_after="7")
    client.fetch(drive.link("a"))
    own, others = client.pauses
    assert own == 7
    assert others == pytest.approx(7, abs=2)  # the pace lets no other download begin before
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=50))
    drive.shared["b"] = on.failing(on.file(DATA), status=503, retry_after=soon)
    client.fetch(drive.link("b"))
    assert 40 < max(client.pauses) <= 50


def test_a_pause_of_an_hour_is_left_to_the_next_run(drive: DriveServer, client: Client) -> None:
    drive.shared["a"] = on.failing(on.file(DATA), status=429, retry_after="3600")
    with pytest.raises(UngradedError, match="asks to be left alone for 3600 s"):
        client.fetch(drive.link("a"))
    assert client.pauses == []


def test_a_transfer_that_was_cut_off_begins_again(drive: DriveServer, client: Client) -> None:
    drive.shared["a"] = on.cut_off(DATA, on.file(DATA))
    assert client.fetch(drive.link("a")).size == len(DATA)
    assert client.data == DATA


def test_a_transfer_that_is_always_cut_off_is_not_the_students_fault(drive: DriveServer, client: Client) -> None:
    drive.shared["a"] = on.cut_off(DATA)
    with pytest.raises(UngradedError, match=r"127\.0\.0\.1: the transfer was cut off; tried 4 times"):
        client.fetch(drive.link("a"))


def test_a_body_that_never_ends_ends_at_the_limit(drive: DriveServer, client: Client) -> None:
    drive.shared["a"] = on.endless()
    with pytest.raises(CheckpointError, match=r"1\.\d MB or more, and 1 MB are allowed: hand in handin\.pt"):
        client.fetch(drive.link("a"))
    assert len(client.data) <= MB


def test_a_size_over_the_limit_is_believed(drive: DriveServer, client: Client) -> None:
    drive.shared["a"] = on.file(bytes(MB + 1))
    with pytest.raises(CheckpointError, match="1 MB are allowed"):
        client.fetch(drive.link("a"))
    assert client.data == b""
    drive.shared["a"] = on.file(bytes(MB))
    assert client.fetch(drive.link("a")).size == MB


def test_a_silent_server_is_not_waited_for(drive: DriveServer) -> None:
    drive.shared["a"] = on.silent()
    with pytest.raises(UngradedError, match=r"127\.0\.0\.1: it fell silent; tried 2 times"):
        client_of(LinkSettings(internal=(drive.origin,)), read_s=0.1, attempts=2).fetch(drive.link("a"))


def test_a_server_that_drips_is_cut_when_the_time_is_up(drive: DriveServer) -> None:
    drive.shared["a"] = on.dripping(bytes(1000), every_s=0.02)
    started = time.monotonic()
    with pytest.raises(UngradedError, match=r"did not arrive within 0\.3 s"):
        client_of(LinkSettings(internal=(drive.origin,)), total_s=0.3).fetch(drive.link("a"))
    assert time.monotonic() - started < 5


def test_stopping_ends_what_is_under_way_and_what_comes_later(drive: DriveServer, client: Client) -> None:
    drive.shared["a"] = on.silent()
    errors: list[str] = []

    def fetch() -> None:
        try:
            client.fetch(drive.link("a"))
        except UngradedError as error:
            errors.append(str(error))

    thread = threading.Thread(target=fetch)
    thread.start()
    while not drive.asked("a"):
        time.sleep(0.001)
    client.fetcher.stop()
    thread.join(timeout=4)
    fetch()
    assert errors == ["the run ended before the file was fetched"] * 2
    assert drive.asked("a") == 1


def test_circles_are_left(drive: DriveServer, client: Client) -> None:
    drive.shared["a"] = on.redirect(drive.link("a"))
    with pytest.raises(CheckpointError, match="redirected 10 times"):
        client.fetch(drive.link("a"))
    assert drive.asked("a") == 10


def test_a_form_leads_nowhere_but_to_allowed_hosts(drive: DriveServer, client: Client) -> None:
    form = '<form id="download-form" action="https://example.org/download" method="get"><input type="hidden" name="id" value="a"></form>'
    drive.shared["a"] = on.page("Google Drive - Virus scan warning", form)
    with pytest.raises(CheckpointError, match=r"leads to example\.org"):
        client.fetch(drive.link("a"))


def test_a_form_without_an_address_is_a_page(drive: DriveServer, client: Client) -> None:
    drive.shared["a"] = on.page("Odd", '<form id="download-form"></form>')
    with pytest.raises(CheckpointError, match=r"HTML page \(‘Odd’\)"):
        client.fetch(drive.link("a"))


def test_an_html_file_that_was_shared_is_a_file(drive: DriveServer, client: Client) -> None:
    """What it is, is said when it is used, in the same words as for files in a hand-in."""
    drive.shared["a"] = lambda request: request.page("x", "y", Content_Disposition='attachment; filename="x.html"')
    assert client.fetch(drive.link("a")).size == len(client.data) > 0


def test_no_network_is_not_the_students_fault() -> None:
    def unknown(host: str, port: int) -> list[tuple[str, int]]:
        import socket

        raise socket.gaierror("Name or service not known")

    client = client_of(LinkSettings(), Network(resolve=unknown))
    with pytest.raises(
        UngradedError, match=r"drive\.google\.com: its address cannot be found; is there a network\?; tried 4 times"
    ):
        client.fetch("https://drive.google.com/file/d/1a/view")


def test_a_server_that_is_down_is_not_the_students_fault(drive: DriveServer) -> None:
    with DriveServer() as gone:
        pass
    with pytest.raises(UngradedError, match=r"127\.0\.0\.1: it cannot be reached; tried 4 times"):
        client_of(LinkSettings(internal=(gone.origin,))).fetch(gone.link("a"))


@pytest.mark.parametrize(
    "private", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"]
)
def test_a_public_name_with_a_private_address_is_refused_before_anything_is_sent(private: str) -> None:
    client = client_of(LinkSettings(), Network(resolve=lambda host, port: [("8.8.8.8", port), (private, port)]))
    with pytest.raises(CheckpointError, match=rf"drive\.google\.com at {private}, an address inside a private network"):
        client.fetch("https://drive.google.com/file/d/1a/view")
    assert client.pauses == []


def test_a_redirect_to_a_name_with_a_private_address_is_refused(google: DriveServer, google_client: Client) -> None:
    google.shared["a"] = on.redirect("https://doc-0s.googleusercontent.com/a")
    with pytest.raises(CheckpointError, match=r"doc-0s\.googleusercontent\.com at 10\.0\.0\.1"):
        google_client.fetch("https://drive.google.com/file/d/a/view")


def test_a_name_that_changes_its_address_gains_nothing(google: DriveServer, certificate: object) -> None:
    """Each connection goes to the very addresses that were judged for it."""
    answers = [[("127.0.0.1", google.port)], [("10.0.0.1", 443)]]
    network = Network(
        resolve=lambda host, port: answers.pop(0), is_public=lambda ip: ip == "127.0.0.1", authorities=str(certificate)
    )
    google.shared["a"] = on.file(DATA)
    google.content_origin = "https://docs.google.com"
    with pytest.raises(CheckpointError, match=r"docs\.google\.com at 10\.0\.0\.1"):
        client_of(LinkSettings(), network).fetch("https://drive.google.com/file/d/a/view")
    assert answers == []


def test_nothing_of_the_environment_is_used(drive: DriveServer, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    drive.shared["a"] = on.file(DATA)
    client.fetch(drive.link("a"))
    (first, *_) = drive.requests
    assert first.headers["User-Agent"].startswith("gan-lab-grader/")
    assert first.headers["Authorization"] is None
