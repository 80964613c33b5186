"""Detector of secrets in texts: tokens and keys of known formats (the patterns of detect-secrets and some newer ones),
private keys, and passwords in plain text.

Only exact formats: technical documents are full of random strings (hashes, ids) that are no secrets.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module

from sluice.quality.findings import Span, apart, windows

Pattern = tuple[str, tuple[str, ...], re.Pattern[str]]  # kind, words (every match contains one of them), pattern

# Plugin of detect-secrets → kind, and words (in lower case) of which every match contains one; none if the pattern is
# fast by itself. Plugins whose patterns are slow or match ordinary words are left out.
_PLUGINS = {
    "aws.AWSKeyDetector": ("AWS_KEY", ()),
    "azure_storage_key.AzureStorageKeyDetector": ("AZURE_KEY", ("accountkey=",)),
    "basic_auth.BasicAuthDetector": ("PASSWORD", ("://",)),
    "discord.DiscordBotTokenDetector": ("DISCORD_TOKEN", ()),
    "github_token.GitHubTokenDetector": ("GITHUB_TOKEN", ("gh",)),
    "gitlab_token.GitLabTokenDetector": ("GITLAB_TOKEN", ("gl", "gr1348941")),
    "mailchimp.MailchimpDetector": ("MAILCHIMP_KEY", ("-us",)),
    "openai.OpenAIDetector": ("OPENAI_KEY", ("t3blbkfj",)),
    "pypi_token.PypiTokenDetector": ("PYPI_TOKEN", ("pypi-",)),
    "sendgrid.SendGridDetector": ("SENDGRID_KEY", ("sg.",)),
    "slack.SlackDetector": ("SLACK_TOKEN", ("xox", "hooks.slack")),
    "square_oauth.SquareOAuthDetector": ("SQUARE_TOKEN", ("sq0csp",)),
    "stripe.StripeDetector": ("STRIPE_KEY", ("k_live_",)),
    "telegram_token.TelegramBotTokenDetector": ("TELEGRAM_TOKEN", ()),
    "twilio.TwilioKeyDetector": ("TWILIO_KEY", ()),
}
_MORE = (
    (
        "AWS_KEY",
        "secret",
        r"(?i:secret[ _-]?(?:access[ _-]?)?key)[\"'`]?[ \t]{0,3}(?:[:=]|is)?[ \t]{0,3}[\"'`]?"
        r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
    ),
    ("GITHUB_TOKEN", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{60,}"),
    ("GOOGLE_KEY", "aiza", r"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    ("ANTHROPIC_KEY", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_-]{24,}"),
    ("OPENAI_KEY", "sk-", r"\bsk-(?:proj|svcacct)-[A-Za-z0-9_-]{40,}"),
    ("NPM_TOKEN", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("NPM_TOKEN", "_authtoken", r"_authToken\s{0,3}=\s{0,3}[A-Fa-f0-9]{8}-[A-Fa-f0-9-]{27}"),
    ("HUGGINGFACE_TOKEN", "hf_", r"\bhf_[A-Za-z0-9]{34,}"),
    ("SLACK_TOKEN", "xapp-", r"\bxapp-\d-[A-Z0-9]+-\d+-[a-f0-9]{32,}"),
    ("DATABRICKS_TOKEN", "dapi", r"\bdapi[a-f0-9]{32}\b"),
    ("VAULT_TOKEN", "hvs.", r"\bhvs\.[A-Za-z0-9_-]{24,}"),
    ("API_KEY", "slk_", r"\bslk_[A-Za-z0-9_-]{20,}"),
    ("JWT", "eyj", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
)
# Keys of many lines: how they begin and end ({} is the label of the first line).
_BLOCKS = (
    (re.compile(r"-----BEGIN ([A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----"), "-----END {}-----"),
    (re.compile(r"PuTTY-User-Key-File-\d:()"), "Private-MAC: "),
)
_BLOCK_CHARS = 20_000
_WINDOW_CHARS = 4000
_LONGEST_CHARS = 1000
_NAMED = r"(?i:password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key)"
_ASSIGNED = re.compile(_NAMED + r"""["']?\s{0,3}[:=]\s{0,3}(["'])((?!\$)[^\s"'<>{}]{8,200})\1""")
# The same without quotes, as in .env, INI and YAML files and in prose: a whole word without characters of code.
_WRITTEN = re.compile(
    _NAMED + r"""["'`]?[ \t]{0,3}[:=][ \t]{0,3}(?!["'$])`?([^\s"'`<>{}()\[\],;|\\]{8,200})(?=[\s,;`]|$)"""
)
_MEMBER = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")  # settings.key1
_RANDOM_BITS = 3.0  # bits per character; a value with more is not a word
_PATH_BITS = 4.0  # nor a path
_ASSIGNED_WORDS = ("passw", "pwd", "passphrase", "secret", "token", "key")
_EXAMPLES = frozenset(
    ["password", "passwd", "pass", "secret", "token", "changeme", "example", "hidden", "xxxx", "user"]
)


def secrets(text: str) -> tuple[Span, ...]:
    """Returns the findings in order, without overlaps."""
    return apart(_spans(text))


def _spans(text: str) -> Iterator[Span]:
    lower = text.lower()
    wanted = [each for each in _patterns() if not each[1] or any(word in lower for word in each[1])]
    assigned = any(word in lower for word in _ASSIGNED_WORDS)
    for start, piece in windows(text, _WINDOW_CHARS, _LONGEST_CHARS):
        for span in _matched(piece, wanted, assigned):
            yield Span(start + span.start, start + span.end, span.kind)
    yield from _blocks(text)


def _matched(text: str, patterns: Sequence[Pattern], assigned: bool) -> Iterator[Span]:
    for kind, _, pattern in patterns:
        for match in pattern.finditer(text):
            start, end = match.span(pattern.groups if kind in ("PASSWORD", "AWS_KEY") else 0)
            if text[start:end].lower() not in _EXAMPLES:
                yield Span(start, end, kind)
    if assigned:
        for match in _ASSIGNED.finditer(text):
            if any(char.isdigit() for char in match[2]) and _entropy(match[2]) >= _RANDOM_BITS:
                yield Span(*match.span(2), "PASSWORD")
        for match in _WRITTEN.finditer(text):
            value = match[1].rstrip(".:")
            if _random(value):
                yield Span(match.start(1), match.start(1) + len(value), "PASSWORD")


def _random(value: str) -> bool:
    """Returns whether letters and digits are mixed as in no word, path or name in code."""
    if not any(map(str.isdigit, value)) or not any(map(str.isalpha, value)) or _MEMBER.fullmatch(value):
        return False
    return _entropy(value) >= (_PATH_BITS if "/" in value else _RANDOM_BITS)


def _blocks(text: str) -> Iterator[Span]:
    for begin, ending in _BLOCKS:
        for match in begin.finditer(text):
            end = ending.format(match[1])
            end_at = text.find(end, match.end(), match.end() + _BLOCK_CHARS)
            yield Span(match.start(), match.end() if end_at < 0 else end_at + len(end), "PRIVATE_KEY")


@cache
def _patterns() -> list[Pattern]:
    patterns: list[Pattern] = []
    for place, (kind, words) in _PLUGINS.items():
        module, _, name = place.partition(".")
        plugin = getattr(import_module(f"detect_secrets.plugins.{module}"), name)
        patterns += [(kind, words, pattern) for pattern in plugin.denylist]
    return patterns + [(kind, (word,), re.compile(pattern)) for kind, word, pattern in _MORE]


def _entropy(text: str) -> float:
    """Returns the Shannon entropy in bits per character."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)
