"""The supply chain: what is installed, what is built, and what SECURITY.md promises."""
