"""The README's examples run as they stand, but for the names of service and partner."""

import re
from pathlib import Path

import pytest

from tests.end_to_end.running import Service
from tests.end_to_end.world import World
from tests.support.servers import TlsOffer, nginx

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize(
    ("number", "printed"), [(0, r"dial one of \['127\..*'\]\n"), (1, r"200 [0-9a-f]{32}\n")]
)
def test_an_example_prints_what_it_says(
    world: World,
    service: Service,
    capsys: pytest.CaptureFixture[str],
    number: int,
    printed: str,
) -> None:
    partner = world.partner()
    with nginx(partner.listener(), TlsOffer(certificates=(world.leaf(partner.name),))) as at:
        code = EXAMPLES[number].replace("127.0.0.1:50051", service.address)
        code = code.replace('"partner.example"', f'"{partner.name}", port={at.port}')
        exec(compile(code, "README.md", "exec"), {})
    assert re.match(printed, capsys.readouterr().out)


def test_every_example_is_run() -> None:
    assert len(EXAMPLES) == 2
