"""Reports as web pages of one file each, that need no network; the extra `report` brings what makes them."""
