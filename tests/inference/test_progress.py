from assim.inference.progress import Progress


def test_it_is_silent_unless_asked(capsys):
    with Progress(False, "SVI", 10) as bar:
        bar.advance(5, {"loss": 1.0})
    told = capsys.readouterr()
    assert told.out == told.err == ""


def test_it_shows_where_it_is_on_standard_error(capsys):
    with Progress(True, "SVI", 10, done=2) as bar:
        bar.advance(5, {"loss": 1.23456})
    told = capsys.readouterr()
    assert told.out == ""
    assert "SVI" in told.err and "7/10" in told.err and "loss 1.235" in told.err
