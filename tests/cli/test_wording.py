"""What the package says for Python arrives as one types it in a shell."""

import numpy as np
import pytest

from assim.cli import run
from assim.cli.fitting import _trust
from assim.cli.wording import as_typed
from assim.inference import SVI, EnsembleMAP, Laplace, Stein


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("at='May' is not a time", "--until May is not a time"),
        ("horizon='in a day' is no", "--horizon 'in a day' is no"),
        (
            "Nothing lies before at=2020-06-01T00:00:00: the",
            "before --until 2020-06-01T00:00:00: the",
        ),
        ("horizon=0 is shorter", "--horizon 0 is shorter"),
        ("are kept (qc='bad').", "are kept (--qc bad)."),
        ("choose some with variables=[...] or", "choose some with --variables A,B or"),
        ("with open_dataset(..., variables=[...]).", "with --variables A,B."),
        ("the variables, variables=[..., 'juld'], or", "the variables, --variables A,B,juld, or"),
        (
            "on it with assim.align(ds, '10min') (or --step on the command line).",
            "with --step 10min.",
        ),
        ("(in_sample=True, --in-sample)", "(--in-sample)"),
        ("use Laplace(LastLayer()), SVI", "use --method laplace --set curvature=LastLayer, SVI"),
        ("update= names slope, which", "--update names slope, which"),
        ("update='both': Lorenz96 has", "--update both: Lorenz96 has"),
        ("start anew without resume=.", "start anew without --resume."),
        ("or an earlier since=.", "or an earlier --since."),
        ("paths=3 is of models", "--paths 3 is of models"),
        ("ask for more of these with num_draws=.", "with --draws."),
        ("learn from new data by infer(init=tree).", "by assim fit --init."),
        ("hold=('net', 'noise') leaves no site", "--hold net,noise leaves no site"),
        ("hold='net' keeps values of", "--hold net keeps values of"),
        ("of init= has 3 draws", "of --init has 3 draws"),
        ("close: say so, as periodic=(False, True).", "as --set periodic=false,true."),
        ("or fit it with gain=models.Gain() for", "or fit it with --set gain=Gain for"),
        ("every='soon' is not a duration: write it as '6h'", "--every soon is not"),
        ("window='1s' is shorter than one step of 10 min", "--window 1s is shorter"),
        ("start='May' is not a time", "--start May is not a time"),
        ("between start=2021-01-01 and the end", "between --start 2021-01-01 and"),
        ("window='1D' and refit=True are of fits", "--window and --refit are of fits"),
        ("refit='often' is no number", "--refit often is no number"),
        ("folds=9 of 3 runs", "--folds 9 of 3 runs"),
        ("origins=['2020-01', '2021-01'] are no", "--origins 2020-01,2021-01 are no"),
        ("ask for more points= than 4.", "more --points than 4."),
        ("well, post = assim.accustom(post, train).", "well, assim accustom FIT FILE -o FIT."),
        ("fit it with mask_rate=0.2.", "fit it with --set mask_rate=0.2."),
        ("is told by window=3 rows", "window=3"),
        ("give a file with num_step=3", "num_step=3"),
        ("There is no file at/step=3.nc", "at/step=3.nc"),
    ],
)
def test_arguments_become_options(said, typed):
    assert typed in as_typed(said)


FALLING = {"loss": np.linspace(100.0, 0.0, 100)}


@pytest.mark.parametrize(
    ("advice", "typed"),
    [
        (SVI(num_steps=3000)._advice(FALLING), "--method svi --set num_steps=6000."),
        (
            Laplace()._advice(9.0),
            "--method laplace --set ascent.num_steps=4000 --set ascent.polish=",
        ),
    ],
)
def test_advice_of_a_method_can_be_typed(advice, typed):
    assert typed in as_typed(advice[0])
    assert "(" not in as_typed(advice[0]).partition("for example")[2]


@pytest.mark.parametrize("method", [EnsembleMAP, Stein])
def test_a_method_with_one_setting_can_be_typed(method):
    typed = as_typed(f"fit longer, for example {method.__name__}(num_steps=40).")
    assert typed.endswith("--set num_steps=40.") and "--method " in typed


@pytest.mark.slow
def test_the_advice_of_a_fit_is_typed(run_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("assim.inference.variational.still_falling", lambda loss: True)
    argv = ["fit", str(run_dir / "truth.nc"), "-o", str(tmp_path / "ar.nc"), "--method", "svi"]
    argv += [
        "--set",
        "num_steps=20",
        "--set",
        "num_draws=5",
        "--set",
        "ascent=none",
        "--set",
        "lags=3",
    ]
    assert run([*argv, "--set", "hidden=", "-q"]) == 0
    assert "longer, for example --method svi --set num_steps=40." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--until", "yesterday", "--until yesterday is not a time"),
        ("--until", "2010-06-01", "Nothing lies before --until 2010-06-01T00:00:00"),
        ("--step", "often", "--step often is not a duration"),
    ],
)
def test_a_mistake_in_an_option_of_fit_names_it(option, value, sentence, run_dir, tmp_path, capsys):
    argv = ["fit", str(run_dir / "truth.nc"), "-o", str(tmp_path / "ar.nc"), "-q", option, value]
    assert run(argv) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--horizon", "soon", "--horizon soon is not a duration"),
        ("--horizon", "0", "--horizon 0 is shorter than one step"),
        ("--origins", "every day", "--origins 'every day' is not a duration"),
        ("--origins", "1s", "--origins 1s is shorter than one step"),
    ],
)
def test_a_mistake_in_an_option_of_forecast_names_it(
    option, value, sentence, run_dir, tmp_path, capsys
):
    tree, truth = str(run_dir / "ar.nc"), str(run_dir / "truth.nc")
    assert run(["forecast", tree, truth, "-o", str(tmp_path / "fc.nc"), "-q", option, value]) == 2
    assert sentence in capsys.readouterr().err


def test_a_guide_is_called_close_to_the_posterior_up_to_the_threshold_alone():
    assert _trust(0.7) == "k-hat of the guide: 0.70, so that its draws are close to the posterior."
    assert "6.10, above 0.7: its draws are not the posterior itself, as is usual" in _trust(6.1)
