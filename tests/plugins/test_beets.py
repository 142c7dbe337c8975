"""The plugin in a real beets: its command, its fields, queries on them, and the import."""

import logging
import sqlite3

import pytest
import soundfile

pytest.importorskip("beets")

import beets
from beets import plugins, ui

from whosings.choir.cast import draw_singer
from whosings.choir.songs import record
from whosings.embedding import TrackEmbedder
from whosings.files import content_hash
from whosings.gallery import Gallery


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Three songs of ten seconds by each of two generated singers, and a gallery of two of each."""
    folder = tmp_path_factory.mktemp("songs")
    embedder = TrackEmbedder("fast", device="cpu")
    with Gallery(folder / "g", embedder.fingerprint, embedder.name) as gallery:
        for name, number in (("Ann", 0), ("Bob", 1)):
            for song in range(3):
                path = folder / f"{name}-{song + 1}.flac"
                with soundfile.SoundFile(path, "w", 16_000, 1) as file:
                    file.artist, file.title = "The Band", path.stem
                    file.write(record(draw_singer(6, number), song, 10).mixture)
                if song < 2:
                    gallery.add(name, embedder(path), content_hash(path), path)
    return folder


@pytest.fixture
def beet(tmp_path, songs, monkeypatch, capsys):
    """Run beets with a library and a configuration of its own: (exit code, standard output, standard error)."""
    home = tmp_path / "beets"
    home.mkdir()
    monkeypatch.setenv("BEETSDIR", str(home))

    def call(*words, **settings):
        own = {"gallery": songs / "g", "encoder": "fast", "device": "cpu", **settings}
        lines = [f"  {key}: {value}\n" for key, value in own.items()]
        (home / "config.yaml").write_text(
            f"plugins: [whosings]\ndirectory: {home}/music\nlibrary: {home}/l.db\nimport: {{copy: no, autotag: no}}\n"
            f"threaded: no\nwhosings:\n{''.join(lines)}"
        )
        beets.config.clear()
        beets.config.read()
        plugins._instances.clear()
        plugins.BeetsPlugin.listeners.clear()
        plugins.BeetsPlugin._raw_listeners.clear()
        logging.getLogger("beets").handlers.clear()  # they write to the standard error of the test before
        capsys.readouterr()
        code = 0
        try:
            ui.main([str(word) for word in words])
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_fields_and_queries(beet, songs, tmp_path):
    for name in ("Ann-3", "Bob-3"):
        assert beet("import", "-qs", songs / f"{name}.flac")[0] == 0
    code, out, _ = beet("whosings", "--pretend")
    assert code == 0 and "Ann-3: Ann (" in out and "Bob-3: Bob (" in out
    assert beet("ls", "singers:Ann")[1] == "", "nothing is kept"
    code, out, _ = beet("whosings", "title:Ann")
    assert code == 0 and "Ann-3: Ann (" in out and "Bob" not in out
    assert beet("whosings")[1].count("\n") == 1, "Ann-3 is not listened to again"
    assert beet("whosings")[1] == ""
    assert beet("whosings", "--force")[1].count("\n") == 2
    assert beet("ls", "-f", "$title: $singers, $singer_outcome", "singers:Ann")[1] == "Ann-3: Ann, named\n"
    assert beet("ls", "-f", "$title", "singer_confidence:0.9..", "singers:Bob")[1] == "Bob-3\n"
    assert beet("ls", "singer_confidence:..0.1")[1] == ""
    (shown,) = beet("ls", "-f", "$singer_confidence", "title:Ann")[1].split()
    with sqlite3.connect(tmp_path / "beets/l.db") as db:
        rows = dict(db.execute("SELECT key, value FROM item_attributes WHERE entity_id = 1"))
    assert rows["singers"] == "Ann" and f"{float(rows['singer_confidence']):.3f}" == shown


def test_strangers_and_a_changed_gallery(beet, songs, tmp_path, run):
    beet("import", "-qs", songs / "Bob-3.flac")
    gallery = tmp_path / "only-ann"
    gallery.write_bytes((songs / "g").read_bytes())
    assert run("gallery", "remove", "Bob", "-g", gallery)[0] == 0
    code, out, _ = beet("whosings", gallery=gallery)
    assert code == 0 and "Bob-3: " in out and "Bob-3: Bob" not in out
    assert beet("ls", "-f", "$singers.$singer_confidence", "title:Bob", gallery=gallery)[1] == ".0.000\n"
    assert beet("whosings", gallery=gallery)[1] == ""
    assert "Bob-3: Bob (" in beet("whosings")[1], "another gallery, another answer"


def test_the_import_listens_if_it_is_told_to(beet, songs):
    assert beet("import", "-qs", songs / "Ann-3.flac")[0] == 0
    assert beet("ls", "singers:Ann")[1] == ""
    assert beet("import", "-qs", songs / "Bob-3.flac", auto="yes")[0] == 0
    assert beet("ls", "-f", "$singers", "singers:Bob")[1] == "Bob\n"


def test_bad_input(beet, songs, tmp_path):
    for name in ("Ann-3", "Bob-3"):
        (tmp_path / f"{name}.flac").write_bytes((songs / f"{name}.flac").read_bytes())
        beet("import", "-qs", tmp_path / f"{name}.flac")
    for settings, says in (
        ({"gallery": ""}, "no gallery is set"),
        ({"gallery": tmp_path / "none"}, "no such gallery"),
        ({"encoder": "default"}, "was made with encoder fast"),
    ):
        code, out, err = beet("whosings", **settings)
        assert code == 1 and out == "" and says in err, settings
    (tmp_path / "Ann-3.flac").unlink()
    code, out, err = beet("whosings")
    assert code == 1 and "Bob-3: Bob (" in out
    assert "Ann-3.flac" in err and "could not listen to 1 item" in err
    code, _, err = beet("import", "-qs", songs / "Ann-2.flac", auto="yes", gallery=tmp_path / "none")
    assert code == 0 and "no such gallery" in err
    assert "Ann-2" in beet("ls", "title:Ann-2")[1]
