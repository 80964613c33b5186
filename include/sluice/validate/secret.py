"""Secrets in texts: tokens and keys of known form (the patterns of detect-secrets and some newer ones), private keys,
passwords that are written out.

Only forms that are exact: what is merely random (hashes, ids) fills technical documents.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module

from sluice.validate.findings import Span, apart

# Plugin of detect-secrets → kind, and what (in lower case) every match contains; nothing: the pattern is quick by
# itself. Plugins whose patterns are slow, or also match ordinary words, are left out.
_PLUGINS = {
    "aws.AWSKeyDetector": ("AWS_KEY", ()),
    "azure_storage_key.AzureStorageKeyDetector": ("AZURE_KEY", ("accountkey=",)),
    "basic_auth.BasicAuthDetector": ("PASSWORD", ("://",)),
    "discord.DiscordBotTokenDetector": ("DISCORD_TOKEN", ()),
    "github_token.GitHubTokenDetector": ("GITHUB_TOKEN", ("gh",)),
    "gitlab_token.GitLabTokenDetector": ("GITLAB_TOKEN", ("gl", "gr1348941")),
    "mailchimp.MailchimpDetector": ("MAILCHIMP_KEY", ("-us",)),
    "npm.NpmDetector": ("NPM_TOKEN", ("_authtoken",)),
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
        "PRIVATE_KEY",
        "private key",
        r"-----BEGIN (?P<label>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----"
        r"(?:(?s:.{0,20000}?)-----END (?P=label)-----)?",
    ),
    ("PRIVATE_KEY", "putty-user-key", r"PuTTY-User-Key-File-\d:(?:[^\n]*\n){1,200}?Private-MAC: [0-9a-f]+"),
    ("GITHUB_TOKEN", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{60,}"),
    ("GOOGLE_KEY", "aiza", r"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    ("ANTHROPIC_KEY", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_-]{24,}"),
    ("OPENAI_KEY", "sk-", r"\bsk-(?:proj|svcacct)-[A-Za-z0-9_-]{40,}"),
    ("HUGGINGFACE_TOKEN", "hf_", r"\bhf_[A-Za-z0-9]{34,}"),
    ("SLACK_TOKEN", "xapp-", r"\bxapp-\d-[A-Z0-9]+-\d+-[a-f0-9]{32,}"),
    ("DATABRICKS_TOKEN", "dapi", r"\bdapi[a-f0-9]{32}\b"),
    ("VAULT_TOKEN", "hvs.", r"\bhvs\.[A-Za-z0-9_-]{24,}"),
    ("API_KEY", "slk_", r"\bslk_[A-Za-z0-9_-]{20,}"),
    ("JWT", "eyj", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
)
_ASSIGNED = re.compile(
    r"""(?i:password|passwd|secret|token|api[_-]?key|access[_-]?key)["']?\s{0,3}[:=]\s{0,3}(["'])((?!\$)[^\s"'<>{}]{8,200})\1"""
)
_RANDOM_BITS = 3.0  # entropy a character from which on a quoted value is no word
_ASSIGNED_WORDS = ("passw", "secret", "token", "key")
_EXAMPLES = frozenset(
    ["password", "passwd", "pass", "secret", "token", "changeme", "example", "hidden", "xxxx", "user"]
)


def secrets(text: str) -> tuple[Span, ...]:
    """What was found, in order and apart."""
    return apart(_found(text))


def _found(text: str) -> Iterator[Span]:
    lower = text.lower()
    for kind, words, pattern in _patterns():
        if not words or any(word in lower for word in words):
            for match in pattern.finditer(text):
                start, end = match.span(pattern.groups if kind in ("PASSWORD", "AWS_KEY") else 0)
                if text[start:end].lower() not in _EXAMPLES:
                    yield Span(start, end, kind)
    if any(word in lower for word in _ASSIGNED_WORDS):
        for match in _ASSIGNED.finditer(text):
            if any(char.isdigit() for char in match[2]) and _entropy(match[2]) >= _RANDOM_BITS:
                yield Span(*match.span(2), "PASSWORD")


@cache
def _patterns() -> list[tuple[str, tuple[str, ...], re.Pattern[str]]]:
    found = []
    for place, (kind, words) in _PLUGINS.items():
        module, _, name = place.partition(".")
        plugin = getattr(import_module(f"detect_secrets.plugins.{module}"), name)
        found += [(kind, words, pattern) for pattern in plugin.denylist]
    return found + [(kind, (word,), re.compile(pattern)) for kind, word, pattern in _MORE]


def _entropy(text: str) -> float:
    """Bits a character (Shannon)."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(share * math.log2(share) for share in shares)
