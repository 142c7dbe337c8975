"""Wrong answers are listed and can be heard, and names do no harm to the page, the tables or the figures."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from tests.evaluation.test_evaluation_tables import results
from tests.evaluation.test_results import row
from whosings.audio import SAMPLE_RATE, write_flac
from whosings.errors import EvaluationError
from whosings.evaluation import figures
from whosings.evaluation.paper_tables import escaped, text_table
from whosings.evaluation.report import write_report
from whosings.evaluation.results import ProbeFile, note_probes, probe_files, run_path, write_run
from whosings.evaluation.wrong_answers import EXCERPTS, excerpt, wrong_answers

EVIL = "<script>alert(1)</script> | `x` *b* [a](javascript:b) R$B$ _c_\n# d & 'e'"


def test_probes_that_were_named_wrongly_the_worst_first():
    rows = [
        *(
            row(run=n, probe="a", target="x", predicted="x" if n else "y", rank=2.0 - n, probability=0.4)
            for n in (0, 1)
        ),
        *(row(run=n, probe="b", target="x", predicted="z", rank=3.0, probability=0.1) for n in (0, 1)),
        row(probe="c", target="x;y", predicted="y"),
    ]
    worst, other = wrong_answers(results(rows))
    assert (worst.probe, worst.target, worst.named, worst.wrong, worst.runs) == ("b", "x", "z", 2, 2)
    assert (worst.rank, worst.probability) == (pytest.approx(3), pytest.approx(0.1))
    assert (other.probe, other.named, other.wrong, other.runs, other.rank) == ("a", "y", 1, 2, pytest.approx(1.5))


def test_an_excerpt_is_the_sung_place(tmp_path):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 9 * SAMPLE_RATE)).astype(np.float32)
    write_flac(tmp_path / "p.flac", sound)
    note_probes(tmp_path, {"p": ProbeFile(str(tmp_path / "p.flac"), 2.0)})
    note_probes(tmp_path, {"gone": ProbeFile(str(tmp_path / "gone.flac"), 0.0)})
    files = probe_files(tmp_path)
    data = re.search('src="data:audio/flac;base64,([^"]*)"', excerpt("p", files))[1]
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert rate == SAMPLE_RATE
    np.testing.assert_allclose(heard, sound[0, 2 * SAMPLE_RATE : 7 * SAMPLE_RATE], atol=2**-14)
    assert excerpt("gone", files) == "its file is missing or cannot be read"
    assert excerpt("other", files) == "its file is not noted"
    (tmp_path / "probes.json").write_text("[1]")
    with pytest.raises(EvaluationError, match="damaged; delete it"):
        probe_files(tmp_path)


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def test_markup_is_text_in_html_and_markdown():
    reader = _Reader()
    reader.feed(escaped(EVIL))
    reader.close()
    assert reader.tags == [] and "".join(reader.texts) == " ".join(EVIL.split())
    assert not re.search(r"[<>|`*_\[\]$\"']|&(?!#\d+;)", escaped(EVIL))
    table = text_table(("a", "b"), [(EVIL, "x")]).splitlines()
    assert len(table) == 3 and table[2].count("|") == 3


def test_a_page_with_many_wrong_answers(tmp_path):
    write_flac(tmp_path / "p.flac", np.full((1, SAMPLE_RATE), 0.1, np.float32))
    names = [f"{EVIL} {n}" for n in range(60)]
    rows = [row(probe=n, target=EVIL, predicted="b<i>", model=EVIL, genre=EVIL, top_5=0.0) for n in names]
    for model in (EVIL, "second"):
        name = f"closed-m{len(model)}"
        write_run([row(**{**vars(one), "model": model}) for one in rows], run_path(tmp_path, name, 0), "r")
    note_probes(tmp_path, {n: ProbeFile(str(tmp_path / "p.flac"), 0.0) for n in names})
    made = write_report(tmp_path, tmp_path / "report")
    reader = _Reader()
    reader.feed(made.page.read_text())
    assert {"script", "i"}.isdisjoint(reader.tags) and reader.tags.count("audio") == EXCERPTS
    assert reader.texts.count("see above") == EXCERPTS and f"the page holds {EXCERPTS}" in reader.texts
    assert any("(60, the first 50)" in text for text in reader.texts)
    assert "<script" not in made.tables.read_text() and "](javascript" not in made.tables.read_text()


def test_violins_only_of_five_runs_that_differ(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "_save", lambda figure, path: drawn.append(figure) or [path])
    for runs, violins in ((1, 0), (4, 0), (5, 1)):
        figures.accuracy_by_train_tracks(results([row(run=n, top_1=n / 10) for n in range(runs)]), tmp_path / "f")
        axes = drawn[-1].axes[0]
        bodies = [
            one for one in axes.collections if type(one).__name__ in ("PolyCollection", "FillBetweenPolyCollection")
        ]
        assert len(bodies) == violins
        points = [line for line in axes.lines if len(line.get_xdata()) == runs and line.get_marker() in ("o", ".")]
        assert len(points) == 1 and (violins or len(set(points[0].get_xdata())) == runs)
