"""The endpoints of a partner, from the entries that the settings name."""

from dataclasses import dataclass

from otpc_policy.catalog.load import CatalogLoader
from otpc_policy.cli.configuration import read_settings


@dataclass(frozen=True, slots=True)
class PartnerEndpoints:
    """endpoints: host:port, as in the entry. patterns: with a wildcard, so they name no host."""

    endpoints: tuple[str, ...]
    patterns: tuple[str, ...]


def partner_endpoints(partner_id: str) -> PartnerEndpoints:
    """Return what the entry of a partner names.

    Raises ValueError, whose text says which partners there are; ConfigurationError.
    """
    settings = read_settings()
    if settings.partners_dir is None:
        raise ValueError(
            "needs the partners' entries: set partners_dir (OTPC_POLICY_PARTNERS_DIR, or in the"
            " file that OTPC_POLICY_CONFIG names)"
        )
    partners = CatalogLoader(settings).load_untested().partners.partners
    for partner in partners:
        if partner.id == partner_id:
            return PartnerEndpoints(
                tuple(str(one) for one in partner.endpoints if not one.is_wildcard),
                tuple(str(one) for one in partner.endpoints if one.is_wildcard),
            )
    known = ", ".join(sorted(partner.id for partner in partners)) or "none"
    raise ValueError(f"no partner in {settings.partners_dir} has the id {partner_id!r}: {known}")
