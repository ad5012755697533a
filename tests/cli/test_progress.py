from mmbench.cli.progress import TerminalWatch

ENTRY = {"epoch": 1, "loss": 1.5, "validation": 0.25, "samples_per_second": 1000.0}


def lines(capsys, **changes):
    watch = TerminalWatch()
    watch.began("mine", 0)
    watch.started(2, 10, 0)
    watch.finished_epoch(ENTRY | changes)
    return capsys.readouterr().err


def test_a_line_names_what_chooses_the_epoch(capsys):
    assert "validation accuracy 0.2500" in lines(capsys, chosen_by="accuracy")


def test_what_is_better_when_lower_is_shown_as_it_is_called(capsys):
    lower = {"validation": -0.25, "chosen_by": "loss", "lower_is_better": True}
    assert "validation loss 0.2500" in lines(capsys, **lower)


def test_a_state_of_an_earlier_version_names_nothing(capsys):
    assert "validation 0.2500" in lines(capsys)
