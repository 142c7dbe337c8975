"""Answers in plain lines."""

from dataclasses import replace

from tests.product.test_picture import answer
from whosings.answer import Candidate, Outcome, Verdict, Voice
from whosings.answer_text import times, verdict_line, voice_lines
from whosings.spans import Span

ANN = Voice("Ann", 0.9, Outcome.NAMED, 12.0, (Span(0.0, 10.0), Span(70.0, 72.5)))
BOB = Voice("Bob", 0.6, Outcome.WORTH_A_LOOK, 8.0, (Span(10.0, 18.0),))
ELSE = Voice(None, 0.8, Outcome.UNKNOWN, 9.0, (Span(20.0, 29.0),))


def test_one_line_for_each_verdict():
    assert verdict_line(answer([], voices=(ANN,))) == "Ann (90%)"
    several = answer([], Verdict.SEVERAL, voices=(ANN, BOB, ELSE))
    assert verdict_line(several) == "Ann (90%) and perhaps Bob (60%) and somebody else (80%)"
    look = answer([], Verdict.WORTH_A_LOOK, voices=(ELSE, BOB))
    assert verdict_line(look) == "worth a look: Bob (60%)"
    none = answer([], Verdict.NOT_ENOUGH_VOCALS, top=(), unknown_probability=1.0)
    assert verdict_line(none) == "not enough vocals"
    stranger = answer([], Verdict.UNKNOWN, unknown_probability=0.93, top=(Candidate("Ann", 0.2, 0.05, 0.0),))
    assert verdict_line(stranger) == "unknown (93%; nearest Ann, 5%)"


def test_a_line_for_each_voice_with_its_times():
    together = replace(BOB, together=True)
    assert list(voice_lines(answer([], Verdict.SEVERAL, voices=(ANN, together, ELSE)))) == [
        "Ann (90%): 12 s (0:00.0-0:10.0, 1:10.0-1:12.5)",
        "perhaps Bob (60%): 8 s, under another voice (0:10.0-0:18.0)",
        "somebody else (80%): 9 s (0:20.0-0:29.0)",
    ]


def test_many_spans_are_counted():
    many = replace(ANN, spans=tuple(Span(float(n), n + 0.5) for n in range(9)))
    assert times(many).endswith("0:05.0-0:05.5 and 3 more")


def test_identify_prints_one_line_unless_asked_for_more(run, tiny, small_choir, tmp_path):
    first, second = (track.path for track in small_choir.tracks[:2])
    encoder = ("-g", tmp_path / "g", "--encoder", tiny.folder)
    run("enrol", "Ann", first, *encoder)
    code, out, err = run("identify", first, second, *encoder)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 4 and lines[0].startswith(f"{first.name}: ") and lines[1].startswith(f"{second.name}: ")
    assert lines[2].startswith("A name is given where") and lines[3].startswith("This is an indication")
    more = run("identify", first, *encoder, "-v")[1]
    assert "sings here with probability" in more and "share of the singing" in more and "s (0:0" in more
    assert "0.0%" not in more
