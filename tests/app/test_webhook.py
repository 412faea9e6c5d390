"""The webhook's settings: what may be written there, and what refuses the start."""

import base64
from pathlib import Path
from typing import Any

import pytest

from otpc_policy.app.application import build_application
from otpc_policy.app.settings import Settings
from otpc_policy.app.settings.without_effect import without_effect
from otpc_policy.app.webhook import keys_of, require_webhook
from otpc_policy.core.errors import ConfigurationError

URL = "https://tools.example/hook"
KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def settings(folder: Path, key: str = KEY, **fields: Any) -> Settings:
    file = folder / "key"
    file.write_text(key)
    file.chmod(0o600)
    watch = fields.pop("watch", {"endpoints": ["a.example:443"]})
    return Settings(webhook={"url": URL, "key_file": file, **fields}, watch=watch)


def problems(folder: Path, key: str = KEY, **fields: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        require_webhook(settings(folder, key, **fields).webhook)
    return str(refused.value)


def test_every_key_of_the_file_signs(tmp_path: Path) -> None:
    other = "whsec_" + base64.b64encode(bytes(24)).decode()
    chosen = settings(tmp_path, f"# new\n{KEY}\n\n{other} # old\n").webhook
    assert keys_of(chosen) == (bytes(range(32)), bytes(24))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "# nothing\n",
        KEY.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_%%%%",
        f"{KEY}\n" * 5,
    ],
    ids=["empty", "comment", "no prefix", "short", "long", "no base64", "five"],
)
def test_what_is_no_key_refuses_the_start(tmp_path: Path, key: str) -> None:
    assert "24 to 64 bytes in base64" in problems(tmp_path, key)


def test_files_that_cannot_be_used_refuse_the_start(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("no certificate")
    assert "webhook.ca_file" in problems(tmp_path, ca_file=tmp_path / "none.pem")
    assert "webhook.ca_file" in problems(tmp_path, ca_file=tmp_path / "broken")
    assert "webhook.headers_file" in problems(tmp_path, headers_file=tmp_path / "broken")
    chosen = settings(tmp_path)
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="every user may read"):
        build_application(chosen, is_replica=True)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"url": "http://tools.example/hook"}, "plain text to another machine"),
        ({"url": "https://user:secret@tools.example/"}, "must hold no password"),
        ({"url": "tools.example/hook"}, "must be a URL"),
        ({"url": "https://tools.example/\r\nx: y"}, "must be a URL"),
        ({"url": ""}, "url and key_file go together"),
        ({"key_file": None}, "url and key_file go together"),
        ({"decisions": ["MAYBE"]}, "webhook.decisions"),
        ({"timeout_s": 31}, "webhook.timeout_s"),
        ({"max_age_s": 1}, "webhook.max_age_s"),
    ],
)
def test_what_the_settings_refuse(tmp_path: Path, fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        settings(tmp_path, **fields)


def test_loopback_and_the_dangerous_switch_need_no_tls(tmp_path: Path) -> None:
    require_webhook(settings(tmp_path, url="http://127.0.0.1:8080/").webhook)
    elsewhere = "http://tools.example/"
    require_webhook(settings(tmp_path, url=elsewhere, dangerously_send_without_tls=True).webhook)


def test_without_a_watch_list_it_has_no_effect_and_that_is_said(tmp_path: Path) -> None:
    found = dict(without_effect(settings(tmp_path, watch={})))
    assert "nothing is watched" in found["webhook.url"]
    assert "webhook.url" not in dict(without_effect(settings(tmp_path)))
