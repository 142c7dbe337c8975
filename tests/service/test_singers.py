"""The gallery of a service: what is read of it for an answer, and that changes by others count at once."""

import pytest

from tests.service.house import house, write_songs
from whosings.gallery import Gallery


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return write_songs(tmp_path_factory.mktemp("songs"), singers=2, takes=2)


def test_an_answer_reads_nobody_again_and_an_enrolment_everybody_once(tmp_path, songs, monkeypatch):
    read, rows = [], Gallery._singer_rows

    def counted(gallery):
        read.append(1)
        return rows(gallery)

    with house(tmp_path) as found:
        assert found.send("/v1/enrol", songs["Singer A"][0], singer="Ann").status_code == 200
        monkeypatch.setattr(Gallery, "_singer_rows", counted)
        assert found.send("/v1/identify", songs["Singer A"][1]).json()["top"][0]["singer"] == "Ann"
        assert found.send("/v1/evidence", songs["Singer A"][1]).status_code == 200
        assert not read  # what was read for the doubts of the enrolment is still known
        assert found.send("/v1/enrol", songs["Singer B"][0], singer="Bob").status_code == 200
        assert found.send("/v1/identify", songs["Singer B"][1]).json()["top"][0]["singer"] == "Bob"
        assert len(read) == 1


def test_what_others_change_counts_at_once(tmp_path, songs):
    with house(tmp_path) as found:
        found.send("/v1/enrol", songs["Singer A"][0], singer="Ann")
        found.send("/v1/enrol", songs["Singer B"][0], singer="Bob")
        assert found.send("/v1/identify", songs["Singer B"][1]).json()["top"][0]["singer"] == "Bob"
        assert found.client.get("/v1/about").json()["singers"] == 2
        with Gallery(found.places.gallery) as other:
            other.rename("Bob", "Robert")
        assert found.send("/v1/identify", songs["Singer B"][1]).json()["top"][0]["singer"] == "Robert"
        assert [row["name"] for row in found.client.get("/v1/singers").json()["singers"]] == ["Ann", "Robert"]
        assert found.client.get("/v1/singers/recordings", params={"name": "Bob"}).status_code == 404
        with Gallery(found.places.gallery) as other:
            other.remove("Ann", "Robert")
        assert found.client.get("/v1/about").json()["singers"] == 0
        assert found.send("/v1/identify", songs["Singer B"][1]).status_code == 409
        for name in ("", " ", "\x00", "x" * 400):  # nobody's
            assert found.client.get("/v1/singers/recordings", params={"name": name}).status_code in (404, 422)
