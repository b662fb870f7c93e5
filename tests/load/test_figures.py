from engine.core.units import MS, SECOND
from engine.load.figures import Cost, Figures, Spread, report, spread


def test_percentiles_are_values_that_occurred() -> None:
    assert spread([MS * value for value in range(1, 201)]) == Spread(200, 100.0, 198.0, 200.0)
    assert spread([5 * MS]) == Spread(1, 5.0, 5.0, 5.0)
    assert spread([]) == Spread(0, 0.0, 0.0, 0.0)


def test_a_report_reads_as_sentences() -> None:
    figures = Figures(answered=2, refused=1, underruns=1, underrun_ns=SECOND // 2, reasons={"busy": 1})
    figures.response_ns += [700 * MS, 800 * MS]
    cost = Cost(seconds=10, cores=0.5, waited=0.1, rss_kb=102_400, rss_kb_idle=51_200, processes=1, files=30)
    found = report(
        figures,
        calls=3,
        seconds=10,
        generator_cores=0.1,
        server=cost,
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
