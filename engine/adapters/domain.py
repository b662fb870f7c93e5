"""Domains: what callers of an agent are likely to say, as a language model for the embedded recogniser.

A domain is text, a line each:

    # a comment
    <day> = monday | /3/ tuesday | the <ordinal>     a rule: alternatives, with weights where they are not equally likely
    /5/ i'd like [an appointment] on <day>           a sentence callers say, five times as often as one without a weight
    !calendly K AE L AH N D L IY                     how a word is said, in the phones of CMUdict

Within an expansion `[x]` may be left out, `(x | y)` groups, `<rule>` stands for another rule. Sentences are drawn from it at
random (always the same ones), a trigram model is counted over them, and the dictionary is cut to their words. Both files are
kept in the cache folder under the hash of what they were made from.
"""

import hashlib
import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import log10
from pathlib import Path

from engine.errors import ConfigError

SENTENCES = 30_000
"""Drawn from a domain. At 20,000 the rarest words of a domain of a thousand are still seen some ten times."""
DEPTH = 32
"""Of rules within rules: deeper is a rule that contains itself."""
FORMAT = "1"
"""Part of the cache's key: change it when the same domain is built differently."""

TOKEN = re.compile(r"<[^<>]+>|/[0-9.]+/|[\[\]()|]|[^\s\[\]()|<>/]+|\S")
WORD = re.compile(r"[a-z0-9'._-]+$")


@dataclass(frozen=True)
class Alternatives:
    """One of several sequences. An item is a word, a rule's name in <>, or alternatives again."""

    weights: tuple[float, ...]
    sequences: tuple[tuple["str | Alternatives", ...], ...]


@dataclass
class Domain:
    """A parsed domain."""

    rules: dict[str, Alternatives] = field(default_factory=dict)
    sentences: list[tuple[float, Alternatives]] = field(default_factory=list)
    pronunciations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def draw(self, count: int, seed: int = 0) -> Iterator[list[str]]:
        """`count` sentences, each as its words, and each line of the domain at least once."""
        chance = random.Random(seed)  # noqa: S311 (the same sentences each time, not a secret)
        weights = [weight for weight, _ in self.sentences]
        patterns = [pattern for _, pattern in self.sentences]
        for pattern in patterns + chance.choices(patterns, weights, k=max(0, count - len(patterns))):
            words: list[str] = []
            self._expand(pattern, chance, words, 0)
            if words:
                yield words

    def _expand(self, node: Alternatives, chance: random.Random, words: list[str], depth: int) -> None:
        if depth > DEPTH:
            raise ConfigError("domain: rules are nested too deeply; does one contain itself?")
        for item in chance.choices(node.sequences, node.weights)[0]:
            if isinstance(item, Alternatives):
                self._expand(item, chance, words, depth + 1)
            elif item[0] == "<":
                self._expand(self.rules[item], chance, words, depth + 1)
            else:
                words.append(item)

    def words(self) -> set[str]:
        """All words the domain can say."""
        return {word for _, pattern in self._patterns() for word in _leaves(pattern) if word[0] != "<"}

    def _patterns(self) -> Iterator[tuple[str, Alternatives]]:
        yield from self.rules.items()
        yield from (("", pattern) for _, pattern in self.sentences)

    def undefined(self) -> list[str]:
        """Rules that are used and not defined."""
        used = {leaf for _, pattern in self._patterns() for leaf in _leaves(pattern) if leaf[0] == "<"}
        return sorted(used - self.rules.keys())


def parse(text: str) -> Domain:
    """A domain from its text. Raises ConfigError, naming every line that cannot be read."""
    domain = Domain()
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        try:
            _parse_line(domain, line)
        except ValueError as error:
            problems.append(f"domain, line {number}: {error}")
    problems += [f"domain: {name} is used and not defined" for name in domain.undefined()]
    if not domain.sentences and not problems:
        problems.append("domain: it has no sentences")
    if problems:
        raise ConfigError(*problems)
    return domain


def _parse_line(domain: Domain, line: str) -> None:
    if line[0] == "!":
        word, *phones = line[1:].split()
        if not phones:
            raise ValueError(f"no phones for {word!r}")
        domain.pronunciations[word.lower()].append(" ".join(phones))
        return
    name, equals, expansion = line.partition("=")
    tokens = TOKEN.findall((expansion if equals else line).lower())
    weight = 1.0
    if not equals and tokens and tokens[0][0] == "/" and "|" not in tokens:
        weight = _weight(tokens.pop(0))
    node = _parse_alternatives(tokens, "")
    if equals:
        name = name.strip().lower()
        if not re.fullmatch(r"<[^<>]+>", name):
            raise ValueError(f"{name!r} is no rule's name; write <name> = …")
        if name in domain.rules:
            raise ValueError(f"{name} is defined twice")
        domain.rules[name] = node
    else:
        domain.sentences.append((weight, node))


def _parse_alternatives(tokens: list[str], closing: str) -> Alternatives:
    """Take tokens up to `closing` (empty: the end of the line)."""
    weights, sequences = [1.0], [list[str | Alternatives]()]
    while tokens:
        piece = tokens.pop(0)
        if piece == closing:
            break
        if piece == "|":
            weights.append(1.0)
            sequences.append([])
        elif piece == "(":
            sequences[-1].append(_parse_alternatives(tokens, ")"))
        elif piece == "[":
            inner = _parse_alternatives(tokens, "]")
            total = sum(inner.weights)
            sequences[-1].append(Alternatives((*inner.weights, total), (*inner.sequences, ())))
        elif piece[0] == "/" and len(piece) > 2 and not sequences[-1]:
            weights[-1] = _weight(piece)
        elif piece[0] == "<" or WORD.match(piece):
            sequences[-1].append(piece)
        else:
            raise ValueError(f"{piece!r} is out of place")
    else:
        if closing:
            raise ValueError(f"{closing!r} is missing")
    return Alternatives(tuple(weights), tuple(tuple(sequence) for sequence in sequences))


