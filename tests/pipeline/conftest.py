from tests.support.pages import drawn_pages, pages

__all__ = ["drawn_pages", "pages"]
