"""What may be shown to a model and written down: without secrets, personal data, hidden signs, recalled notes. Pure.

Two questions are answered here: what a reader sees of a text (`shown`), and what speaks against a text that came out
of a dream (`faults`). Attacks come in pieces, hidden signs, look-alike letters and encodings, so both see through them.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable

from counterpoint.memory.likeness import words
from counterpoint.memory.marks import recalled
from counterpoint.redaction import MARK, Redaction

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
NUL = "\0"
PERSON = "[address removed]"
ENTROPY = 3.4
"""Bits a character, from which a long token of letters and figures is taken for a secret."""
_TOKEN = re.compile(r"(?<![A-Za-z0-9_/.+-])[A-Za-z0-9_+=-]{24,512}(?![A-Za-z0-9_/+.-])")
_NAMED = re.compile(
    r"""
    (\b(?:pass(?:word|wd|phrase)|secret)s?\b[^\n:=]{0,30}?
    (?: [:=]\s*["']? | \bis\s+["']?(?=[^\s"',;]{0,100}[\d!$%&*+=?@^~]) ))
    ([^\s"',;\[]{4,200})
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""A word for a secret, and what is said to be one. After a mere "is" it must have a figure or sign in it."""
_KEY = re.compile(
    r"""
    (\b(?:[\w-]{0,40}[_-])?(?:token|api[_-]?key|credential)s?["']?\s*(?:[:=]|\bis\b)\s*["']?)
    (?=[^\s"',;]{0,100}\d)([^\s"',;\[]{8,200})
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""The same for words that also name what is counted: there it must be long, and have a figure in it."""
_MAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}\b")
_BLOB = re.compile(
    r"(?<![A-Za-z0-9+/])(?:[A-Za-z0-9+/]{4}){6,}(?:[A-Za-z0-9+/]{2,3}={0,2})?|(?:[0-9a-fA-F]{2}){16,}|(?:%[0-9a-fA-F]{2}){4,}"
)
_LINK = re.compile(r"(?i)\b(?:https?|ftp|file|data|javascript):|\bwww\.")
_WIDENING = re.compile(
    r"""
      \b(?:skip|disable|bypass|ignore|turn\ off|without)\b[^.\n]{0,40}
        \b(?:tests?|checks?|review|verification|lint|hooks?|sandbox|permissions?|approvals?|confirmation|safety|security
           |policy|instructions?)\b
    | \b(?:always|auto(?:matically)?|never\ ask\ before)\b[^.\n]{0,30}
        \b(?:approv|accept|confirm|allow|grant|merg|push|deploy)\w*
    | --(?:yes|force|no-verify|dangerously[\w-]*|allow-all|trust[\w-]*|skip[\w-]*|no-sandbox|insecure|unsafe[\w-]*
        |no-check[\w-]*|ignore-[\w-]*|disable-[\w-]*|yolo|privileged|auto-approve)\b
    | \b(?:strictHostKeyChecking|sslVerify|verify|NODE_TLS_REJECT_UNAUTHORIZED|PYTHONHTTPSVERIFY)\s*=\s*(?:no|false|0)\b
    | \b(?:write-all|bypassPermissions)\b
    | \b(?:rm\s+-rf|curl\b[^\n|]{0,200}\|\s*(?:ba)?sh|chmod\s+777|sudo)\b
    | \bwithout\ (?:asking|permission|review|approval|confirmation)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_IMPERATIVE = re.compile(
    r"""
    (?:^|[.:;!\n]\s*|\b(?:please|remember|note|important)\b[^.\n]{0,20}?)\s*
    (?:you\ (?:must|should|have\ to|need\ to)|always|never|remember|ignore|forget|do\ not|don't|make\ sure|from\ now\ on
      |run|use|execute|install|send|post|upload|download|add|set|delete|remove|disable|enable|trust|approve|accept|call
      |open|visit|pass)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"""
    \b(?:immer|niemals|ignorier\w*|vergiss|ohne\ (?:nachfrage|zu\ fragen|r[uü]ckfrage|pr[uü]fung|tests?)
      |[uü]berspring\w*|deaktivier\w*
      |toujours|jamais|ignore[zr]|oublie[zr]?|sans\ (?:demander|confirmation|v[eé]rifi\w*)|d[eé]sactive[zr]?
      |siempre|nunca|ignora[rd]?|olvida|sin\ (?:preguntar|confirmaci[oó]n|pruebas)|desactiva[r]?|omite
      |sempre|mai\ (?:chiedere|usare)|ignorare|senza\ (?:chiedere|conferma)|disattiva\w*|salta\ i\ test
      |ignore\ as|sem\ (?:perguntar|confirma[cç][aã]o)|desative|pule\ os\ testes)\b
    | всегда|никогда|игнорируй|забудь|без\ (?:подтверждения|проверки|спроса)|отключи|пропусти
    | 总是|永远|始终|忽略|无需(?:确认|询问)|跳过|禁用|必须
    | 常に|必ず|無視|確認(?:なし|せず)|スキップ|無効に
    | 항상|반드시|무시|확인\ ?없이|건너뛰
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Words by which orders are given in nine more languages: the commonest, no grammar."""
_LEVER = re.compile(r"`[^`\n]{1,200}`|(?<![\w-])--?[A-Za-z][\w-]{0,60}|\b\w{1,60}=[^\s,;]{1,100}|\$\([^)\n]{1,100}\)")
"""What a program would take as an option, a setting or code."""
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")


class Cleaner:
    """Knows the secrets of this machine, and the notes that are in force."""

    def __init__(self, redaction: Redaction, notes: Iterable[str] = ()) -> None:
        self._redaction = redaction
        self._notes = [(note, frozenset(words(note))) for note in notes]
        self._naming: dict[str, list[int]] = defaultdict(list)
        """Word → the notes that it stands in."""
        for number, (_, said) in enumerate(self._notes):
            for word in said:
                self._naming[word].append(number)

    def shown(self, text: str, *, echoes: bool = False) -> str:
        """What a reader sees of a text. Unless `echoes` are wanted, what a note in force says is cut."""
        text = visible(text)
        return self.redacted(text if echoes else self._without_notes(text))

    def lived(self, text: str, *, by_person: bool = False) -> str:
        """The text with NUL signs where it repeats what its author was told: as long as before, so places hold.

        A person's own words are lived also where they are those of a note.
        """
        for start, end in recalled(text, () if by_person else self._repeated(text)):
            text = f"{text[:start]}{NUL * (end - start)}{text[end:]}"
        return text

    def redacted(self, text: str) -> str:
        """Without secrets and addresses of people."""
        text = _KEY.sub(rf"\1{MARK}", _NAMED.sub(rf"\1{MARK}", self._redaction.text(text)))
        text = _TOKEN.sub(lambda match: MARK if _random(match[0]) else match[0], text)
        return _MAIL.sub(PERSON, text)

    def recalls(self, text: str) -> bool:
        """Whether the text only says what a note in force says."""
        said = frozenset(words(text))
        if not said:
            return False
        shared = Counter(number for word in said for number in self._naming.get(word, ()))
        return any(_overlap(said, self._notes[number][1], number_shared) for number, number_shared in shared.items())

    def _repeated(self, text: str) -> list[str]:
        """Notes all of whose words stand in the text: only they can stand there word by word."""
        said = frozenset(words(text))
        shared = Counter(number for word in said for number in self._naming.get(word, ()))
        return [self._notes[n][0] for n, count in sorted(shared.items()) if count == len(self._notes[n][1])]

    def _without_notes(self, text: str) -> str:
        if not self._notes:
            return text
        return _SENTENCE.sub(lambda match: "[memory cut]" if self.recalls(match[0]) else match[0], text)

    def faults(self, text: str) -> list[str]:
        """Why a text must not be written into a memory; empty: nothing is known against it."""
        folded = skeleton(text)
        checks = [
            (visible(text) != text, "it has hidden signs"),
            (self.redacted(text) != text, "it has a secret or an address of a person"),
            (_mixed(text), "a word of it mixes alphabets that look alike"),
            (bool(_LINK.search(folded)), "it has a link"),
            (encoded(text), "it has an encoded piece"),
            (widens(text), "it would widen what agents may do, or skip a check"),
        ]
        return [fault for holds, fault in checks if holds]


def visible(text: str) -> str:
    """The text without control, zero-width, bidi and private signs."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in HIDDEN)


def skeleton(text: str) -> str:
    """The text as it looks: hidden signs gone, look-alikes as the letters that they imitate."""
    folded = unicodedata.normalize("NFKC", visible(text)).translate(_LOOK_ALIKE)
    return "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))


def levers(text: str) -> list[str]:
    """The options, settings and pieces of code in a text: what an agent could act by, in whatever language it is."""
    return [piece.strip("`") for piece in _LEVER.findall(text)]


def widens(text: str) -> bool:
    """Whether a text asks for more than agents may do, or for a check to be left out."""
    return any(_WIDENING.search(each) for each in (skeleton(text), *_decoded(text)))


def imperative(text: str) -> bool:
    """Whether a text tells somebody what to do, however it is hidden."""
    forms = (skeleton(text), visible(text), *_decoded(text))  # look-alikes are letters, where they are no disguise
    return any(p.search(each) for p in (_IMPERATIVE, _WIDENING, _ELSEWHERE) for each in forms)


def encoded(text: str) -> bool:
    """Whether it has a piece that only a program can read."""
    return any(_random(match[0]) or _plain(match[0]) is not None for match in _BLOB.finditer(visible(text)))


def _decoded(text: str) -> list[str]:
    """What encoded pieces of the text say."""
    found = [_plain(match[0]) for match in _BLOB.finditer(visible(text))]
    return [skeleton(piece) for piece in found if piece is not None]


def _plain(blob: str) -> str | None:
    """An encoded piece as text; None: it is none."""
    ways = (
        lambda: base64.b64decode(blob + "=" * (-len(blob) % 4), validate=True),
        lambda: binascii.unhexlify(blob),
        lambda: bytes.fromhex(blob.replace("%", "")) if blob.startswith("%") else b"",
    )
    for way in ways:
        try:
            text = way().decode("utf-8")
        except (ValueError, binascii.Error):
            continue
        if len(text) > 5 and text.isprintable() and " " in text:
            return text
    return None


def _random(token: str) -> bool:
    """Whether a token looks as if a program had drawn it."""
    kinds = sum(bool(re.search(kind, token)) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    if kinds < 2 or not re.search("[0-9]", token):
        return False
    counts = Counter(token)
    bits = -sum(n / len(token) * math.log2(n / len(token)) for n in counts.values())
    return bits >= ENTROPY and (("-" not in token and "_" not in token) or kinds == 3)


def _mixed(text: str) -> bool:
    """Whether a word has letters of Latin and of another alphabet."""
    for word in re.findall(r"[^\W\d_]+", text):
        scripts = {unicodedata.name(c, "?").split(" ")[0] for c in word if c.isalpha()}
        if "LATIN" in scripts and scripts & {"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}:
            return True
    return False


def _overlap(one: frozenset[str], other: frozenset[str], shared: int) -> bool:
    """Whether nearly all words of the shorter text are in the other, where both are about as long."""
    short, long = sorted((len(one), len(other)))
    return len(other) > 2 and long <= 2 * short and shared >= 0.85 * short


_LOOK_ALIKE = str.maketrans(
    "аеорсухіјѕԁһԛԝАВЕКМНОРСТУХІЈЅαορυνικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijsdhqwABEKMHOPCTYXIJSaopuvikABEZHIKMNOPTYX",
)
