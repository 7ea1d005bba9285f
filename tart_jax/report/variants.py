"""The variants of a sweep: their options, and which starts from which."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tart_jax.types import InputError

DECIDED = ("seed",)  # options of the training that the sweep sets
SEED = "seed-SEED"  # stands in a path for the folder of the seed that is being trained


def parse(words: Sequence[str]) -> dict[str, dict[str, str]]:
    """name -> options, of "name: key=value; key=value". InputError: another form, a name twice."""
    variants: dict[str, dict[str, str]] = {}
    for word in words:
        name, colon, rest = (part.strip() for part in word.partition(":"))
        pairs = [part.partition("=") for part in rest.split(";") if part.strip()]
        if not name or not colon or not all(equals for _, equals, _ in pairs):
            raise InputError(
                f"config.variants: {word!r} should look like 'name: key=value; key=value'."
            )
        options = {key.strip(): value.strip() for key, _, value in pairs}
        if decided := sorted(set(options) & set(DECIDED)):
            raise InputError(f"config.variants: {word!r} sets {decided[0]}; use config.seeds.")
        if slug(name) in map(slug, variants):
            raise InputError(f"config.variants has {name!r} twice, or two names as alike.")
        variants[name] = options
    if not variants:
        raise InputError("config.variants is empty; it names what is to be compared.")
    return variants


def resolved(variants: dict[str, dict[str, str]], workdir: Path) -> dict[str, dict[str, str]]:
    """With "{NAME}" in a value as the model of that earlier variant. InputError: there is none."""
    done: dict[str, str] = {}
    for name, options in variants.items():
        for key, value in options.items():
            for earlier, path in done.items():
                value = value.replace("{" + earlier + "}", path)
            if "{" in value and key == "model.source":
                raise InputError(
                    f"config.variants: {name!r} starts from {value}, none of those before it:"
                    f" {', '.join(done) or 'it is the first'}."
                )
            options[key] = value
        done[name] = str(workdir / slug(name) / SEED / "train" / "model")
    return variants


def of_seed(options: Mapping[str, str], seed: int) -> dict[str, str]:
    """The options of one training: its seed, and models that it starts from of the same seed."""
    own = {key: value.replace(SEED, f"seed-{seed}") for key, value in options.items()}
    return own if "evaluate.retriever" in own else own | {"seed": str(seed)}


def slug(name: str) -> str:
    """The name of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
