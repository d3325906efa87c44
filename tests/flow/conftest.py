"""What the flows share: each database there is, one after the other."""

from tests.contract.conftest import database_url

__all__ = ["database_url"]
