from msgspec.structs import replace

from engine.core.units import MS, SECOND
from engine.load.figures import Cost, Figures, Spread, report, spread
from engine.load.machine import Sample, cost


def test_percentiles_are_values_that_occurred() -> None:
    assert spread([MS * value for value in range(1, 201)]) == Spread(200, 100.0, 198.0, 200.0)
    assert spread([5 * MS]) == Spread(1, 5.0, 5.0, 5.0)
    assert spread([]) == Spread(0, 0.0, 0.0, 0.0)


def test_a_report_reads_as_sentences() -> None:
    figures = Figures(answered=2, refused=1, underruns=1, underrun_ns=SECOND // 2, reasons={"busy": 1})
    figures.response_ns += [700 * MS, 800 * MS]
    taken = Cost(seconds=10, cores=0.5, waited=0.1, rss_kb=102_400, rss_kb_idle=51_200, processes=1, files=30)
    found = report(
        figures,
        calls=3,
        seconds=10,
        generator_cores=0.1,
        server=taken,
        cpu_percent_per_call=0.25,
        rss_kb_per_call=250.0,
        tasks_per_call=3.0,
    )
    text = "\n".join(found.lines())
    for words in (
        "2 answered, 1 refused",
        "p50 700.0",
        "1, 0.50 s",
        "1 x busy",
        "0.250 %",
        "100 MB, 50 before",
        "3.0 per call",
    ):
        assert words in text
    assert found.as_dict()["underruns"] == 1


def test_nothing_is_late_before_it_is_measured() -> None:
    figures = Figures()
    figures.note_late(5)
    figures.measuring = True
    figures.note_late(7)
    assert figures.late_ns == [7]


def test_what_a_process_that_ended_had_taken_is_not_made_up() -> None:
    both = Sample(at_ns=0, ran_ns=9_000, waited_ns=0, rss_kb=90, files=9, journals=0, processes=2)
    one = Sample(at_ns=1_000, ran_ns=5_000, waited_ns=0, rss_kb=50, files=5, journals=0, processes=1)
    assert cost(both, replace(both, at_ns=1_000), both) is not None
    assert cost(both, one, both) is None
    told = report(Figures(), calls=1, seconds=1, generator_cores=0, server=None).lines()
    assert told[-1].endswith("or a process of it has ended")