def _weight(piece: str) -> float:
    weight = float(piece.strip("/"))
    if weight <= 0:
        raise ValueError(f"a weight must be above 0, not {piece}")
    return weight


def _leaves(node: Alternatives) -> Iterator[str]:
    for sequence in node.sequences:
        for item in sequence:
            if isinstance(item, Alternatives):
                yield from _leaves(item)
            else:
                yield item


def read_dictionary(path: Path, words: set[str]) -> dict[str, list[str]]:
    """The pronunciations of `words` in a CMUdict file: "word PH ON ES", variants as "word(2)"."""
    found: dict[str, list[str]] = defaultdict(list)
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            entry, _, phones = line.strip().partition(" ")
            word = entry.partition("(")[0]
            if word in words:
                found[word].append(phones.strip())
    return found


def arpa(sentences: Iterable[list[str]]) -> str:
    """A trigram model with Witten-Bell smoothing, in ARPA's text form.

    Source: Witten and Bell (1991), method C: what has been followed by many different words is likely to be followed by another.
    Counts drawn from a grammar have no natural tail, which is what Good-Turing and Kneser-Ney are estimated on.
    """
    counts: tuple[Counter[tuple[str, ...]], ...] = (Counter(), Counter(), Counter())
    for words in sentences:
        padded = ("<s>", *words, "</s>")
        for order in (1, 2, 3):
            counts[order - 1].update(zip(*(padded[i:] for i in range(order)), strict=False))
    del counts[0][("<s>",)]
    probability = [_witten_bell(counts[0], {(): 1.0 / len(counts[0])})]
    probability.append(_witten_bell(counts[1], probability[0]))
    probability.append(_witten_bell(counts[2], probability[1]))
    return _write_arpa(counts, probability)


Probabilities = dict[tuple[str, ...], float]


def _witten_bell(counts: Counter[tuple[str, ...]], lower: Probabilities) -> Probabilities:
    """Interpolate one order's counts with the order below. For single words `lower` holds the uniform share under ()."""
    total: Counter[tuple[str, ...]] = Counter()
    kinds: Counter[tuple[str, ...]] = Counter()
    for gram, count in counts.items():
        total[gram[:-1]] += count
        kinds[gram[:-1]] += 1
    return {
        gram: (count + kinds[gram[:-1]] * lower[gram[1:]]) / (total[gram[:-1]] + kinds[gram[:-1]])
        for gram, count in counts.items()
    }


def _write_arpa(counts: tuple[Counter[tuple[str, ...]], ...], probability: list[Probabilities]) -> str:
    probability[0][("<s>",)] = 1e-99
    lines = ["\\data\\"]
    lines += [f"ngram {order}={len(table)}" for order, table in enumerate(probability, 1)]
    for order, table in enumerate(probability, 1):
        backoff = _backoff(table, probability[order], counts[order]) if order < len(probability) else {}
        lines += ["", f"\\{order}-grams:"]
        for gram, p in sorted(table.items()):
            tail = f"\t{log10(backoff.get(gram, 1.0)):.4f}" if order < len(probability) else ""
            lines.append(f"{log10(p):.4f}\t{' '.join(gram)}{tail}")
    return "\n".join([*lines, "", "\\end\\", ""])


def _backoff(lower: Probabilities, higher: Probabilities, counts: Counter[tuple[str, ...]]) -> Probabilities:
    """For each context: the probability left for unseen words over what the lower order gives them."""
    seen: dict[tuple[str, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for gram in counts:
        seen[gram[:-1]][0] += higher[gram]
        seen[gram[:-1]][1] += lower[gram[1:]]
    return {gram: max(1.0 - high, 1e-6) / max(1.0 - low, 1e-6) for gram, (high, low) in seen.items()}


@dataclass(frozen=True)
class Model:
    """A built domain: two files."""

    language_model: Path
    dictionary: Path


def build(text: str, dictionary: Path, cache: Path | None = None) -> Model:
    """The domain's model, from the cache if it was built before.

    dictionary: a CMUdict file to take pronunciations from.
    cache:      a folder; the user's cache folder (XDG_CACHE_HOME) if None.
    Raises ConfigError, naming every line that cannot be read and every word whose pronunciation is unknown.
    """
    key = hashlib.sha256("\0".join((FORMAT, str(SENTENCES), dictionary.name, text)).encode()).hexdigest()[:24]
    folder = (cache or default_cache()) / key
    model = Model(folder / "domain.arpa", folder / "domain.dict")
    if model.language_model.exists() and model.dictionary.exists():
        return model
    domain = parse(text)
    words = domain.words()
    pronounced = read_dictionary(dictionary, words) | domain.pronunciations
    missing = sorted(words - pronounced.keys())
    if missing:
        raise ConfigError(
            *(f"domain: no pronunciation is known for {word!r}; add a line: !{word} …" for word in missing)
        )
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        f"{word}{f'({number})' if number > 1 else ''} {phones}"
        for word in sorted(words)
        for number, phones in enumerate(pronounced[word], 1)
    ]
    _write(model.dictionary, "\n".join(entries) + "\n")
    _write(model.language_model, arpa(domain.draw(SENTENCES)))
    return model


def default_cache() -> Path:
    """Where models are kept for this user. Source: XDG Base Directory Specification 0.8."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "engine" / "domains"


def _write(path: Path, text: str) -> None:
    """Whole or not at all: two processes may build the same domain."""
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
