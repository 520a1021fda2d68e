"""`assim fit`: files and a model in, a posterior tree out."""

from pathlib import Path
from typing import Annotated

import typer

from assim.cli.choosing import METHODS, MODELS, chosen
from assim.cli.kinds import read
from assim.cli.opening import Quality, names_in, open_record, open_snapshots, without_useless
from assim.cli.options import Files, Output, Quiet, Screen, Seed, Settings, Step, Variables
from assim.cli.speaking import note, say, watched
from assim.cli.stopping import Interrupted
from assim.cli.writing import save, written


def fit(
    files: Files,
    output: Output,
    model: Annotated[
        str, typer.Option(help=f"One of {', '.join(MODELS)}.", metavar="NAME")
    ] = "autoregressive",
    method: Annotated[
        str | None,
        typer.Option(
            help=f"One of {', '.join(METHODS)}; by default what suits the size of the model.",
            metavar="NAME",
        ),
    ] = None,
    settings: Settings = None,
    variables: Variables = None,
    controls: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Variables whose future is known, with commas."),
    ] = None,
    step: Step = None,
    qc: Screen = Quality.bad,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Train on what comes before this time only.")
    ] = None,
    seed: Seed = 0,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Keep the state of the fit here; the same command goes on from it."),
    ] = None,
    init: Annotated[
        Path | None, typer.Option(metavar="TREE", help="Start from this earlier fit.")
    ] = None,
    hold: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="What keeps the values of --init, by the beginnings of its names."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Fit a model to a record, or to snapshots of a population.

    Draws, settings and scaling go into one file, the posterior tree. All stations of a file are fitted in one call.
    What is constant or missing throughout is left out; places of a grid stay where they are.
    """
    known = names_in(controls)
    with written(output) as unfinished:
        family, backend = chosen(model, method, settings or [], known)
        earlier = None if init is None else read(init, "a fit")
        named = names_in(variables)
        wanted = (*named, *known) if named else ()
        from assim.model import AbstractGridded, AbstractPopulation

        if isinstance(family, AbstractPopulation):
            ds = open_snapshots(files, variables=wanted, qc=qc, step=step, quiet=quiet)
        else:
            ds = open_record(files, variables=wanted, qc=qc, step=step, quiet=quiet)
            whole = isinstance(family, AbstractGridded)
            ds, left_out = without_useless(ds, named, inputs=known, whole=whole)
            for sentence in left_out:
                note(sentence, quiet=quiet)
        import jax

        from assim import data
        from assim.data.clockwork import stamp
        from assim.data.describing import listed
        from assim.inferring import infer

        if until is not None:
            ds, _ = data.split(ds, at=until)
        try:
            tree = infer(
                family,
                ds,
                backend,
                key=jax.random.key(seed),
                init=earlier,
                hold=names_in(hold),
                checkpoint=checkpoint,
                progress=watched(quiet),
            )
        except KeyboardInterrupt:
            raise Interrupted(_kept(checkpoint)) from None
        save(tree, unfinished)
    draws = tree["posterior"].sizes
    told = "1 draw" if draws["draw"] == 1 else f"{draws['draw']} draws"
    told = f"{draws['chain']} x {told}" if draws["chain"] > 1 else told
    say(
        f"{model} on {listed(_channels(tree.attrs['layout']))} up to {stamp(ds['time'].values[-1])}: "
        f"{told} in {output}.",
        quiet=quiet,
    )
    if "k_hat" in tree.attrs:
        say(_trust(tree.attrs["k_hat"]), quiet=quiet)


def _trust(k_hat: float) -> str:
    """What the tail of importance ratios says of a guide."""
    if k_hat <= 0.7:
        return f"k-hat of the guide: {k_hat:.2f}, so that its draws are close to the posterior."
    return (
        f"k-hat of the guide: {k_hat:.2f}, above 0.7: its draws are not the posterior itself, as is usual for "
        "networks; judge them by their forecasts."
    )


def _channels(layout: str) -> list[str]:
    import json

    return json.loads(layout)["channels"]


def _kept(checkpoint: Path | None) -> str:
    if checkpoint is None:
        return "Interrupted; nothing was written. With --checkpoint PATH a fit can go on where it stopped."
    states = sorted(checkpoint.parent.glob(f"{checkpoint.stem}.*.npz"))
    if not states:
        return "Interrupted before the first state was kept; nothing was written."
    held = ", ".join(map(str, states))
    return f"Interrupted; the state is kept in {held}: the same command goes on from there."
