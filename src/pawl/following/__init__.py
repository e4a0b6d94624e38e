"""What goes on beside a campaign, in processes of their own: its page, and copies of its trials."""

from pawl.following.beside import followed
from pawl.following.page import Page, page_beside

__all__ = ["Page", "followed", "page_beside"]
